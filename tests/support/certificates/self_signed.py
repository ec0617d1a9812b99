"""Certificates that sign themselves, of any kind of key: for tests of what reads a pair and asks for no path."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

Pair = tuple[bytes, bytes]
"""A certificate and its key, both PEM."""


def pem(key: Any, form: PrivateFormat = PrivateFormat.PKCS8, *, password: bytes = b"") -> bytes:
    """Return a key as PEM."""
    secret = BestAvailableEncryption(password) if password else NoEncryption()
    return bytes(key.private_bytes(Encoding.PEM, form, secret))


def pair(
    key: Any = None, *, extensions: Sequence[x509.ExtensionType] = (), days: tuple[int, int] = (-1, 9)
) -> Pair:
    """Return a certificate that signs itself, and its key; without one, it is a new one of P-256."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pay.test")]), datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 5)
    builder = builder.not_valid_before(now + timedelta(days[0])).not_valid_after(now + timedelta(days[1]))
    for one in extensions:
        builder = builder.add_extension(one, critical=False)
    is_eddsa = isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
    made = builder.sign(key, None if is_eddsa else hashes.SHA256())
    return made.public_bytes(Encoding.PEM), pem(key)
