"""Base64url without padding, in its canonical spelling.

Standard: RFC 4648 section 5, RFC 7515 section 2 (no padding).
"""

from __future__ import annotations

import base64
import binascii

from doorward.core.errors import MalformedInput


def render_base64url(data: bytes) -> str:
    """Return the bytes as base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def parse_base64url(text: str, *, code: str, what: str) -> bytes:
    """Return the bytes of base64url without padding.

    Another spelling of the same bytes is refused: a value that is compared as text must have only one.

    Args:
        text: as received; the caller limits its length.
        code: of the error.
        what: the value, as the first words of the error's sentence.

    Raises:
        MalformedInput: with that code.
    """
    try:
        data = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise MalformedInput(code, f"{what} is not base64url") from None
    if render_base64url(data) != text:
        raise MalformedInput(code, f"{what} is not base64url in its canonical spelling")
    return data
