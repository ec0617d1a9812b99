"""A flood writes no record: bounded leaves, honest events on time, withdrawals all the while.

Measured on a machine that does nothing else: the figures are printed.
"""

from __future__ import annotations

from datetime import datetime

import pytest

from doorward.audit.events import EventType
from doorward.core.entities import PrincipalKind
from doorward.directory.principals import add_principal
from tests.support.doorway import ACTOR
from tests.support.flooding import flooding, made_by
from tests.support.honest import Honest, Withdrawals
from tests.support.house import House, open_house

FLOOD_SECONDS = 20.0
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
