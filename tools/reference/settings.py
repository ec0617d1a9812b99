"""docs/reference/settings.md: every setting, from the one class that holds them."""

from __future__ import annotations

import json
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Any

from annotated_types import Ge, Le

from doorward.runtime.durations import render_option_duration
from doorward.runtime.initialise import WRITTEN
from doorward.runtime.settings import HIGHEST_PORT, Settings
from tools.reference.markdown import render_table

HEAD = """\
# Settings

<!-- Made by `python -m tools.reference` from the program itself. Do not edit. -->

Doorward reads its settings once, when a command starts, from three places. The first that names a setting wins:

1. options of the command line (`--data`, `--listen`, …);
2. variables of the environment, `DOORWARD_` and the name in capitals;
3. the file `doorward.toml` in the data directory.

Every setting has a safe default. An unknown key in the file is an error that names the file and the key. A `DOORWARD_`
variable that is almost the name of a setting is an error too; other variables are ignored, and an empty variable counts as not
set. Secrets are never values of settings: a setting names the file that holds them.

`doorward init` (and the first `doorward up`) writes `doorward.toml`: `trust_domain`, `passphrase_file`, and those of the
following that differ from their defaults: {written}. It changes nothing in an
existing file; it adds missing settings at its end.

"""

AFTER = """\

The defaults are shown as you write them into the file. A variable of the environment has no quotes: `DOORWARD_HSTS=30d`.
A duration is a number and a unit: `"5s"`, `"30m"`, `"12h"`, `"7d"`. A number alone means seconds.
An address to listen on is `address:port`; an IPv6 address needs brackets, `[::]:8443`.

Certificates contain `trust_domain` and the address in `status_url`. A later change in the file does not change
certificates that were issued, so choose both before the first start. The default address, `http://127.0.0.1:8480`, can be
reached from this machine only.

## Where the data are

| who starts Doorward | data directory | passphrase file |
| --- | --- | --- |
| root | `/var/lib/doorward` | `/etc/doorward/NAME-MARK.passphrase` |
| another user | `$XDG_DATA_HOME/doorward`, else `~/.local/share/doorward` | `$XDG_CONFIG_HOME/doorward/NAME-MARK.passphrase`, else `~/.config/doorward/…` |

NAME is the last part of the data directory's path; MARK has eight characters that are computed from the whole path.
The passphrase file is outside the data directory, so that a copy of one is not a copy of both.

## Other variables

| variable | meaning |
| --- | --- |
| `DOORWARD_DEBUG` | If it has any value, an internal error prints its stack trace, which may contain secrets. |
| `CREDENTIALS_DIRECTORY` | Set by systemd. The file `doorward-passphrase` in it is the passphrase if `passphrase_file` is not set. |
| `DOORWARD_READY_FD` | Set by `doorward up` for its children: the descriptor on which a role says that it is ready. |
"""


def render_settings() -> str:
    """Return the page."""
    written = ", ".join(f"`{name}`" for name in WRITTEN if name != "trust_domain")
    rows = [
        (
            f"`{name}`",
            f"`DOORWARD_{name.upper()}`",
            _default(name, field.default),
            f"{field.description or ''} {_bounds(field.metadata)}".strip(),
        )
        for name, field in Settings.model_fields.items()
    ]
    return (
        HEAD.format(written=written)
        + render_table(("setting", "variable", "default", "meaning"), rows)
        + AFTER
    )


def _default(name: str, value: Any) -> str:
    if name == "data":
        return "see below"
    if name == "passphrase_file":
        return "none; `init` makes one, see below"
    if value is None:
        return "none"
    return "empty" if value == "" else f"`{_toml(value)}`"


def _toml(value: Any) -> str:
    """Return a value as a person writes it into `doorward.toml`."""
    match value:
        case timedelta():
            return f'"{render_option_duration(value)}"'
        case Enum():
            return _toml(value.value)
        case bool() | int() | float():
            return json.dumps(value)
        case str() | Path():
            return json.dumps(str(value), ensure_ascii=False)
        case tuple() | list():
            return f"[{', '.join(map(_toml, value))}]"
        case set() | frozenset():
            return f"[{', '.join(sorted(map(_toml, value)))}]"
        case _:
            raise TypeError(f"no form in TOML is known for the default {value!r}")


def _bounds(metadata: list[Any]) -> str:
    """Return the limits of a value in words; empty where there are none worth saying."""
    least = next((one.ge for one in metadata if isinstance(one, Ge)), None)
    most = next((one.le for one in metadata if isinstance(one, Le)), None)
    words = [f"at least {_plain(least)}"] if least not in (None, timedelta(0), 0) else []
    words += [f"at most {_plain(most)}"] if most not in (None, HIGHEST_PORT) else []
    return f"{', '.join(words).capitalize()}." if words else ""


def _plain(value: Any) -> str:
    return render_option_duration(value) if isinstance(value, timedelta) else str(value)
