"""The demo plays its story on real processes, and says so when a result is not as expected."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

from doorward.cli.__main__ import main
from doorward.core.errors import NotFound
from doorward.demo import story
from doorward.demo.ports import free_port
from doorward.demo.tampering import alter_file
from tests.support.doorway import eventually, short_folder
from tests.support.house import command_lines
from tests.support.postgresql import Server

pytestmark = pytest.mark.xdist_group("demo")


def test_the_story_comes_out_as_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every scene is as expected; the kept data are said to hold the altered record, and are not played on again.

    With only our own programs and the shell's in PATH: the story needs neither openssl nor curl. Its minute is tests/prove/test_demo.py.
    """
    for name in ("sh", "env", "uname"):
        (tmp_path / name).symlink_to(shutil.which(name) or name)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{tmp_path}")
    assert (shutil.which("openssl"), shutil.which("curl")) == (None, None)
    with short_folder() as folder:
        kept = folder / "kept"
        words = ["demo", "--once", "--keep", str(kept), "--json"]
        result = CliRunner().invoke(main, words)
        told = json.loads(result.stdout)
        assert [one for one in told["findings"] if not one["good"]] == []
        assert result.exit_code == 0
        assert len({one["scene"] for one in told["findings"]}) == len(story.SCENES)
        assert (told["kept"], told["record_altered"]) == (str(kept), True)
        verified = CliRunner().invoke(main, ["audit", "verify", "--data", str(kept / "data"), "--json"])
        assert verified.exit_code == 4
        before = {path: path.stat().st_mtime_ns for path in kept.rglob("*")}
        again = CliRunner().invoke(main, words)
        assert again.exit_code == 1
        assert json.loads(again.stdout)["error"]["code"] == "folder-not-empty"
        assert {path: path.stat().st_mtime_ns for path in kept.rglob("*")} == before


def test_the_story_comes_out_as_told_on_postgresql(postgresql: Server) -> None:
    """The same on an empty PostgreSQL database, which is empty again afterwards."""
    address = postgresql.empty()
    result = CliRunner().invoke(main, ["demo", "--once", "--database", address, "--json"])
    told = json.loads(result.stdout)
    assert [one for one in told["findings"] if not one["good"]] == []
    assert result.exit_code == 0
    assert len({one["scene"] for one in told["findings"]}) == len(story.SCENES)
    with closing(psycopg.connect(address)) as connection:
        tables = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
    assert tables == (0,)


def test_a_scenery_that_falls_over_leaves_no_spinner(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error comes after the spinner has stopped: no thread goes on painting over it."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    with short_folder() as folder:
        too_long = folder / ("x" * 200)
        result = CliRunner().invoke(main, ["demo", "--keep", str(too_long)])
        assert result.exit_code == 2
        assert "sockets" in result.output
    # A stopped spinner's thread ends by itself, a moment later.
    assert eventually(
        lambda: not any(type(one).__module__.startswith("rich") for one in threading.enumerate())
    )


def test_a_story_that_comes_out_otherwise_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scene that differs, and one that breaks, are told as such, and the exit code is 1."""

    def differs(_scene: Any, tell: Any) -> None:
        tell.compare("the bank's door", "closed", "open")

    def breaks(_scene: Any, _tell: Any) -> None:
        raise RuntimeError("the scenery fell over")

    monkeypatch.setattr(story, "SCENES", (("One", "because", differs), ("Two", "because", breaks)))
    result = CliRunner().invoke(main, ["demo", "--once"])
    assert result.exit_code == 1
    assert "had to be: closed" in result.stdout
    assert "the scenery fell over" in result.stdout


def test_without_once_it_stays_up_and_offers_commands() -> None:
    """The demo stays up until it is asked to stop, and leaves nothing running or lying about."""
    with short_folder() as folder:
        command = [
            sys.executable,
            "-m",
            "doorward.cli",
            "demo",
            "--keep",
            str(folder / "kept"),
            "--port",
            str(free_port()),
        ]
        environment = {**os.environ, "PYTHONPATH": "src"}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            lines = []
            limit = time.monotonic() + 60
            while time.monotonic() < limit and not any("Ctrl-C" in line for line in lines):
                lines.append(process.stdout.readline())  # type: ignore[union-attr]
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=30)
        text = "".join(lines)
        assert "curl -s --cacert" in text
        assert "doorward person suspend" in text
        left = [words for _, words in command_lines() if any(str(folder) in one for one in words)]
        assert left == []
        assert (folder / "kept" / "data" / "db" / "doorward.db").exists()


def test_an_event_that_is_not_stored_cannot_be_altered(tmp_path: Path) -> None:
    """The tampering names its failure instead of pretending."""
    file = tmp_path / "doorward.db"
    file.write_bytes(b"nothing of the kind")
    with pytest.raises(NotFound):
        alter_file(file, "evt_aaaaaaaaaaaaaaaaaaaa")
