r"""Fitting values from outside into the fields of an event, so that a strange value never prevents an event.

A value that is only recorded must not influence a decision. A certificate with a serial number of 4,000 digits, a CRL
with a number of 20 octets (RFC 5280 section 5.2.3) or an address with odd characters is judged as any other. In its
event, the value is changed until it fits, so that a reader can see the change:

    TOKEN    characters that a token may not have, and the backslash, become `\xNN`, `\uNNNN` or `\UNNNNNNNN`; if there
             are more than 256 characters, the first 180 are kept, then `~sha256:` and the digest of the whole value
             an empty one is `""`
    TEXT     as `values.printable`; personal fields too
    INTEGER  beyond 2^53 - 1 it is that number, with its sign
    TOKENS   each item as a TOKEN; items beyond 256, or beyond the size of an event, are left out, and
             the last item says how many: `+12-more`

Not here: the limits of fields (`values`), the fields of each type (`catalogue`). Ids, moments and flags come from our
own code and are not changed: an event with a wrong one is a fault of the program, and is refused.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TypeVar

from doorward.audit.catalogue import CATALOGUE, EventType, FieldKind
from doorward.audit.values import INVALID, MAX_INTEGER, MAX_ITEMS, MAX_STRING, printable, value_length

V = TypeVar("V")

TOKEN_LIMIT = 256
"""Characters of one token."""
_EMPTY = '""'
_KEPT = 180
_FOREIGN = re.compile(r"[^!-\[\]-~]")
_MOMENT = 27
_SHORT = 128
"""Characters that remain of a text if the whole event is too long."""


def fit_data(kind: EventType, data: Mapping[str, V], limit: int) -> dict[str, V]:
    """Return the public fields of an event with values that fit; a value that fits already is not changed.

    Args:
        kind: the event's type; a field that the type does not have is not changed, and is refused later.
        data: the values from the use case.
        limit: characters of all values together.
    """
    fields = CATALOGUE[kind].fields
    fitted: dict[str, object] = {name: _fit(fields.get(name), value) for name, value in data.items()}
    if sum(map(_most_characters, fitted.values())) > limit:
        fitted = _shorten(fields, fitted, limit, data)
    return fitted  # type: ignore[return-value]  # each value stays of its kind


def fit_personal(personal: Mapping[str, str]) -> dict[str, str]:
    """Return the personal fields of an event with values that fit."""
    return {name: _fit_text(value, MAX_STRING) for name, value in personal.items()}


def _fit(kind: FieldKind | None, value: object) -> object:
    if isinstance(value, str):
        if kind is FieldKind.TOKEN:
            return _fit_token(value)
        return _fit_text(value, MAX_STRING) if kind is FieldKind.TEXT else value
    if kind is FieldKind.INTEGER and isinstance(value, int):
        return max(-MAX_INTEGER, min(value, MAX_INTEGER)) if abs(value) > MAX_INTEGER else value
    if kind is FieldKind.TOKENS and isinstance(value, list | tuple):
        return _first(value, MAX_ITEMS)
    return value


def _first(items: Sequence[object], count: int) -> tuple[object, ...]:
    """Return at most `count` items; if there are more, the last one says how many are left out."""
    fitted = tuple(items[:count])
    if value_length(FieldKind.TOKENS, fitted) == INVALID:
        fitted = tuple([_fit_token(one) if isinstance(one, str) else one for one in fitted])
    return fitted if len(items) <= count else (*fitted[:-1], f"+{len(items) - count + 1}-more")


def _fit_token(value: str) -> str:
    if value_length(FieldKind.TOKEN, value) != INVALID:
        return value
    if not value:
        return _EMPTY
    # Characters beyond the limit are never shown, so they need not be escaped.
    safe = _FOREIGN.sub(_escape, value[: TOKEN_LIMIT + 1])
    if len(safe) <= TOKEN_LIMIT:
        return safe
    digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{safe[:_KEPT]}~sha256:{digest}"


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code > 0xFFFF:  # noqa: PLR2004  beyond four digits
        return f"\\U{code:08x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"  # noqa: PLR2004  one byte, two digits


def _fit_text(value: str, limit: int) -> str:
    fits = len(value) <= limit and value_length(FieldKind.TEXT, value) != INVALID
    return value if fits else printable(value, limit)


def _length(kind: FieldKind, value: object) -> int:
    """Return the length of a value in the event; 0 for a value that is refused later."""
    return _MOMENT if isinstance(value, datetime) else max(value_length(kind, value), 0)


def _most_characters(value: object) -> int:
    """Return at least the length of a value in the event, cheaply: nearly every event is far below the limit."""
    if isinstance(value, str):
        return len(value)
    return sum([len(one) for one in value if isinstance(one, str)]) if isinstance(value, tuple) else _MOMENT


def _shorten(
    fields: Mapping[str, FieldKind], fitted: dict[str, object], limit: int, data: Mapping[str, object]
) -> dict[str, object]:
    """Shorten the texts, then repeatedly the longest list, until all values together are within the limit."""
    lengths = {name: _length(fields[name], fitted[name]) for name in fields if name in fitted}
    for name in [name for name in lengths if fields[name] is FieldKind.TEXT]:
        value = fitted[name]
        if sum(lengths.values()) > limit and isinstance(value, str):
            fitted[name] = _fit_text(value, _SHORT)
            lengths[name] = min(lengths[name], _SHORT)
    counts = {name: len(one) for name, one in fitted.items() if name in lengths and isinstance(one, tuple)}
    while sum(lengths.values()) > limit and max(counts.values(), default=0) > 1:
        longest = max((name for name, count in counts.items() if count > 1), key=lambda name: lengths[name])
        counts[longest] //= 2
        items = data[longest]
        assert isinstance(items, list | tuple)
        fitted[longest] = _first(items, counts[longest])
        lengths[longest] = value_length(FieldKind.TOKENS, fitted[longest])
    return fitted
