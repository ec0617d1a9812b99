"""A partner's people at a follower's door."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from doorward.gateway.connections.connection import LiveConnection
from tests.support.certificates.issuing import CertifiedKey
from tests.support.partner_site import PartnerSite, partner_site
from tests.unit.gateway.following.conftest import Scene, scene_of
from tests.unit.gateway.live import pending
from tests.unit.gateway.standing import enter


class Once(threading.Event):
    """A stop that comes after one round."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0

    def is_set(self) -> bool:
        self.looks += 1
        return self.looks > 1


class Guests:
    """A partner's people at a follower's door; the follower's evidence caches are those that are judged by."""

    def __init__(self, *, publish: bool = True, journal: Path | None = None, **terms: Any) -> None:
        self.site: PartnerSite = partner_site(publish=publish, everyone=True, **terms)
        self.scene: Scene = scene_of(self.site, journal)
        self.site.evidence_cache = self.scene.evidence_cache
        self.site.judge = self.scene.decider
        self.scene.evidence.load_all()
        self.scene.follow()
        self.bob, self.eve = (self.site.leaf(f"{one}@clinic.example") for one in ("bob", "eve"))

    def enter(self, leaf: CertifiedKey, cookie: int) -> LiveConnection:
        """Judge and admit a connection, as the authorizer does."""
        connections, site = self.scene.connections, self.site
        begun = pending(
            cookie,
            remote=f"192.0.2.7:{1000 + cookie}",
            app=site.application_id("payments"),
            opened_at=site.clock.now(),
        )
        connections.begin(begun)
        decision = site.decide(leaf)
        live = LiveConnection.admitted(begun, decision)
        assert connections.admit(live, judged_at=decision.seq)
        self.scene.follow()
        return live

    def load(self) -> None:
        """Load the requested evidence, in the loader's thread."""
        self.scene.evidence.run(Once())


def connected_guests(journal: Path | None = None, **terms: Any) -> Guests:
    """Connections of bob and eve of the clinic, and of alice with our own certificate."""
    made = Guests(journal=journal, **terms)
    made.enter(made.bob, 1)
    made.enter(made.eve, 2)
    alice = made.site.issue("alice")
    made.scene.follow()
    enter(made.site, made.scene.connections, alice, 3)
    return made
