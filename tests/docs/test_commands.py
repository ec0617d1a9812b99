"""The page of commands names every command with every argument and option, and every exit code."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from doorward.cli import output
from doorward.cli.groups import walk
from doorward.cli.table import COMMANDS

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")
SECTIONS = {
    part.partition("\n")[0].strip(): part
    for part in re.split(r"^### doorward ", PAGE, flags=re.MULTILINE)[1:]
}
EVERYWHERE = {"--json", "--data", "--help", "-h"}


ALL = {" ".join(path): entry.load() for path, entry in walk(COMMANDS)}


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
        elif not getattr(param, "hidden", False):  # an old word that scripts may still use
            assert any(option in section for option in param.opts) or set(param.opts) <= EVERYWHERE


def test_every_exit_code_is_named() -> None:
    """The page has a row for each exit code."""
    codes = (output.DONE, output.REFUSED, output.USAGE, output.UNAVAILABLE, output.INTEGRITY, output.INTERNAL)
    assert all(re.search(rf"^\| {code} \|", PAGE, re.MULTILINE) for code in codes)
    assert all(option in PAGE for option in EVERYWHERE)
