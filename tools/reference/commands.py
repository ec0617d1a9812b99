"""docs/reference/commands.md: every command with its options, from the table of commands."""

from __future__ import annotations

import click

from doorward.cli.groups import walk
from doorward.cli.table import COMMANDS
from tools.reference.examples import EXAMPLES, EXITS, SECTIONS
from tools.reference.markdown import render_table

HEAD = """\
# Commands

<!-- Made by `python -m tools.reference` from the program itself. Do not edit. -->

Scripts rely on names, options and exit codes. They change only with a decision record.

## For every command

| option | meaning |
| --- | --- |
| `--json` | Print one JSON document on standard output, also for errors. With it `audit tail` prints one document in each line. |
| `--data DIR` | The data directory. The variable `DOORWARD_DATA` does the same. |
| `-h`, `--help` | Say what the command does. |

Results go to standard output, everything else to standard error. `doorward --version` prints the version.

| exit code | meaning |
| --- | --- |
| 0 | done |
| 1 | understood and refused |
| 2 | not understood: usage, settings, or a document with faults |
| 3 | unavailable: a part does not run or is busy; the same command may work later |
| 4 | integrity: stored evidence contradicts itself; nothing is repaired silently |
| 70 | a bug in the program; run it again with `DOORWARD_DEBUG=1` to see more |
| 130 | interrupted by Ctrl-C; `up`, `serve`, `gateway` and `demo` exit with 0, because Ctrl-C closes them in order |

The codes of errors are in [errors.md](errors.md).

## Questions

A command that removes something for good asks first if it runs at a terminal and `--json` is not given. `--yes` answers before the
question. Without a terminal these commands ask nothing and remove at once: a removal never opens access, and a script that
removes a person must not stop at a question.

| without a terminal, these need `--yes` | because |
| --- | --- |
| `ca import` | it gives trust to another organisation |
| `group remove GROUP` without members | a member that was forgotten would remove the whole group |
| `ca rotate retire` and `undo`, if a key is destroyed | the key cannot be made again |

`cert revoke`, `cert hold` and `suspend` never ask: after a loss they must be fast.
"""

EVERYWHERE = frozenset({"as_json", "data", "help"})


def render_commands() -> str:
    """Return the page.

    Raises:
        KeyError: a command has no example.
    """
    parts = [HEAD]
    begun: set[str] = set()
    for path, entry in walk(COMMANDS):
        if path[0] in SECTIONS and path[0] not in begun:
            parts.append(f"## {SECTIONS[path[0]]}\n")
        begun.add(path[0])
        parts.append(_render_command(path, entry.load()))
    return "\n".join(parts)


def _render_command(path: tuple[str, ...], command: click.Command) -> str:
    words = " ".join(path)
    lines = [f"### doorward {words}", "", (command.help or "").strip(), ""]
    lines += ["```sh", EXAMPLES[words], "```", ""]
    rows = [
        _row(one)
        for one in command.params
        if one.name not in EVERYWHERE and not getattr(one, "hidden", False)
    ]
    if rows:
        lines += [render_table(("argument or option", "meaning", "default"), rows)]
    if words in EXITS:
        lines += [f"Exit codes: {EXITS[words]}", ""]
    return "\n".join(lines)


def _row(parameter: click.Parameter) -> tuple[str, str, str]:
    if isinstance(parameter, click.Argument):
        name = f"`{parameter.make_metavar(click.Context(click.Command('x')))}`"
        return name, _argument_meaning(parameter), ""
    if not isinstance(parameter, click.Option):
        raise TypeError(parameter)
    names = ", ".join(f"`{one}`" for one in (*parameter.opts, *parameter.secondary_opts))
    meaning = parameter.help or ""
    if isinstance(parameter.type, click.Choice):
        meaning += f" One of {', '.join(f'`{one}`' for one in parameter.type.choices)}."
    if isinstance(parameter.type, click.IntRange):
        most = parameter.type.max
        meaning += (
            f" From {parameter.type.min} to {most}."
            if most is not None
            else f" At least {parameter.type.min}."
        )
    return names, meaning, _default(parameter)


def _default(option: click.Option) -> str:
    if option.required:
        return "required"
    if option.is_flag or option.multiple or option.default in (None, "") or callable(option.default):
        return ""
    value = str(option.default)
    return f"`{value}`" if value and "UNSET" not in value.upper() else ""


def _argument_meaning(argument: click.Argument) -> str:
    meanings = {
        "anchors": "Files with the certificates (PEM, PKCS#7 or DER) that become trust anchors.",
        "name": "The name: `[a-z0-9][a-z0-9._-]{0,62}`; of an application `[a-z0-9][a-z0-9-]{0,62}`; of a "
        "partner's principal `<partner>/<identity>`.",
        "group": "The group's name.",
        "member": "Name of a person, device, service or group.",
        "new_name": "The new name, in the same form as `NAME`.",
        "app": "Name of an application.",
        "rule_name": "Name of a rule, as `doorward policy explain` shows it.",
        "number": "Number of a revision, as `doorward policy history` shows it.",
        "certificate": "Id, serial number or SHA-256, or at least the first 6 characters of one of them.",
        "issued_file": "The file with the certificate that the root made (PEM, PKCS#7 or DER).",
        "session_id": "Id of a session, as `doorward session list` shows it.",
        "invitation_id": "Id of an invitation, as `doorward invitation list` shows it.",
        "ids": "Ids of devices that wait, as `doorward device pending` shows them.",
        "serials": "Serial numbers, as the factory certificates state them.",
        "link": "The one-time link, in single quotes.",
        "method": "HTTP method, such as `GET`.",
        "path": "Path as a client would send it.",
        "export_file": "An export to verify. Without it, the log of this installation is verified.",
        "what": "Id of a request, connection, decision, session, factor, event or certificate, or an incident id.",
        "shell": "`bash`, `zsh` or `fish`.",
    }
    return meanings[argument.name or ""]
