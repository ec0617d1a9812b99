"""`agent.toml`: what it says, and every fault of it at once."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path

import pytest

from doorward.agent import log as agent_log
from doorward.agent.configuration import load_configuration, parse_configuration
from doorward.agent.link import Server
from doorward.agent.machine_facts import _system, collect_facts
from doorward.agent.options import IdentityOptions
from doorward.core.errors import ConfigurationError

WHOLE = """
[[identity]]
dir = "/etc/doorward/sensor-7"
server = "https://enroll.corp.example:8443"
try = "app.corp.example"
exec = [["/usr/local/bin/publish-key", "--quiet"], ["true"]]
reload = ["nginx.service"]
nss = ["~/.pki/nssdb"]
keychain = true
windows_store = false
p12_password_file = "/etc/doorward/p12-password"

[[identity]]
dir = "second"
"""


def faults_of(text: str) -> list[str]:
    """Return the messages of all faults."""
    with pytest.raises(ConfigurationError) as caught:
        parse_configuration(text, Path("agent.toml"))
    assert caught.value.code == "agent-config-invalid"
    return [f"{one.key}: {one.message}" for one in caught.value.faults]


def test_every_key_is_read() -> None:
    """Each key has its field; paths of a home are found."""
    first, second = parse_configuration(WHOLE, Path("agent.toml"))
    assert first == IdentityOptions(
        directory=Path("/etc/doorward/sensor-7"),
        server=Server(host="enroll.corp.example", port=8443),
        trial=Server(host="app.corp.example", port=443),
        commands=(("/usr/local/bin/publish-key", "--quiet"), ("true",)),
        units=("nginx.service",),
        nss=(Path.home() / ".pki/nssdb",),
        keychain=True,
        p12_password_file=Path("/etc/doorward/p12-password"),
    )
    assert second == IdentityOptions(directory=Path("second"))


def test_all_faults_are_told_at_once() -> None:
    """Wrong types, unknown keys, missing folders, the same folder twice, units that are options."""
    text = """
        other = 1
        [[identity]]
        dir = "a"
        exec = "rm -rf x"
        reload = ["--now"]
        keychain = "yes"
        colour = "red"
        [[identity]]
        server = "ftp://x"
        exec = [[]]
        nss = [7]
        [[identity]]
        dir = "a"
    """
    told = faults_of(text)
    for part in (
        "other: there is no such key",
        "exec: identity 1: it must be a list",
        "reload: identity 1: '--now' is not the name",
        "keychain: identity 1: it must be true or false",
        "colour: identity 1 has an unknown key",
        "dir: identity 2 has no folder",
        "dir: two identities have the folder a",
    ):
        assert any(one.startswith(part) for one in told), (part, told)
    in_table = faults_of(
        '[[identity]]\ndir = "a"\nserver = "ftp://x"\nexec = [[]]\nnss = [7]\np12_password_file = ""'
    )
    assert len(in_table) == 4


@pytest.mark.parametrize("text", ["", "identity = 3", "identity = []", "[[identity", "n = " + "9" * 5000])
def test_what_is_no_list_of_identities_is_refused(text: str) -> None:
    """One fault, and no exception of a library."""
    assert faults_of(text)


def test_a_file_that_cannot_be_read_is_a_fault(tmp_path: Path) -> None:
    """A missing file, a huge one, and one that is not UTF-8."""
    path = tmp_path / "agent.toml"
    for data in (None, b"#" * 300_000, b"\xff"):
        if data is not None:
            path.write_bytes(data)
        with pytest.raises(ConfigurationError, match="cannot be read"):
            load_configuration(path)
    path.write_text(WHOLE)
    assert len(load_configuration(path)) == 2


def test_a_home_that_is_not_known_is_a_fault() -> None:
    """`~stranger` is no path."""
    assert "home directory" in faults_of('[[identity]]\ndir = "~no-such-user-here/x"')[0]


def test_facts_are_those_of_the_machine(tmp_path: Path) -> None:
    """Host name, system and version; a system without os-release has its kernel's name."""
    facts = collect_facts()
    assert set(facts) == {"host_name", "system", "agent_version"}
    assert all(facts.values())
    (tmp_path / "os-release").write_text('NAME="x"\nPRETTY_NAME="Some Linux 12"\n')
    assert _system(tmp_path / "os-release") == "Some Linux 12"
    assert _system(tmp_path / "nothing")


def test_the_log_is_json_lines() -> None:
    """One line for each message, ASCII, with the time; a trace is inside of it."""
    stream = io.StringIO()
    agent_log.log_to_stderr(stream)
    log = logging.getLogger("doorward.agent")
    log.info("hello \x1b[2J %s", "ü")
    try:
        int("x")
    except ValueError:
        log.exception("failed")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert (first["event"], first["level"]) == ("hello \x1b[2J ü", "info")
    assert stream.getvalue().isascii()
    assert "ValueError" in second["exception"]
    log.handlers.clear()
    log.propagate = True
