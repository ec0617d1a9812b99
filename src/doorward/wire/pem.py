"""Certificates as PEM text.

Not here: reading PEM files (`runtime.certificate_files`). Standard: RFC 7468 sections 2 and 5.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

_LINE = 64


def render_pem(*certificates: bytes) -> str:
    """Return DER certificates as one PEM text, in the given order."""
    return "".join(map(_block, certificates))


def render_certificates(certificates: Iterable[x509.Certificate]) -> bytes:
    """Return certificates as one PEM file, in the given order."""
    return b"".join(one.public_bytes(Encoding.PEM) for one in certificates)


def _block(der: bytes) -> str:
    text = b64encode(der).decode("ascii")
    lines = (text[at : at + _LINE] for at in range(0, len(text), _LINE))
    return "\n".join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""])
