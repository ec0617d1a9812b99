"""Certificates as PEM text, and files read within limits.

Not here: what is in a file (certificate_files).
"""

from __future__ import annotations

import ssl
from pathlib import Path

from doorward.core.errors import MalformedInput

LARGEST_FILE = 1 << 20


def as_pem(*certificates: bytes) -> str:
    """Return DER certificates as one PEM text, in the given order."""
    return "".join(ssl.DER_cert_to_PEM_cert(der) for der in certificates)


def read_bounded(path: Path, limit: int = LARGEST_FILE) -> bytes:
    """Read a file of at most `limit` bytes; raise `MalformedInput` for a larger one."""
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise MalformedInput(
            "file-too-large", f"{path} has more than {limit} bytes", hint="is it the right file?"
        )
    return data
