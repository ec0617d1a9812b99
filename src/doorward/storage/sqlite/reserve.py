"""Room for withdrawals on a disk that is full: what is held while there is room, and who may use it.

Not here: transactions (`database`). `suspend`, `revoke`, a hold, a change of a group or of the policy must
succeed when nothing else can be written, otherwise a full disk would keep everyone in. Five things see to it:

    1. traffic stops early: what connections and requests cause is refused while less than `low` is free;
    2. blocks of the write-ahead log are held, so that a commit needs no new ones: SQLite begins the log
       again after each checkpoint and goes on in the same blocks;
    3. blocks behind the end of the database file are held for the checkpoint that is still to come;
    4. rows of filler hold pages inside the file: a withdrawal that finds the disk full deletes one;
    5. a file of ballast is deleted if a process opens the database on a full disk: with no other
       process running, SQLite has to make its log first.
If a file system cannot hold blocks (fallocate), 1, 4 and 5 remain.

Standard: fallocate(2); https://www.sqlite.org/walformat.html, section 2.3.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from doorward.core.errors import Unavailable

LOW_BYTES = 64 * 1024 * 1024
"""If less is free, traffic is refused; on a small disk, an eighth of it."""
HELD_BYTES = 8 * 1024 * 1024
"""Held blocks of the write-ahead log: twice what is written before SQLite's own checkpoint."""
FILLER_ROWS, FILLER_BYTES = 8, 512 * 1024
"""Pages inside the file: some hundred withdrawals, of two or three new pages each."""
BALLAST_BYTES = 2 * 1024 * 1024
"""SQLite's shared memory, its log with the pages of one change, and lists of revocation."""
NOTHING_FREE_BYTES = 2 * 1024 * 1024
"""If less is free the file may not be able to grow: pages come from the filler."""
LEAST_PAGES = 64
"""Free pages inside the file that one withdrawal must find."""

_KEEP_SIZE = 1  # FALLOC_FL_KEEP_SIZE
_HOLD_SECONDS = 1.0
_libc = ctypes.CDLL(None, use_errno=True)


class DiskReserve:
    """The room beside and inside one database file. Safe to share between threads.

    Args:
        database: the SQLite file.
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        self._ballast = database.with_name(f"{database.name}-ballast")
        self._log = database.with_name(f"{database.name}-wal")
        self._lock = threading.Lock()
        self._held_at = -_HOLD_SECONDS

    def is_low(self) -> bool:
        """Return whether so little is free that traffic is refused; False if that cannot be known."""
        free, total = _space(self._database.parent)
        return free < _low(total)

    def check_traffic(self) -> None:
        """Refuse what traffic causes while the room is needed for withdrawals.

        Raises:
            Unavailable: `store-full`.
        """
        if self.is_low():
            raise Unavailable(
                "store-full",
                "the database has no room left, apart from what is kept for withdrawals",
                hint="make room on the file system of the data directory; nothing was half-written",
            )

    def hold(self) -> None:
        """Hold blocks of both files, at most once a second; a failure here does not fail the change."""
        with self._lock:
            if time.monotonic() - self._held_at < _HOLD_SECONDS:
                return
            self._held_at = time.monotonic()
        free, total = _space(self._database.parent)
        held = min(HELD_BYTES, total // 16)
        if free < _low(total) + held:
            return  # what was held before stays held
        files = {str(self._database): held // 2, str(self._log): held}
        with suppress(OSError):
            for one in Path("/proc/self/fd").iterdir():
                # SQLite's own descriptors: closing another one would drop its locks.
                with suppress(OSError):
                    _hold(one, files)

    def drop_ballast(self) -> None:
        """Before the database is opened: make room for SQLite's own files if there is none.

        If the log is there already, another connection has made them.
        """
        if self._log.exists():
            return
        if _space(self._database.parent)[0] < BALLAST_BYTES // 2:
            with suppress(OSError):
                self._ballast.unlink()

    def make_room(self, driver: Any) -> None:
        """Inside a withdrawal's transaction: give pages of the filler to it if the file cannot grow."""
        if _space(self._database.parent)[0] >= NOTHING_FREE_BYTES:
            return
        if int(driver.execute("PRAGMA freelist_count").fetchone()[0]) < LEAST_PAGES and _has_filler(driver):
            driver.execute("DELETE FROM reserve WHERE id = (SELECT max(id) FROM reserve)")

    def refill(self, driver: Any) -> bool:
        """Inside a transaction: add one row of filler if one is missing and there is room.

        Returns:
            Whether more are missing.
        """
        free, total = _space(self._database.parent)
        missing = FILLER_ROWS - int(driver.execute("SELECT count(*) FROM reserve").fetchone()[0])
        if free >= _low(total) + BALLAST_BYTES:
            self._lay_ballast(min(BALLAST_BYTES, total // 32))
        if missing <= 0 or free < _low(total) + 4 * FILLER_BYTES:
            return False
        driver.execute("INSERT INTO reserve (filler) VALUES (zeroblob(?))", (FILLER_BYTES,))
        return missing > 1

    def _lay_ballast(self, length: int) -> None:
        if self._ballast.exists():
            return
        with suppress(OSError):  # the next time
            descriptor = os.open(self._ballast, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, length)
            finally:
                os.close(descriptor)


def _low(total: int) -> int:
    return min(LOW_BYTES, total // 8)


def _space(folder: Path) -> tuple[int, int]:
    """Return the free bytes and all bytes of the file system."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return 1 << 62, 1 << 62
    return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize


def _hold(link: Path, files: dict[str, int]) -> None:
    path, descriptor = str(link.readlink()), int(link.name)
    length = files.pop(path, 0)
    if length:
        start = 0 if path.endswith("-wal") else os.fstat(descriptor).st_size
        _libc.fallocate(
            ctypes.c_int(descriptor),
            ctypes.c_int(_KEEP_SIZE),
            ctypes.c_longlong(start),
            ctypes.c_longlong(length),
        )


def _has_filler(driver: Any) -> bool:
    found = driver.execute("SELECT 1 FROM sqlite_master WHERE name = 'reserve' AND type = 'table'")
    return found.fetchone() is not None  # not before the migration
