"""Certificates as they are in the world, which the library does not read: written by hand, and signed.

der = odd(certify("alice", ROOT, ca=False), ROOT.key, subject=[rdn("2.5.4.16", 0x30, b"...")])
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.path_ca import Node, children, oid_der, tlv

ECDSA_WITH_NULL = tlv(0x30, oid_der("1.2.840.10045.4.3.2"), b"\x05\x00")
"""As Java writes it."""


def rdn(oid: str, tag: int, value: bytes) -> bytes:
    """A relative name of one attribute."""
    return tlv(0x31, tlv(0x30, oid_der(oid), tlv(tag, value)))


def extension(oid: str, value: bytes, *, critical: bool | None = None) -> bytes:
    """One extension; `critical=False` writes the flag that DER leaves out."""
    flag = b"" if critical is None else tlv(0x01, b"\xff" if critical else b"\x00")
    return tlv(0x30, oid_der(oid), flag, tlv(0x04, value))


def odd(
    node: Node,
    signer: Any,
    *,
    subject: Sequence[bytes] | None = None,
    issuer: Sequence[bytes] | None = None,
    extensions: Sequence[bytes] = (),
    algorithm: bytes | None = None,
    outer: bytes | None = None,
) -> bytes:
    """The same certificate with other names, more extensions, or other algorithm fields; signed by an EC key."""
    signed, was, _ = children(node.der)
    fields = children(signed)
    fields[2] = algorithm or fields[2]
    fields[3] = fields[3] if issuer is None else tlv(0x30, *issuer)
    fields[5] = fields[5] if subject is None else tlv(0x30, *subject)
    [inside] = children(fields[7])
    kinds = {children(one)[0] for one in extensions}
    kept = [one for one in children(inside) if children(one)[0] not in kinds]
    fields[7] = tlv(0xA3, tlv(0x30, *kept, *extensions))
    content = tlv(0x30, *fields)
    signature = signer.sign(content, ec.ECDSA(hashes.SHA256()))
    return tlv(0x30, content, outer or algorithm or was, tlv(0x03, b"\0", signature))
