"""Refused connections that live on for a page end once their peer would be let in."""

from __future__ import annotations

import pytest

from doorward.authority import revocation
from doorward.core.certificate import RevocationReason
from doorward.core.names import PORTAL_APPLICATION
from doorward.directory.principals import resume, suspend
from doorward.gateway.connections.connection import LiveConnection
from tests.support.world import OPERATOR, Held
from tests.unit.gateway.following.conftest import Scene
from tests.unit.gateway.live import pending

COOKIE = 50


@pytest.fixture
def held(scene: Scene) -> Held:
    """A certificate of carol's."""
    return scene.world.issue("carol")


def refuse(scene: Scene, held: Held | None, cookie: int = COOKIE) -> LiveConnection:
    """Judge a connection to the portal, which is refused and lives on."""
    scene.follow()
    begun = pending(cookie, app=PORTAL_APPLICATION, opened_at=scene.world.clock.now())
    scene.connections.begin(begun)
    decision = scene.world.decide(held.der if held else None, application_id=PORTAL_APPLICATION)
    connection = LiveConnection.admitted(begun, decision)
    assert connection.anonymous
    assert scene.connections.admit(connection, judged_at=decision.seq)
    return connection


def test_it_ends_when_its_certificate_is_released(scene: Scene, held: Held) -> None:
    """It ends, so that the browser connects again with the good certificate."""
    revocation.hold(scene.world.services, held.record.id, actor=OPERATOR)
    refuse(scene, held)
    revocation.release(scene.world.services, held.record.id, actor=OPERATOR)
    scene.follow()
    assert COOKIE not in scene.left()


def test_it_ends_when_its_principal_is_resumed(scene: Scene, held: Held) -> None:
    """By the principal, for every certificate of it."""
    suspend(scene.world.services, "carol", actor=OPERATOR)
    refuse(scene, held)
    resume(scene.world.services, "carol", actor=OPERATOR)
    scene.follow()
    assert COOKIE not in scene.left()


def test_it_stays_while_it_would_be_refused_again(scene: Scene, held: Held) -> None:
    """Another change of its principal ends nothing, nor does a new policy."""
    suspend(scene.world.services, "carol", actor=OPERATOR)
    refuse(scene, held)
    refuse(scene, None, COOKIE + 1)
    revocation.revoke(scene.world.services, held.record.id, RevocationReason.SUPERSEDED, actor=OPERATOR)
    scene.apply("trust_domain: corp.example\napps: {}\n")
    scene.follow()
    assert {COOKIE, COOKIE + 1} <= set(scene.left())
