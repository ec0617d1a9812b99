"""A socket on the door's port that no connection of ours owns is cut, and its end is on record."""

from __future__ import annotations

import contextlib
import time

from doorward.audit.events import EventType
from doorward.gateway.connections.reconciler import GRACE_SECONDS
from tests.support.doorway import eventually
from tests.support.house import open_house
from tests.support.watching import LiveStream, watching


def test_who_never_speaks_is_cut_and_on_record() -> None:
    """A handshake without a request ends after the grace; admitted connections go on."""
    with open_house() as house:
        house.apply("- {allow: {groups: [staff]}}")
        alice = house.person("alice", "staff")
        stream = LiveStream(house, alice)
        with watching(stream), house.connect(alice) as silent:
            began = time.monotonic()
            silent.settimeout(GRACE_SECONDS + 5)
            with contextlib.suppress(ConnectionResetError):
                assert silent.recv(1) == b""
            lasted = time.monotonic() - began
            print(f"\n  a connection that never spoke was cut after {lasted:.1f} s")
            assert GRACE_SECONDS - 1 < lasted < GRACE_SECONDS + 3
            assert eventually(lambda: bool(house.events(EventType.CONNECTION_CUT)), 3)
            assert not stream.ended
        (cut,) = house.events(EventType.CONNECTION_CUT)
        assert cut["data"]["reason"] == "unknown-connection"
        assert cut["data"]["means"].endswith(":cut")
        assert cut["personal"] == {"source": "127.0.0.1"}
