"""A fair write lock between the processes that share one SQLite file.

Not here: threads of one process (they wait for its one write connection). This lock is for fairness only; SQLite's own
lock alone protects the file. SQLite polls its lock at intervals of up to 100 ms, so a process that writes without a
pause nearly always gets it again, and a revocation would wait while many decisions are recorded. So a writer first
takes two locks:

    1. `next`   one waiter holds it while it waits for `now`
    2. `now`    the writer holds it; a writer that comes back finds `next` held, and waits behind the waiter

Both are flock(2) on files beside the database, so the kernel releases them if a process is killed. Standard: flock(2).
"""

from __future__ import annotations

import fcntl
import os
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from doorward.core.errors import Unavailable

_PAUSE_SECONDS = 0.0005
"""Pause between two tries to take a lock: a waiter is at most this late, and uses 2 % of a core."""

LONGEST_OPENING_SECONDS, OPENING_PAUSE_SECONDS = 2.0, 0.005
"""How long, and how often, a file is tried that root's process has just made and not yet given to the owner of the database."""


class WriteLock:
    """The lock of one database in one process; one thread at a time uses it.

    Args:
        database: the SQLite file; the lock files lie beside it and belong to its owner.
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        self._files: tuple[int, int] | None = None
        self._guard = threading.Lock()
        self._is_held = self._is_closed = False

    @contextmanager
    def held(self, timeout: timedelta) -> Iterator[None]:
        """Hold the lock as long as the block runs.

        Raises:
            Unavailable: `store-busy` after the timeout; `store-missing`, `store-read-only`.
        """
        with self._guard:
            self._is_held, self._is_closed = True, False
        try:
            with self._locked(timeout):
                yield
        finally:
            with self._guard:
                self._is_held = False
                if self._is_closed:
                    self._close_files()

    def close(self) -> None:
        """Close the files, or, while a thread holds the lock, let it close them at its end; the next use opens them again."""
        with self._guard:
            self._is_closed = True
            if not self._is_held:
                self._close_files()

    @contextmanager
    def _locked(self, timeout: timedelta) -> Iterator[None]:
        deadline = time.monotonic() + timeout.total_seconds()
        next_lock, now_lock = self._opened(min(deadline, time.monotonic() + LONGEST_OPENING_SECONDS))
        _wait(next_lock, deadline)
        try:
            _wait(now_lock, deadline)
        finally:
            fcntl.flock(next_lock, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(now_lock, fcntl.LOCK_UN)

    def _close_files(self) -> None:
        if self._files is not None:
            for descriptor in self._files:
                os.close(descriptor)
            self._files = None

    def _opened(self, deadline: float) -> tuple[int, int]:
        if self._files is None:
            try:
                owner = self._database.stat()
            except OSError as error:
                raise Unavailable(
                    "store-missing",
                    f"the database file {self._database} is missing, or this user cannot open it",
                    hint="name the right directory with --data or DOORWARD_DATA; for a new installation run `doorward init`",
                ) from error
            next_lock = self._open("next", owner, deadline)
            try:
                self._files = (next_lock, self._open("now", owner, deadline))
            except Unavailable:
                os.close(next_lock)
                raise
        return self._files

    def _open(self, name: str, owner: os.stat_result, deadline: float) -> int:
        path = self._database.with_name(f"{self._database.name}-{name}")
        try:
            descriptor = _open_file(path, deadline)
            if (
                os.geteuid() == 0
            ):  # as SQLite does with its own files; otherwise the owner could not open them
                _give(descriptor, owner, path)
        except OSError as error:
            raise Unavailable(
                "store-read-only",
                f"the lock file {path} of the database cannot be opened: {error.strerror}",
                hint="check that the file system is not mounted read-only, and that the file belongs to this user",
            ) from error
        return descriptor


def _open_file(path: Path, deadline: float) -> int:
    """Open or make a file; until the deadline, wait for root's process that has made it and gives it to us next."""
    while True:
        try:
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except PermissionError:
            if time.monotonic() >= deadline:
                raise
        time.sleep(OPENING_PAUSE_SECONDS)


def _give(descriptor: int, owner: os.stat_result, path: Path) -> None:
    """Give a file that root has just made to the owner of the database; refuse to give away any other file.

    The owner of the folder may have made a hard link to one of root's files there.
    """
    found = os.fstat(descriptor)
    if found.st_uid == owner.st_uid:
        return
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1 or found.st_size:
        os.close(descriptor)
        raise Unavailable(
            "store-foreign",
            f"database lock file {path} belongs to another user",
            hint="find out which program made it, then remove it; Doorward makes a new one",
        )
    os.fchown(descriptor, owner.st_uid, owner.st_gid)


def _wait(descriptor: int, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise Unavailable(
                    "store-busy",
                    "another thread or process holds the write lock of the database",
                    hint="try again; if the error stays, look for a Doorward process that hangs",
                ) from None
            time.sleep(_PAUSE_SECONDS)
        else:
            return
