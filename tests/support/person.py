"""A person at a running door with a certificate, cookies and a software passkey: what a browser does, without one.

    alice = Person(doorway, doorway.person("alice", "staff"))
    alice.enrol_passkey()                        # into the directory, without the portal's pages
    alice.open("/accounts")                      # by way of the portal if the door asks for a factor

Cookies are kept by host, as `__Host-` asks for. Not here: a browser (tests/browser).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

from doorward.demo.browser import hidden_fields, passkey_options, refresh_target
from doorward.directory.principals import find_principal
from doorward.factors.webauthn import (
    RelyingParty,
)
from tests.support.doorway import Doorway, Identity, Reply
from tests.support.passkeys import SoftAuthenticator, enrol_passkey

NAVIGATION = {
    "Accept": "text/html,application/xhtml+xml",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Mode": "navigate",
    "User-Agent": "Person/1.0",
}
SESSION, BEGIN, PORTAL = "__Host-doorward-session", "__Host-doorward-begin", "__Host-doorward-portal"


@dataclass(slots=True, kw_only=True)
class Person:
    """One person with one certificate.

    Args:
        doorway: the running door.
        name: in the directory.
        identity: the certificate and its key; another one can be put in its place.
        cookies: host (with its port) to name to value.
    """

    doorway: Doorway
    name: str
    identity: Identity
    cookies: dict[str, dict[str, str]] = field(default_factory=dict)
    authenticator: SoftAuthenticator = field(init=False)

    def __post_init__(self) -> None:
        self.authenticator = SoftAuthenticator(origin=self.portal)

    @property
    def portal(self) -> str:
        """The portal's origin."""
        return f"https://{self.doorway.host('portal')}:{self.doorway.port}"

    def origin(self, app: str = "app") -> str:
        """Return an application's origin."""
        return f"https://{self.doorway.host(app)}:{self.doorway.port}"

    def ask(
        self,
        method: str,
        url: str,
        *,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send one request as a navigation, with the cookies of its host, and keep what is set."""
        place = urlsplit(url)
        host = place.netloc
        jar = self.cookies.setdefault(host, {})
        sent = {**NAVIGATION, "Host": host}
        if jar:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in jar.items())
        body = None
        if form is not None:
            body = urlencode(form).encode()
            sent |= {"Content-Type": "application/x-www-form-urlencoded", "Origin": f"https://{host}"}
            sent |= {"Sec-Fetch-Site": "same-origin"}
        path = url.removeprefix(f"https://{host}")
        app = host.partition(".")[0]
        with self.doorway.session(self.identity, app=app) as session:
            reply = session.request(method, path, headers={**sent, **(headers or {})}, body=body)
        for name, value in reply.cookies:
            if value:
                jar[name] = value
            else:
                jar.pop(name, None)
        return reply

    def open(self, path: str, *, app: str = "app") -> Reply:
        """Open a page, and show the passkey if the door asks for it; return the last answer."""
        reply = self.ask("GET", f"{self.origin(app)}{path}")
        if reply.status != 302:
            return reply
        to = self.back_from_portal(reply.headers["location"])
        back = self.ask("GET", to)
        assert back.status == 303, (back.status, back.body)
        return self.ask("GET", back.headers["location"])

    def back_from_portal(self, location: str) -> str:
        """Follow the door to the portal, show the passkey there, and return the address that leads back."""
        assert location.startswith(f"{self.portal}/step-up/"), location
        arrived = self.ask("GET", location)
        if arrived.status == 303:
            arrived = self.show_passkey(f"{self.portal}{arrived.headers['location']}")
        assert arrived.status == 200, (arrived.status, arrived.body)
        return refresh_target(arrived.body.decode())

    def show_passkey(self, check: str) -> Reply:
        """Use the passkey on the page that asks for it."""
        page = self.ask("GET", check).body.decode()
        action = f"{urlsplit(check).path}/webauthn"
        answer = {"credential": self.authenticator.get(passkey_options(page))}
        return self.ask("POST", f"{check}/webauthn", form=hidden_fields(page, action) | answer)

    def enrol_passkey(self) -> None:
        """Put a passkey into the directory."""
        services = self.doorway.services
        principal = find_principal(services, self.name)
        party = RelyingParty(id=self.doorway.host("portal"), origin=self.portal, name="Doorward")
        self.authenticator.made = int.from_bytes(services.random.token(4), "big")
        enrol_passkey(services, principal, party, self.authenticator, name="laptop")
