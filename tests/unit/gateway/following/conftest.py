"""A follower over a founded world, with everything around it in reach."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from doorward.access import policies
from doorward.access.deciding import AccessDecider
from doorward.audit.events import EventType
from doorward.gateway.connections.ending import ConnectionEnder
from doorward.gateway.connections.journal import Journal
from doorward.gateway.connections.registry import ConnectionRegistry, LiveConnection
from doorward.gateway.following.evidence_loader import EvidenceLoader
from doorward.gateway.following.follower import Follower
from doorward.gateway.precedence import Precedence
from doorward.partners.evidence_cache import EvidenceCache
from doorward.stores.policy_snapshot import PolicySnapshots
from tests.support.cutting import FakeCutter
from tests.support.world import Held, World, found_world
from tests.unit.gateway.standing import enter

if TYPE_CHECKING:
    from tests.unit.gateway.following.restarting import Restart

ACTOR = "os:1000"
GATEWAY = "gtw_" + "a" * 20


@dataclass
class Scene:
    """A follower with everything around it in reach."""

    world: World
    connections: ConnectionRegistry
    cutter: FakeCutter
    follower: Follower
    evidence_cache: EvidenceCache
    evidence: EvidenceLoader
    decider: AccessDecider
    published: list[int] = field(default_factory=list)
    orders: list[int] = field(default_factory=list)
    regrants: list[int] = field(default_factory=list)
    confirmed: list[int] = field(default_factory=list)

    def enter(self, name: str, cookie: int, app: str = "payments") -> Held:
        held = self.world.issue(name)
        self.follow()
        enter(self.world, self.connections, held, cookie, app=app)
        return held

    def follow(self) -> None:
        """Act on all that changed."""
        while self.follower.step():
            pass

    def apply(self, text: str) -> int:
        return policies.apply_document(self.world.services, text, file="test.yaml", actor=ACTOR).seq

    def live(self, cookie: int) -> LiveConnection:
        found = self.connections.get(cookie)
        assert found is not None
        return found

    def left(self) -> list[int]:
        return sorted(one.cookie for one in self.connections.all())

    def cuts(self) -> list[str]:
        return [str(event.data["reason"]) for event in self.world.events(EventType.CONNECTION_CUT)]


def scene_of(world: World, journal: Path | None = None) -> Scene:
    """A follower that starts at the present head of the sequence; what the journal has, it adopts."""
    kept = Journal(journal, boot_id="boot") if journal else None
    connections = ConnectionRegistry(kept, sequence=world.head())
    cutter = FakeCutter()
    ender = ConnectionEnder(world.services, GATEWAY, connections, cutter)  # type: ignore[arg-type]
    evidence_cache = EvidenceCache(world.services.work)
    evidence = EvidenceLoader(world.services, evidence_cache)
    snapshots = PolicySnapshots()
    decider = world.decider(evidence_cache, snapshots)
    scene = Scene(world, connections, cutter, None, evidence_cache, evidence, decider)  # type: ignore[arg-type]
    scene.follower = Follower(
        world.services,
        decider,
        snapshots,
        connections,
        ender,
        publish=scene.published.append,
        order_changed=lambda: scene.orders.append(1),
        regrant=lambda: scene.regrants.append(1),
        evidence=scene.evidence,
        confirm=lambda: scene.confirmed.append(scene.follower.seq),
        precedence=Precedence(),
        max_staleness=timedelta(seconds=5),
        lifetime=timedelta(hours=12),
    )
    return scene


@pytest.fixture
def scene() -> Scene:
    """Alice and bob are tellers of payments, a sensor reports to sensors; all are connected."""
    made = scene_of(found_world())
    made.enter("alice", 1)
    made.enter("bob", 2)
    made.enter("sensor-1", 3, "sensors")
    return made


@pytest.fixture
def restart(tmp_path: Path) -> Restart:
    """A gateway without connections; groups and rules for them."""
    from tests.unit.gateway.following.restarting import TWO_GROUPS, Restart  # which needs this module

    scene = scene_of(found_world(), tmp_path / "journal")
    scene.apply(TWO_GROUPS)
    scene.follow()
    return Restart(tmp_path / "journal", scene)
