"""Copies of the PEM files that settings and documents name, in the gateway's own folder, mode 0600.

A copy has the digest of its content in its path, so a changed file has another path and a pair is never read half old and half
new. Not here: reading and checking the files (portal_certificate, upstream_files).
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from doorward.core.errors import Unavailable
from doorward.gateway.ballast import BALLAST

_DIGEST = re.compile(r"[0-9a-f]{32}")


def delete_copies(folder: Path, *, keep: Collection[str] = ()) -> None:
    """Delete the copies in a folder except those with these digests; what is not named as a copy is not touched."""
    with suppress(FileNotFoundError, NotADirectoryError):
        for one in folder.iterdir():
            if _DIGEST.fullmatch(one.name) and one.name not in keep:
                shutil.rmtree(one, ignore_errors=True)


def write_copy(path: Path, content: bytes) -> None:
    """Write a copy as a whole; its folder is made if it is missing.

    Without fsync: the gateway makes its copies again at each start.

    Raises:
        Unavailable: `copy-not-written`.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        BALLAST.replace_file(path, content, durable=False)
    except OSError as error:
        raise Unavailable(
            "copy-not-written",
            f"a certificate could not be copied into the gateway's folder: {error.strerror}",
            hint="make room on the disk, and give the gateway's user access to its folder",
        ) from error
