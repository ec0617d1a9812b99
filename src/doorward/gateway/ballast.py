"""A ballast file: disk space held for the gateway's own files, and freed if one of them does not fit on a full disk.

Not here: replacing a file (`doorward.files`), and the ballast file of the database (`storage.sqlite.reserve`).
"""

from __future__ import annotations

import errno
import os
import threading
from contextlib import suppress
from pathlib import Path

from doorward.files import replace_file

BALLAST_BYTES = 4 * 1024 * 1024
"""Room for the bootstrap, and for the server certificates and keys of some hundred applications."""


class Ballast:
    """The ballast file of one process; safe between threads.

    Without it, a policy that withdraws a right could be stored in the database and never be enforced, because the
    gateway lacks a few kilobytes for its files (docs/design/0045).
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._path: Path | None = None

    def create(self, folder: Path) -> None:
        """Create the file if it is missing and sixteen times its size is free on the disk."""
        with self._lock, suppress(OSError):  # the next heartbeat tries again
            self._path = folder / "ballast"
            space = os.statvfs(folder)
            if self._path.exists() or space.f_bavail * space.f_frsize < 16 * BALLAST_BYTES:
                return
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            descriptor = os.open(self._path, flags, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, BALLAST_BYTES)
            finally:
                os.close(descriptor)

    def replace_file(self, path: Path, data: bytes, *, durable: bool) -> None:
        """Replace a file of the gateway, mode 0600; if the disk is full, delete the ballast and try again.

        Raises:
            OSError: as `files.replace_file`.
        """
        try:
            replace_file(path, data, durable=durable)
        except OSError as error:
            if error.errno != errno.ENOSPC or not self.delete():
                raise
            replace_file(path, data, durable=durable)

    def delete(self) -> bool:
        """Delete the file; return whether that freed space."""
        with self._lock:
            try:
                if self._path is not None:
                    self._path.unlink()
                    return True
            except OSError:
                pass
            return False


BALLAST = Ballast()
"""The ballast of this process; all files of the gateway are written through it."""
