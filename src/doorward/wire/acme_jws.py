"""Signed requests to an ACME server, and what shows control of a name.

The algorithm of an account key is ES256, of an external account HS256; nothing that a server sends selects another one.

Standard: RFC 8555 sections 6.2 (requests), 7.3.4 (external accounts), 8.1 (key authorizations), 8.4 (DNS); RFC 8737
section 3 (TLS with ALPN); RFC 9773 section 4.1 (certificate identifiers).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from doorward.wire.acme import render_payload
from doorward.wire.base64url import render_base64url
from doorward.wire.jose import render_jwk, thumbprint

_COORDINATE_BYTES = 32
_JWK_MEMBERS = ("crv", "kty", "x", "y")


def render_request(
    key: EllipticCurvePrivateKey, *, url: str, nonce: str, payload: bytes, account: str = ""
) -> bytes:
    """Return a signed request.

    Args:
        key: the account's key, P-256.
        url: where the request goes; the signature covers it.
        nonce: the server's newest nonce.
        payload: JSON; empty for POST-as-GET.
        account: the account's URL; empty for the request that makes the account, which has the key in its place.

    Standard: RFC 8555 section 6.2, RFC 7515 section 7.2.2 (flattened).
    """
    who: dict[str, object] = {"kid": account} if account else {"jwk": public_members(key)}
    protected = render_base64url(render_payload({"alg": "ES256", "nonce": nonce, "url": url, **who}))
    body = render_base64url(payload)
    signature = key.sign(f"{protected}.{body}".encode("ascii"), ECDSA(hashes.SHA256()))
    r, s = decode_dss_signature(signature)
    raw = r.to_bytes(_COORDINATE_BYTES) + s.to_bytes(_COORDINATE_BYTES)
    return render_payload({"protected": protected, "payload": body, "signature": render_base64url(raw)})


def render_binding(key: EllipticCurvePrivateKey, *, url: str, kid: str, secret: bytes) -> dict[str, str]:
    """Return the proof that an account key belongs to an external account.

    Args:
        key: the account's key.
        url: the server's `newAccount`.
        kid: the identifier that the authority gave.
        secret: its key, at least 16 bytes.

    Standard: RFC 8555 section 7.3.4.
    """
    protected = render_base64url(render_payload({"alg": "HS256", "kid": kid, "url": url}))
    payload = render_base64url(render_payload(public_members(key)))
    code = hmac.new(secret, f"{protected}.{payload}".encode("ascii"), hashlib.sha256).digest()
    return {"protected": protected, "payload": payload, "signature": render_base64url(code)}


def public_members(key: EllipticCurvePrivateKey) -> Mapping[str, str]:
    """Return the public JWK of an account key: the members of its thumbprint only."""
    members = render_jwk(key.public_key())
    return {name: members[name] for name in _JWK_MEMBERS}


def key_authorization(token: str, key: EllipticCurvePrivateKey) -> str:
    """Return what the answer to a challenge must have (RFC 8555 section 8.1)."""
    return f"{token}.{thumbprint(key.public_key())}"


def dns_value(authorization: str) -> str:
    """Return the TXT record of a key authorization (RFC 8555 section 8.4)."""
    return render_base64url(hashlib.sha256(authorization.encode("ascii")).digest())


def alpn_extension(authorization: str) -> x509.UnrecognizedExtension:
    """Return `acmeIdentifier` of a key authorization: an OCTET STRING with its SHA-256 (RFC 8737 section 3)."""
    digest = hashlib.sha256(authorization.encode("ascii")).digest()
    oid = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")
    return x509.UnrecognizedExtension(oid, b"\x04\x20" + digest)


def renewal_id(leaf: x509.Certificate) -> str:
    """Return the identifier of a certificate for renewal information; empty if it names no issuer's key.

    Standard: RFC 9773 section 4.1.
    """
    try:
        found = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    except (x509.ExtensionNotFound, ValueError):
        return ""
    if not found:
        return ""
    serial = leaf.serial_number
    length = serial.bit_length() // 8 + 1  # DER: one more bit, for the sign
    return f"{render_base64url(found)}.{render_base64url(serial.to_bytes(length))}"
