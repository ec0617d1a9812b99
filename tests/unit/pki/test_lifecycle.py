"""The certificate state table, and the time of renewal."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest

from doorward.core.certificate import CertificateState, RevocationReason
from doorward.core.errors import RequestRefused
from doorward.pki.lifecycle import (
    TRANSITIONS,
    LifecycleStep,
    Transition,
    check_transition,
    list_reasons,
    renewal_time,
)
from tests.support.refusals import refused

INTENDED, VALID = CertificateState.INTENDED, CertificateState.VALID
ON_HOLD, REVOKED = CertificateState.ON_HOLD, CertificateState.REVOKED


@pytest.mark.parametrize(
    ("before", "step", "after", "reason"),
    [
        (INTENDED, LifecycleStep.ISSUE, VALID, None),
        (VALID, LifecycleStep.REVOKE, REVOKED, RevocationReason.UNSPECIFIED),
        (VALID, LifecycleStep.HOLD, ON_HOLD, RevocationReason.CERTIFICATE_HOLD),
        (ON_HOLD, LifecycleStep.RELEASE, VALID, None),
        (ON_HOLD, LifecycleStep.REVOKE, REVOKED, RevocationReason.UNSPECIFIED),
    ],
)
def test_the_steps_that_there_are(before, step, after, reason):
    """Five transitions, and no other."""
    assert check_transition(before, step) == Transition(before=before, after=after, reason=reason)
    assert len(TRANSITIONS) == 5


def test_revocation_is_final():
    """No step leads out of revoked, and the refusal says so."""
    for step in LifecycleStep:
        with refused(RequestRefused, "transition-refused") as caught:
            check_transition(REVOKED, step)
        assert "final" in caught.value.hint


def test_a_revocation_keeps_its_reason():
    """The reason given is the reason recorded."""
    for reason in (RevocationReason.KEY_COMPROMISE, RevocationReason.SUPERSEDED):
        assert check_transition(VALID, LifecycleStep.REVOKE, reason).reason is reason


@pytest.mark.parametrize(
    ("state", "step", "reason"),
    [
        (VALID, LifecycleStep.REVOKE, RevocationReason.CERTIFICATE_HOLD),
        (VALID, LifecycleStep.REVOKE, RevocationReason.AA_COMPROMISE),
        (VALID, LifecycleStep.REVOKE, RevocationReason.CA_COMPROMISE),
        (VALID, LifecycleStep.HOLD, RevocationReason.KEY_COMPROMISE),
        (ON_HOLD, LifecycleStep.RELEASE, RevocationReason.SUPERSEDED),
        (INTENDED, LifecycleStep.ISSUE, RevocationReason.UNSPECIFIED),
    ],
)
def test_reasons_go_with_their_steps(state, step, reason):
    """A hold is no revocation reason, and the other way round; release and issue have none."""
    with refused(RequestRefused, "reason-refused"):
        check_transition(state, step, reason)


def test_a_hold_may_name_its_own_reason():
    """Saying certificate-hold with a hold is no contradiction."""
    transition = check_transition(VALID, LifecycleStep.HOLD, RevocationReason.CERTIFICATE_HOLD)
    assert transition.reason is RevocationReason.CERTIFICATE_HOLD


def test_reasons_that_are_listed_are_those_that_are_taken():
    """The list offers exactly what a revocation accepts."""
    accepted = []
    for reason in RevocationReason:
        with suppress(RequestRefused):
            check_transition(VALID, LifecycleStep.REVOKE, reason)
            accepted.append(reason)
    assert list(list_reasons()) == accepted


@pytest.mark.parametrize("reason", [RevocationReason.CA_COMPROMISE, RevocationReason.AA_COMPROMISE])
def test_reasons_of_other_certificates_are_refused(reason):
    """RFC 5280 section 5.3.1 keeps these for CA and attribute certificates, which the inventory has none of."""
    with refused(RequestRefused, "reason-refused"):
        check_transition(VALID, LifecycleStep.REVOKE, reason)


@pytest.mark.parametrize("year", [2026, 2037, 2038, 2050])
@pytest.mark.parametrize("life", [timedelta(hours=1, minutes=5), timedelta(days=90), timedelta(days=3652)])
def test_a_certificate_is_renewed_at_about_two_thirds_of_its_life(year, life):
    """The time is within a thirtieth of the life of two thirds, in UTC and whole seconds, also after 2038."""
    begin = datetime(year, 1, 18, 3, 14, 7, tzinfo=UTC)
    for key in map(str, range(50)):
        when = renewal_time(begin, begin + life, key)
        assert when.tzinfo is UTC
        assert when.microsecond == 0
        assert abs((when - begin) / life - 2 / 3) <= 1 / 30 + timedelta(seconds=1) / life


def test_renewals_of_a_fleet_are_spread_evenly():
    """Of 1,000 certificates issued together, no tenth of the spread gets more than 150, and a repetition gives the same times."""
    begin, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
    times = [renewal_time(begin, end, f"{number:064x}") for number in range(1000)]
    first, width = begin + (end - begin) * (2 / 3 - 1 / 30), (end - begin) * (1 / 15)
    tenths = [int((when - first) / width * 10) for when in times]
    assert max(map(tenths.count, range(10))) < 150
    assert min(map(tenths.count, range(10))) > 60
    assert times == [renewal_time(begin, end, f"{number:064x}") for number in range(1000)]


def test_the_time_of_renewal_is_found_for_any_dates():
    """An empty life is due at its begin, other time zones are converted, and a date without one is refused."""
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    assert renewal_time(begin, begin, "") == begin
    assert renewal_time(begin, begin - timedelta(days=1), "\ud800") == begin
    assert renewal_time(begin, begin + timedelta(seconds=1), "a") == begin
    assert renewal_time(begin, datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC), "a").year > 7000
    east = begin.astimezone(timezone(timedelta(hours=5)))
    assert renewal_time(east, east + timedelta(days=9), "a") == renewal_time(
        begin, begin + timedelta(days=9), "a"
    )
    for dates in ((begin.replace(tzinfo=None), begin), (begin, begin.replace(tzinfo=None))):
        with pytest.raises(ValueError, match="time zone"):
            renewal_time(*dates, "a")
