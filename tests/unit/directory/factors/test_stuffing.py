"""A small credential stuffing; the large one is tests/prove/test_credential_stuffing.py."""

from __future__ import annotations

from doorward.factors.throttling import LONGEST
from tests.support.stuffing import besiege
from tests.support.world import found_world


def test_no_attacker_gets_in_and_no_owner_is_kept_out() -> None:
    """Wrong passwords for every account from few addresses: most are not even judged, and its persons come in."""
    world = found_world()
    siege = besiege(world.services, world.clock, accounts=15)
    outcome = siege.attack(addresses=3, tries=300, threads=4, honest=4)
    assert outcome.entries == 0
    assert outcome.busy == 0
    assert outcome.refused > 100
    assert outcome.judged < 250
    assert siege.budget.most <= 2
    assert len(outcome.waits) >= 60
    assert max(outcome.waits) <= LONGEST
