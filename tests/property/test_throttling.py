"""Throttling keeps its limit for any sequence of attempts."""

from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from doorward.core.factor_kinds import FactorKind
from doorward.factors.throttling import (
    ADDRESS,
    FREE,
    LOCKED_AFTER,
    LONGEST,
    TOTAL,
    AttemptCount,
    Bucket,
    add_to_bucket,
    admit,
    attempts_in,
    count_attempt,
    take_back,
    wait_after,
)
from tests.support.ports import NOON

MOMENTS = st.integers(-(10**6), 10**6).map(lambda seconds: NOON + timedelta(seconds=seconds))
COUNTS = st.none() | st.builds(AttemptCount, tries=st.integers(0, 5000), last_at=MOMENTS)
KINDS = st.sampled_from(FactorKind)


@given(account=COUNTS, address=COUNTS, total=COUNTS, kind=KINDS, now=MOMENTS)
def test_no_wait_is_longer_than_the_bound(
    account: AttemptCount | None,
    address: AttemptCount | None,
    total: AttemptCount | None,
    kind: FactorKind,
    now: datetime,
) -> None:
    """Unless what can be guessed was tried a hundred times with this certificate, the next try is near."""
    found = admit(account=account, address=address, total=total, kind=kind, now=now)
    if found.locked:
        assert kind is not FactorKind.WEBAUTHN
        assert account is not None
        assert account.tries >= LOCKED_AFTER
    elif not found.taken:
        assert found.until is not None
        assert now < found.until <= now + LONGEST
        later = admit(account=account, address=address, total=total, kind=kind, now=found.until)
        assert later.taken


@given(tries=st.integers(0, 200), free=st.integers(1, FREE))
def test_more_failures_never_wait_less(tries: int, free: int) -> None:
    """The wait grows with the failures, and shrinks with what is free."""
    assert timedelta(0) <= wait_after(tries, free) <= wait_after(tries + 1, free) <= LONGEST
    assert wait_after(tries, free + 1) <= wait_after(tries, free)


@given(account=COUNTS, now=MOMENTS)
def test_each_try_is_counted(account: AttemptCount | None, now: datetime) -> None:
    """The count grows by one, and its time is the try's."""
    after = count_attempt(account, now)
    assert after.tries == (account.tries if account else 0) + 1
    assert after.last_at == now


@given(
    steps=st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=60),
    bucket=st.sampled_from([ADDRESS, TOTAL, Bucket(tries=3, refill=timedelta(seconds=7))]),
)
def test_a_bucket_counts_what_was_tried_and_forgets_it_in_time(
    steps: list[tuple[int, bool]], bucket: Bucket
) -> None:
    """Never more than was tried, never below nothing, and nothing is left after its whole time."""
    count, now, bad = None, NOON, 0
    for seconds, good in steps:
        now += timedelta(seconds=seconds)
        count = add_to_bucket(count, bucket, now)
        bad += not good
        if good:
            count = take_back(count)
        assert 0 <= attempts_in(count, bucket, now) <= min(bad, 2 * bucket.tries + 1)
    assert attempts_in(count, bucket, now + bucket.refill * (2 * bucket.tries + 2)) == 0
