"""How often somebody may try."""

from __future__ import annotations

from datetime import timedelta

import pytest

from doorward.core.factor_kinds import FactorKind
from doorward.factors.throttling import (
    ADDRESS,
    FIRST,
    LOCKED_AFTER,
    LONGEST,
    TOTAL,
    AttemptAdmission,
    AttemptCount,
    Bucket,
    account_key,
    add_to_bucket,
    address_key,
    admit,
    attempts_in,
    count_attempt,
    is_full,
    take_back,
    wait_after,
)
from tests.support.ports import NOON

SECOND = timedelta(seconds=1)
FULL_ADDRESS = AttemptCount(tries=ADDRESS.tries, last_at=NOON)
FULL_TOTAL = AttemptCount(tries=TOTAL.tries, last_at=NOON)


def ask(
    tries: int,
    *,
    after: timedelta = timedelta(0),
    kind: FactorKind = FactorKind.TOTP,
    address: AttemptCount | None = None,
    total: AttemptCount | None = None,
) -> AttemptAdmission:
    """Ask for a try after so many, the last of them at noon."""
    account = AttemptCount(tries=tries, last_at=NOON)
    return admit(account=account, address=address, total=total, kind=kind, now=NOON + after)


def test_the_wait_doubles_after_five_free_tries() -> None:
    """30 s, 1, 2, 4, 8 minutes, and then 15 for good."""
    minutes = [wait_after(tries) / timedelta(minutes=1) for tries in range(13)]
    assert minutes == [0, 0, 0, 0, 0, 0.5, 1, 2, 4, 8, 15, 15, 15]


def test_an_account_without_a_failure_is_always_let_try() -> None:
    """Tries of others, at its address or everywhere, do not matter."""
    for account in (None, AttemptCount(tries=0, last_at=NOON)):
        found = admit(account=account, address=FULL_ADDRESS, total=FULL_TOTAL, kind=FactorKind.TOTP, now=NOON)
        assert found == AttemptAdmission(taken=True)


def test_the_sixth_try_waits_half_a_minute() -> None:
    """Refused until then, and taken from then on."""
    assert ask(4).taken
    assert ask(5) == AttemptAdmission(taken=False, until=NOON + FIRST)
    assert not ask(5, after=FIRST - SECOND).taken
    assert ask(5, after=FIRST).taken


@pytest.mark.parametrize("others", [{"address": FULL_ADDRESS}, {"total": FULL_TOTAL}])
def test_under_attack_the_second_try_waits(others: dict[str, AttemptCount]) -> None:
    """With a full count of the address, or of all, an account has one free try."""
    assert ask(1, **others) == AttemptAdmission(taken=False, until=NOON + FIRST)
    assert ask(1, after=FIRST, **others).taken
    assert ask(1).taken


def test_a_hundred_failures_lock_what_can_be_guessed() -> None:
    """However long it waits; a passkey cannot be guessed, and is not locked."""
    assert ask(LOCKED_AFTER, after=timedelta(days=9)) == AttemptAdmission(taken=False, locked=True)
    assert ask(LOCKED_AFTER, after=LONGEST, kind=FactorKind.WEBAUTHN).taken


def test_a_clock_that_was_set_back_does_not_lengthen_the_wait() -> None:
    """A last try in the future is counted again with the right time."""
    assert ask(5, after=-timedelta(days=3)).taken
    assert count_attempt(AttemptCount(tries=5, last_at=NOON), NOON - LONGEST) == AttemptCount(
        tries=6, last_at=NOON - LONGEST
    )
    assert add_to_bucket(FULL_ADDRESS, ADDRESS, NOON - LONGEST).last_at == NOON - LONGEST


def test_a_try_is_counted_and_taken_back() -> None:
    """The account's count begins at one; a bucket's loses the good one."""
    first = count_attempt(None, NOON)
    assert (first.tries, first.last_at) == (1, NOON)
    assert count_attempt(first, NOON + SECOND) == AttemptCount(tries=2, last_at=NOON + SECOND)
    assert take_back(None) is None
    assert take_back(first) is None
    assert take_back(AttemptCount(tries=2, last_at=NOON)) == first


def test_a_bucket_runs_out_exactly() -> None:
    """A part of the time that one try takes is not lost."""
    bucket = Bucket(tries=2, refill=10 * SECOND)
    count = add_to_bucket(add_to_bucket(None, bucket, NOON), bucket, NOON + 6 * SECOND)
    assert is_full(count, bucket, NOON + 6 * SECOND)
    count = add_to_bucket(count, bucket, NOON + 12 * SECOND)
    assert count == AttemptCount(tries=2, last_at=NOON + 10 * SECOND)
    assert attempts_in(count, bucket, NOON + 20 * SECOND) == 1
    assert attempts_in(None, bucket, NOON) == 0
    assert add_to_bucket(count, bucket, NOON + 99 * SECOND) == AttemptCount(
        tries=1, last_at=NOON + 99 * SECOND
    )


def test_a_bucket_never_holds_more_than_twice_its_tries() -> None:
    """A flood of an hour does not make a day of tightness."""
    count = AttemptCount(tries=3 * ADDRESS.tries, last_at=NOON)
    assert add_to_bucket(count, ADDRESS, NOON).tries == 2 * ADDRESS.tries + 1


def test_keys_name_certificate_network_and_kind() -> None:
    """Another certificate of the same person has a count of its own; a /64 has one."""
    assert account_key("per_a", "ab", FactorKind.WEBAUTHN) == "account:per_a:ab:webauthn"
    assert address_key("192.0.2.7") == address_key("::ffff:192.0.2.7") == "address:192.0.2.7"
    assert address_key("2001:db8::1") == address_key("2001:db8::ffff:2") == "address:2001:db8::/64"
    assert address_key("2001:db8:0:1::1") != address_key("2001:db8::1")
    assert address_key("elsewhere") == "address:unknown"


def test_a_negative_count_is_refused() -> None:
    """The constructor raises."""
    with pytest.raises(ValueError, match="negative"):
        AttemptCount(tries=-1, last_at=NOON)
