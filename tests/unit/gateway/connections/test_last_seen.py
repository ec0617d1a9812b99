"""When certificates were last seen at this door."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest

from doorward.core.errors import Unavailable
from doorward.gateway.connections import last_seen
from doorward.gateway.connections.last_seen import LastSeen
from doorward.gateway.connections.registry import ConnectionRegistry
from tests.support.world import Held, World, found_world
from tests.unit.gateway.live import live, pending

MINUTE = timedelta(minutes=1)


@dataclass
class Door:
    """A gateway's connections, and the notes about them."""

    world: World
    connections: ConnectionRegistry
    notes: LastSeen

    def open(self, cookie: int, held: Held | None, app: str = "app_a") -> None:
        """Admit a connection; None shows no certificate."""
        certificate_id = held.record.id if held else ""
        self.connections.begin(pending(cookie))
        connection = live(cookie, certificate_id=certificate_id, application_id=app)
        assert self.connections.admit(connection, judged_at=0)

    def seen(self, held: Held) -> tuple[datetime | None, str] | None:
        """Return when and where a certificate was seen."""
        with self.world.work.read() as stores:
            found = stores.facts.of([held.record.id]).get(held.record.id)
        return (found.seen_at, found.seen_application) if found else None


@pytest.fixture
def door() -> Door:
    """A door without connections."""
    world = found_world()
    connections = ConnectionRegistry()
    return Door(world, connections, LastSeen(world.services, connections))


def test_connected_and_gone_certificates_are_noted(door: Door) -> None:
    """Those that are connected, and those that came and went since the last time; the newest connection says where."""
    alice, bob, carol = (door.world.issue(name) for name in ("alice", "bob", "carol"))
    door.open(1, alice)
    door.open(2, bob, "app_b")
    door.connections.forget(2)
    door.open(3, None)
    door.open(4, alice, "app_c")
    assert door.notes.note() == 2
    now = door.world.clock.now()
    assert (door.seen(alice), door.seen(bob), door.seen(carol)) == ((now, "app_c"), (now, "app_b"), None)


def test_a_condemned_certificate_was_seen(door: Door) -> None:
    """A cut connection is one that came and went."""
    alice = door.world.issue("alice")
    door.open(1, alice)
    door.connections.condemn(1)
    assert door.notes.note() == 1


def test_an_open_connection_is_noted_again_after_a_while(door: Door) -> None:
    """Each five minutes, not each minute; a clock that is put back delays nothing."""
    alice = door.world.issue("alice")
    door.open(1, alice)
    counts = []
    for _ in range(11):
        counts.append(door.notes.note())
        door.world.clock.turn(seconds=MINUTE.total_seconds())
    assert counts == [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]
    door.world.clock.turn(seconds=(-10 * MINUTE).total_seconds())
    assert door.notes.note() == 0  # the store keeps the later time
    door.world.clock.turn(seconds=(16 * MINUTE).total_seconds())
    assert door.notes.note() == 1


def test_if_nothing_is_due_the_database_is_left_alone(door: Door) -> None:
    """Thousands of open connections take no write lock each minute."""
    door.open(1, door.world.issue("alice"))
    assert door.notes.note() == 1
    before = door.world.work.state
    assert door.notes.note() == 0
    assert door.world.work.state is before


def test_a_note_is_no_change_and_no_event(door: Door) -> None:
    """No gateway acts on it, and the audit log does not grow."""
    door.open(1, door.world.issue("alice"))
    before = (door.world.head(), len(door.world.work.events))
    assert door.notes.note() == 1
    assert (door.world.head(), len(door.world.work.events)) == before


def test_notes_are_dropped_if_the_database_is_away(door: Door) -> None:
    """Nothing waits for it; an open connection is noted the next time."""
    alice = door.world.issue("alice")
    door.open(1, alice)
    door.world.work.broken = Unavailable("store-busy", "busy")
    assert door.notes.note() == 0
    door.world.work.broken = None
    assert door.notes.note() == 1


def test_one_transaction_is_small(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is too much for one waits for the next, so that no withdrawal waits for long."""
    monkeypatch.setattr(last_seen, "MOST_AT_ONCE", 2)
    for cookie, name in enumerate(("alice", "bob", "carol"), start=1):
        door.open(cookie, door.world.issue(name))
        door.connections.forget(cookie)
    assert [door.notes.note() for _ in range(3)] == [2, 1, 0]


def test_it_runs_until_it_is_stopped(door: Door) -> None:
    """A failure does not end it."""
    stop = threading.Event()
    noted = threading.Event()
    rounds = []

    class Failing(ConnectionRegistry):
        def take_seen(self) -> dict[str, str]:
            rounds.append(1)
            if len(rounds) == 1:
                raise RuntimeError("a defect")
            noted.set()
            return {}

    runs = threading.Thread(
        target=lambda: LastSeen(door.world.services, Failing()).run(stop, seconds=0.001), daemon=True
    )
    runs.start()
    assert noted.wait(60)
    stop.set()
    runs.join(60)
    assert not runs.is_alive()
