"""Certificates as PEM text, and files read within limits.

Not here: what is in a file (certificate_files).
"""

from __future__ import annotations

import ssl
from pathlib import Path

from doorward.core.errors import MalformedInput
from doorward.files import read_limited

LARGEST_FILE = 1 << 20


def as_pem(*certificates: bytes) -> str:
    """Return DER certificates as one PEM text, in the given order."""
    return "".join(ssl.DER_cert_to_PEM_cert(der) for der in certificates)


def read_bounded(path: Path, limit: int = LARGEST_FILE) -> bytes:
    """Read a file of at most `limit` bytes; raise `MalformedInput` for a larger one."""
    try:
        return read_limited(path, limit, allow_pipes=True)
    except ValueError as error:
        raise MalformedInput("file-too-large", str(error), hint="is it the right file?") from None
