"""The values of event fields: their limits and forms, and escaping hostile text.

Not here: which fields an event has (`catalogue`).

Three kinds of characters are forbidden: control characters, because a line break can forge a log line; direction
overrides, because they show a reader another text; and lone surrogates, because they have no UTF-8 form and so no
canonical leaf.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from types import MappingProxyType

from doorward.audit.catalogue import FieldKind
from doorward.core.errors import MalformedInput

Value = str | int | bool | tuple[str, ...]
"""The value of a public field in an event."""

MAX_STRING = 2048
"""Characters of one string; longer ones are cut. Browsers and proxies keep paths shorter than this."""
MAX_ITEMS = 256
"""Items of one list; grants have at most 4 KiB on the wire, which is fewer ids than this."""
MAX_INTEGER = 2**53 - 1
"""RFC 8785 section 3.2.2.3: JSON implementations read larger numbers differently."""

ID = re.compile(r"[a-z]{3}_[a-z0-9]{1,40}", re.ASCII)
ACTOR = re.compile(r"[a-z]{3}_[a-z0-9]{1,40}|os:[0-9]{1,10}|system", re.ASCII)
_TOKEN = re.compile(r"[!-~]{1,256}", re.ASCII)
_TOKENS = re.compile(r"[!-~]{1,256}(?: [!-~]{1,256})*+", re.ASCII)
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_ESCAPED = re.compile(_UNSAFE.pattern[:-1] + r"\\]")
INVALID = -1
_NONE = timedelta(0)


def value_length(kind: FieldKind, value: object) -> int:
    """Return the length of a public value in characters, or `INVALID` if it is not of this kind."""
    return _LENGTHS[kind](value)


def line_length(value: object) -> int:
    """Return the length of one line of text, or `INVALID` if it is too long or has forbidden characters."""
    if isinstance(value, str) and len(value) <= MAX_STRING and not _UNSAFE.search(value):
        return len(value)
    return INVALID


def require_utc(moment: datetime) -> None:
    """Raise `MalformedInput` (`event-malformed`) if a datetime is naive or not UTC."""
    if moment.utcoffset() != _NONE:
        raise MalformedInput("event-malformed", "a moment of an event must be aware and in UTC")


def render_moment(moment: datetime) -> str:
    """Return an aware UTC datetime as RFC 3339 text with microseconds and `Z`; equal moments give equal texts.

    Raises:
        MalformedInput: `event-malformed`: the datetime is naive or not UTC.
    """
    if moment.tzinfo is not UTC:
        require_utc(moment)
    return _render_utc(moment)


@lru_cache(maxsize=64)  # the events of a batch have the same moment, and its certificates the same dates
def _render_utc(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds")[: -len("+00:00")] + "Z"


def printable(text: str, limit: int = MAX_STRING) -> str:
    r"""Return hostile text in a form that a personal field or a TEXT field accepts.

    Control characters, direction overrides, lone surrogates and the backslash itself become
    `\xNN` or `\uNNNN`, so that two different texts never look the same. A text longer than
    `limit` characters (at least 1) is cut and ends in an ellipsis.
    """
    safe = _ESCAPED.sub(_escape, text[: limit + 1])
    return safe if len(safe) <= limit else safe[: limit - 1] + "\u2026"


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"  # noqa: PLR2004  # one byte, two digits


def _id_length(value: object) -> int:
    return len(value) if isinstance(value, str) and ID.fullmatch(value) else INVALID


def _token_length(value: object) -> int:
    return len(value) if isinstance(value, str) and _TOKEN.fullmatch(value) else INVALID


def _tokens_length(value: object) -> int:
    if not isinstance(value, tuple) or len(value) > MAX_ITEMS:
        return INVALID
    if not value:
        return 0
    # One match for all of them: a decision has about twenty tokens. No token has a space, so the separators are counted.
    try:
        text = " ".join(value)
    except TypeError:  # not all of them are texts
        return INVALID
    separators = len(value) - 1
    are_tokens = text.count(" ") == separators and _TOKENS.fullmatch(text)
    return len(text) - separators if are_tokens else INVALID


def _moment_length(value: object) -> int:
    return _length_of_moment(value) if isinstance(value, str) else INVALID


@lru_cache(maxsize=128)  # the certificates of a batch have the same dates
def _length_of_moment(text: str) -> int:
    try:
        if render_moment(datetime.fromisoformat(text)) == text:
            return len(text)
    except (ValueError, MalformedInput):
        pass  # not a time, or not UTC
    return INVALID


def _integer_length(value: object) -> int:
    # type() and not isinstance: a bool is an int in Python, but 1 and true are different leaves.
    return 16 if type(value) is int and abs(value) <= MAX_INTEGER else INVALID


def _flag_length(value: object) -> int:
    return 5 if type(value) is bool else INVALID


_LENGTHS: Mapping[FieldKind, Callable[[object], int]] = MappingProxyType(
    {
        FieldKind.ID: _id_length,
        FieldKind.TOKEN: _token_length,
        FieldKind.MOMENT: _moment_length,
        FieldKind.TEXT: line_length,
        FieldKind.INTEGER: _integer_length,
        FieldKind.FLAG: _flag_length,
        FieldKind.TOKENS: _tokens_length,
    }
)
