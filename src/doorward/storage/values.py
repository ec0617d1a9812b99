"""The form of the records' values in a row, for text statements; the same on SQLite and PostgreSQL.

Not here: the same conversions as column types of Core (`types`, which explains the forms).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import TypeVar

from doorward.core.certificate import RevocationReason
from doorward.core.errors import IntegrityError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_Member = TypeVar("_Member", bound=Enum)
_REASONS = {reason.value: reason for reason in RevocationReason}


def to_microseconds(moment: datetime) -> int:
    """Return the microseconds since 1970; the subtraction raises for a naive datetime."""
    return (moment - _EPOCH) // _MICROSECOND


def from_microseconds(number: int) -> datetime:
    """Return the aware datetime, UTC."""
    return _EPOCH + timedelta(microseconds=number)


def to_optional_microseconds(moment: datetime | None) -> int | None:
    """Return the same, NULL for None."""
    return None if moment is None else to_microseconds(moment)


def from_optional_microseconds(number: int | None) -> datetime | None:
    """Return the same, None for NULL."""
    return None if number is None else from_microseconds(number)


def to_moments(moments: Mapping[_Member, datetime]) -> str:
    """Return a JSON object that maps enum values to microseconds, sorted by value."""
    return json.dumps({key.value: to_microseconds(at) for key, at in moments.items()}, sort_keys=True)


def from_moments(kind: type[_Member], text: str) -> dict[_Member, datetime]:
    """Parse the result of `to_moments`; raises as `from_word`."""
    return {from_word(kind, word): from_microseconds(number) for word, number in json.loads(text).items()}


def from_word(kind: type[_Member], word: str) -> _Member:
    """Return the member; raise `IntegrityError` (`word-unknown`) for a value that this version does not know."""
    try:
        return kind(word)
    except ValueError:
        raise IntegrityError(
            "word-unknown",
            f"the database holds a {kind.__name__} that this version of Doorward does not know",
            hint="it was written by a newer version or by hand: keep a copy of the database, and compare it with a backup",
        ) from None


def from_reason(word: str | None) -> RevocationReason:
    """Return the reason of a revocation, of a million in a row; `unspecified` for NULL, which only another program can have written."""
    word = word or RevocationReason.UNSPECIFIED.value
    return _REASONS.get(word) or from_word(RevocationReason, word)
