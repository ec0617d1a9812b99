"""Decodes a CRL that was served as PEM instead of DER.

RFC 5280 section 4.2.1.13 requires DER over HTTP, but many small authorities serve the output of `openssl ca -gencrl`.
If the data holds exactly one PEM block, that block is the CRL. Any other data is returned unchanged, and the parser
of CRLs refuses it.
Not here: the content of the CRL (verification.revocation.crl).
Standard: RFC 7468 section 6; RFC 2585 section 4.2.
"""

from __future__ import annotations

import base64
import binascii

_BEGIN, _END = b"-----BEGIN X509 CRL-----", b"-----END X509 CRL-----"
_LOOK = 64 * 1024
"""Octets before the block: `openssl crl -text` writes the CRL as text first, and this is enough for a short one."""


def decode_pem_crl(data: bytes) -> bytes:
    """Return the DER of the only CRL in PEM; the same bytes if they are not such a text."""
    start = data.find(_BEGIN, 0, _LOOK)
    end = data.find(_END, start)
    if start < 0 or end < 0 or data.find(_BEGIN, end) >= 0:
        return data
    try:
        return base64.b64decode(b"".join(data[start + len(_BEGIN) : end].split()), validate=True)
    except binascii.Error:
        return data
