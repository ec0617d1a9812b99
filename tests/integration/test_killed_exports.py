"""An export of static tiles that is killed is continued by the next one."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import closing
from pathlib import Path

from doorward.audit.log import sequence, sign_checkpoint
from doorward.storage.event_store import SqlEventLog
from tests.contract.event_store import ORIGIN, SIGNER, VERIFIER
from tests.support.events import sealed_block
from tests.support.ports import NOON
from tests.support.sql_store import child, sqlite_database
from tests.support.static_reader import StaticReader

TILES = 40
EXPORT = """
from doorward.runtime.tile_export import export_tiles
from doorward.storage.event_store import SqlEventLog
def show(done, total):
    print(done, flush=True)
    if sys.argv[3] == "stop":
        time.sleep(600)
export_tiles(SqlEventLog(database), sys.argv[1], Path(sys.argv[2]), progress=show)
"""


def _export(place: Path, folder: Path, *, stop: bool = False) -> subprocess.Popen[str]:
    return child(place, EXPORT, VERIFIER, str(folder), "stop" if stop else "go")


def _count(folder: Path) -> int:
    return sum(path.is_file() for path in folder.rglob("*")) if folder.exists() else 0


def _grow(log: SqlEventLog, first: int, end: int) -> None:
    with log.change() as store:
        for start in range(first, end, 1024):
            store.record_block(sealed_block(*range(start, min(start + 1024, end))))
        while sequence(store, 10_000):
            pass
        sign_checkpoint(store, SIGNER, ORIGIN, NOON)


def _kill_at(place: Path, folder: Path, count: int) -> None:
    """Kill an export when the folder has so many files, or at its end if it was faster."""
    process = _export(place, folder)
    while process.poll() is None and _count(folder) < count:
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()


def _complete(place: Path, folder: Path) -> None:
    process = _export(place, folder)
    process.communicate()
    assert process.returncode == 0


def test_a_killed_export_is_continued(tmp_path: Path) -> None:
    """Killed at several moments, an export leaves no checkpoint or a good one; the next export completes the folder."""
    folder = tmp_path / "tiles"
    with closing(sqlite_database(tmp_path)) as database:
        log = SqlEventLog(database)
        _grow(log, 0, 256 * TILES + 77)
        process = _export(tmp_path, folder, stop=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "4096\n"
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        assert not (folder / "checkpoint").exists()
        assert (folder / "tile/0/015").exists()
        first = (folder / "tile/0/000").stat().st_ino
        for count in (34, 41, 52, 67):
            _kill_at(tmp_path, folder, count)
        _complete(tmp_path, folder)
        StaticReader(folder, VERIFIER).check()
        assert (folder / "tile/0/000").stat().st_ino == first
        _grow(log, 256 * TILES + 77, 256 * TILES * 2)
        for count in (84, 88, 95, 120):
            _kill_at(tmp_path, folder, count)
            StaticReader(folder, VERIFIER).check()
        _complete(tmp_path, folder)
        reader = StaticReader(folder, VERIFIER)
        reader.check()
        assert reader.size == 256 * TILES * 2
        names = [path.name for path in folder.rglob("*")]
        assert [name for name in names if name.startswith(".")] == [".doorward-log"]
