"""Files that a command writes at a path of its caller: readable by their owner only, and never over another file.

An export may be a key, or names and addresses of people, so the mode does not depend on the umask. Not here: how a file is made durably (`doorward.files`).
"""

from __future__ import annotations

import os
from pathlib import Path

from doorward.core.errors import RequestRefused
from doorward.files import create_file


def create_private(path: Path, data: bytes, *, option: str = "--out") -> None:
    """Write a new file, mode 0600, durably; one that exists is not touched.

    Args:
        path: in a folder that exists.
        data: the whole content.
        option: with which the caller named the file, for the hint.

    Raises:
        RequestRefused: `file-exists`.
        OSError: it cannot be written; no file of that name is left.
    """
    try:
        create_file(path, data)
    except FileExistsError:
        raise _exists(path, option) from None


def refuse_existing(path: Path, *, option: str) -> None:
    """Refuse a file that exists before long work is begun; `create_private` decides in the end.

    Raises:
        RequestRefused: `file-exists`.
    """
    if os.path.lexists(path):
        raise _exists(path, option)


def _exists(path: Path, option: str) -> RequestRefused:
    return RequestRefused(
        "file-exists", f"{path} exists, and is not overwritten", hint=f"name a new file with {option}"
    )
