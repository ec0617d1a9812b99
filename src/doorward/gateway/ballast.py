"""InotifyUsage for the gateway's files on a full disk: a file that is deleted if one of them does not fit.

Not here: replacing a file (`doorward.files`), and the same for the database (`storage.sqlite.reserve`).
"""

from __future__ import annotations

import errno
import os
import threading
from contextlib import suppress
from pathlib import Path

from doorward.files import replace_file

BALLAST_BYTES = 4 * 1024 * 1024
"""What a policy of a hundred applications takes twenty times."""


class Ballast:
    """The file and the room that it keeps; safe between threads.

    Otherwise a policy that takes a right away would be stored, and never enforced for want of a few
    kilobytes (docs/design/0045).
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._path: Path | None = None

    def lay(self, folder: Path) -> None:
        """Make it if it is missing and the disk has room for sixteen of it."""
        with self._lock, suppress(OSError):  # the next time
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
        """Replace a file of the gateway, mode 0600; if the disk is full, give this room away and try again.

        Raises:
            OSError: as `files.replace_file`.
        """
        try:
            replace_file(path, data, durable=durable)
        except OSError as error:
            if error.errno != errno.ENOSPC or not self.drop():
                raise
            replace_file(path, data, durable=durable)

    def drop(self) -> bool:
        """Give its room away; return whether there was any."""
        with self._lock:
            try:
                if self._path is not None:
                    self._path.unlink()
                    return True
            except OSError:
                pass
            return False


BALLAST = Ballast()
"""The one of this process: every file of the gateway may need it."""
