"""Percent-encoding of header values."""

from __future__ import annotations

import pytest

from doorward.core.errors import MalformedInput
from doorward.wire.header_text import decode_header_text, encode_header_text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("alice", "alice"),
        ("person:alice@corp.example", "person:alice@corp.example"),
        ("Zoë Müller", "Zo%C3%AB%20M%C3%BCller"),
        ('a,b;c="d"', "a%2Cb;c=%22d%22"),
        ("100%", "100%25"),
        ("", ""),
    ],
)
def test_text_survives_as_visible_ascii(text: str, value: str) -> None:
    """Text becomes visible ASCII and comes back unchanged."""
    assert encode_header_text(text) == value
    assert decode_header_text(value) == text


def test_a_line_break_cannot_start_a_new_header() -> None:
    """Control characters are encoded, so a name cannot add a header line."""
    assert encode_header_text("alice\r\nAdmin: 1") == "alice%0D%0AAdmin:%201"


@pytest.mark.parametrize("text", ["a" * 1025, "\ud800"])
def test_text_that_is_too_long_or_not_unicode_is_refused(text: str) -> None:
    """Only Unicode text of at most 1024 characters is encoded."""
    with pytest.raises(MalformedInput, match="header text") as caught:
        encode_header_text(text)
    assert caught.value.code == "header-text-malformed"


@pytest.mark.parametrize(
    "value", ["%", "%4", "%zz", "%c3%AB", "a b", "ä", "%FF", "%61", "a" * 1025, "a" * 12289, "a\n"]
)
def test_values_in_another_spelling_are_refused(value: str) -> None:
    """A value that the encoder would not have written is refused, not repaired."""
    with pytest.raises(MalformedInput) as caught:
        decode_header_text(value)
    assert caught.value.code == "header-text-malformed"
