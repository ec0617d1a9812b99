"""Disk space that is reserved for withdrawals of access, for the time when the disk is full.

Not here: transactions (`database`). `suspend`, `revoke`, a hold, and a change of a group or of the policy must
succeed when nothing else can be written. Otherwise access could not be withdrawn on a full disk. Five measures:

    1. traffic stops early: writes that connections and requests cause are refused while less than `LOW_BYTES` is free
    2. blocks of the write-ahead log are preallocated, so that a commit needs no new ones: after each checkpoint SQLite
       writes the log from its beginning, into the same blocks
    3. blocks behind the end of the database file are preallocated for the next checkpoint
    4. filler rows occupy pages inside the file; a withdrawal on a full disk deletes one row
    5. a ballast file is deleted if a process opens the database on a full disk, because SQLite must make its log
       if no other process has the database open
If a file system cannot preallocate blocks (fallocate), 1, 4 and 5 remain.

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
"""If less is free, traffic is refused; on a small disk the limit is an eighth of the disk."""
PREALLOCATED_BYTES = 8 * 1024 * 1024
"""Preallocated blocks of the write-ahead log: twice the size at which SQLite makes a checkpoint."""
FILLER_ROWS, FILLER_BYTES = 8, 512 * 1024
"""Reserved pages inside the file: some hundred withdrawals, of two or three new pages each."""
BALLAST_BYTES = 2 * 1024 * 1024
"""Enough for SQLite's shared memory, its log with the pages of one change, and the CRLs."""
NOTHING_FREE_BYTES = 2 * 1024 * 1024
"""If less is free, the file may be unable to grow, and pages come from the filler rows."""
LEAST_PAGES = 64
"""Free pages inside the file that one withdrawal may need."""

_KEEP_SIZE = 1  # FALLOC_FL_KEEP_SIZE
_PREALLOCATE_SECONDS = 1.0
_libc = ctypes.CDLL(None, use_errno=True)


class DiskReserve:
    """The reserve beside and inside one database file. Safe to share between threads.

    Args:
        database: the SQLite file.
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        self._ballast = database.with_name(f"{database.name}-ballast")
        self._log = database.with_name(f"{database.name}-wal")
        self._lock = threading.Lock()
        self._preallocated_at = -_PREALLOCATE_SECONDS

    def is_low(self) -> bool:
        """Return whether so little disk space is free that traffic is refused; False if that is unknown."""
        free, total = _space(self._database.parent)
        return free < _low(total)

    def check_traffic(self) -> None:
        """Refuse a write of traffic if the remaining space is reserved for withdrawals.

        Raises:
            Unavailable: `store-full`.
        """
        if self.is_low():
            raise Unavailable(
                "store-full",
                "the disk of the database is full, except for the space that is reserved for withdrawals",
                hint="free space on the file system of the data directory; nothing of the change was stored",
            )

    def preallocate(self) -> None:
        """Preallocate blocks of both files, at most once a second; an error here does not fail the change."""
        with self._lock:
            if time.monotonic() - self._preallocated_at < _PREALLOCATE_SECONDS:
                return
            self._preallocated_at = time.monotonic()
        free, total = _space(self._database.parent)
        wanted = min(PREALLOCATED_BYTES, total // 16)
        if free < _low(total) + wanted:
            return  # blocks that were preallocated before stay so
        files = {str(self._database): wanted // 2, str(self._log): wanted}
        with suppress(OSError):
            for one in Path("/proc/self/fd").iterdir():
                # Use SQLite's own descriptors: closing another one would release SQLite's locks.
                with suppress(OSError):
                    _preallocate(one, files)
                if not files:
                    break

    def drop_ballast(self) -> None:
        """Before the database is opened: delete the ballast if SQLite has no space for its own files.

        If the log exists, another connection has made these files already.
        """
        if self._log.exists():
            return
        if _space(self._database.parent)[0] < BALLAST_BYTES // 2:
            with suppress(OSError):
                self._ballast.unlink()

    def free_pages(self, driver: Any) -> None:
        """Within the transaction of a withdrawal: free pages of the filler if the file cannot grow."""
        if _space(self._database.parent)[0] >= NOTHING_FREE_BYTES:
            return
        if int(driver.execute("PRAGMA freelist_count").fetchone()[0]) < LEAST_PAGES and _has_filler(driver):
            driver.execute("DELETE FROM reserve WHERE id = (SELECT max(id) FROM reserve)")

    def refill(self, driver: Any) -> bool:
        """Within a transaction: add one filler row if one is missing and there is space.

        Returns:
            Whether more rows are missing.
        """
        free, total = _space(self._database.parent)
        missing = FILLER_ROWS - int(driver.execute("SELECT count(*) FROM reserve").fetchone()[0])
        if free >= _low(total) + BALLAST_BYTES:
            self._make_ballast(min(BALLAST_BYTES, total // 32))
        if missing <= 0 or free < _low(total) + 4 * FILLER_BYTES:
            return False
        driver.execute("INSERT INTO reserve (filler) VALUES (zeroblob(?))", (FILLER_BYTES,))
        return missing > 1

    def _make_ballast(self, length: int) -> None:
        if self._ballast.exists():
            return
        with suppress(OSError):  # the next call tries again
            descriptor = os.open(self._ballast, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, length)
            finally:
                os.close(descriptor)


def _low(total: int) -> int:
    return min(LOW_BYTES, total // 8)


def _space(folder: Path) -> tuple[int, int]:
    """Return the free bytes and the size of the file system."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return 1 << 62, 1 << 62
    return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize


def _preallocate(link: Path, files: dict[str, int]) -> None:
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
    return found.fetchone() is not None  # the table is missing before the migration
