"""`agent.toml`: the identities of one agent, and what is done for each.

    [[identity]]
    dir = "/etc/doorward/sensor-7"
    server = "https://enroll.corp.example:8443"   # only if the folder does not name it
    try = "app.corp.example:8443"
    exec = [["/usr/local/bin/publish-key", "--quiet"]]
    reload = ["nginx.service"]
    nss = ["~/.mozilla/firefox/abc.default"]
    keychain = false
    windows_store = false
    p12_password_file = "/etc/doorward/p12-password"

All faults are reported at once. Standard: TOML 1.0.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from doorward.agent.deploying import list_targets
from doorward.agent.link import parse_server
from doorward.agent.options import IdentityOptions
from doorward.core.errors import ConfigurationError, Fault, MalformedInput
from doorward.files import read_limited

MAX_CONFIGURATION_BYTES = 256 * 1024
MAX_IDENTITIES = 1000


def load_configuration(path: Path) -> list[IdentityOptions]:
    """Return the identities of a file.

    Raises:
        ConfigurationError: `agent-config-invalid`, with every fault.
    """
    try:
        text = read_limited(path, MAX_CONFIGURATION_BYTES).decode("utf-8")
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise ConfigurationError([_fault(path, f"it cannot be read: {why}")]) from None
    return parse_configuration(text, path)


def parse_configuration(text: str, path: Path) -> list[IdentityOptions]:
    """Return the identities in the text of a file.

    Raises:
        ConfigurationError: `agent-config-invalid`, with every fault.
    """
    try:
        members = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also a number of thousands of digits
        raise ConfigurationError([_fault(path, f"it is not TOML: {error}")]) from None
    tables = members.pop("identity", [])
    faults = [_fault(path, "there is no such key here; write [[identity]]", key) for key in members]
    if not isinstance(tables, list) or not 0 < len(tables) <= MAX_IDENTITIES:
        faults.append(_fault(path, f"it needs 1 to {MAX_IDENTITIES} tables [[identity]]"))
        tables = []
    found = [_read_identity(path, number, table, faults) for number, table in enumerate(tables, 1)]
    seen: set[Path] = set()
    for one in found:
        if one.directory in seen:
            faults.append(_fault(path, f"two identities have the folder {one.directory}", "dir"))
        seen.add(one.directory)
    if faults:
        raise ConfigurationError(faults)
    return found


def _read_identity(path: Path, number: int, table: Any, faults: list[Fault]) -> IdentityOptions:
    values: dict[str, Any] = {}
    if not isinstance(table, dict) or "dir" not in table:
        faults.append(_fault(path, f"identity {number} has no folder", "dir"))
        table = {}
    for key, value in table.items():
        field, read = _KEYS.get(key, ("", None))
        if read is None:
            faults.append(_fault(path, f"identity {number} has an unknown key", key))
            continue
        try:
            values[field] = read(value)
        except (MalformedInput, ValueError) as error:
            faults.append(_fault(path, f"identity {number}: {error}", key))
    values.setdefault("directory", Path())
    options = IdentityOptions(**values)
    try:
        list_targets(options)
    except MalformedInput as error:
        faults.append(_fault(path, f"identity {number}: {error}", "reload"))
    return options


def _fault(path: Path, message: str, key: str = "") -> Fault:
    hint = "see docs/how-to/let-certificates-renew-themselves.md"
    return Fault(code="agent-config-invalid", message=message, file=str(path), key=key, hint=hint)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("it must be a text")
    return value


def _path(value: object) -> Path:
    try:
        return Path(_text(value)).expanduser()
    except RuntimeError:
        raise ValueError("the home directory of this user is not known") from None


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("it must be true or false")  # noqa: TRY004 - all faults of a file are told in one way
    return value


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise ValueError("it must be a list")  # noqa: TRY004 - as above
    return value


def _commands(value: object) -> tuple[tuple[str, ...], ...]:
    commands = tuple(tuple(_text(word) for word in _list(one)) for one in _list(value))
    if not all(commands):
        raise ValueError("each command must be a list of texts, the program first")
    return commands


_KEYS: dict[str, tuple[str, Callable[[object], object]]] = {
    "dir": ("directory", _path),
    "server": ("server", lambda value: parse_server(_text(value))),
    "try": ("trial", lambda value: parse_server(_text(value))),
    "exec": ("commands", _commands),
    "reload": ("units", lambda value: tuple(_text(one) for one in _list(value))),
    "nss": ("nss", lambda value: tuple(_path(one) for one in _list(value))),
    "keychain": ("keychain", _flag),
    "windows_store": ("windows_store", _flag),
    "p12_password_file": ("p12_password_file", _path),
}
