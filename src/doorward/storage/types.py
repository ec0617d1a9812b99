"""Column types: the form of the records' values in a row, the same on SQLite and PostgreSQL.

Not here: the tables (`schema`).

    Timestamp      aware UTC datetime    BIGINT, microseconds since 1970: exact, sortable, without a time zone
    SerialNumber   positive integer      lower-case hex text without leading zeros: no SQL integer holds 20 octets
    EnumText       enum member           its value; `closed_list` adds the check that the column holds no other
    TextList       tuple of texts        JSON list
    WholeSeconds   timedelta             BIGINT, whole seconds
"""

# ruff: noqa: ARG002 - the dialect is an argument of SQLAlchemy; these types are the same on all dialects

from __future__ import annotations

import json
from datetime import datetime, timedelta
from enum import Enum

from sqlalchemy import BigInteger, CheckConstraint, Dialect, Text
from sqlalchemy.types import TypeDecorator

from doorward.storage.values import from_microseconds, from_word, to_microseconds

_SECOND = timedelta(seconds=1)


class Timestamp(TypeDecorator[datetime]):
    """A UTC time as microseconds since 1970."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """Return the microseconds."""
        return None if value is None else to_microseconds(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        """Return the aware datetime."""
        return None if value is None else from_microseconds(value)


class SerialNumber(TypeDecorator[int]):
    """A certificate's serial number as hex text."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> str | None:
        """Return the hex digits, with a minus sign if an issuer broke RFC 5280 section 4.1.2.2."""
        return None if value is None else f"{value:x}"

    def process_result_value(self, value: str | None, dialect: Dialect) -> int | None:
        """Return the number."""
        return None if value is None else int(value, 16)


class EnumText(TypeDecorator[Enum]):
    """A member of a closed enum as its value."""

    impl = Text
    cache_ok = True

    def __init__(self, kind: type[Enum]) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: Enum | None, dialect: Dialect) -> str | None:
        """Return the value."""
        return None if value is None else str(value.value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Enum | None:
        """Return the member; raise `IntegrityError` (`word-unknown`) for a value that this version does not know."""
        if value is None:
            return None
        return from_word(self.kind, value)


class TextList(TypeDecorator[tuple[str, ...]]):
    """A tuple of texts as a JSON list."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: tuple[str, ...] | None, dialect: Dialect) -> str | None:
        """Return the list as JSON."""
        return None if value is None else json.dumps(value, ensure_ascii=False)

    def process_result_value(self, value: str | None, dialect: Dialect) -> tuple[str, ...] | None:
        """Return the tuple."""
        return None if value is None else tuple(json.loads(value))


class WholeSeconds(TypeDecorator[timedelta]):
    """A duration in whole seconds."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: timedelta | None, dialect: Dialect) -> int | None:
        """Return the seconds; refuse fractions of a second, which would be lost."""
        if value is not None and value.microseconds:
            raise ValueError(f"a duration must be whole seconds: {value}")
        return None if value is None else value // _SECOND

    def process_result_value(self, value: int | None, dialect: Dialect) -> timedelta | None:
        """Return the duration."""
        return None if value is None else timedelta(seconds=value)


def closed_list(column: str, kind: type[Enum]) -> CheckConstraint:
    """Return the check that a column holds values of the enum only; NULL passes if the column allows NULL."""
    words = ", ".join(f"'{member.value}'" for member in kind)
    return CheckConstraint(f"{column} IN ({words})", name=f"{column}_known")
