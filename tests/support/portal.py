"""A person's browser at the portal and at the door's own paths, over the memory store: no Envoy, no socket.

    alice = PortalBrowser(world, pool, door, world.issue("alice"))
    enrol_passkey(alice)                         # into the directory, without the portal's pages
    page = alice.show_passkey(alice.begin().headers["location"])

Not here: the real door (person).
"""

from __future__ import annotations

from typing import Any

from httpx2 import Response
from starlette.testclient import TestClient

from doorward.core.names import PORTAL_AUDIENCE
from doorward.demo.browser import goes_on_to, hidden_fields, passkey_question
from doorward.directory.factors.context import FactorContext
from doorward.directory.help_desk import HelpDesk
from doorward.factors.password import PasswordCost
from doorward.factors.webauthn import (
    RelyingParty,
)
from doorward.web.app import build_portal_app, build_sessions_app
from doorward.web.pool import UseCasePool
from doorward.web.portal.context import PortalTerms
from tests.support import passkeys
from tests.support.assertions import AssertedDoor
from tests.support.passkeys import SoftAuthenticator
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


class PortalBrowser:
    """A person's browser at both surfaces: it keeps cookies by host, and comes through the door."""

    def __init__(
        self,
        world: World,
        pool: UseCasePool,
        door: AssertedDoor,
        held: Held,
        help_desk: HelpDesk | None = None,
    ) -> None:
        terms = PortalTerms(origin=lambda: ORIGIN, is_trusted=True)
        self.world, self.door, self.held = world, door, held
        factors = FactorContext(
            services=world.services,
            party=PARTY,
            cost=PasswordCost(memory_kibibytes=8, passes=1),
        )
        self.portal = TestClient(
            build_portal_app(world.services, pool, terms, factors=factors, help_desk=help_desk),
            base_url=ORIGIN,
            follow_redirects=False,
        )
        self.app = TestClient(
            build_sessions_app(world.services, pool, terms),
            base_url=f"https://{HOST}",
            follow_redirects=False,
        )
        self.authenticator = SoftAuthenticator(origin=ORIGIN)

    def at_portal(self, method: str, path: str, **more: Any) -> Response:
        """Ask the portal."""
        headers = self.door.headers(self.held, PORTAL_AUDIENCE) | {"Accept": "text/html"}
        if method == "POST":
            headers["Origin"] = ORIGIN
        headers |= more.pop("headers", {})
        return self.portal.request(method, path, headers=headers, **more)

    def at_app(self, method: str, path: str, *, app: str = "payments", **more: Any) -> Response:
        """Ask the door's own path on an application's host."""
        headers = self.door.headers(self.held, app) | {"Accept": "text/html"}
        headers["Doorward-Application"] = self.world.application_id(app)
        if method == "POST":
            headers["Origin"] = f"https://{HOST}"
        headers |= more.pop("headers", {})
        return self.app.request(method, path, headers=headers, **more)

    def begin(self, path: str = "/accounts/7?a=%2F&b", request: str = REQUEST) -> Response:
        """Be sent to the portal by payments."""
        self.app.cookies.set("__Host-doorward-begin", request)
        where = self.world.application_id("payments")
        return self.at_portal("GET", f"/step-up/{where}/{HOST}/{request}?{path}")

    def show_passkey(self, check: str) -> Response:
        """Use the passkey on a page that asks for it."""
        return self.at_portal("POST", f"{check}/webauthn", data=self.answer(check))

    def answer(self, check: str) -> dict[str, str]:
        """Return the form that answers the page that asks for the passkey."""
        page = self.at_portal("GET", check).text
        fields = hidden_fields(page, f"{check}/webauthn")
        return fields | {"credential": self.authenticator.get(passkey_question(page))}

    def code_of(self, page: Response) -> str:
        """Return where the page goes on to, as a path on the application's host."""
        to = goes_on_to(page.text)
        assert to.startswith(f"https://{HOST}/_doorward/callback?code=")
        return str(to.removeprefix(f"https://{HOST}"))


def enrol_passkey(browser: PortalBrowser) -> None:
    """Put a passkey of the browser's person into the directory."""
    principal = browser.world.principal(browser.held.record.subject_name)
    passkeys.enrol_passkey(browser.world.services, principal, PARTY, browser.authenticator, name="laptop")
