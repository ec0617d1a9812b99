"""Files that a command writes where its caller says: readable by their owner only, whole or not there.

What is exported may be a key, or names and addresses of people; what the umask happens to be decides
nothing about it. Not here: the files of an installation (storage), and what is in any of them.
Standard: POSIX open(2) with O_EXCL, rename(2).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from doorward.core.errors import RequestRefused

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


def create_private(path: Path, data: bytes, *, option: str = "--out") -> None:
    """Write a new file, mode 0600, durably; one that exists is not touched.

    Args:
        path: in a directory that exists.
        data: the whole content.
        option: with which the caller named the file, for the hint.

    Raises:
        RequestRefused: `file-exists`.
        OSError: it cannot be written; nothing of the name is left.
    """
    try:
        descriptor = os.open(path, _NEW, 0o600)
    except FileExistsError:
        raise _exists(path, option) from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        path.unlink(missing_ok=True)
        raise


def refuse_existing(path: Path, *, option: str) -> None:
    """Refuse a file that exists before long work is begun; `create_private` decides in the end.

    Raises:
        RequestRefused: `file-exists`.
    """
    if os.path.lexists(path):
        raise _exists(path, option)


@contextmanager
def replace_private(path: Path) -> Iterator[BinaryIO]:
    """Yield a file, mode 0600, that takes the name `path` where the block comes to its end.

    Raises:
        OSError: it cannot be written; what has the name stays.
    """
    draft = path.with_name(path.name + ".part")
    draft.unlink(missing_ok=True)  # left by a crash, perhaps with another mode
    descriptor = os.open(draft, _NEW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _exists(path: Path, option: str) -> RequestRefused:
    return RequestRefused(
        "file-exists", f"{path} exists, and is not overwritten", hint=f"name a new file with {option}"
    )
