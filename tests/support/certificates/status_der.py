r"""OCSP answers and CRLs written octet by octet, for what no library writes.

answer(single(ALICE, ISSUING), single(BOB, ISSUING, REVOKED), by=ecdsa(ISSUING.key), responder=ISSUING)
list_bytes(ISSUING, listed(7, reason=b"\x0a\x01\x0b"))
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding

from doorward.pki.der import (
    encode_bits,
    encode_enumerated,
    encode_explicit,
    encode_extension,
    encode_generalized_time,
    encode_integer,
    encode_octets,
    encode_oid,
    encode_sequence,
    encode_time,
)
from tests.support.certificates.der import tlv
from tests.support.certificates.issuing import CertifiedKey
from tests.support.certificates.status import HOUR
from tests.support.ports import NOON

GOOD, UNKNOWN = tlv(0x80), tlv(0x82)
REVOKED = tlv(0xA1, encode_generalized_time(NOON - HOUR))
NULL = b"\x05\x00"
SHA1 = "1.3.14.3.2.26"
BASIC = "1.3.6.1.5.5.7.48.1.1"
STRANGE = "1.3.6.1.4.1.55738.666.1"
_SIGNED_BY = {
    "sha256": (encode_sequence(encode_oid("1.2.840.10045.4.3.2")), ec.ECDSA(hashes.SHA256())),
    "sha384": (encode_sequence(encode_oid("1.2.840.10045.4.3.3")), ec.ECDSA(hashes.SHA384())),
    "sha512": (encode_sequence(encode_oid("1.2.840.10045.4.3.4")), ec.ECDSA(hashes.SHA512())),
}
_HASHES = {"2.16.840.1.101.3.4.2.1": hashes.SHA256(), "2.16.840.1.101.3.4.2.2": hashes.SHA384()}
_HASHES["2.16.840.1.101.3.4.2.3"] = hashes.SHA512()

Sign = Callable[[bytes], bytes]


def odd(*, critical: bool, oid: str = STRANGE) -> bytes:
    """An extension with a meaningless value."""
    return encode_extension(oid, NULL, critical=critical)


def extensions(*each: bytes) -> bytes:
    """A SEQUENCE of extensions."""
    return encode_sequence(*each)


def certificate_id(node: CertifiedKey, issuer: CertifiedKey, *, issuer_name: bytes | None = None) -> bytes:
    """A CertID by SHA-1."""
    name = issuer.certificate.subject.public_bytes() if issuer_name is None else issuer_name
    hashed = (hashlib.sha1(name).digest(), hashlib.sha1(issuer.parsed.key_bits).digest())
    return encode_sequence(
        encode_sequence(encode_oid(SHA1), NULL),
        *map(encode_octets, hashed),
        encode_integer(node.parsed.serial),
    )


def single(
    node: CertifiedKey,
    issuer: CertifiedKey,
    state: bytes = GOOD,
    *,
    this_update: bytes | datetime = NOON - HOUR,
    next_update: datetime | None = NOON + HOUR,
    stated: Sequence[bytes] = (),
    id_: bytes | None = None,
    more: bytes = b"",
) -> bytes:
    """A SingleResponse; `stated` are its extensions."""
    begins = this_update if isinstance(this_update, bytes) else encode_generalized_time(this_update)
    return encode_sequence(
        id_ or certificate_id(node, issuer),
        state,
        begins,
        encode_explicit(0, encode_generalized_time(next_update)) if next_update else b"",
        encode_explicit(1, extensions(*stated)) if stated else b"",
        more,
    )


def ecdsa(key: Any, hash_name: str = "sha256") -> tuple[bytes, Sign]:
    """AlgorithmIdentifier and signing by an EC key."""
    algorithm, scheme = _SIGNED_BY[hash_name]
    return algorithm, lambda content: key.sign(content, scheme)


def ecdsa_with_null(key: Any) -> tuple[bytes, Sign]:
    """The same with parameters that RFC 5758 section 3.2 leaves out, as older Java writes them."""
    return encode_sequence(encode_oid("1.2.840.10045.4.3.2"), NULL), ecdsa(key)[1]


def edwards(key: ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey) -> tuple[bytes, Sign]:
    """The same by an Edwards key."""
    dotted = "1.3.101.112" if isinstance(key, ed25519.Ed25519PrivateKey) else "1.3.101.113"
    return encode_sequence(encode_oid(dotted)), key.sign


def pss(key: Any, hash_oid: str, salt: int, null: bytes = NULL) -> tuple[bytes, Sign]:
    """The same by RSASSA-PSS with this hash, MGF1 with it, and a salt of this length (RFC 4055 section 3.1).

    `null` are the parameters of the hash, which may be left out (section 2.1).
    """
    hash_ = _HASHES[hash_oid]
    named = encode_sequence(encode_oid(hash_oid), null)
    length = encode_explicit(2, encode_integer(salt)) if salt != 20 else b""  # the default is not written
    mask = encode_sequence(encode_oid("1.2.840.113549.1.1.8"), named)
    parameters = encode_sequence(encode_explicit(0, named), encode_explicit(1, mask), length)
    algorithm = encode_sequence(encode_oid("1.2.840.113549.1.1.10"), parameters)
    scheme = padding.PSS(mgf=padding.MGF1(hash_), salt_length=salt)
    return algorithm, lambda content: key.sign(content, scheme, hash_)


def answer(
    *singles: bytes,
    by: tuple[bytes, Sign],
    responder: bytes | CertifiedKey,
    version: bytes = b"",
    stated: Sequence[bytes] = (),
    included: Sequence[bytes] = (),
    more: bytes = b"",
    signature: bytes | None = None,
    kind: str = BASIC,
) -> bytes:
    """An OCSPResponse; `responder` is a Name, or a node that is named by its key."""
    if isinstance(responder, CertifiedKey):
        named = encode_explicit(2, encode_octets(hashlib.sha1(responder.parsed.key_bits).digest()))
    else:
        named = encode_explicit(1, responder)
    content = encode_sequence(
        version,
        named,
        encode_generalized_time(NOON),
        encode_sequence(*singles),
        encode_explicit(1, extensions(*stated)) if stated else b"",
        more,
    )
    algorithm, sign = by
    bits = encode_bits(sign(content)) if signature is None else signature
    certificates = encode_explicit(0, encode_sequence(*included)) if included else b""
    basic = encode_sequence(content, algorithm, bits, certificates)
    wrapped = encode_explicit(0, encode_sequence(encode_oid(kind), encode_octets(basic)))
    return encode_sequence(encode_enumerated(0), wrapped)


def listed(
    serial: int,
    *stated: bytes,
    reason: bytes | None = None,
    critical: bool = False,
    date: bytes | None = None,
) -> bytes:
    """An entry of a CRL: `reason` is the value of its reason code, `stated` are other extensions."""
    coded = [] if reason is None else [encode_extension("2.5.29.21", reason, critical=critical)]
    every = [*coded, *stated]
    return encode_sequence(
        encode_integer(serial),
        encode_time(NOON - HOUR) if date is None else date,
        encode_sequence(*every) if every else b"",
    )


def list_bytes(
    issuer: CertifiedKey,
    *entries: bytes,
    stated: Sequence[bytes] = (),
    number: int | None = 1,
    this_update: datetime = NOON - HOUR,
    next_update: datetime = NOON + HOUR,
    by: tuple[bytes, Sign] | None = None,
    issuer_name: bytes | None = None,
    version: bytes = encode_integer(1),
    more: bytes = b"",
    outer: bytes | None = None,
    signature: bytes | None = None,
) -> bytes:
    """A CRL in DER; `stated` are extensions besides its number."""
    algorithm, sign = by or ecdsa(issuer.key)
    numbered = [] if number is None else [encode_extension("2.5.29.20", encode_integer(number))]
    content = encode_sequence(
        version,
        algorithm,
        issuer.certificate.subject.public_bytes() if issuer_name is None else issuer_name,
        encode_time(this_update),
        encode_time(next_update),
        encode_sequence(*entries) if entries else b"",
        encode_explicit(0, extensions(*numbered, *stated)) if numbered or stated else b"",
        more,
    )
    bits = encode_bits(sign(content)) if signature is None else signature
    return encode_sequence(content, outer or algorithm, bits)
