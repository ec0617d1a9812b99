"""The values of event fields."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from doorward.audit.catalogue import FieldKind
from doorward.audit.values import (
    INVALID,
    MAX_INTEGER,
    MAX_STRING,
    line_length,
    printable,
    render_moment,
    value_length,
)
from doorward.core.errors import MalformedInput


@pytest.mark.parametrize(
    ("kind", "value", "length"),
    [
        (FieldKind.ID, "crt_0123456789abcdefghij", 24),
        (FieldKind.ID, "ten_default", 11),
        (FieldKind.TOKEN, "certificate-revoked", 19),
        (FieldKind.TOKEN, "x" * 256, 256),
        (FieldKind.MOMENT, "2026-11-23T12:00:00.000000Z", 27),
        (FieldKind.TEXT, "tellers of the main branch", 26),
        (FieldKind.TEXT, "", 0),
        (FieldKind.INTEGER, -MAX_INTEGER, 16),
        (FieldKind.FLAG, False, 5),
        (FieldKind.TOKENS, (), 0),
        (FieldKind.TOKENS, ("a", "bc"), 3),
        (FieldKind.TOKENS, ("x" * 256,) * 256, 65_536),
    ],
)
def test_values_of_their_kind(kind: FieldKind, value: object, length: int) -> None:
    """A valid value has a length, which counts towards the event's limit."""
    assert value_length(kind, value) == length


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (FieldKind.ID, "alice"),
        (FieldKind.ID, "per_Alice"),
        (FieldKind.ID, "per_" + "a" * 41),
        (FieldKind.ID, "per_alice\n"),
        (FieldKind.ID, 7),
        (FieldKind.TOKEN, ""),
        (FieldKind.TOKEN, "two words"),
        (FieldKind.TOKEN, "x" * 257),
        (FieldKind.TOKEN, "é"),
        (FieldKind.TOKEN, None),
        (FieldKind.MOMENT, "2026-11-23T12:00:00Z"),
        (FieldKind.MOMENT, "2026-13-23T12:00:00.000000Z"),
        (FieldKind.MOMENT, "2026-11-23T12:00:00.000000+02:00"),
        (FieldKind.MOMENT, "noon"),
        (FieldKind.MOMENT, 0),
        (FieldKind.TEXT, "x" * (MAX_STRING + 1)),
        (FieldKind.TEXT, "two\nlines"),
        (FieldKind.TEXT, b"bytes"),
        (FieldKind.INTEGER, MAX_INTEGER + 1),
        (FieldKind.INTEGER, True),
        (FieldKind.INTEGER, 1.0),
        (FieldKind.FLAG, 1),
        (FieldKind.TOKENS, ["a"]),
        (FieldKind.TOKENS, ("a b",)),
        (FieldKind.TOKENS, ("a", "b c")),
        (FieldKind.TOKENS, ("",)),
        (FieldKind.TOKENS, ("a", "")),
        (FieldKind.TOKENS, ("", "", "")),
        (FieldKind.TOKENS, ("a", " ", "b")),
        (FieldKind.TOKENS, ("a", "\n")),
        (FieldKind.TOKENS, ("a", "é")),
        (FieldKind.TOKENS, ("a", "x" * 257, "b")),
        (FieldKind.TOKENS, (1,)),
        (FieldKind.TOKENS, ("a", None)),
        (FieldKind.TOKENS, ("a",) * 257),
    ],
)
def test_values_of_another_kind(kind: FieldKind, value: object) -> None:
    """A value of another kind is refused."""
    assert value_length(kind, value) == INVALID


@pytest.mark.parametrize(
    "unsafe", ["\x00", "\n", "\r", "\x1b", "\x7f", "\x85", "\u2028", "\u202e", "\u2066", "\ud800"]
)
def test_unsafe_characters_are_refused(unsafe: str) -> None:
    """Line breaks, terminal escapes, direction overrides and lone surrogates are refused."""
    assert line_length(f"a{unsafe}b") == INVALID


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/accounts/7", "/accounts/7"),
        ("Zoë 李", "Zoë 李"),
        ("a\r\nb", "a\\x0d\\x0ab"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\ud800", "\\ud800"),
        ("\\x0a", "\\x5cx0a"),
        ("", ""),
    ],
)
def test_hostile_text_becomes_printable(text: str, shown: str) -> None:
    """Unsafe characters and the backslash become escapes, so that two texts never look alike."""
    assert printable(text) == shown
    assert line_length(shown) == len(shown)


@pytest.mark.parametrize(
    ("text", "shown"), [("abcd", "abcd"), ("abcde", "abc…"), ("\n\n", "\\x0…"), ("x" * 9999, "xxx…")]
)
def test_long_text_is_cut(text: str, shown: str) -> None:
    """A text longer than the limit, with its escapes, ends in an ellipsis."""
    assert printable(text, 4) == shown


def test_moments_have_one_form() -> None:
    """A moment is always rendered in UTC with microseconds."""
    assert render_moment(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) == "2026-01-02T03:04:05.000000Z"
    assert render_moment(datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)) == "2026-01-02T03:04:05.000006Z"
    london = ZoneInfo("Europe/London")  # without an offset in winter
    assert render_moment(datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=london)) == "2026-01-02T03:04:05.000006Z"


@pytest.mark.parametrize("zone", [None, timezone(timedelta(hours=2))])
def test_moments_are_utc(zone: timezone | None) -> None:
    """A naive or local time is refused, because readers could understand it differently."""
    with pytest.raises(MalformedInput):
        render_moment(datetime(2026, 1, 2, tzinfo=zone))
