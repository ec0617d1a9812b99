"""Files that must be whole or absent: written aside, synced, then given their name, which is synced too.

For this room and for `runtime`. Not here: what is in the files (`keystore`, `runtime.compose`), and the
same for the gateway (`gateway.files`) and for the user's machine (`agent.store`): rooms of one floor
do not import each other, and the floors below do no I/O.
Standard: POSIX rename(2), fsync(2).
"""

from __future__ import annotations

import os
from pathlib import Path


def write_durably(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Write a file so that a crash, of the machine as well, leaves the old one or the new one.

    Args:
        path: in a directory that exists; the caller holds whatever lock its writers share.
        data: the whole content.
        mode: who may read it, whatever the umask says.

    Raises:
        OSError: nothing has the name `path` that did not have it before.
    """
    aside = path.with_name(f".{path.name}.new")
    aside.unlink(missing_ok=True)  # left by a crash
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        aside.replace(path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_limited(path: Path, limit: int) -> bytes:
    """Return the content of a file of at most `limit` bytes.

    Raises:
        ValueError: it is longer.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise ValueError(f"longer than {limit} bytes")
    return data
