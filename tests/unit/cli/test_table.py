"""The table of commands: what the help and the completion are made from, without importing a command."""

from __future__ import annotations

import sys

import pytest
from click.testing import CliRunner

from doorward.cli.__main__ import main
from doorward.cli.groups import Branch, Entry, walk
from doorward.cli.table import COMMANDS
from tests.support.commands import run_program

LONGEST = 66
"""Columns beside the longest name on a terminal of 80."""


def summaries(entries: dict[str, Entry | Branch]) -> list[str]:
    """The summaries of a branch and of all below it."""
    found = []
    for one in entries.values():
        found.append(one.summary)
        if isinstance(one, Branch):
            found += summaries(dict(one.entries))
    return found


def test_every_summary_fits_on_a_line() -> None:
    """A summary is a sentence that no terminal of 80 columns breaks or cuts."""
    for one in summaries(COMMANDS):
        assert len(one) <= LONGEST, one
        assert one.endswith("."), one
        assert one[0].isupper(), one


def test_an_entry_that_is_no_command_is_refused() -> None:
    """A slip in the table is said when the command is called."""
    with pytest.raises(TypeError, match="status:Command"):
        Entry(where="status:Command", summary="None.").load()


@pytest.mark.parametrize("words", [[], ["cert"], ["person"]])
def test_the_help_of_a_group_is_the_table(words: list[str]) -> None:
    """Names and summaries, in the order of the table."""
    shown = CliRunner().invoke(main, [*words, "--help"]).output.partition("Commands:\n")[2]
    entries = COMMANDS
    for word in words:
        branch = entries[word]
        assert isinstance(branch, Branch)
        entries = dict(branch.entries)
    lines = [line.split(None, 1) for line in shown.partition("\n\n")[0].splitlines()]
    assert lines == [[name, one.summary] for name, one in entries.items()]


SCRIPT = """
import sys
from click.shell_completion import BashComplete
from click.testing import CliRunner
from doorward.cli.__main__ import main
for words in (["--help"], ["cert", "--help"], ["ca", "nonsense"], ["--version"]):
    CliRunner().invoke(main, words)
complete = BashComplete(main, {}, "doorward", "_DOORWARD_COMPLETE")
assert [one.value for one in complete.get_completions([], "per")] == ["person"]
assert [one.value for one in complete.get_completions(["cert"], "sh")] == ["show"]
loaded = [name for name in sys.modules if name.startswith(("doorward.cli.commands", "doorward.runtime"))]
assert not loaded, loaded
"""


def test_help_and_completion_import_no_command() -> None:
    """The help of groups, a wrong name, and the completion of commands come from the table alone."""
    done = run_program([sys.executable, "-c", SCRIPT])
    assert done.returncode == 0, done.stderr


def test_every_entry_is_a_command_of_its_name() -> None:
    """Each entry of the table can be loaded, and the command knows its own name."""
    for path, entry in walk(COMMANDS):
        assert entry.load().name == path[-1]
