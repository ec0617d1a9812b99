"""The clock of the PostgreSQL server is what all machines are compared with: a part on a machine that is off does not start."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from doorward.runtime.compose import Installation
from tests.support.commands import SOURCE, run_program
from tests.support.doorway import founded
from tests.support.postgresql import Server
from tests.support.sql_store import one_shot_postgresql, postgresql_database
from tests.support.stepped_clock import SteppedClock


def test_the_server_tells_its_time(postgresql: Server) -> None:
    """Aware, in UTC, and the time of now, not of the beginning of a transaction; also for a single command."""
    for kind in (postgresql_database, one_shot_postgresql):
        with closing(kind(postgresql.cleared())) as database:
            first, second = database.server_clock(), database.server_clock()
            assert first.utcoffset() == timedelta(0)
            assert first < second
            assert abs(datetime.now(UTC) - second) < timedelta(minutes=1)


@pytest.mark.needs("gcc")
@pytest.mark.parametrize("role", ["gateway", "serve"])
def test_a_part_with_a_wrong_clock_does_not_start(postgresql: Server, tmp_path: Path, role: str) -> None:
    """Six seconds ahead: the process ends with the difference, before it registers or listens."""
    clock = SteppedClock(tmp_path)
    clock.step(seconds=6)
    with founded(database=postgresql.empty()) as installation:
        done = doorward(installation, clock, role)
        assert done.returncode != 0
        assert "clock-differs" in done.stderr
        assert "seconds ahead of the clock" in done.stderr
        with installation.services.work.read() as stores:
            assert stores.gateways.list() == []


@pytest.mark.needs("gcc")
def test_status_tells_of_a_wrong_clock(postgresql: Server, tmp_path: Path) -> None:
    """A clock that was stepped later ends no part, and `status` has the difference."""
    clock = SteppedClock(tmp_path)
    with founded(database=postgresql.empty()) as installation:
        for seconds, told in ((0, False), (-60, True)):
            clock.step(seconds=seconds)
            done = doorward(installation, clock, "status")
            assert ("behind the clock of the database's server" in done.stdout) is told, (
                done.stdout + done.stderr
            )


def doorward(
    installation: Installation, clock: SteppedClock, command: str
) -> subprocess.CompletedProcess[str]:
    """Run a command on an installation by this clock."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DOORWARD_")}
    return run_program(
        [sys.executable, "-m", "doorward.cli", command, "--data", str(installation.layout.data)],
        env={**kept, "PYTHONPATH": SOURCE, **clock.environment},
    )
