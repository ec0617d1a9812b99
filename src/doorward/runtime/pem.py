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


def read_certificates(data: bytes) -> list[bytes]:
    """Return the DER of each certificate: of PEM text, or of one certificate in DER.

    Raises:
        MalformedInput: `certificate-malformed`.
    """
    try:
        if b"-----BEGIN" in data:
            found = x509.load_pem_x509_certificates(data)
        else:
            found = [x509.load_der_x509_certificate(data)]
    except ValueError as error:
        hint = "give certificates in PEM (-----BEGIN CERTIFICATE-----) or DER"
        raise MalformedInput("certificate-malformed", "this holds no X.509 certificate", hint=hint) from error
    return [one.public_bytes(Encoding.DER) for one in found]


def read_bounded(path: Path, limit: int = LARGEST_FILE) -> bytes:
    """Read a file of at most `limit` bytes; raise `MalformedInput` for a larger one."""
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise MalformedInput(
            "file-too-large", f"{path} has more than {limit} bytes", hint="is it the right file?"
        )
    return data
