"""Making and replacing files as a whole: a reader finds the old or the new content, also after a crash.

The steps of a replacement:

    1. the content is written to a new file `.NAME.new` in the same folder; no link is followed
    2. the content is synced
    3. rename(2) gives the file its name; a link of that name is replaced, not followed
    4. the folder is synced, so that the name is durable too

If a file has several writers, they need a lock of their own: this module has none.
Standard: POSIX open(2), fsync(2), rename(2).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)  # Windows has no O_CLOEXEC
_AT_ONCE = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)


def replace_file(path: Path, data: bytes, *, mode: int = 0o600, durable: bool = True) -> None:
    """Replace or make a file.

    Args:
        path: in a folder that exists.
        data: the whole content.
        mode: the permissions, independent of the umask.
        durable: whether the file must survive a crash of the machine. A file for processes of this boot only need
            not, and saves two syncs.

    Raises:
        OSError: the file was not replaced; or it was, but not durably, if only the folder could not be synced.
    """
    with replacing(path, mode=mode, durable=durable) as file:
        file.write(data)


@contextmanager
def replacing(path: Path, *, mode: int = 0o600, durable: bool = True) -> Iterator[BinaryIO]:
    """Yield a file that gets the name `path` if the block ends without an exception; otherwise as `replace_file`."""
    aside = path.with_name(f".{path.name}.new")
    aside.unlink(missing_ok=True)  # left by a crash, perhaps with another mode
    descriptor = os.open(aside, _NEW, 0o600)
    try:
        with _filling(descriptor, mode, durable=durable) as file:
            yield file
        aside.replace(path)
    except BaseException:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def create_file(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Make a file durably; an existing file or link of that name is not touched.

    Args:
        path: in a folder that exists.
        data: the whole content.
        mode: the permissions, independent of the umask.

    Raises:
        FileExistsError: the name is in use.
        OSError: the file cannot be written; no file of that name is left.
    """
    descriptor = os.open(path, _NEW, 0o600)
    try:
        with _filling(descriptor, mode, durable=True) as file:
            file.write(data)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, if the operating system and the file system support it."""
    if not hasattr(os, "O_DIRECTORY"):  # Windows opens no folder
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # the file system cannot sync folders; PostgreSQL ignores this too
            raise
    finally:
        os.close(descriptor)


def read_limited(path: Path, limit: int, *, allow_pipes: bool = False) -> bytes:
    """Return the content of a regular file of at most `limit` bytes.

    A pipe or a device in the place of the file does not block the reader: it is refused.

    Args:
        path: the file; a link is followed.
        limit: of bytes.
        allow_pipes: whether a pipe is read too, until its end: for a file that a person names on the command line.

    Raises:
        ValueError: it is larger.
        OSError: it cannot be read.
    """
    with os.fdopen(os.open(path, _READ if allow_pipes else _READ | _AT_ONCE), "rb") as file:
        kind = os.fstat(file.fileno()).st_mode
        if stat.S_ISDIR(kind):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not (stat.S_ISREG(kind) or allow_pipes):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        data = file.read(limit + 1)
    if len(data) > limit:
        raise ValueError(f"{path} has more than {limit} bytes")
    return data


@contextmanager
def _filling(descriptor: int, mode: int, *, durable: bool) -> Iterator[BinaryIO]:
    with os.fdopen(descriptor, "wb") as file:
        yield file
        file.flush()
        if hasattr(os, "fchmod"):  # not on Windows before Python 3.13
            os.fchmod(descriptor, mode)
        if durable:
            os.fsync(descriptor)
