"""DER by hand, for what no library writes or reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

NULL = b"\x05\x00"


def tlv(tag: int, *content: bytes) -> bytes:
    """One value."""
    body = b"".join(content)
    if len(body) < 0x80:
        return bytes((tag, len(body))) + body
    length = len(body).to_bytes((len(body).bit_length() + 7) // 8)
    return bytes((tag, 0x80 | len(length))) + length + body


def oid_der(dotted: str) -> bytes:
    """An object identifier."""
    first, second, *rest = (int(part) for part in dotted.split("."))
    body = b""
    for number in (first * 40 + second, *rest):
        octets = bytes((number & 0x7F,))
        while number := number >> 7:
            octets = bytes((number & 0x7F | 0x80,)) + octets
        body += octets
    return tlv(0x06, body)


def children(der: bytes) -> list[bytes]:
    """The values inside a constructed value."""
    content = der[len(der) - _content_length(der) :]
    found = []
    while content:
        size = _header_length(content) + _content_length(content)
        found.append(content[:size])
        content = content[size:]
    return found


def _header_length(der: bytes) -> int:
    return 2 + (der[1] & 0x7F if der[1] & 0x80 else 0)


def _content_length(der: bytes) -> int:
    return int.from_bytes(der[2 : _header_length(der)]) if der[1] & 0x80 else der[1]


def rdn(oid: str, tag: int, value: bytes) -> bytes:
    """A relative name of one attribute."""
    return tlv(0x31, tlv(0x30, oid_der(oid), tlv(tag, value)))


def extension(oid: str, value: bytes, *, critical: bool | None = None) -> bytes:
    """One extension; `critical=False` writes the flag that DER leaves out."""
    flag = b"" if critical is None else tlv(0x01, b"\xff" if critical else b"\x00")
    return tlv(0x30, oid_der(oid), flag, tlv(0x04, value))


ECDSA_SHA256 = tlv(0x30, oid_der("1.2.840.10045.4.3.2"))
ECDSA_WITH_NULL = tlv(0x30, oid_der("1.2.840.10045.4.3.2"), NULL)
"""As Java writes it."""


def sign_ecdsa(content: bytes, key: Any) -> bytes:
    """The ECDSA signature over SHA-256."""
    signature: bytes = key.sign(content, ec.ECDSA(hashes.SHA256()))
    return signature


def signed(content: bytes, signature: bytes, *more: bytes, algorithm: bytes = ECDSA_SHA256) -> bytes:
    """A certificate, CRL, request or OCSP answer: what is signed, the algorithm, the signature, and `more`."""
    return tlv(0x30, content, algorithm, tlv(0x03, b"\0", signature), *more)


def edit_certificate(
    der: bytes,
    signer: Any,
    edit: Callable[[list[bytes]], list[bytes]],
    *,
    outer: bytes | None = None,
    sign: Callable[[bytes], bytes] | None = None,
) -> bytes:
    """The same certificate with the fields of its signed part edited, signed again by an EC key.

    Fields, as in RFC 5280 section 4.1: version, serial, algorithm, issuer, validity, subject, key,
    extensions. `outer` replaces the algorithm outside; `sign` signs in another way.
    """
    content, algorithm, _ = children(der)
    content = tlv(0x30, *edit(children(content)))
    signature = sign(content) if sign else sign_ecdsa(content, signer)
    return signed(content, signature, algorithm=outer or algorithm)
