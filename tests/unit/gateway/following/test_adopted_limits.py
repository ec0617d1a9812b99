"""Adopted connections and what the journal cannot tell: the time, sessions, a database that was put back, old documents."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from doorward.gateway.connections.connection import LiveConnection
from doorward.gateway.following import adopted as module
from doorward.gateway.following import follower as following
from doorward.stores import policy_snapshot
from tests.support.ports import NOON
from tests.support.world import DOCUMENT, Held, found_world
from tests.unit.gateway.following.conftest import Scene, scene_of
from tests.unit.gateway.following.restarting import (
    TWO_GROUPS,
    WIDER,
    Restart,
    signed_out,
)
from tests.unit.gateway.following.test_sessions import RULES, enter_portal, raise_epoch, sign_in
from tests.unit.gateway.live import pending

# time


def test_what_ended_meanwhile_is_ended_first(restart: Restart) -> None:
    """The clock went on."""
    restart.connect("alice")
    ends_at = restart.scene.live(1).ends_at
    restart.die()
    restart.scene.world.clock.turn(seconds=(ends_at - NOON).total_seconds())
    scene = restart.come_back()
    assert scene.cuts() == ["deadline"]


TIMED = DOCUMENT.replace(
    "allow: {groups: [tellers]}",
    'allow: {groups: [tellers], time: {from: "08:00", to: "14:00", zone: UTC}}',
)


def test_a_window_that_closed_meanwhile(restart: Restart) -> None:
    """Also if it is open again when the next gateway comes."""
    restart.scene.apply(TIMED)
    restart.scene.follow()
    restart.connect("alice")
    restart.scene.enter("sensor-1", 2, "sensors")
    restart.scene.follow()
    restart.die()
    restart.scene.world.clock.turn(hours=2)
    scene = restart.come_back()
    assert scene.cuts() == ["deadline"]
    assert scene.left() == [2]


def test_a_window_that_opened_after_the_last_judgement(restart: Restart) -> None:
    """Alice gained by time alone, which the journal does not tell: a change about her ends her connection."""
    rule = 'allow: {groups: [customers], time: {from: "13:00", to: "23:00", zone: UTC}}'
    restart.scene.apply(TWO_GROUPS.replace("allow: {groups: [customers]}", rule))
    for name in ("alice", "bob"):
        restart.join_group(name, "customers")
    restart.scene.follow()
    restart.connect("alice", "bob")
    restart.scene.world.clock.turn(hours=2)
    restart.scene.follow()
    assert len(restart.scene.live(1).permissions.grants) == len(restart.scene.live(1).judged_grants) + 1  # type: ignore[union-attr]
    restart.die()
    restart.leave_group("alice", "customers")
    assert restart.come_back().cutter.cut == [1]
    assert restart.scene.left() == [2]


# sessions


def test_sessions(tmp_path: Path) -> None:
    """Another epoch ends the connection, but not at the portal; a session that ended meanwhile ends it, too."""
    restart = Restart(tmp_path / "journal", scene_of(found_world(), tmp_path / "journal"))
    restart.scene.apply(RULES)
    restart.join_group("carol", "tellers")
    restart.connect("alice", "bob", "carol")
    raise_epoch(restart.scene, "carol")
    restart.scene.enter("carol", 4)
    enter_portal(restart.scene, restart.scene.world.held[0])
    _, bob, *_ = restart.scene.world.held
    sign_in(restart.scene, bob, NOON + timedelta(hours=1))
    restart.die()
    signed_out(restart)
    scene = restart.come_back()
    assert scene.left() == [2, 4, 9]
    assert scene.live(4).sessions.epoch == "0.1.0"
    restart.die()
    restart.scene.world.clock.turn(hours=1)
    scene = restart.come_back()
    assert scene.cuts()[-1] == "deadline"
    assert 2 not in scene.left()


# what cannot be known


def test_a_database_that_was_put_back(restart: Restart) -> None:
    """It lacks the last change that was followed: everything that was admitted may rest on lost changes."""
    restart.connect("alice", "bob")
    restart.die()
    with restart.scene.world.work.change() as stores:
        stores.changes.writable().changes.popitem()  # type: ignore[attr-defined]
    scene = restart.come_back()
    assert sorted(scene.cutter.cut) == [1, 2]
    assert set(scene.cuts()) == {"authority-changed"}
    assert scene.follower.seq == scene.world.head()


@pytest.mark.parametrize("line", [b'{"followed":""}', b'{"followed":"x","revision":1}'])
def test_an_unknown_mark(restart: Restart, line: bytes) -> None:
    """Without it, changes might be missed."""
    restart.connect("alice")
    restart.die()
    with restart.journal.open("ab") as file:
        file.write(line + b"\n")
    if line == b'{"followed":""}':  # a journal that never had one
        lines = [
            one for one in restart.journal.read_bytes().splitlines(keepends=True) if b"followed" not in one
        ]
        restart.journal.write_bytes(b"".join(lines))
    assert restart.come_back().cuts() == ["authority-changed"]


@pytest.mark.parametrize("revision", [-1, 99])
def test_an_unknown_revision(restart: Restart, revision: int) -> None:
    """By an earlier version, or by a database that lost the document."""
    restart.connect("alice")
    mark = restart.scene.connections.followed
    restart.scene.connections.note_followed(replace(mark, revision=revision))
    restart.die()
    assert restart.come_back().cuts() == ["authority-changed"]


def test_a_document_that_cannot_be_read(restart: Restart, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rules that were in force are unknown."""
    restart.connect("alice")
    restart.die()
    restart.scene.apply(TWO_GROUPS.replace(*WIDER))

    def fail(*_: object) -> None:
        raise policy_snapshot.IntegrityError("revision-unreadable", "not valid")

    monkeypatch.setattr(module, "document_of", fail)
    assert restart.come_back().cuts() == ["authority-changed"]


