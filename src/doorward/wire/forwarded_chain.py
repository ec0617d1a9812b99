"""`X-Forwarded-Client-Cert`: the chain that a client showed, from Envoy to our own surface.

Envoy writes one element, `Hash=<SHA-256 of the leaf>;Chain="<URL-encoded PEM, leaf first>"`. Only this form is read: a
second element, a second field or another key is refused, so that a client's own text can never be an identity.
Not here: judging the certificates. TLS proved that the peer has the key of the leaf, and nothing else.
Standard: RFC 7468 section 5 (PEM); the form is Envoy's.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from urllib.parse import unquote_to_bytes

from doorward.core.errors import MalformedInput

LENGTH_LIMIT = 64 * 1024
"""Characters: as much as one head may have behind the door."""

MOST_CERTIFICATES = 6
"""A device's chain has two to four certificates."""

_ELEMENT = re.compile(r'Hash=([0-9a-f]{64});Chain="([A-Za-z0-9%._~-]+)"', re.ASCII)
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----\n([A-Za-z0-9+/=\n]+)-----END CERTIFICATE-----\n")


def parse_forwarded_chain(value: str) -> tuple[bytes, ...]:
    """Return the certificates of the field, DER, leaf first; they are not parsed.

    Args:
        value: the field value, at most 65536 characters.

    Returns:
        1 to 6 certificates. The first one has the SHA-256 that Envoy states for the peer's certificate.

    Raises:
        MalformedInput: `shown-chain-malformed` for anything else, or for a longer chain.
    """
    found = _ELEMENT.fullmatch(value) if len(value) <= LENGTH_LIMIT else None
    if found is None:
        raise _malformed("it is not one element with Hash and Chain")
    pem = unquote_to_bytes(found[2])
    blocks = _PEM.findall(pem)
    if _PEM.sub(b"", pem) or not 0 < len(blocks) <= MOST_CERTIFICATES:
        raise _malformed(f"it is not a chain of 1 to {MOST_CERTIFICATES} certificates")
    try:
        chain = tuple(base64.b64decode(one.replace(b"\n", b""), validate=True) for one in blocks)
    except binascii.Error:
        raise _malformed("a certificate is not base64") from None
    if not hmac.compare_digest(hashlib.sha256(chain[0]).hexdigest(), found[1]):
        raise _malformed("its first certificate is not the peer's")
    return chain


def _malformed(why: str) -> MalformedInput:
    return MalformedInput(
        "shown-chain-malformed",
        f"the certificates of this connection cannot be used: {why}",
        hint=f"show a chain of at most {MOST_CERTIFICATES} certificates, leaf first",
    )
