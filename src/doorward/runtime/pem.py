"""Certificates as PEM text, and files read within limits.

Not here: what is in a file (certificate_files).
"""

from __future__ import annotations

from pathlib import Path

from doorward.core.errors import MalformedInput
from doorward.files import read_limited
from doorward.wire.pem import render_pem

__all__ = ["LARGEST_FILE", "read_bounded", "render_pem"]

LARGEST_FILE = 1 << 20


def read_bounded(path: Path, limit: int = LARGEST_FILE) -> bytes:
    """Read a file of at most `limit` bytes; raise `MalformedInput` for a larger one."""
    try:
        return read_limited(path, limit, allow_pipes=True)
    except ValueError as error:
        raise MalformedInput("file-too-large", str(error), hint="is it the right file?") from None
