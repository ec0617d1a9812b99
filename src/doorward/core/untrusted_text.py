"""Untrusted text made safe to print: names in certificates, file names, answers of servers.

A terminal obeys control characters: ESC (C0) and U+009B (C1) start commands that rewrite the screen or
the clipboard (ECMA-48 section 5.4). Bidirectional controls (UAX #9 section 2) display a text in a different
order. A line separator starts a line that looks like one of ours. `escape_unprintable` writes each of them as
its code point, so that the reader sees it and it has no effect.

Characters are admitted, not excluded: what Unicode calls printable (`str.isprintable`) is kept, and everything
else is escaped. That includes spaces other than U+0020, characters without a width, surrogates, private use,
and code points that are not assigned.

Not here: colours and tables (`cli.screen`).
"""

from __future__ import annotations

_TWO_DIGITS, _FOUR_DIGITS = 0xFF, 0xFFFF
_SURROGATES_BEGIN = 0x10000


def escape_unprintable(text: str, *, keep_lines: bool = False) -> str:
    r"""Return a text in which every character is printable.

    Args:
        text: any text.
        keep_lines: keep LF, for our own text of several lines, or a text that a person asked to see.

    Returns:
        The text with each other character as `\xNN`, `\uNNNN` or `\UNNNNNNNN`.
    """
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() or (keep_lines and one == "\n") else _escape(ord(one)) for one in text
    )


def escape_in_json(document: str) -> str:
    """Return a JSON document in which every character but LF is printable; its value is the same.

    Args:
        document: JSON as `json.dumps` writes it. Outside strings it is ASCII only, so every character that is
            replaced here is inside a string, where the escape is allowed.

    Standard: RFC 8259 section 7 (escapes, surrogate pairs).
    """
    if document.isprintable():
        return document
    return "".join(one if one.isprintable() or one == "\n" else _escape_utf16(ord(one)) for one in document)


def _escape(number: int) -> str:
    if number <= _TWO_DIGITS:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number <= _FOUR_DIGITS else f"\\U{number:08x}"


def _escape_utf16(number: int) -> str:
    if number <= _FOUR_DIGITS:
        return f"\\u{number:04x}"
    rest = number - _SURROGATES_BEGIN
    return f"\\u{0xD800 + (rest >> 10):04x}\\u{0xDC00 + (rest & 0x3FF):04x}"
