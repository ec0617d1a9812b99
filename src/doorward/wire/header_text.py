"""Header values as plain ASCII: percent-encoding of text that goes into a field value, and back.

Not here: which fields there are (enforcement, client_cert). Percent-encoded UTF-8 is what the
upstream application decodes with any URL library; a raw field value would be Latin-1 in one server,
UTF-8 in the next, and a carriage return would be a new header line.
Standard: RFC 3986 section 2.1 (percent-encoding), RFC 9110 section 5.5 (field values).
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote_to_bytes

from doorward.core.errors import MalformedInput

MAX_TEXT_CHARACTERS = 1024
"""Precedent: an Envoy header map entry of ours stays far below the 8 KiB that nginx takes a line."""

_SAFE = "!$&'()*+-./:;=@_~"
_ENCODED = re.compile(r"(?:[A-Za-z0-9!$&'()*+\-./:;=@_~]|%[0-9A-F]{2})*")


def encode_header_text(text: str) -> str:
    """Return the text as a field value of visible ASCII: UTF-8, percent-encoded where needed.

    Args:
        text: at most 1024 characters; lone surrogates are refused, they have no UTF-8.

    Returns:
        Only letters, digits, `!$&'()*+-./:;=@_~` and `%XX`; so no comma, quote, space or control
        character can end a list member or a line.

    Raises:
        MalformedInput: `header-text-malformed`.

    Standard: RFC 3986 section 2.1.
    """
    if len(text) > MAX_TEXT_CHARACTERS:
        raise MalformedInput("header-text-malformed", f"a header text is longer than {MAX_TEXT_CHARACTERS}")
    try:
        return quote(text, safe=_SAFE, errors="strict")
    except UnicodeEncodeError:
        raise MalformedInput("header-text-malformed", "a header text is not Unicode text") from None


def decode_header_text(value: str) -> str:
    """Return the text of a field value made by `encode_header_text`; the inverse, and total.

    Args:
        value: a field value, at most 12 times 1024 characters.

    Returns:
        The text.

    Raises:
        MalformedInput: `header-text-malformed`, also where the value has a character that
            `encode_header_text` would have encoded: one text has one spelling.

    Standard: RFC 3986 section 2.1.
    """
    if len(value) > 12 * MAX_TEXT_CHARACTERS or not _ENCODED.fullmatch(value):
        raise MalformedInput("header-text-malformed", "a header value is not percent-encoded text")
    try:
        text = unquote_to_bytes(value).decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedInput("header-text-malformed", "a header value is not percent-encoded UTF-8") from None
    if len(text) > MAX_TEXT_CHARACTERS or quote(text, safe=_SAFE) != value:
        raise MalformedInput("header-text-malformed", "a header value is not in its one spelling")
    return text
