"""Ending connections: taken from the registry, cut, recorded, and what a failure leaves behind."""

from __future__ import annotations

import pytest

from doorward.audit.events import EventType
from doorward.core.errors import IntegrityError, Unavailable
from doorward.gateway.connections import ending as module
from doorward.gateway.connections.cutter import CutResult, Mechanism
from doorward.gateway.connections.ending import ConnectionEnder, EndReason
from doorward.gateway.connections.endpoints import parse_endpoint
from doorward.gateway.connections.registry import ConnectionRegistry
from doorward.gateway.connections.sockdiag import CutOutcome, SocketFacts, TcpState
from tests.support.cutting import FakeCutter
from tests.support.world import World, empty_world
from tests.unit.gateway.live import LOCAL, live, pending

GATEWAY = "gtw_" + "a" * 20
APP, CERTIFICATE, PERSON = "app_" + "b" * 20, "crt_" + "c" * 20, "per_" + "d" * 20


@pytest.fixture
def world() -> World:
    """Empty stores that events can go to."""
    return empty_world()


def registry(*cookies: int) -> ConnectionRegistry:
    """A registry with these connections."""
    made = ConnectionRegistry()
    for cookie in cookies:
        made.begin(pending(cookie))
        known = {"application_id": APP, "certificate_id": CERTIFICATE, "principal_id": PERSON}
        assert made.admit(live(cookie, **known), judged_at=0)
    return made


def test_what_is_ended_is_forgotten_and_on_record(world: World) -> None:
    """An ended connection leaves the registry; its event has its principal, the reason and the means."""
    connections, cutter = registry(1, 2), FakeCutter()
    ender = ConnectionEnder(world.services, GATEWAY, connections, cutter)  # type: ignore[arg-type]
    one = connections.get(1)
    assert one is not None
    results = ender.end([one], EndReason.DEADLINE)
    assert [(result.cookie, result.ended) for result in results] == [(1, True)]
    assert [left.cookie for left in connections.all()] == [2]
    assert connections.condemned() == ()
    (event,) = world.events(EventType.CONNECTION_CUT)
    assert event.data == {
        "connection": "c1",
        "gateway": GATEWAY,
        "reason": "deadline",
        "application": APP,
        "certificate": CERTIFICATE,
        "principal": PERSON,
        "means": "pidfd:cut",
        "revision": 3,
    }


def test_authority_is_gone_before_the_cut(world: World) -> None:
    """When the cutter is called the connection is in no index any more: a cut that hangs gives nothing."""
    connections, cutter = registry(1), FakeCutter()
    seen: list[tuple[int, int]] = []
    cutter.before = lambda: seen.append((len(connections.all()), len(connections.condemned())))
    ConnectionEnder(world.services, GATEWAY, connections, cutter).end(  # type: ignore[arg-type]
        connections.all(), EndReason.AUTHORITY_WITHDRAWN
    )
    assert seen == [(0, 1)]


def test_what_resists_stays_condemned(world: World) -> None:
    """A cut that fails is on record as such, and the connection waits for the reconciler."""
    connections, cutter = registry(1, 2), FakeCutter()
    cutter.resisting = {2}
    ender = ConnectionEnder(world.services, GATEWAY, connections, cutter)  # type: ignore[arg-type]
    ender.end(connections.all(), EndReason.AUTHORITY_WITHDRAWN)
    assert [one.cookie for one in connections.condemned()] == [2]
    means = [event.data["means"] for event in world.events(EventType.CONNECTION_CUT)]
    assert means == ["pidfd:cut", "pidfd:missed"]


def test_what_is_no_longer_live_is_left_out(world: World) -> None:
    """A connection that ended by itself is neither cut nor recorded."""
    connections, cutter = registry(1, 2), FakeCutter()
    known = connections.all()
    connections.forget(1)
    ender = ConnectionEnder(world.services, GATEWAY, connections, cutter)  # type: ignore[arg-type]
    assert [result.cookie for result in ender.end(known, EndReason.DEADLINE)] == [2]
    assert ender.end(known, EndReason.DEADLINE) == []
    assert cutter.batches == [[2]]
    assert len(world.events(EventType.CONNECTION_CUT)) == 1


