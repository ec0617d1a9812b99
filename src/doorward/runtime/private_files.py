"""Files that a command writes at a path of its caller: readable by their owner only, and not over another file.

An export may be a key, or names and addresses of people, so the mode does not depend on the umask. A file that exists is
replaced only if the caller said so (`--force`). Not here: how a file is made durably (`doorward.files`).
"""

from __future__ import annotations

import os
from pathlib import Path

from doorward.core.errors import RequestRefused
from doorward.files import create_file, replace_file


def create_private(path: Path, data: bytes, *, option: str = "--out", mode: int = 0o600) -> None:
    """Write a new file durably; one that exists is not touched.

    Args:
        path: in a folder that exists.
        data: the whole content.
        option: with which the caller named the file, for the hint.
        mode: the permissions; only a file of public data may have more than its owner's.

    Raises:
        RequestRefused: `file-exists`.
        OSError: it cannot be written; no file of that name is left.
    """
    try:
        create_file(path, data, mode=mode)
    except FileExistsError:
        raise _exists(path, option, may_force=False) from None


def refuse_existing(path: Path, *, option: str, force: bool | None = None) -> None:
    """Refuse a file that exists before long work is begun, or before something is issued that could then not be stored.

    Args:
        path: the file to write later, with `create_private` or, if it may be replaced, `replace_file`.
        option: with which the caller named the file, for the hint.
        force: whether the caller gave `--force`; None if the command has no such option.

    Raises:
        RequestRefused: `file-exists`.
    """
    if not force and os.path.lexists(path):
        raise _exists(path, option, may_force=force is not None)


def write_output(path: Path, data: bytes, *, force: bool, option: str = "--out", mode: int = 0o600) -> None:
    """Write a file that an option names; one that exists is replaced only with `--force`.

    Raises:
        RequestRefused: `file-exists`.
        OSError: it cannot be written; what was there is whole.
    """
    if force:
        replace_file(path, data, mode=mode)
        return
    refuse_existing(path, option=option, force=force)
    create_private(path, data, option=option, mode=mode)


def _exists(path: Path, option: str, *, may_force: bool) -> RequestRefused:
    hint = f"name a new file with {option}" + (", or replace this one with --force" if may_force else "")
    return RequestRefused("file-exists", f"{path} exists, and is not overwritten", hint=hint)
