"""The public keys that a passkey may have, and the stored form of a passkey.

A key must have exactly the members of its kind, with coordinates of exactly the right length. This is stricter than
verifying a signature needs, so that every reader understands a stored key in the same way.

Standard: RFC 9053 sections 2 and 7 (ES256, EdDSA, EC2 and OKP keys), RFC 8230 section 4 and RFC 8812 section 2
(RS256); WebAuthn Level 3 section 5.8.5 and 6.5.1 (attested credential data).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from fido2.cose import CoseKey
from fido2.webauthn import AttestedCredentialData

from doorward.core.errors import MalformedInput

ES256, EDDSA, RS256 = -7, -8, -257
ALGORITHMS = (EDDSA, ES256, RS256)
"""In the order of preference; Windows Hello uses RS256 with keys in a TPM."""

P256_BYTES = 32
ED25519_BYTES = 32
RSA_BYTES = (256, 512)
"""2048 to 4096 bits."""

MAX_CREDENTIAL_ID_BYTES = 1023
"""WebAuthn section 7.1."""

MAX_PASSKEY_BYTES = 4096
_NOT_ELIGIBLE, _ELIGIBLE = b"\x00", b"\x01"

PARSING_FAULTS = (
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    RecursionError,
    OverflowError,
    struct.error,
)
"""The exceptions that fido2's decoders raise for malformed bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passkey:
    """A stored passkey.

    Args:
        credential_id: 1 to 1023 bytes.
        data: the attested credential data: AAGUID, id and public key, canonical.
        backup_eligible: whether it may be copied to other devices of the person; this never changes.
    """

    credential_id: bytes
    data: bytes = field(repr=False)
    backup_eligible: bool


def is_allowed_key(key: Mapping[Any, Any]) -> bool:
    """Return whether a COSE key is one of the allowed kinds and can be used."""
    try:
        match key.get(3):
            case -7:
                return _is_p256(key)
            case -8:
                return _is_ed25519(key)
            case -257:
                return _is_rsa(key)
            case _:
                return False
    except ValueError:
        return False  # a point that is not on the curve, or numbers that are not an RSA key


def _is_p256(key: Mapping[Any, Any]) -> bool:
    if set(key) != {1, 3, -1, -2, -3} or key[1] != 2 or key[-1] != 1:  # noqa: PLR2004 - EC2
        return False
    x, y = key[-2], key[-3]
    if not _is_bytes(x, P256_BYTES) or not _is_bytes(y, P256_BYTES):
        return False
    ec.EllipticCurvePublicNumbers(
        int.from_bytes(x, "big"), int.from_bytes(y, "big"), ec.SECP256R1()
    ).public_key()
    return True


def _is_ed25519(key: Mapping[Any, Any]) -> bool:
    if set(key) != {1, 3, -1, -2} or key[1] != 1 or key[-1] != 6:  # noqa: PLR2004 - OKP, Ed25519
        return False
    if not _is_bytes(key[-2], ED25519_BYTES):
        return False
    ed25519.Ed25519PublicKey.from_public_bytes(key[-2])
    return True


def _is_rsa(key: Mapping[Any, Any]) -> bool:
    if set(key) != {1, 3, -1, -2} or key[1] != 3:  # noqa: PLR2004 - RSA
        return False
    modulus, exponent = key[-1], key[-2]
    if not isinstance(modulus, bytes) or not RSA_BYTES[0] <= len(modulus) <= RSA_BYTES[1]:
        return False
    if exponent != b"\x01\x00\x01":
        return False
    rsa.RSAPublicNumbers(int.from_bytes(exponent, "big"), int.from_bytes(modulus, "big")).public_key()
    return True


def _is_bytes(value: object, length: int) -> bool:
    return isinstance(value, bytes) and len(value) == length


def verifies(key: CoseKey, message: bytes, signature: bytes) -> bool:
    """Return whether the signature over the message was made by the key."""
    try:
        key.verify(message, signature)
    except (InvalidSignature, ValueError):
        return False
    return True


def render_passkey(passkey: Passkey) -> bytes:
    """Return the stored form: one octet for `backup_eligible`, then the attested credential data."""
    return (_ELIGIBLE if passkey.backup_eligible else _NOT_ELIGIBLE) + passkey.data


def parse_passkey(stored: bytes) -> Passkey:
    """Return a passkey from its stored form.

    Raises:
        MalformedInput: `passkey-malformed`: it was not made by `render_passkey`.
    """
    first, data = stored[:1], stored[1:]
    if first not in (_ELIGIBLE, _NOT_ELIGIBLE) or len(data) > MAX_PASSKEY_BYTES:
        raise MalformedInput("passkey-malformed", "a stored passkey is not one of ours")
    return Passkey(credential_id=attested(data).credential_id, data=data, backup_eligible=first == _ELIGIBLE)


def attested(data: bytes) -> AttestedCredentialData:
    """Return the parts of attested credential data; raise `MalformedInput` (`passkey-malformed`)."""
    try:
        found = AttestedCredentialData(data)
    except PARSING_FAULTS as fault:
        raise MalformedInput("passkey-malformed", "a stored passkey cannot be read") from fault
    if not is_allowed_key(found.public_key):
        raise MalformedInput("passkey-malformed", "a stored passkey has a key that is not allowed")
    return found
