"""Files of the gateway that are replaced as a whole: whoever reads one sees the old or the new.

Not here: what is in them, and the same for database and keys (`storage.files`): rooms of one floor do
not import each other, and the floors below do no I/O.
Standard: POSIX rename(2), fsync(2).
"""

from __future__ import annotations

import errno
import os
import threading
from contextlib import suppress
from pathlib import Path

BALLAST_BYTES = 4 * 1024 * 1024
"""What a policy of a hundred applications takes twenty times."""


class Ballast:
    """Room for the gateway's files on a full disk: a file that is deleted if one of them does not fit.

    Otherwise a policy that takes a right away would be stored, and never enforced for want of a few
    kilobytes (docs/design/0045). Safe between threads.
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


def replace_file(path: Path, content: bytes, *, durable: bool) -> None:
    """Replace a file by temporary file and rename, mode 0600; on a full disk the ballast makes room.

    Args:
        path: where, in a folder that exists.
        content: what.
        durable: whether file and name must survive a crash of the machine. What is only for processes
            that end with the machine, such as Envoy, need not: a disk is waited for twice each time.

    Raises:
        OSError: nothing has the name `path` that did not have it before.
    """
    try:
        _replace(path, content, durable=durable)
    except OSError as error:
        if error.errno != errno.ENOSPC or not BALLAST.drop():
            raise
        _replace(path, content, durable=durable)


def _replace(path: Path, content: bytes, *, durable: bool) -> None:
    temporary = path.with_name(f".{path.name}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    with os.fdopen(os.open(temporary, flags, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        if durable:
            os.fsync(file.fileno())
    temporary.rename(path)
    if durable:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
