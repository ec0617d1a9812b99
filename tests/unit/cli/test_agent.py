"""What `doorward agent` says; its work is tested in tests/unit/agent."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from doorward.cli.__main__ import main
from doorward.cli.commands import agent
from tests.support.ports import FakeClock
from tests.support.renewal_server import RenewalServer, pair_of, problem


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> RenewalServer:
    """A host at the present time, in the place of the real machine's network."""
    host = RenewalServer(FakeClock(datetime.now(UTC).replace(microsecond=0)))
    monkeypatch.setattr(agent, "_machine", host.machine)
    return host


def run(*words: str) -> Result:
    """Run a command."""
    return CliRunner().invoke(main, ["agent", *words])


def test_renew_says_what_it_did(server: RenewalServer, tmp_path: Path) -> None:
    """For people a line, for scripts a document; the removed .p12 file is named."""
    folder = server.enrolled(tmp_path / "id")
    result = run("renew", "--dir", str(folder))
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("✓ renewed alice in ")
    assert "alice.p12 was removed" in result.stderr
    (one,) = json.loads(run("renew", "--dir", str(folder), "--json").stdout)["renewed"]
    assert one["deployed"]
    assert one["serial"] == f"{pair_of(folder)[1]:x}"


def test_a_failed_hook_is_no_success(server: RenewalServer, tmp_path: Path) -> None:
    """Exit code 3, the certificate is renewed all the same, and status exits with 1 until the hook works."""
    folder = server.enrolled(tmp_path / "id")
    before = pair_of(folder)
    server.failing = {"publish": 1}
    result = run("renew", "--dir", str(folder), "--exec", "publish 'two words'")
    assert result.exit_code == 3
    assert "renewed, but not deployed to publish two words" in result.stderr
    assert result.stderr.count("not deployed to") == 1
    assert server.commands == [("publish", "two words")]
    assert pair_of(folder) != before
    shown = run("status", "--dir", str(folder), "--json")
    assert shown.exit_code == 1
    assert json.loads(shown.stdout)[0]["condition"] == "not deployed"


def test_status_is_quiet_if_all_is_well(server: RenewalServer, tmp_path: Path) -> None:
    """A table with the dates, exit code 0."""
    folder = server.enrolled(tmp_path / "id")
    result = run("status", "--dir", str(folder))
    assert result.exit_code == 0
    assert "good" in result.stdout
    assert result.stderr == ""


def test_status_says_what_is_wrong(server: RenewalServer, tmp_path: Path) -> None:
    """A folder without an identity needs attention."""
    (tmp_path / "id").mkdir()
    result = run("status", "--dir", str(tmp_path / "id"))
    assert result.exit_code == 1
    assert "doorward enroll LINK" in result.stderr


def test_of_two_identities_the_second_is_renewed_though_the_first_fails(
    server: RenewalServer, tmp_path: Path
) -> None:
    """The error is that of the first, and a note names what was renewed."""
    folder = server.enrolled(tmp_path / "id")
    before = pair_of(folder)
    (tmp_path / "empty").mkdir()
    result = run("renew", "--dir", str(tmp_path / "empty"), "--dir", str(folder))
    assert result.exit_code == 1
    assert f"renewed {folder}" in result.stderr
    assert pair_of(folder) != before


def test_a_refusal_is_told_in_the_servers_words(server: RenewalServer, tmp_path: Path) -> None:
    """Code, sentence, what to do."""
    folder = server.enrolled(tmp_path / "id")
    server.refusal = problem(403, "certificate-not-renewable")
    result = run("renew", "--dir", str(folder))
    assert result.exit_code == 1
    assert "(certificate-not-renewable)" in result.stderr


def test_a_file_replaces_the_options(server: RenewalServer, tmp_path: Path) -> None:
    """--config has every identity; beside it no other option is taken."""
    folder = server.enrolled(tmp_path / "id")
    config = tmp_path / "agent.toml"
    config.write_text(f'[[identity]]\ndir = "{folder}"\nexec = [["publish"]]\nreload = ["nginx.service"]\n')
    assert run("renew", "--config", str(config)).exit_code == 0
    assert server.commands == [("publish",), ("systemctl", "reload", "nginx.service")]
    assert run("renew", "--config", str(config), "--dir", str(folder)).exit_code == 2


def test_install_prints_or_writes(
    server: RenewalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Printed by default; --write puts it into its place, and replaces another content only with --force."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    words = ["install", "--kind", "launchd", "--dir", str(tmp_path / "id"), "--exec", "a 'b c'"]
    printed = run(*words)
    assert printed.exit_code == 0
    assert "<string>a 'b c'</string>" in printed.stdout
    assert "nothing was written" in printed.stderr
    assert "launchctl" not in printed.output
    place = tmp_path / "Library/LaunchAgents/doorward-agent.plist"
    assert not place.exists()
    written = run(*words, "--write")
    assert written.exit_code == 0
    assert written.stdout.index("written: ") < written.stdout.index("next: launchctl bootstrap")
    place.write_text("mine")
    assert run(*words, "--write").exit_code == 1
    assert run(*words, "--write", "--force").exit_code == 0
    assert place.read_text() == printed.stdout.rstrip("\n") + "\n"
    windows = json.loads(run("install", "--kind", "windows", "--json").stdout)
    assert windows["path"].endswith("doorward-agent.xml")
    assert "doorward-certificate" in windows["text"]


def test_run_says_that_it_runs(
    server: RenewalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When it owns the folders, one document; the loop itself is tested in tests/unit/agent."""
    folder = server.enrolled(tmp_path / "id")

    def once(keepers: list[object], clock: object, stop: object, *, started: Callable[[], None]) -> None:
        assert len(keepers) == 1
        started()

    monkeypatch.setattr("doorward.agent.loop.run", once)
    assert set(json.loads(run("run", "--dir", str(folder), "--json").stdout)) == {"identities", "pid"}
