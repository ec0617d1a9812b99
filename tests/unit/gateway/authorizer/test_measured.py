"""The authorizer counts its answers by reason, and measures its steps."""

from __future__ import annotations

from doorward.audit.events import EventType
from doorward.gateway.authorizer.measuring import BOUNDS, MOST_REASONS, ConnectionMeter, Step
from tests.unit.gateway.authorizer.conftest import Place, url_pem
from tests.unit.gateway.authorizer.test_counted import stranger


def test_each_answer_is_counted_by_its_first_reason(place: Place) -> None:
    """An accepted connection, one without a certificate, and one with a certificate of somebody else's authority."""
    place.in_force()
    door = place.authorizer()
    held = place.world.issue("alice")
    for presented in (url_pem(held.der), "", stranger()):
        door.check(presented, place.metadata())
    recorded = [one for one in place.recorded if one.type is EventType.CONNECTION_REFUSED]
    reasons = {str(one.data["reasons"][0]) for one in recorded}  # type: ignore[index]
    answers = door.meter.report()["answers"]
    assert answers == {"allowed": 1, **dict.fromkeys(reasons, 1)}
    assert len(reasons) == 2
    assert sum(door.meter.report()["steps"]["whole"]["buckets"]) == 3
    assert sum(door.meter.report()["steps"]["judge"]["buckets"]) == 3


def test_a_bucket_counts_what_is_at_most_its_bound() -> None:
    """The last bucket has everything above; sums are in seconds."""
    meter = ConnectionMeter()
    for seconds in (BOUNDS[0], BOUNDS[0] * 1.01, 100.0):
        meter.note(Step.RECORD, seconds)
    found = meter.report()["steps"]["record"]
    assert found["buckets"] == [1, 1, *[0] * (len(BOUNDS) - 2), 1]
    assert 100.0 < found["sum"] < 100.01


def test_the_number_of_reasons_is_bounded() -> None:
    """The report is a part of the gateway's status, which has a limit."""
    meter = ConnectionMeter()
    for number in range(MOST_REASONS + 50):
        meter.count(f"reason-{number}")
    answers = meter.report()["answers"]
    assert len(answers) == MOST_REASONS + 1
    assert answers["other"] == 50
