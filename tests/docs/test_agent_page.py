"""The page about the agent: its commands are understood, its file is read, and one of its ways is gone to the end."""

from __future__ import annotations

import re
import shlex
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from doorward.agent.configuration import _KEYS, parse_configuration
from doorward.cli.__main__ import main
from doorward.cli.commands import agent
from doorward.cli.groups import walk
from doorward.cli.table import COMMANDS
from tests.support.ports import FakeClock
from tests.support.renewal_server import RenewalServer, pair_of
from tests.support.walkthrough import ROOT

PAGE = (ROOT / "docs/how-to/let-certificates-renew-themselves.md").read_text(encoding="utf-8")
LINES = [
    line
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("doorward ")
]
COMMANDS_BY_NAME = {" ".join(path): entry for path, entry in walk(COMMANDS)}


@pytest.mark.parametrize("line", LINES)
def test_each_command_is_understood(line: str) -> None:
    """The words are options and values of the command."""
    _, group, name, *words = shlex.split(line)
    context = COMMANDS_BY_NAME[f"{group} {name}"].load().make_context(name, words)
    assert context.params["directories"] or context.params["config"]


def test_the_file_is_read_and_every_key_is_named() -> None:
    """The example of agent.toml has no fault; the list of keys is whole."""
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert len(parse_configuration(text, Path("agent.toml"))) == 2
    (listed,) = re.findall(r"The keys are (.*?)\.\n", PAGE, re.DOTALL)
    assert set(re.findall(r"`([a-z0-9_]+)`", listed)) == set(_KEYS)


def test_every_option_of_the_table_is_there() -> None:
    """The options that the page shows are options of `agent renew`."""
    known = {name for param in COMMANDS_BY_NAME["agent renew"].load().params for name in param.opts}
    shown = set(re.findall(r"(?<![\w-])(--[a-z][a-z0-9-]+)", PAGE))
    install = {name for param in COMMANDS_BY_NAME["agent install"].load().params for name in param.opts}
    systemctl = {"--now"}
    assert shown - known - install - systemctl == {"--quiet"}


def test_the_first_way_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Renew by hand, look at the status, and name the host of an older enrolment."""
    server = RenewalServer(FakeClock(datetime.now(UTC).replace(microsecond=0)))
    monkeypatch.setattr(agent, "_machine", server.machine)
    folder = server.enrolled(tmp_path / "sensor-7")
    (folder / "server").unlink()
    before = pair_of(folder)
    run = {line.replace("/etc/doorward/sensor-7", str(folder)).replace(":8443", "") for line in LINES[:3]}
    by_hand = sorted(run, key=lambda line: ("--server" not in line, "status" in line))
    for line in by_hand:
        done = CliRunner().invoke(main, shlex.split(line)[1:])
        assert done.exit_code == 0, (line, done.output)
    assert pair_of(folder) != before
    assert (folder / "server").read_text() == "https://enroll.corp.example\n"