def test_too_many_former_documents(restart: Restart, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading them would keep the door shut: a connection that needs one more ends."""
    monkeypatch.setattr(module, "MOST_REVISIONS", 1)
    restart.connect("alice", "bob")
    restart.scene.apply(TWO_GROUPS.replace("allow: {groups: [sensors]}", "allow: {groups: [meters]}"))
    restart.scene.follow()
    restart.die()
    restart.join_group("alice", "customers")
    assert restart.come_back().cutter.cut == [1]


def test_a_bug_in_one_judgement_ends_only_that_one(restart: Restart, monkeypatch: pytest.MonkeyPatch) -> None:
    """It fails closed, for this one alone."""
    restart.connect("alice", "bob")
    restart.die()
    scene = restart.scene = scene_of(restart.scene.world, restart.journal)
    real, victim = scene.decider.reassess_all, restart.scene.world.held[0].record.sha256

    def reassess(given: Any, now: datetime) -> Any:
        given = list(given)
        if any(sha256 == victim for _, sha256 in given):
            raise ZeroDivisionError
        return real(given, now)

    monkeypatch.setattr(scene.decider, "reassess_all", reassess)
    scene.follower.catch_up()
    assert scene.cutter.cut == [1]


def test_no_revision_is_written_while_a_newer_one_was_read(
    restart: Restart, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections are compared by the newest document, and until its change is acted on older ones are admitted."""
    monkeypatch.setattr(following, "BATCH", 1)
    restart.connect("alice")
    known = restart.scene.connections.followed.revision
    assert known > 0
    restart.scene.apply(TWO_GROUPS.replace(*WIDER))
    restart.scene.apply(TWO_GROUPS)
    restart.scene.follower.step()
    assert restart.scene.connections.followed.revision == -1
    restart.scene.follow()
    assert restart.scene.connections.followed.revision == known + 2


def test_one_admitted_by_a_newer_revision_is_compared_with_that(restart: Restart) -> None:
    """Its judgement read a change that the dead gateway had not followed yet."""
    restart.connect("alice")
    narrow = TWO_GROUPS.replace('paths: ["/accounts/**"]', 'paths: ["/accounts/own/**"]')
    restart.scene.apply(narrow)
    alice = restart.scene.world.held[0]
    enter_late(restart.scene, alice, 9)
    restart.die()
    assert restart.come_back().left() == [9]


def enter_late(scene: Scene, held: Held, cookie: int) -> None:
    """Admit a connection by a change that the follower has not read."""
    begun = pending(cookie, app=scene.world.application_id("payments"), opened_at=scene.world.clock.now())
    scene.connections.begin(begun)
    decision = scene.world.decide(held.der)
    assert scene.connections.admit(LiveConnection.admitted(begun, decision), judged_at=decision.seq)
