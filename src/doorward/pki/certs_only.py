"""PKCS#7 with certificates only, and the attributes that an EST client should use in its request.

Standard: RFC 5652 section 5 (SignedData without signers), RFC 5272 section 4.1 (Simple PKI Response), RFC 7030 section 4.5.2
with RFC 9908 section 3.2 (CsrAttrs).
"""

from __future__ import annotations

from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

CSR_ATTRIBUTES = bytes.fromhex(
    "3021"  # CsrAttrs: SEQUENCE OF AttrOrOID
    "06082a8648ce3d040302"  # ecdsa-with-SHA256
    "3015"  # Attribute
    "06072a8648ce3d0201"  # id-ecPublicKey
    "310a06082a8648ce3d030107"  # { secp256r1 }
)
"""A hint for clients that choose the key by it: P-256, signed with SHA-256. Other keys are taken too.

It does not ask for a challengePassword: clients would write tls-unique into it (RFC 7030 section 3.5), which TLS 1.3 does
not have, and which the gateway, where TLS ends, does not pass on.
"""


def render_certs_only(certificates: Sequence[bytes]) -> bytes:
    """Return SignedData without signers, in DER, with these certificates (DER)."""
    return pkcs7.serialize_certificates(
        [x509.load_der_x509_certificate(one) for one in certificates], Encoding.DER
    )
