"""The runs of Envoy on disk: their numbers, their folders, and until when a replaced Envoy may drain.

Not here: the processes (supervisor).

    FOLDER/epoch              the last number that was used
    FOLDER/000007/admin.sock  the admin interface of that run
    FOLDER/000007/envoy.log   its log; stderr.log is its other output
    FOLDER/000007/run.json    while it runs: process, epoch, and the end of its drain, if it drains
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from doorward.gateway.ballast import BALLAST

KEPT = 8
"""Folders of ended runs that are kept, so that a person can look for a cause."""

_NOTE = "run.json"


def new_epoch(folder: Path) -> tuple[int, Path]:
    """Make the folder of the next run, mode 0700, and remove folders of old runs.

    A number is never used twice, even if folders were removed by hand: the registry of live
    connections names runs by their numbers.

    Raises:
        OSError: the folder cannot be written.
    """
    counter = folder / "epoch"
    last = _read_number(counter)
    runs = sorted(one for one in folder.iterdir() if epoch_of(one) is not None)
    epoch = max([last, *(epoch_of(one) or 0 for one in runs)]) + 1
    _write(counter, f"{epoch}\n")
    for old in runs[:-KEPT]:
        if not (old / _NOTE).exists():
            shutil.rmtree(old, ignore_errors=True)
    path = folder / f"{epoch:06}"
    path.mkdir(mode=0o700)
    return epoch, path


def epoch_of(folder: Path) -> int | None:
    """Return the number of a run's folder, None for any other path."""
    name = folder.name
    return int(name) if name.isascii() and name.isdigit() and len(name) <= 18 else None  # noqa: PLR2004


def note_run(folder: Path, pid: int, ends_at: datetime | None) -> None:
    """Note on disk that a run goes on, and when its drain ends: a restart of the gateway does not lengthen the drain.

    Raises:
        OSError: the folder cannot be written.
    """
    until = ends_at.timestamp() if ends_at else None
    _write(folder / _NOTE, json.dumps({"pid": pid, "epoch": epoch_of(folder), "ends_at": until}) + "\n")


def noted_end(folder: Path) -> datetime | None:
    """Return when the drain of this run must end; None if no time is noted or the note is unreadable."""
    try:
        noted = json.loads((folder / _NOTE).read_text(encoding="ascii"))["ends_at"]
        return None if noted is None else datetime.fromtimestamp(float(noted), UTC)
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return None


def noted_running(folder: Path, pid: int) -> bool:
    """Return whether this process is noted as the run of this folder, and not as one that drains."""
    try:
        noted = json.loads((folder / _NOTE).read_text(encoding="ascii"))
        return bool(noted == {"pid": pid, "epoch": epoch_of(folder), "ends_at": None})
    except (OSError, ValueError):
        return False


def noted_runs(folder: Path) -> Iterator[tuple[Path, int]]:
    """Yield folder and process id of each run that was not noted as ended; the id is 0 if the note is unreadable."""
    for one in sorted(folder.iterdir()):
        if epoch_of(one) is None or not (one / _NOTE).exists():
            continue
        try:
            pid = int(json.loads((one / _NOTE).read_text(encoding="ascii"))["pid"])
        except (OSError, ValueError, KeyError, TypeError, OverflowError):
            pid = 0
        yield one, pid


def forget_run(folder: Path) -> None:
    """Note that a run has ended; its folder is kept for a while."""
    (folder / _NOTE).unlink(missing_ok=True)


def _read_number(file: Path) -> int:
    try:
        return max(0, int(file.read_text(encoding="ascii")))
    except (FileNotFoundError, ValueError):
        return 0


def _write(file: Path, text: str) -> None:
    # Without fsync: no run survives a crash of the machine, and the journal of live connections has the boot id.
    BALLAST.replace_file(file, text.encode("ascii"), durable=False)
