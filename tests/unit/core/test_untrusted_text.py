"""Untrusted text on a screen and in JSON: every character that is not printable is escaped."""

from __future__ import annotations

import json
import unicodedata

import pytest

from doorward.core.untrusted_text import escape_in_json, escape_unprintable

HOSTILE = (
    "\x00\x07\x08\x1b[2J\x7f"  # C0 and DEL (ECMA-48 section 5.2)
    "\x85\x90\x9b31m\x9d"  # C1: NEL, DCS, CSI, OSC (ECMA-48 section 5.3)
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # UAX #9 section 2
    "\u2028\u2029\u200b\u200d\ufeff\u00ad\U000e0041\ud800\r\t\n"
)


def test_what_is_printable_stays() -> None:
    """Letters of every script, signs, wide characters and U+0020 pass as they are."""
    text = "Zoë O'Brien, 佐藤 🦉 [bold] \\ ع ־"
    assert escape_unprintable(text) is text
    assert escape_in_json(text) is text


@pytest.mark.parametrize("keep_lines", [False, True])
def test_what_commands_a_terminal_is_written_out(*, keep_lines: bool) -> None:
    """No control, bidirectional, separating or invisible character is left."""
    shown = escape_unprintable(f"a{HOSTILE}b", keep_lines=keep_lines)
    assert shown.replace("\n", "").isprintable()
    assert ("\n" in shown) is keep_lines
    assert "\\x1b[2J" in shown
    assert "\\x9b31m" in shown
    assert "\\u202e" in shown
    assert "\\U000e0041" in shown


def test_every_code_point_of_the_forbidden_categories() -> None:
    """Of all of Unicode, no control, format, surrogate, separator or private character passes."""
    forbidden = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    for number in range(0x110000):
        one = chr(number)
        if unicodedata.category(one) in forbidden:
            assert escape_unprintable(one) != one


def test_json_stays_the_same_value() -> None:
    """RFC 8259 section 7: an escape, also of two surrogates, is the character that it names."""
    value = {f"k{HOSTILE}": [f"v{HOSTILE}", "\U000e0001"], "plain": "ä"}
    document = escape_in_json(json.dumps(value, ensure_ascii=False, indent=2))
    assert document.replace("\n", "").isprintable()
    assert json.loads(document) == value
    assert '"ä"' in document
