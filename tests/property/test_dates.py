"""Every judge counts a certificate's dates alike, and every deadline ends where its judge would refuse."""

from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import example, given
from hypothesis import strategies as st

from doorward.core.entities import Reason
from doorward.verification.path.conformance import check_dates
from doorward.verification.path.rules import PathRule
from doorward.verification.steps import judge_dates
from doorward.verification.validity import ends_at
from tests.support.certificates.issuing import certify
from tests.support.certificates.judging import judge_partner, partner
from tests.support.certificates.status import list_of
from tests.support.ports import NOON
from tests.unit.verification.test_verifier import LEAF as OURS
from tests.unit.verification.test_verifier import judge as judge_own

ROOT = certify("Root", not_before=NOON - timedelta(days=1), not_after=NOON + timedelta(days=9))
LEAF = certify("alice", ROOT, ca=False)
CLINIC = partner("clinic", ROOT)
DATES = {Reason.CERTIFICATE_EXPIRED, Reason.CERTIFICATE_NOT_YET_VALID, Reason.CERTIFICATE_IN_TIME}

seconds = st.integers(-3, 3).map(lambda count: timedelta(seconds=count))
parts = st.integers(0, 999_999).map(lambda count: timedelta(microseconds=count))


def dates_of(reasons: tuple[Reason, ...]) -> Reason:
    """The one word about dates."""
    (word,) = DATES.intersection(reasons)
    return word


@given(end=st.sampled_from(["not_before", "not_after"]), by=seconds, part=parts)
@example(end="not_after", by=timedelta(0), part=timedelta(milliseconds=500))
@example(end="not_after", by=timedelta(seconds=1), part=timedelta(0))
def test_all_judges_agree_on_every_boundary(end, by, part):
    """Our own judge, the partners' judge, and the path that authorities and signers of evidence are judged by."""
    certificate = LEAF.parsed
    now: datetime = getattr(certificate, end) + by + part
    own = judge_dates(certificate.not_before, certificate.not_after, now)
    lists = [list_of(ROOT, this_update=now, next_update=now + timedelta(hours=1))]
    found = judge_partner(LEAF, CLINIC, crls=lists, now=now)
    assert dates_of(found.verdict.reasons) is own
    broken = {one.rule for one in check_dates(certificate, now)}
    assert (
        broken
        == {
            Reason.CERTIFICATE_IN_TIME: set(),
            Reason.CERTIFICATE_EXPIRED: {PathRule.EXPIRED},
            Reason.CERTIFICATE_NOT_YET_VALID: {PathRule.NOT_YET_VALID},
        }[own]
    )
    assert (own is Reason.CERTIFICATE_EXPIRED) is (now >= ends_at(certificate.not_after))


@given(by=seconds, part=parts)
def test_our_own_judge_asks_the_same_function(by, part):
    """Of a certificate of ours and of its row in the inventory."""
    not_before, not_after = OURS.certificate.not_valid_before_utc, OURS.certificate.not_valid_after_utc
    now = not_after + by + part
    assert dates_of(judge_own(OURS, now).verdict.reasons) is judge_dates(not_before, not_after, now)
