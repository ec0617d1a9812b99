"""A connection that loses its permissions is cut at once, by each mechanism, and others go on: three tries of each kind.

The long form, with figures of real processes, is tests/prove/test_withdrawal.py.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from doorward.access.policies import apply_document
from doorward.gateway.connections.cutter import Mechanism
from doorward.gateway.connections.sockdiag import dump_listeners
from tests.support.doorway import ACTOR, is_root, open_doorway
from tests.support.standstill import unexcused
from tests.support.tcp import greeter
from tests.support.watching import Sighting
from tests.support.withdrawal import HEADING, LIMIT_SECONDS, Figures, Scene, bystanders, measure
from tests.support.withdrawer import KINDS

TRIES = 3
MECHANISMS = (Mechanism.SOCK_DESTROY, Mechanism.PIDFD)


@pytest.mark.long
@pytest.mark.parametrize("mechanism", MECHANISMS, ids=lambda one: one.value)
def test_withdrawn_and_cut(mechanism: Mechanism) -> None:
    """New connection, live request and open WebSocket end within a second of the commit; others feel nothing."""
    if mechanism is Mechanism.SOCK_DESTROY and not is_root():
        pytest.skip("CAP_NET_ADMIN needs root")
    with greeter() as server, open_doorway(mechanism=mechanism, quick=False) as door:
        scene = Scene(door, server.port)
        print(f"\n{HEADING}")
        for kind in KINDS:
            figures = measure(scene, kind, TRIES)
            assert figures.faults == [], kind
            assert figures.worst() <= LIMIT_SECONDS, kind


@pytest.mark.parametrize("mechanism", MECHANISMS, ids=lambda one: one.value)
def test_a_connection_that_has_just_closed(mechanism: Mechanism) -> None:
    """Cutting what closes at that very moment neither ends the listener nor anybody else's connection.

    A look-up of a connection that is gone answers with the listener: ending that would shut the door.
    """
    if mechanism is Mechanism.SOCK_DESTROY and not is_root():
        pytest.skip("CAP_NET_ADMIN needs root")
    with open_doorway(mechanism=mechanism) as door:
        door.apply("- {allow: {groups: [staff]}}")
        victim, other = door.person("victim", "staff"), door.person("other", "staff")
        cutter = door.gateway.cutter
        with door.session(other) as kept:
            assert kept.request("GET", "/").status == 200
            listeners = {(one.cookie, one.inode) for one in dump_listeners(door.port)}
            for _ in range(20):
                with door.session(victim) as session, ThreadPoolExecutor(1) as another:
                    assert session.request("GET", "/").status == 200
                    port = session.socket.getsockname()[1]
                    (live,) = [one for one in door.gateway.connections.all() if one.remote.port == port]
                    meanwhile = another.submit(lambda one=live: [cutter.cut(one) for _ in range(20)])
                    session.close()
                results = [*meanwhile.result(), cutter.cut(live)]
                assert results[-1].ended, results
            assert {(one.cookie, one.inode) for one in dump_listeners(door.port)} == listeners
            assert kept.request("GET", "/").status == 200
        assert door.get(victim, "/").status == 200


def test_policies_that_follow_closely_disturb_no_connection() -> None:
    """A connection that loses nothing by many edits stays, and new ones wait instead of being refused."""
    with greeter() as server, open_doorway() as door:
        scene = Scene(door, server.port)
        figures = Figures("edits")
        seq = 0
        with bystanders(door, scene.others[0], figures):
            began = time.time()
            for edit in range(12):
                rules = "".join(
                    f"- {{deny: {{persons: [nobody-{edit}-{rule}]}}}}\n" for rule in range(edit % 3 + 1)
                )
                text = scene.document(rules)
                seq = apply_document(door.services, text, file="test.yaml", actor=ACTOR).seq
                time.sleep(0.02 * (edit % 5))
            door.settle(seq)
            # All of them take about a second. If they take three, in which one connection waits for all, the machine stood still.
            door.settled.append((began, time.time()))
        assert figures.faults == []


@pytest.mark.parametrize(
    ("seconds", "spans", "faults"),
    [
        (3.2, [(8.0, 10.5)], 0),
        (3.2, [(0.0, 0.9), (12.5, 14.0)], 0),
        (0.4, [(8.0, 10.5)], 1),
        (3.2, [], 1),
        (3.2, [(10.5, 11.4)], 1),
        (3.2, [(5.0, 9.9), (13.3, 19.0)], 1),
    ],
    ids=["stood still", "at its end", "refused at once", "no reason", "not long enough", "at another time"],
)
def test_only_a_standstill_excuses_a_refusal(
    seconds: float, spans: list[tuple[float, float]], faults: int
) -> None:
    """A bystander's refusal counts, unless the door waited as long as it may while the machine stood still."""
    refused = Sighting(10.0, 10.0 + seconds, 0, "/")
    assert unexcused([refused], spans) == [refused] * faults
