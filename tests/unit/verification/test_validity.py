"""RFC 5280 section 4.1.2.5: valid from notBefore through notAfter, in whole seconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from doorward.verification.validity import ends_at, has_begun, has_ended
from tests.support.ports import NOON

SECOND, MOMENT = timedelta(seconds=1), timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("now", "ended"),
    [
        (NOON - MOMENT, False),
        (NOON, False),
        (NOON + SECOND / 2, False),
        (NOON + SECOND - MOMENT, False),
        (NOON + SECOND, True),
    ],
)
def test_the_second_of_not_after_belongs_to_it(now, ended):
    """As a whole: it has ended when the next one begins."""
    assert has_ended(NOON, now) is ended
    assert (now >= ends_at(NOON)) is ended


@pytest.mark.parametrize(("now", "begun"), [(NOON - MOMENT, False), (NOON, True), (NOON + MOMENT, True)])
def test_not_before_is_included(now, begun):
    """And no moment before it."""
    assert has_begun(NOON, now) is begun


def test_what_never_ends_has_no_end():
    """99991231235959Z (section 4.1.2.5)."""
    never = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert not has_ended(never, never)
    assert ends_at(never) == datetime.max.replace(tzinfo=UTC)
