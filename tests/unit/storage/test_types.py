"""Column types keep values exactly."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import sqlite

from doorward.core.certificate import CertificateState
from doorward.core.errors import IntegrityError
from doorward.storage.types import EnumText, SerialNumber, TextList, Timestamp, WholeSeconds, closed_list
from doorward.storage.values import from_microseconds, to_microseconds
from tests.support.ports import NOON

DIALECT = sqlite.dialect()
MOMENTS = st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(9999, 12, 31)).map(  # noqa: DTZ001
    lambda naive: naive.replace(tzinfo=UTC)
)


@given(MOMENTS)
def test_a_timestamp_is_exact_to_the_microsecond(moment: datetime) -> None:
    """Any moment in UTC comes back as it was, and earlier ones are smaller numbers."""
    number = Timestamp().process_bind_param(moment, DIALECT)
    assert number is not None
    assert Timestamp().process_result_value(number, DIALECT) == moment
    assert to_microseconds(moment) < to_microseconds(moment + timedelta(microseconds=1)) == number + 1


def test_a_timestamp_of_another_zone_is_the_same_time() -> None:
    """The zone is lost, the moment is not."""
    berlin = NOON.astimezone(timezone(timedelta(hours=1)))
    assert from_microseconds(to_microseconds(berlin)) == NOON


def test_a_naive_timestamp_is_refused() -> None:
    """A moment without a zone means another time on another machine."""
    with pytest.raises(TypeError):
        Timestamp().process_bind_param(NOON.replace(tzinfo=None), DIALECT)


@given(st.integers(min_value=1, max_value=2**160 - 1))
def test_a_serial_is_kept_as_hex(number: int) -> None:
    """Any serial number of 20 octets comes back, which no SQL integer could hold."""
    text = SerialNumber().process_bind_param(number, DIALECT)
    assert text == f"{number:x}"
    assert SerialNumber().process_result_value(text, DIALECT) == number


@pytest.mark.parametrize(("number", "text"), [(0, "0"), (-1, "-1"), (-255, "-ff")])
def test_a_serial_that_is_not_positive_is_kept(number: int, text: str) -> None:
    """Others have issued such, and users are to be prepared for them (RFC 5280 section 4.1.2.2)."""
    assert SerialNumber().process_bind_param(number, DIALECT) == text
    assert SerialNumber().process_result_value(text, DIALECT) == number


def test_a_value_is_an_enum_member() -> None:
    """An enum member is its word in the row, and an unknown word is not a member."""
    kind = EnumText(CertificateState)
    assert kind.process_bind_param(CertificateState.ON_HOLD, DIALECT) == "on-hold"
    assert kind.process_result_value("on-hold", DIALECT) is CertificateState.ON_HOLD
    with pytest.raises(IntegrityError) as caught:
        kind.process_result_value("lost", DIALECT)
    assert (caught.value.code, bool(caught.value.hint)) == ("word-unknown", True)


@given(st.lists(st.text()).map(tuple))
def test_a_tuple_is_a_json_list(words: tuple[str, ...]) -> None:
    """A tuple of any texts comes back."""
    assert TextList().process_result_value(TextList().process_bind_param(words, DIALECT), DIALECT) == words


def test_a_duration_has_whole_seconds() -> None:
    """A duration comes back, and a part of a second is refused."""
    kept = WholeSeconds().process_bind_param(timedelta(hours=1, seconds=1), DIALECT)
    assert (kept, WholeSeconds().process_result_value(kept, DIALECT)) == (3601, timedelta(seconds=3601))
    with pytest.raises(ValueError, match="whole seconds"):
        WholeSeconds().process_bind_param(timedelta(milliseconds=1), DIALECT)


@pytest.mark.parametrize(
    "kind", [Timestamp(), SerialNumber(), EnumText(CertificateState), TextList(), WholeSeconds()]
)
def test_none_is_null(kind: Timestamp) -> None:
    """NULL is None both ways."""
    assert kind.process_bind_param(None, DIALECT) is None
    assert kind.process_result_value(None, DIALECT) is None


def test_a_check_constraint_lists_every_value() -> None:
    """The check constraint names the words of the enum, all of them."""
    assert str(closed_list("state", CertificateState).sqltext) == (
        "state IN ('intended', 'valid', 'on-hold', 'revoked')"
    )
