"""Certificates as PEM text.

Not here: reading PEM files (`runtime.certificate_files`). Standard: RFC 7468 sections 2 and 5.
"""

from __future__ import annotations

from base64 import b64encode

_LINE = 64


def as_pem(*certificates: bytes) -> str:
    """Return DER certificates as one PEM text, in the given order."""
    return "".join(map(_block, certificates))


def _block(der: bytes) -> str:
    text = b64encode(der).decode("ascii")
    lines = (text[at : at + _LINE] for at in range(0, len(text), _LINE))
    return "\n".join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""])
