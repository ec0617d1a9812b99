"""The page of commands names every command with every argument and option, and every exit code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from doorward.cli import output
from doorward.cli.__main__ import main

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")
SECTIONS = {
    part.partition("\n")[0].strip(): part
    for part in re.split(r"^### doorward ", PAGE, flags=re.MULTILINE)[1:]
}
EVERYWHERE = {"--json", "--data", "--help", "-h"}


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Every command, with the words that lead to it."""
    for name in group.list_commands(click.Context(group)):
        found = group.get_command(click.Context(group), name)
        assert found is not None
        if isinstance(found, click.Group):
            yield from commands(found, (*path, name))
        else:
            yield " ".join((*path, name)), found


ALL = dict(commands(main))


def test_no_command_is_missing_or_invented() -> None:
    """Each command of the code has a section, and each section is a command of the code."""
    assert set(SECTIONS) == set(ALL)


@pytest.mark.parametrize("name", ALL)
def test_every_option_is_named(name: str) -> None:
    """The section of a command names all of its options and arguments."""
    section = SECTIONS[name].replace("\\|", "|")
    for param in ALL[name].params:
        if isinstance(param, click.Argument):
            assert param.make_metavar(click.Context(ALL[name])).strip("[]{}.") in section
        else:
            assert any(option in section for option in param.opts) or set(param.opts) <= EVERYWHERE


def test_every_exit_code_is_named() -> None:
    """The page has a row for each exit code."""
    codes = (output.DONE, output.REFUSED, output.USAGE, output.UNAVAILABLE, output.INTEGRITY, output.INTERNAL)
    assert all(re.search(rf"^\| {code} \|", PAGE, re.MULTILINE) for code in codes)
    assert all(option in PAGE for option in EVERYWHERE)
