"""A gateway that dies, and the next one over the same world and journal."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from doorward.authority import revocation
from doorward.core.certificate import RevocationReason
from doorward.directory import principals as directory
from doorward.stores.records import ChangeKind
from tests.support.world import DOCUMENT
from tests.unit.gateway.following.conftest import ACTOR, Scene, scene_of
from tests.unit.gateway.following.guests import Guests

CUSTOMERS = """\
      - name: customers read their own
        allow: {groups: [customers]}
        to: {paths: ["/own/**"]}
"""
TWO_GROUPS = DOCUMENT.replace("  sensors:\n    hosts", CUSTOMERS + "  sensors:\n    hosts")
WIDER = "methods: [GET, HEAD]", "methods: [GET, HEAD, POST]"


@dataclass
class Restart:
    """One gateway after the other, over one world and one journal."""

    journal: Path
    scene: Scene

    def connect(self, *names: str) -> None:
        for cookie, name in enumerate(names, 1):
            self.scene.enter(name, cookie)
        self.scene.follow()

    def die(self) -> None:
        """Nothing follows until the next gateway is there."""
        self.scene = replace(self.scene, follower=None)  # type: ignore[arg-type]

    def come_back(self) -> Scene:
        """The next gateway, up to the moment at which the door may open."""
        self.scene = scene_of(self.scene.world, self.journal)
        self.scene.evidence.load_all()
        self.scene.follower.catch_up()
        return self.scene

    def leave_group(self, name: str, group: str) -> None:
        directory.remove_member(self.scene.world.services, group, name, actor=ACTOR)

    def join_group(self, name: str, group: str) -> None:
        directory.add_member(self.scene.world.services, group, name, actor=ACTOR)


def suspended(restart: Restart) -> None:
    """Suspend alice."""
    directory.suspend(restart.scene.world.services, "alice", actor=ACTOR)


def revoked(restart: Restart) -> None:
    """Revoke her certificate."""
    reason = RevocationReason.KEY_COMPROMISE
    certificate = restart.scene.world.held[0].record.id
    revocation.revoke(restart.scene.world.services, certificate, reason, actor=ACTOR)


def held_back(restart: Restart) -> None:
    """Put her certificate on hold."""
    revocation.hold(restart.scene.world.services, restart.scene.world.held[0].record.id, actor=ACTOR)


def out_of_the_group(restart: Restart) -> None:
    """Take her out of the group that the rule names; she would still be admitted by another one."""
    restart.leave_group("alice", "tellers")
    restart.join_group("alice", "customers")


def into_a_denied_group(restart: Restart) -> None:
    """Put her into a group that a rule denies."""
    restart.join_group("alice", "contractors")


def signed_out(restart: Restart) -> None:
    """Sign her out everywhere."""
    who = restart.scene.world.principal("alice").id
    with restart.scene.world.work.change() as stores:
        stores.epochs.raise_for(who, "")
        stores.changes.note(ChangeKind.PRINCIPAL, who, restart.scene.world.clock.now())


@dataclass
class GuestRestart:
    """The same for a partner's people: bob (1) and eve (2) of the clinic, and alice (3) with our own certificate."""

    journal: Path
    guests: Guests

    def come_back(self, *, loaded: bool = True) -> Scene:
        """The next gateway, up to the moment at which the door may open."""
        scene = self.guests.scene = scene_of(self.guests.site, self.journal)
        self.guests.site.evidence_cache, self.guests.site.judge = scene.evidence_cache, scene.decider
        if loaded:
            scene.evidence.load_all()
        scene.follower.catch_up()
        return scene