def test_a_record_that_fails_does_not_undo_the_cut(world: World) -> None:
    """Withdrawals are enforced also if they cannot be recorded."""
    connections, cutter = registry(1), FakeCutter()
    world.work.broken = Unavailable("database-unavailable", "the disk is full")
    ender = ConnectionEnder(world.services, GATEWAY, connections, cutter)  # type: ignore[arg-type]
    results = ender.end(connections.all(), EndReason.AUTHORITY_WITHDRAWN)
    assert results[0].ended
    assert cutter.cut == [1]
    assert connections.all() == ()


def test_the_record_can_wait(world: World) -> None:
    """If another thread records later, the cut waits for no disk, and nothing is recorded twice."""
    connections, cutter = registry(1, 2), FakeCutter()
    calls: list[int] = []
    ender = ConnectionEnder(world.services, GATEWAY, connections, cutter, later=lambda: calls.append(1))  # type: ignore[arg-type]
    for one in connections.all():
        ender.end([one], EndReason.AUTHORITY_WITHDRAWN)
    assert (cutter.cut, len(calls)) == ([1, 2], 2)
    assert world.events(EventType.CONNECTION_CUT) == []
    ender.record()
    ender.record()
    assert [event.data["connection"] for event in world.events(EventType.CONNECTION_CUT)] == ["c1", "c2"]


def test_what_cannot_be_recorded_waits(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events of cuts are kept while the database is away, the newest ones, within a limit."""
    monkeypatch.setattr(module, "MOST_UNRECORDED", 2)
    connections, cutter = registry(1, 2, 3), FakeCutter()
    ender = ConnectionEnder(world.services, GATEWAY, connections, cutter)  # type: ignore[arg-type]
    world.work.broken = Unavailable("database-unavailable", "the disk is full")
    ender.end(connections.all(), EndReason.AUTHORITY_WITHDRAWN)
    world.work.broken = None
    ender.record()
    assert [event.data["connection"] for event in world.events(EventType.CONNECTION_CUT)] == ["c2", "c3"]


def test_what_the_database_refuses_does_not_block_the_others(world: World) -> None:
    """An event that can never be recorded is given up; its cut is in the log of the process."""
    connections, cutter = registry(1, 2), FakeCutter()
    ender = ConnectionEnder(world.services, GATEWAY, connections, cutter)  # type: ignore[arg-type]
    first, second = connections.all()
    world.work.broken = IntegrityError("store-contradiction", "twice")
    ender.end([first], EndReason.AUTHORITY_WITHDRAWN)
    world.work.broken = None
    ender.end([second], EndReason.AUTHORITY_WITHDRAWN)
    assert [event.data["connection"] for event in world.events(EventType.CONNECTION_CUT)] == ["c2"]


def test_an_unknown_socket_is_on_record(world: World) -> None:
    """A socket of no admitted connection leaves an event when it is cut, with its address as personal data."""
    ender = ConnectionEnder(world.services, GATEWAY, registry(), FakeCutter())  # type: ignore[arg-type]
    facts = SocketFacts(77, 9, TcpState.ESTABLISHED, LOCAL, parse_endpoint("198.51.100.7:4000"))
    result = CutResult(cookie=77, mechanism=Mechanism.SOCK_DESTROY, outcome=CutOutcome.CUT, seconds=0.001)
    ender.note_unknown_socket(facts, result)
    (event,) = world.events(EventType.CONNECTION_CUT)
    assert event.data == {
        "connection": "socket-77",
        "gateway": GATEWAY,
        "reason": "unknown-connection",
        "means": "sock-destroy:cut",
    }
    assert event.personal == {"source": "198.51.100.7"}
