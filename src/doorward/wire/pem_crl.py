"""A CRL that came in PEM, although DER was asked for.

RFC 5280 section 4.2.1.13 asks for DER over HTTP; many small authorities serve what `openssl ca -gencrl` wrote. One block is
the list; anything else is left as it is, for the reader of lists to refuse.
Not here: what is in the list (verification.revocation.crl).
Standard: RFC 7468 section 6; RFC 2585 section 4.2.
"""

from __future__ import annotations

import base64
import binascii

_BEGIN, _END = b"-----BEGIN X509 CRL-----", b"-----END X509 CRL-----"
_LOOK = 64 * 1024
"""Octets before the block: `openssl crl -text` writes the list for people first, of a short one."""


def decode_pem_crl(data: bytes) -> bytes:
    """Return the DER of the one CRL that stands in PEM; the same bytes if it is no such text."""
    start = data.find(_BEGIN, 0, _LOOK)
    end = data.find(_END, start)
    if start < 0 or end < 0 or data.find(_BEGIN, end) >= 0:
        return data
    try:
        return base64.b64decode(b"".join(data[start + len(_BEGIN) : end].split()), validate=True)
    except binascii.Error:
        return data
