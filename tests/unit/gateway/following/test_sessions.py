"""Second-factor sessions and live connections: another epoch ends them, and they end with the last session."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from doorward.core.entities import TENANT
from doorward.core.factor_kinds import FactorKind
from doorward.core.names import PORTAL_APPLICATION
from doorward.gateway.connections.connection import LiveConnection
from doorward.gateway.connections.ending import EndReason
from doorward.stores.factor_records import SessionRecord
from doorward.stores.records import ChangeKind
from tests.support.ports import NOON
from tests.support.world import Held, found_world
from tests.unit.gateway.following.conftest import Scene, scene_of
from tests.unit.gateway.live import pending
from tests.unit.gateway.standing import enter

RULES = """
trust_domain: corp.example
apps:
  payments:
    hosts: [payments.corp.example]
    upstream: http://127.0.0.1:9000
    rules:
      - {allow: {groups: [tellers]}}
      - {allow: {groups: [tellers]}, to: {paths: [/transfers]}, require: {factor: any}}
"""


@pytest.fixture
def guarded() -> Scene:
    """Alice and bob are connected to payments, and a rule there asks for a second factor."""
    made = scene_of(found_world())
    made.apply(RULES)
    made.follow()
    for cookie, name in ((1, "alice"), (2, "bob")):
        made.enter(name, cookie)
    return made


def raise_epoch(scene: Scene, name: str, application_id: str = "") -> None:
    """Sign a principal out, of one application or of all."""
    who = scene.world.principal(name).id
    with scene.world.work.change() as stores:
        stores.epochs.raise_for(who, application_id)
        stores.changes.note(ChangeKind.PRINCIPAL, who, scene.world.clock.now())
    scene.follow()


def sign_in(scene: Scene, held: Held, ends_at: datetime) -> SessionRecord:
    """Open a session of alice's certificate at payments."""
    now = scene.world.clock.now()
    session = SessionRecord(
        id=scene.world.services.new_id("ses"),
        tenant=TENANT,
        principal_id=held.record.principal_id,
        certificate_id=held.record.id,
        certificate_sha256=held.record.sha256,
        application_id=scene.world.application_id("payments"),
        source="192.0.2.7",
        client="",
        factors={FactorKind.TOTP: now},
        created_at=now,
        seen_at=now,
        ends_at=ends_at,
    )
    with scene.world.work.change() as stores:
        stores.sessions.add(session)
        stores.changes.note(ChangeKind.PRINCIPAL, session.principal_id, now)
    scene.follow()
    return session


def enter_portal(scene: Scene, held: Held) -> int:
    """Admit a connection to the portal; return its cookie."""
    begun = pending(9, app=PORTAL_APPLICATION, opened_at=scene.world.clock.now())
    scene.connections.begin(begun)
    decision = scene.world.decide(held.der, application_id=PORTAL_APPLICATION)
    assert scene.connections.admit(LiveConnection.admitted(begun, decision), judged_at=decision.seq)
    return 9


@pytest.mark.parametrize("everywhere", [False, True])
def test_another_epoch_ends_the_connections_there(guarded: Scene, *, everywhere: bool) -> None:
    """Envoy compares tokens with the epoch that it was told, so the connection cannot go on."""
    raise_epoch(guarded, "alice", "" if everywhere else guarded.world.application_id("payments"))
    assert guarded.left() == [2]
    assert guarded.cuts() == [EndReason.AUTHORITY_WITHDRAWN.value]


def test_another_application_s_epoch_ends_nothing(guarded: Scene) -> None:
    """Sign-out of one application leaves the others."""
    raise_epoch(guarded, "alice", "app_other")
    assert guarded.left() == [1, 2]


def test_the_portal_s_own_connections_stay(guarded: Scene) -> None:
    """It looks its sessions up at each request, and its answer to the sign-out has to arrive."""
    held = guarded.world.held[0]
    begun = enter_portal(guarded, held)
    raise_epoch(guarded, "alice")
    assert guarded.left() == [2, begun]


def test_a_connection_ends_with_the_last_session(guarded: Scene) -> None:
    """A session that is opened bounds the connections that are there, a later one moves the bound; none is cut for it."""
    held = guarded.world.held[0]
    before = guarded.live(1).ends_at
    first = sign_in(guarded, held, NOON + timedelta(hours=1))
    assert guarded.live(1).ends_at == first.ends_at < before
    second = sign_in(guarded, held, NOON + timedelta(hours=2))
    assert guarded.live(1).ends_at == second.ends_at
    assert guarded.live(2).ends_at == before
    assert guarded.cuts() == []
    enter(guarded.world, guarded.connections, held, 3)
    assert guarded.live(3).ends_at == second.ends_at
    assert [one.cookie for one in guarded.connections.due(second.ends_at)] == [1, 3]


def test_without_a_rule_that_asks_there_is_no_bound(scene: Scene) -> None:
    """A session that no rule needs ends nothing."""
    held = scene.world.held[0]
    before = scene.live(1).ends_at
    sign_in(scene, held, NOON + timedelta(hours=1))
    assert scene.live(1).ends_at == before


def test_the_epoch_is_of_the_judgement(guarded: Scene) -> None:
    """A connection that is admitted after a sign-out has the new epoch."""
    alice, payments = guarded.world.principal("alice").id, guarded.world.application_id("payments")
    raise_epoch(guarded, "alice")
    enter(guarded.world, guarded.connections, guarded.world.held[0], 4)
    with guarded.world.work.read() as stores:
        assert guarded.live(4).sessions.epoch == stores.epochs.of(alice, payments) == "0.1.0"
    assert guarded.live(4).sessions.last_end is None
