"""`directory.pruning`: what is past goes, what may be looked at stays."""

from __future__ import annotations

from datetime import timedelta

from doorward.directory.pruning import KEPT, THROTTLES_KEPT, prune_expired
from tests.support.factor_records import ALICE, enrolment_ticket, session, session_code, step_up, throttle
from tests.support.ports import NOON
from tests.support.world import found_world

SECOND = timedelta(seconds=1)


def test_what_is_past_is_removed() -> None:
    """Codes and step-ups go when they expire; sessions, tickets and failed tries are kept for a while."""
    world = found_world(document="")
    with world.work.change() as stores:
        for name, end in {"past": NOON - SECOND, "open": NOON + SECOND}.items():
            stores.session_codes.add(session_code(name, expires_at=end))
            stores.step_ups.add(step_up(name, expires_at=end))
            stores.sessions.add(session(name, ends_at=end - KEPT))
            stores.enrolment_tickets.add(enrolment_ticket(name, expires_at=end - KEPT))
            stores.throttles.save(throttle(name, last_at=end - THROTTLES_KEPT))
    assert prune_expired(world.services) == 5
    assert prune_expired(world.services) == 0
    with world.work.change() as stores:
        assert stores.session_codes.take(session_code("open").code_sha256)
        assert stores.step_ups.get(step_up("open").id)
        assert stores.sessions.get(session("open").id)
        assert stores.enrolment_tickets.open_for(ALICE, NOON - KEPT)
        assert list(stores.throttles.get(["past", "open"])) == ["open"]
