"""Header values as plain ASCII: percent-encoding of text in a field value, and its decoding.

Not here: which fields there are (enforcement, client_cert). An application decodes percent-encoded UTF-8 with any
URL library. One server would read unencoded bytes as Latin-1 and another one as UTF-8, and a carriage return would
start a new header line.
Standard: RFC 3986 section 2.1 (percent-encoding), RFC 9110 section 5.5 (field values).
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote_to_bytes

from doorward.core.errors import MalformedInput

MAX_TEXT_CHARACTERS = 1024
"""A field with such a text stays far below the 8 KiB that nginx accepts for a header line."""

_SAFE = "!$&'()*+-./:;=@_~"
_ENCODED = re.compile(r"(?:[A-Za-z0-9!$&'()*+\-./:;=@_~]|%[0-9A-F]{2})*")


def encode_header_text(text: str) -> str:
    """Return the text as a field value of visible ASCII: UTF-8, percent-encoded if needed.

    Args:
        text: at most 1024 characters. Lone surrogates are refused, because UTF-8 cannot encode them.

    Returns:
        Only letters, digits, `!$&'()*+-./:;=@_~` and `%XX`: no comma, quote, space or control
        character that could end a list member or a line.

    Raises:
        MalformedInput: `header-text-malformed`.

    Standard: RFC 3986 section 2.1.
    """
    if len(text) > MAX_TEXT_CHARACTERS:
        raise MalformedInput(
            "header-text-malformed", f"a header text has more than {MAX_TEXT_CHARACTERS} characters"
        )
    try:
        return quote(text, safe=_SAFE, errors="strict")
    except UnicodeEncodeError:
        raise MalformedInput("header-text-malformed", "a header text contains a lone surrogate") from None


def decode_header_text(value: str) -> str:
    """Return the text of a field value that `encode_header_text` made; total.

    Args:
        value: a field value, at most 12 times 1024 characters.

    Returns:
        The text.

    Raises:
        MalformedInput: `header-text-malformed`, also if the value contains a character that
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
        raise MalformedInput("header-text-malformed", "a header value is not in its canonical spelling")
    return text
