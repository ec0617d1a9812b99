"""Files of the gateway that are replaced as a whole: whoever reads one sees the old or the new.

Not here: what is in them, and the same for database and keys (`storage.files`): rooms of one floor do
not import each other, and the floors below do no I/O.
Standard: POSIX rename(2), fsync(2).
"""

from __future__ import annotations

import os
from pathlib import Path


def replace_file(path: Path, content: bytes, *, durable: bool) -> None:
    """Replace a file by temporary file and rename, mode 0600.

    Args:
        path: where, in a folder that exists.
        content: what.
        durable: whether file and name must survive a crash of the machine. What is only for processes
            that end with the machine, such as Envoy, need not: a disk is waited for twice each time.

    Raises:
        OSError: nothing has the name `path` that did not have it before.
    """
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
