"""Requests to the portal as the door passes them on, with a certificate or without, over the memory store."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from httpx2 import Response
from starlette.testclient import TestClient

from doorward.core.names import PORTAL_AUDIENCE
from doorward.factors.webauthn import (
    RelyingParty,
)
from doorward.web.app import build_portal_app
from doorward.web.pool import UseCasePool
from doorward.web.portal.context import PortalTerms
from tests.support import passkeys
from tests.support.assertions import AssertedDoor
from tests.support.passkeys import SoftAuthenticator
from tests.support.world import Held, World

HOST = "portal.corp.example"
ORIGIN = f"https://{HOST}:8443"
PARTY = RelyingParty(id=HOST, origin=ORIGIN, name="Doorward")


@dataclass(kw_only=True)
class Portal:
    """The portal of a world, and the door before it."""

    world: World
    pool: UseCasePool
    trusted: bool = True
    client: TestClient = field(init=False)
    door: AssertedDoor = field(init=False)

    def __post_init__(self) -> None:
        terms = PortalTerms(origin=lambda: ORIGIN, is_trusted=self.trusted)
        app = build_portal_app(self.world.services, self.pool, terms)
        self.client = TestClient(app, base_url=ORIGIN, follow_redirects=False)
        self.door = AssertedDoor(world=self.world)

    def ask(self, method: str, path: str, held: Held | None = None, **more: Any) -> Response:
        """Send a request as a browser on a page of the portal; `held` is the certificate of the connection."""
        headers = {"Accept": "text/html", **({"Origin": ORIGIN} if method == "POST" else {})}
        headers |= self.door.headers(held, PORTAL_AUDIENCE) if held is not None else {}
        headers |= more.pop("headers", {})
        kept = {name: value for name, value in headers.items() if value is not None}
        return self.client.request(method, path, headers=kept, **more)


def enrol_passkey(world: World, name: str) -> SoftAuthenticator:
    """Put a passkey into the directory; return the authenticator that has it."""
    authenticator = SoftAuthenticator(origin=ORIGIN)
    passkeys.enrol_passkey(world.services, world.principal(name), PARTY, authenticator)
    return authenticator
