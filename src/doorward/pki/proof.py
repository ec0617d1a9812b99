"""Proof of possession of a certificate's key, bound to a nonce and to one message (docs/design/0078).

The holder of a certificate signs, with the key of this certificate, over:

    doorward-renew-v1 (or doorward-report-v1)
    the nonce, in ASCII
    SHA-256 of the certificate's DER, in lower-case hex
    SHA-256 of the message, in lower-case hex

Each of the four lines ends with one line feed (octet 10), the last one too.
The first line separates the two uses: a signature over a report is never a proof for a renewal. The nonce makes it fresh,
and the digest of the certificate binds the proof to this certificate, even if another certificate has the same key.

    check_proof   1. the certificate can be parsed  2. its key is of an accepted kind and size  3. the signature verifies

Both sides use this module: the agent signs, the enrolment host checks.
Not here: whether the nonce is fresh and whether the certificate may be renewed (enrolment.renewal).
Standard: RFC 5758 section 3.2 (ECDSA with SHA-256 and SHA-384), RFC 8032 (Ed25519), RFC 8017 section 8.2 (PKCS#1 v1.5).
"""

from __future__ import annotations

import hashlib
from enum import Enum

from cryptography import x509

from doorward.core.ports import PrivateKey
from doorward.pki.keys import check_public_key
from doorward.pki.signing import sign_raw, verify_raw

CERTIFICATE_LIMIT = 16 * 1024
"""Bytes of DER. A leaf of ours has about 1 KiB; with an RSA key of 8192 bits and many names it has about 4 KiB."""

NONCE_LIMIT = 256
"""Characters."""

SIGNATURE_LIMIT = 1024
"""Bytes: a signature by an RSA key of 8192 bits."""


class ProofUse(Enum):
    """What a proof is for; the value is the first line of the signed bytes."""

    RENEW = "doorward-renew-v1"
    REPORT = "doorward-report-v1"


def build_proof_input(use: ProofUse, *, nonce: str, certificate: bytes, message: bytes) -> bytes:
    """Return the bytes that are signed.

    Args:
        use: renewal or report.
        nonce: as the enrolment host gave it, ASCII.
        certificate: the holder's present certificate, DER.
        message: the certification request in DER, or the facts in JSON, as sent.

    Raises:
        UnicodeEncodeError: the nonce is not ASCII.
    """
    lines = (use.value, nonce, hashlib.sha256(certificate).hexdigest(), hashlib.sha256(message).hexdigest())
    return "".join(f"{line}\n" for line in lines).encode("ascii")


def sign_proof(key: PrivateKey, use: ProofUse, *, nonce: str, certificate: bytes, message: bytes) -> bytes:
    """Return the signature by the key of the present certificate; the other arguments are as in `build_proof_input`.

    ECDSA signatures are in DER (RFC 3279 section 2.2.3), with the hash of the curve; RSA is PKCS#1 v1.5 with SHA-256.
    """
    return sign_raw(build_proof_input(use, nonce=nonce, certificate=certificate, message=message), key)


def check_proof(signature: bytes, use: ProofUse, *, nonce: str, certificate: bytes, message: bytes) -> bool:
    """Return whether the key of this certificate made the signature over these values.

    Any input gives an answer: what cannot be parsed, is too long or has an unaccepted key, is False. Why is not said,
    because a stranger who asks needs no help.

    Args:
        signature: as received.
        use: renewal or report.
        nonce: as received.
        certificate: as received, DER.
        message: as received.

    Not checked: who issued the certificate, its validity, the nonce's age.
    """
    # limits, before any work
    if len(certificate) > CERTIFICATE_LIMIT or len(nonce) > NONCE_LIMIT or len(signature) > SIGNATURE_LIMIT:
        return False
    try:
        # 1. the certificate, 2. its key
        key, _ = check_public_key(x509.load_der_x509_certificate(certificate).public_key())
        # 3. the signature
        verify_raw(
            signature, build_proof_input(use, nonce=nonce, certificate=certificate, message=message), key
        )
    except Exception:  # noqa: BLE001 - total: whatever the library raises, it is no proof
        return False
    return True
