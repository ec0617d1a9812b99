"""Groups of commands, read from a table: a command's module is imported when the command is called.

The help of a group and the completion of its commands come from the table alone, so that they load nothing.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import click
from click.shell_completion import CompletionItem

COMMANDS = "doorward.cli.commands"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One command.

    Args:
        where: `module:attribute`: a module below `cli.commands`, and the command in it.
        summary: one short line, for the help of the group and for completion.
        of: for a command that several groups have: the attribute is then a function, and this is its argument.
    """

    where: str
    summary: str
    of: str = ""

    def load(self) -> click.Command:
        """Import the command's module and return the command."""
        module, _, attribute = self.where.partition(":")
        found = vars(importlib.import_module(f"{COMMANDS}.{module}"))[attribute]
        if self.of:
            found = found(self.of)
        if not isinstance(found, click.Command):
            raise TypeError(f"{self.where} is no command")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """A group of commands, by name, in the order in which its help lists them."""

    summary: str
    entries: Mapping[str, Entry | Branch]


def walk(
    entries: Mapping[str, Entry | Branch], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Entry]]:
    """Yield every command below a branch with the words that lead to it, in the order of the help."""
    for name, one in entries.items():
        if isinstance(one, Branch):
            yield from walk(one.entries, (*path, name))
        else:
            yield (*path, name), one


class Group(click.Group):
    """A group of the table."""

    def __init__(self, *args: Any, entries: Mapping[str, Entry | Branch], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._entries = entries

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  the signature is click's
        """Return the names in the order of the table: from first steps to daily work."""
        return list(self._entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  as above
        """Import and return the command."""
        match self._entries.get(cmd_name):
            case None:
                return None
            case Branch() as branch:
                return Group(cmd_name, help=branch.summary, entries=branch.entries)
            case Entry() as entry:
                return entry.load()

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  as above
        """Write the list of commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, one.summary) for name, one in self._entries.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command of a name; if it is unknown, suggest the nearest names."""
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:
            raise click.NoSuchCommand(error.command_name, possibilities=self._entries, ctx=ctx) from None

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands and options that begin with the incomplete word."""
        names = [
            CompletionItem(name, help=one.summary)
            for name, one in self._entries.items()
            if name.startswith(incomplete)
        ]
        return names + click.Command.shell_complete(self, ctx, incomplete)
