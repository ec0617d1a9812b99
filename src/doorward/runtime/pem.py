"""PEM in and out of files, with limits."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from doorward.core.errors import MalformedInput

LARGEST_FILE = 1 << 20


def as_pem(*certificates: bytes) -> str:
    """Return DER certificates as one PEM text, in the given order."""
    return "".join(
        x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM).decode("ascii") for der in certificates
    )


def read_bounded(path: Path, limit: int = LARGEST_FILE) -> bytes:
    """Read a file of at most `limit` bytes; raise `MalformedInput` for a larger one."""
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise MalformedInput(
            "file-too-large", f"{path} has more than {limit} bytes", hint="is it the right file?"
        )
    return data
