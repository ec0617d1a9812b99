"""When evidence is fetched next."""

from __future__ import annotations

from datetime import timedelta

import pytest

from doorward.partners.evidence.failures import (
    FIRST_RETRY,
    LONGEST_RETRY,
    next_try_after_failure,
    next_try_after_success,
)
from tests.support.ports import NOON

HOUR, MINUTE, SECOND = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)


@pytest.mark.parametrize(
    ("refresh", "left", "pause"),
    [
        (HOUR, 24 * HOUR, HOUR),
        (HOUR, None, HOUR),
        (HOUR, HOUR, HOUR / 2),
        (HOUR, 10 * SECOND, 30 * SECOND),
        (HOUR, -HOUR, 30 * SECOND),
        (5 * SECOND, 24 * HOUR, 5 * SECOND),
        (5 * SECOND, SECOND, 5 * SECOND),
        (timedelta(0), None, SECOND),
    ],
)
def test_it_is_renewed_before_it_ends_and_within_refresh(refresh, left, pause):
    """After `refresh` or half of the remaining validity, less a random part."""
    next_update = None if left is None else NOON + left
    assert next_try_after_success(NOON, refresh, next_update, 0.0) == NOON + pause
    assert next_try_after_success(NOON, refresh, next_update, 1.0) == NOON + 0.9 * pause


def test_failures_back_off():
    """Each failure in a row doubles the pause, up to an hour, less a random part of up to half."""
    pauses = [
        next_try_after_failure(NOON, 24 * HOUR, failures, 0.0) - NOON for failures in (1, 2, 3, 50, 10_000)
    ]
    assert pauses == [FIRST_RETRY, 2 * FIRST_RETRY, 4 * FIRST_RETRY, LONGEST_RETRY, LONGEST_RETRY]
    assert next_try_after_failure(NOON, 24 * HOUR, 2, 1.0) == NOON + FIRST_RETRY


def test_a_failure_is_tried_again_within_refresh():
    """A dead responder is asked at least as often as a good one."""
    assert next_try_after_failure(NOON, MINUTE, 10, 0.0) == NOON + MINUTE
    assert next_try_after_failure(NOON, timedelta(0), 10, 0.0) == NOON + SECOND
