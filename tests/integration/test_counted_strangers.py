"""Events that strangers cause at a real door are recorded a few times and counted beyond; none is lost or doubled."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from doorward.audit.counting import PER_KEY
from doorward.audit.events import EventType
from doorward.runtime.evidence import Evidence
from tests.support.doorway import DOMAIN, eventually, open_doorway
from tests.support.flooding import client_context, hello, say_hello, self_made, shake_hands

OTHER, THIRD, FOURTH = "127.0.0.2", "127.0.0.3", "127.0.0.4"


def test_strangers_are_counted_at_every_door(tmp_path: Path) -> None:
    """Unknown names, unknown certificates and requests to the enrolment host add up exactly."""
    many = PER_KEY + 7
    with open_doorway() as door:
        door.apply("- {allow: {groups: [staff]}}")
        alice = door.person("alice", "staff")
        message = hello("nobody.test")
        stranger = client_context(self_made(tmp_path, "stranger"))
        anonymous = door.context(None)
        for _ in range(many):
            say_hello(door.port, message, OTHER)
            shake_hands(door.port, door.host("app"), stranger, THIRD)
            shake_hands(door.port, f"enroll.{DOMAIN}", anonymous, FOURTH)
        assert door.get(alice, "/honest").status == 200
        door.gateway.stop()
        assert eventually(lambda: not door.waiting())
        events = list(Evidence(door.installation).events(0))
    seen: Counter[str] = Counter()
    singles: Counter[str] = Counter()
    for one in events:
        source = one["personal"].get("source", "")
        if one["type"] == EventType.EVENTS_COUNTED.value:
            seen[source] += one["data"]["number"]
        elif one["type"] in {"handshake:failed", "connection:refused", "request:answered"}:
            seen[source] += 1
            singles[source] += 1
    assert {source: singles[source] for source in (OTHER, THIRD, FOURTH)} == dict.fromkeys(
        (OTHER, THIRD, FOURTH), PER_KEY
    )
    assert {source: seen[source] for source in (OTHER, THIRD, FOURTH)} == dict.fromkeys(
        (OTHER, THIRD, FOURTH), many
    )
