"""DER encoding of the few ASN.1 types in a CRL and an OCSP response.

Encoding only: input from outside is read by the `cryptography` library. The encoder is our own, because the
library builds CRLs in quadratic time and sets the time of OCSP responses by a clock of its own.
Standard: ITU-T X.690 sections 8 and 10; RFC 5280 section 4.1.2.5 for the choice of time type.
"""

from __future__ import annotations

from datetime import datetime

NULL = b"\x05\x00"


def encode(tag: int, *content: bytes) -> bytes:
    """Return one value: identifier octet, length, and the contents joined."""
    body = b"".join(content)
    size = len(body)
    if size < 0x80:  # noqa: PLR2004 - the short form
        return bytes((tag, size)) + body
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes((tag, 0x80 | len(length))) + length + body


def encode_sequence(*content: bytes) -> bytes:
    """Return a SEQUENCE."""
    return encode(0x30, *content)


def encode_explicit(number: int, *content: bytes) -> bytes:
    """Return an explicit context tag, constructed."""
    return encode(0xA0 | number, *content)


def encode_integer(value: int) -> bytes:
    """Return a non-negative INTEGER."""
    return encode(0x02, value.to_bytes(value.bit_length() // 8 + 1))


def encode_enumerated(value: int) -> bytes:
    """Return an ENUMERATED below 128."""
    return bytes((0x0A, 1, value))


def encode_octets(value: bytes) -> bytes:
    """Return an OCTET STRING."""
    return encode(0x04, value)


def encode_bits(value: bytes) -> bytes:
    """Return a BIT STRING of whole octets."""
    return encode(0x03, b"\x00", value)


def encode_oid(dotted: str) -> bytes:
    """Return an OBJECT IDENTIFIER."""
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    body = bytearray()
    for arc in (40 * first + second, *rest):
        octets = [arc & 0x7F]
        while arc := arc >> 7:
            octets.append(0x80 | arc & 0x7F)
        body += bytes(reversed(octets))
    return encode(0x06, bytes(body))


def encode_generalized_time(moment: datetime) -> bytes:
    """Return a GeneralizedTime in whole seconds; `moment` is UTC."""
    return encode(0x18, f"{moment:%Y%m%d%H%M%S}Z".encode())


def encode_time(moment: datetime) -> bytes:
    """Return UTCTime through 2049 and GeneralizedTime from 2050; `moment` is UTC."""
    if moment.year < 2050:  # noqa: PLR2004 - RFC 5280 section 4.1.2.5
        return encode(0x17, f"{moment:%y%m%d%H%M%S}Z".encode())
    return encode_generalized_time(moment)


def encode_extension(dotted: str, value: bytes, *, critical: bool = False) -> bytes:
    """Return one Extension that contains the DER of its value."""
    flag = b"\x01\x01\xff" if critical else b""
    return encode_sequence(encode_oid(dotted), flag, encode_octets(value))
