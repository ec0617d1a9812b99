"""A flood writes no record: bounded leaves, honest events on time, withdrawals all the while.

Measured on a machine that does nothing else: the figures are printed.
"""

from __future__ import annotations

from datetime import datetime
from statistics import median

import pytest

from doorward.audit.events import EventType
from doorward.core.entities import PrincipalKind
from doorward.directory.principals import add_principal
from tests.support.doorway import ACTOR
from tests.support.flooding import flooding, made_by
from tests.support.honest import Honest, Withdrawals
from tests.support.house import House, open_house
from tests.support.watching import NewConnections, watching

FLOOD_SECONDS = 20.0
CAPACITY_SECONDS = 5.0
LEAST_SHARE = 0.95
"""Of the honest connections that are served while twice as many handshakes are begun as the door can answer."""

MOST_LEAVES = 2_000
MOST_LATE_SECONDS = 2.0


def leaves(house: House) -> int:
    """Events that are leaves or wait to be."""
    with house.installation.event_log.read() as store:
        return store.tree_size() + store.waiting()


def lateness(house: House) -> float:
    """The longest time between the end of an honest request and its event."""
    late = 0.0
    for one in house.events(EventType.REQUEST_ANSWERED):
        if "principal" in one["data"] and one["personal"].get("path", "").startswith("/honest/"):
            ended = datetime.fromisoformat(one["data"]["started_at"]).timestamp()
            ended += one["data"].get("duration_ms", 0) / 1000
            late = max(late, datetime.fromisoformat(one["at"]).timestamp() - ended)
    return late


@pytest.mark.parametrize("kind", ["hellos", "handshakes"])
def test_a_flood_of_twenty_seconds(kind: str) -> None:
    """From one address, and from a thousand with a fresh certificate each."""
    with open_house() as house:
        house.apply("- {allow: {groups: [staff]}}")
        alice = house.person("alice", "staff")
        add_principal(house.services, PrincipalKind.PERSON, "mallory", actor=ACTOR)
        before = leaves(house)
        with (
            Honest(house, alice) as honest,
            Withdrawals(house) as withdrawals,
            flooding(kind, house.port, FLOOD_SECONDS, house.host("app")) as flooder,
        ):
            flooder.wait(FLOOD_SECONDS + 60)
        made = made_by(flooder)
        written = leaves(house) - before
        own = len(withdrawals.seconds) + 4 * honest.sent
        late = lateness(house)
        print(
            f"\n  {kind}: {made} connections in {FLOOD_SECONDS:g} s, {written} leaves in all, of honest traffic and "
            f"withdrawals at most {own}; honest requests {honest.answered} of {honest.sent}, recorded at most "
            f"{late:.2f} s late; {len(withdrawals.seconds)} withdrawals, the slowest {max(withdrawals.seconds):.2f} s"
        )
        assert withdrawals.failures == []
        assert written <= MOST_LEAVES
        assert honest.answered == honest.sent
        assert late <= MOST_LATE_SECONDS


def test_handshakes_at_twice_the_capacity() -> None:
    """Of two clients that connect all the while at least the stated share is served; afterwards all is as before."""
    with open_house() as house:
        house.apply("- {allow: {groups: [staff]}}")
        people = [house.person(name, "staff") for name in ("alice", "bob")]
        host = house.host("app")
        with flooding("begun", house.port, CAPACITY_SECONDS, host) as flooder:
            flooder.wait(CAPACITY_SECONDS + 60)
        capacity = made_by(flooder) / CAPACITY_SECONDS
        honest = [NewConnections(house, one, path="/honest/", pause=0.25) for one in people]
        with (
            watching(*honest),
            flooding("paced", house.port, FLOOD_SECONDS, host, str(2 * capacity)) as flooder,
        ):
            flooder.wait(FLOOD_SECONDS + 60)
        rate = made_by(flooder) / FLOOD_SECONDS
        good = [sighting for one in honest for sighting in one.good]
        refused = [sighting for one in honest for sighting in one.refused]
        waits = sorted(one.arrived - one.began for one in good)
        share = len(good) / (len(good) + len(refused))
        print(
            f"\n  {rate:.0f} handshakes begun a second, of which the door can answer {capacity:.0f}: {share:.1%} of"
            f" {len(good) + len(refused)} honest connections served, after {median(waits):.2f} s (median), {waits[-1]:.2f} s (worst)"
        )
        assert share >= LEAST_SHARE
        assert all(house.lets_in(one) for one in people)
