"""The portal and the door's own paths of a world, and a person's browser at both: no Envoy, no socket.

    alice = PortalBrowser(world=world, pool=pool, held=world.issue("alice"))
    alice.enrol_passkey()                        # into the directory, without the portal's pages
    page = alice.show_passkey(alice.begin().headers["location"])

Requests come as the door passes them on: `ask` with any certificate or none, `at_portal` with the browser's own.
Not here: the real door (person).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from httpx2 import Response
from starlette.testclient import TestClient

from doorward.core.names import PORTAL_AUDIENCE
from doorward.demo.browser import hidden_fields, passkey_options, refresh_target
from doorward.directory.factors.context import FactorContext
from doorward.directory.help_desk import HelpDesk
from doorward.factors.webauthn import (
    RelyingParty,
)
from doorward.web.app import build_portal_app, build_sessions_app
from doorward.web.pool import UseCasePool
from doorward.web.portal.context import PortalOptions
from tests.support.assertions import AssertedDoor
from tests.support.factor_world import CHEAP
from tests.support.passkeys import SoftAuthenticator, enrol_passkey
from tests.support.world import Held, World

ORIGIN = "https://portal.corp.example:8443"
PARTY = RelyingParty(id="portal.corp.example", origin=ORIGIN, name="Doorward")
HOST = "payments.corp.example:8443"
REQUEST = "c0ffee00-0000-4000-8000-000000000000"
DOCUMENT = """\
trust_domain: corp.example
apps:
  payments:
    hosts: [payments.corp.example]
    upstream: http://127.0.0.1:9000
    rules:
      - name: tellers read accounts
        allow: {groups: [tellers]}
        to: {methods: [GET, HEAD], paths: ["/accounts/**"]}
        require: {factor: webauthn, within: 5m}
  sensors:
    hosts: [sensors.corp.example]
    upstream: http://127.0.0.1:9001
    rules:
      - name: tellers too
        allow: {groups: [tellers]}
"""


@dataclass(kw_only=True)
class PortalBrowser:
    """A person's browser at the surfaces of a world: it keeps cookies by host, and comes through the door.

    Args:
        world: the world of this portal.
        pool: for the use cases.
        held: the certificate of the browser's connections; None shows none.
        trusted: whether the portal's root is deployed.
        help_desk: what members of its group may look up.
        door: the gateway that says who comes; by default one of its own.
    """

    world: World
    pool: UseCasePool
    held: Held | None = None
    trusted: bool = True
    help_desk: HelpDesk | None = None
    door: AssertedDoor | None = None
    client: TestClient = field(init=False)
    app: TestClient = field(init=False)
    authenticator: SoftAuthenticator = field(default_factory=lambda: SoftAuthenticator(origin=ORIGIN))

    def __post_init__(self) -> None:
        services, pool = self.world.services, self.pool
        terms = PortalOptions(origin=lambda: ORIGIN, is_trusted=self.trusted)
        factors = FactorContext(services=services, party=PARTY, cost=CHEAP)
        portal = build_portal_app(services, pool, terms, factors=factors, help_desk=self.help_desk)
        self.client = TestClient(portal, base_url=ORIGIN, follow_redirects=False)
        sessions = build_sessions_app(services, pool, terms)
        self.app = TestClient(sessions, base_url=f"https://{HOST}", follow_redirects=False)
        self.door = self.door or AssertedDoor(world=self.world)

    def ask(self, method: str, path: str, held: Held | None = None, **more: Any) -> Response:
        """Send a request as a browser on a page of the portal; `held` is the certificate of the connection."""
        return self.client.request(
            method, path, **self._signed(method, held, PORTAL_AUDIENCE, ORIGIN, **more)
        )

    def at_portal(self, method: str, path: str, **more: Any) -> Response:
        """Ask the portal with the browser's own certificate."""
        return self.ask(method, path, self.held, **more)

    def at_app(self, method: str, path: str, *, app: str = "payments", **more: Any) -> Response:
        """Ask the door's own path on an application's host."""
        more["headers"] = {"Doorward-Application": self.world.application_id(app), **more.get("headers", {})}
        return self.app.request(
            method, path, **self._signed(method, self.held, app, f"https://{HOST}", **more)
        )

    def _signed(
        self, method: str, held: Held | None, audience: str, origin: str, **more: Any
    ) -> dict[str, Any]:
        """Add what a browser and the door add to a request; a header that is None is left out."""
        headers = {"Accept": "text/html", **({"Origin": origin} if method == "POST" else {})}
        headers |= self.door.headers(held, audience) if held is not None else {}
        headers |= more.pop("headers", {})
        return {**more, "headers": {name: value for name, value in headers.items() if value is not None}}

    def begin(self, path: str = "/accounts/7?a=%2F&b", request: str = REQUEST) -> Response:
        """Be sent to the portal by payments."""
        self.app.cookies.set("__Host-doorward-begin", request)
        where = self.world.application_id("payments")
        return self.at_portal("GET", f"/step-up/{where}/{HOST}/{request}?{path}")

    def show_passkey(self, check: str, held: Held | None = None) -> Response:
        """Use the passkey on a page that asks for it; with another certificate if one is given."""
        used = held or self.held
        return self.ask("POST", f"{check}/webauthn", used, data=self.answer(check, used))

    def answer(self, check: str, held: Held | None = None) -> dict[str, str]:
        """Return the form that answers the page that asks for the passkey."""
        page = self.ask("GET", check, held or self.held).text
        fields = hidden_fields(page, f"{check}/webauthn")
        return fields | {"credential": self.authenticator.get(passkey_options(page))}

    def code_of(self, page: Response) -> str:
        """Return where the page goes on to, as a path on the application's host."""
        to = refresh_target(page.text)
        assert to.startswith(f"https://{HOST}/_doorward/callback?code=")
        return str(to.removeprefix(f"https://{HOST}"))

    def enrol_passkey(self, name: str = "alice") -> SoftAuthenticator:
        """Put a passkey into the directory, of the browser's person or of the named one; return what has it."""
        holder = self.held.record.subject_name if self.held is not None else name
        principal = self.world.principal(holder)
        enrol_passkey(self.world.services, principal, PARTY, self.authenticator, name="laptop")
        return self.authenticator
