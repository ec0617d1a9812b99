"""A day at the bank: customers, a teller, a thief, and a lost laptop. Exits with 0 only if every result is as expected.

    make example NAME=bank-portal

Everything is real: an authority, the door, the portal and the application of this folder run on this machine, on free
ports, and are removed afterwards. The people are programs, each with a certificate and a passkey in software.
"""

from __future__ import annotations

import http.client
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from app import create_portal
from cryptography.x509 import load_pem_x509_certificate
from starlette.types import ASGIApp, Receive, Scope, Send

from doorward.access.explanation import explain
from doorward.authority.inventory import list_certificates
from doorward.core.factor_kinds import FactorKind
from doorward.core.shown_factors import ShownFactors
from doorward.demo.bank import serve_app
from doorward.demo.browser import Browser, Page
from doorward.demo.clients import Visitor
from doorward.demo.endings import WITHIN_SECONDS, SocketEnding, judge_end
from doorward.demo.environment import DemoEnvironment, Scenario, demo_environment, workplace
from doorward.demo.passkey import make_passkey
from doorward.demo.report import Report, open_report
from doorward.demo.story import Scene, play
from doorward.runtime.evidence import Evidence
from doorward.runtime.settings import Settings
from doorward.stores.records import CertificateFilter, CertificateRecord

APP = "bank-portal"
HOST = "bank.doorward.localhost"
PEOPLE = {"alice": "customers", "carol": "customers", "tina": "tellers"}
BRANCH, HOME = "127.0.1.7", "127.0.0.9"
"""Addresses of loopback: one in the network of the branch in policy.yaml, and one outside."""
FORGED = {
    "Doorward-Principal": "person/alice",
    "Doorward-Assertion": "eyJhbGciOiJub25lIn0.e30.",
    "Client-Cert": "::",
}
EVENTS = {
    "certificate:lost": 2,
    "factor:enrolled": 3,
    "policy:applied": 1,
    "renewal:granted": 1,
    "session:opened": 4,
    "session:refused": 1,
}
"""How often each of these events happens; the other events are printed, but not compared."""


@dataclass(kw_only=True)
class Counted:
    """The application, with a count of the requests that reached it."""

    app: ASGIApp
    calls: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count the request, and pass it on."""
        self.calls += 1
        await self.app(scope, receive, send)


@contextmanager
def open_portal(settings: Settings) -> Iterator[tuple[Counted, int]]:
    """Serve the application of this folder; it asks our status listener for the keys of the door."""
    counted = Counted(app=create_portal(f"http://{settings.status_listen}/jwks.json"))
    with serve_app(counted) as port:
        yield counted, port


def write_policy(port: int) -> str:
    """Return policy.yaml for an application on that port."""
    text = (Path(__file__).parent / "policy.yaml").read_text(encoding="utf-8")
    return text.replace("http://127.0.0.1:9000", f"http://127.0.0.1:{port}")


SCENARIO = Scenario(host=HOST, people=PEOPLE, document=write_policy, application=open_portal)


@dataclass(kw_only=True)
class Day:
    """The state that the scenes share: the people with their browsers, and the addresses.

    Args:
        scene: the running door with its people.
    """

    scene: DemoEnvironment
    bank: str = field(init=False)
    portal: str = field(init=False)
    alice: Browser = field(init=False)
    carol: Browser = field(init=False)
    tina: Browser = field(init=False)
    phone: Browser = field(init=False)

    def __post_init__(self) -> None:
        scene = self.scene
        self.bank, self.portal = f"https://{HOST}:{scene.door.port}", scene.installation.portal_origin()
        self.alice = Browser(visitor=scene.visitors["alice"], passkey=make_passkey(self.portal))
        self.carol = Browser(visitor=scene.visitors["carol"])
        self.tina = Browser(visitor=scene.visitors["tina"], passkey=make_passkey(self.portal))
        self.tina.visitor.source = BRANCH
        # Her phone has its own certificate and the same passkey: a person's devices share passkeys.
        self.phone = Browser(visitor=scene.enrol("alice", "alice-phone"), passkey=self.alice.passkey)

    def scenes(self) -> tuple[Scene, ...]:
        """Return the scenes of the day, in order."""
        told: tuple[tuple[str, str, Callable[[Report], None]], ...] = (
            (
                "Alice opens her accounts",
                "Her certificate opens the front page; her accounts also need a second factor.",
                self.alice_opens,
            ),
            (
                "Each person sees only what the rules allow",
                "The path contains the customer's name; a teller must be in the branch.",
                self.who_sees_what,
            ),
            (
                "A transfer over 1,000 needs a fresh passkey",
                "It has its own path and rule; the application checks the amount.",
                self.transfers,
            ),
            (
                "Carol has a password, and no passkey",
                "A password is enough for her accounts, but not for a transfer over 1,000.",
                self.password_only,
            ),
            (
                "A stolen certificate is not enough",
                "Mallory has a copy of Alice's key and certificate, but not her passkey.",
                self.stolen_certificate,
            ),
            (
                "A stolen cookie is not enough",
                "A session is bound to one certificate; the code that opened it works once.",
                self.stolen_cookie,
            ),
            (
                "There is no way around the door",
                "The bank trusts only an assertion that the door signed for it.",
                self.past_the_door,
            ),
            (
                "Alice loses her laptop",
                "She reports it from her phone; with her passkey she gets a certificate on a new one.",
                self.lost_laptop,
            ),
            (
                "Tina goes home",
                "Signing out ends the session at the door, also for a copy of the cookie.",
                self.sign_out,
            ),
            (
                "The record of the day",
                "Every decision is an event in a log that shows any later change.",
                self.record,
            ),
        )
        return tuple((title, why, lambda _scene, report, run=run: run(report)) for title, why, run in told)

    @contextmanager
    def reaching(self, report: Report, expected: int) -> Iterator[None]:
        """Compare how many requests reached the application inside the block."""
        before = self.scene.bank.calls
        yield
        report.compare("requests that reached the bank", str(expected), str(self.scene.bank.calls - before))

    def alice_opens(self, report: Report) -> None:
        """Alice opens her accounts by way of the portal, and comes back to the page that she wanted."""
        alice, accounts = self.alice, f"{self.bank}/accounts/alice"
        report.compare("GET / with her certificate alone", "200", alice.ask("GET", f"{self.bank}/").outcome)
        with self.reaching(report, 0):
            sent = alice.ask("GET", accounts)
            report.compare("GET /accounts/alice sends her to", "the portal", self._where_to(sent))
        report.compare("she adds a passkey there", "303", alice.add_passkey(self.portal).outcome)
        page = alice.open(accounts)
        report.compare("GET /accounts/alice, by way of the portal", "200", page.outcome)
        report.compare("she is back at the page", accounts, page.url)
        _tell_shown(report, page)
        for number, balance in _value(page).get("accounts", {}).items():
            report.aside(f"account {number}: {balance}")

    def who_sees_what(self, report: Report) -> None:
        """Alice sees her own accounts; Tina sees all of them, from the branch."""
        with self.reaching(report, 0):
            page = self.alice.ask("GET", f"{self.bank}/accounts/carol")
            report.compare("Alice: GET /accounts/carol", "403", page.outcome)
        report.compare("Tina adds a passkey", "303", self.tina.add_passkey(self.portal).outcome)
        report.compare(
            "Tina: GET /accounts/carol", "200", self.tina.open(f"{self.bank}/accounts/carol").outcome
        )
        report.compare(
            "Tina: GET /accounts/alice", "200", self.tina.open(f"{self.bank}/accounts/alice").outcome
        )
        with self.reaching(report, 0):
            away = _elsewhere(self.tina, HOME)
            page = away.ask("GET", f"{self.bank}/accounts/carol")
            report.compare("Tina, from home: GET /accounts/carol", "403", page.outcome)
            page = self.tina.ask("POST", f"{self.bank}/transfers/carol/small", value=_order("10"))
            report.compare("Tina: POST /transfers/carol/small", "403", page.outcome)

    def transfers(self, report: Report) -> None:
        """A small transfer needs any factor, a large one a fresh passkey; the small path refuses large amounts."""
        small, large = (f"{self.bank}/transfers/alice/{size}" for size in ("small", "large"))
        report.compare("250 by …/small", "201", self.alice.ask("POST", small, value=_order("250")).outcome)
        report.compare("1,500 by …/small", "422", self.alice.ask("POST", small, value=_order("1500")).outcome)
        with self.reaching(report, 0):
            bare = Browser(visitor=self.alice.visitor)
            page = bare.ask("POST", large, value=_order("1500"))
            report.compare("1,500 by …/large, certificate alone", "401", page.outcome)
            report.aside(page.headers.get("www-authenticate", ""))
        done = self.alice.ask("POST", large, value=_order("1500"))
        report.compare("1,500 by …/large, with her passkey", "201", done.outcome)
        _tell_shown(report, done)
        report.compare("a passkey of 4 minutes ago", "rule-allows", self._explained(timedelta(minutes=4)))
        report.compare(
            "a passkey of 12 minutes ago", "factor-missing", self._explained(timedelta(minutes=12))
        )

    def password_only(self, report: Report) -> None:
        """Carol has no passkey yet, and a password is a second factor too."""
        carol, large = self.carol, f"{self.bank}/transfers/carol/large"
        added = carol.add_password(self.portal, "four marmots carry umbrellas")
        report.compare("she chooses a password at the portal", "303", added.outcome)
        page = carol.open(f"{self.bank}/accounts/carol")
        report.compare("GET /accounts/carol, by way of the portal", "200", page.outcome)
        _tell_shown(report, page, level=2, methods="pwd")
        page = carol.ask("POST", f"{self.bank}/transfers/carol/small", value=_order("250"))
        report.compare("250 by …/small", "201", page.outcome)
        with self.reaching(report, 0):
            report.compare("1,500 by …/large", "401", carol.ask("POST", large, value=_order("1500")).outcome)
            report.compare("GET …/large ends at", "the portal", self._where(carol.open(large).url))

    def stolen_certificate(self, report: Report) -> None:
        """The portal asks Mallory for the passkey, and lets her add no factor."""
        with self.reaching(report, 0):
            mallory = Browser(visitor=self.alice.visitor)
            page = mallory.open(f"{self.bank}/accounts/alice")
            report.compare("GET /accounts/alice ends at", "the portal", self._where(page.url))
            codes = sum("/_doorward/callback" in one for one in mallory.history)
            report.compare("codes that she got", "0", str(codes))
            page = mallory.ask("GET", f"{self.portal}/factors/webauthn")
            asked = "/check/" in page.headers.get("location", "")
            report.compare("to add a passkey she needs", "Alice's", "Alice's" if asked else page.outcome)
            page = mallory.ask("POST", f"{self.bank}/transfers/alice/large", value=_order("1500"))
            report.compare("POST /transfers/alice/large", "401", page.outcome)

    def stolen_cookie(self, report: Report) -> None:
        """The cookie is tried with Carol's certificate and with that of Alice's phone; then a used code is tried."""
        with self.reaching(report, 0):
            for certificate, visitor, name in (
                ("Carol's certificate", self.scene.visitors["carol"], "carol"),
                ("Alice's phone certificate", self.phone.visitor, "alice"),
            ):
                thief = Browser(visitor=visitor, cookies=_copy(self.alice))
                page = thief.ask("GET", f"{self.bank}/accounts/{name}")
                report.compare(f"the cookie, with {certificate}", "the portal", self._where_to(page))
                page = thief.ask("POST", f"{self.bank}/transfers/{name}/small", value=_order("10"))
                report.compare("… and a transfer", "401", page.outcome)
            used = next(one for one in reversed(self.alice.history) if "/_doorward/callback" in one)
            page = Browser(visitor=self.alice.visitor, cookies=_copy(self.alice)).ask("GET", used)
            report.compare("the used code again", "403", page.outcome)

    def past_the_door(self, report: Report) -> None:
        """A program on the bank's own machine connects to the application directly."""
        port = int(self.scene.document.partition("upstream: http://127.0.0.1:")[2].split()[0])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WITHIN_SECONDS)
        try:
            connection.request("GET", "/accounts/alice", headers=FORGED)
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        report.compare("GET /accounts/alice at the bank's own port", "401", str(answer.status))
        report.aside(json.loads(text)["detail"])

    def lost_laptop(self, report: Report) -> None:
        """A report cuts the connections within a second; the passkey gives a new certificate."""
        laptop = self._certificate_of(self.alice.visitor)
        cookie = "; ".join(f"{name}={value}" for name, value in self.alice.cookies[self._netloc()].items())
        thief = self.alice.visitor
        with thief.live("/accounts/alice/live", {"Cookie": cookie}) as stream:
            stream.recv(timeout=WITHIN_SECONDS)
            report.compare("the thief at her unlocked laptop sees", "her balances", "her balances")
            ending = SocketEnding(stream)
            self.phone.open(f"{self.portal}/certificates/{laptop}/lost")
            done = self.phone.ask("POST", f"{self.portal}/certificates/{laptop}/lost", form={})
            report.compare("she reports it from her phone", "303", done.outcome)
            judge_end(report, "the thief's open connection ends", ending.moment(), self._revoked_at(laptop))
        out = self.alice.ask("GET", f"{self.bank}/")
        report.compare("GET / with the laptop's certificate", "403", out.outcome)
        new = Browser(visitor=Visitor(door=self.scene.door), passkey=self.alice.passkey)
        page = new.renew_by_passkey(self.portal, self.scene.credential("alice-new"))
        report.compare(
            "on a new laptop, by passkey alone", "renewal-not-due", _value(page).get("code", page.outcome)
        )
        report.aside("the phone's certificate is valid, so a passkey alone gives no second one")
        page = new.renew_by_passkey(self.portal, self.scene.credential("alice-new"), lost=True)
        report.compare("… with her phone's certificate revoked too", "201", page.outcome)
        page = new.open(f"{self.bank}/accounts/alice")
        report.compare("GET /accounts/alice on the new laptop", "200", page.outcome)

    def sign_out(self, report: Report) -> None:
        """After the sign-out a copy of the cookie does not work."""
        kept, accounts = _copy(self.tina), f"{self.bank}/accounts/carol"
        report.compare("GET /accounts/carol before", "200", self.tina.ask("GET", accounts).outcome)
        page = self.tina.ask("POST", f"{self.bank}/_doorward/sign-out", form={"here": "1"})
        report.compare("she signs out", "200", page.outcome)
        self.tina.ask("GET", f"{self.bank}/_doorward/signed-out")  # it answers when it has taken effect
        later = Browser(visitor=self.tina.visitor, cookies=kept)
        with self.reaching(report, 0):
            report.compare(
                "the copy of the cookie leads to", "the portal", self._where_to(later.ask("GET", accounts))
            )

    def record(self, report: Report) -> None:
        """The record verifies, and contains the events of the day."""
        evidence = Evidence(self.scene.installation)
        verified = evidence.verify()
        report.compare("the log verifies", "yes", "yes" if verified.verified else str(verified.faults[:1]))
        report.aside(f"{verified.size} events, {verified.anchored_size} of them under a signed checkpoint")
        counted = Counter(str(one["type"]) for one in evidence.events(0))
        for kind, times in EVENTS.items():
            report.compare(kind, str(times), str(counted[kind]))
        for kind in sorted(counted.keys() - EVENTS.keys()):
            report.aside(f"{counted[kind]:>4}  {kind}")

    def _where(self, url: str) -> str:
        for place, word in ((self.portal, "the portal"), (self.bank, "the bank")):
            if url.startswith(place):
                return word
        return url

    def _where_to(self, page: Page) -> str:
        """Return the place to which a page sends the browser, or its status."""
        return self._where(page.headers["location"]) if page.status == 302 else page.outcome

    def _netloc(self) -> str:
        return self.bank.removeprefix("https://")

    def _explained(self, ago: timedelta) -> str:
        services = self.scene.installation.services
        shown = ShownFactors.of({FactorKind.WEBAUTHN: datetime.now(UTC) - ago})
        asked = explain(
            services, principal="alice", app=APP, method="POST", path="/transfers/alice/large", shown=shown
        )
        return asked.decision.reasons[-1].value

    def _records(self) -> Sequence[CertificateRecord]:
        return list_certificates(self.scene.installation.services, CertificateFilter())

    def _certificate_of(self, visitor: Visitor) -> str:
        if visitor.certificate is None:
            raise ValueError("this visitor has no certificate")
        leaf = load_pem_x509_certificate(visitor.certificate.read_bytes())
        return next(one.id for one in self._records() if one.serial == leaf.serial_number)

    def _revoked_at(self, certificate: str) -> datetime:
        moments = [one.revoked_at for one in self._records() if one.id == certificate]
        if not moments or moments[0] is None:
            raise LookupError("the certificate is not revoked")
        return moments[0]


def _order(amount: str) -> dict[str, str]:
    return {"to": "DE02120300000000202051", "amount": amount}


def _value(page: Page) -> dict[str, Any]:
    try:
        value = json.loads(page.text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _copy(browser: Browser) -> dict[str, dict[str, str]]:
    return {host: dict(jar) for host, jar in browser.cookies.items()}


def _elsewhere(browser: Browser, source: str) -> Browser:
    """Return the same browser at another address."""
    at = browser.visitor
    visitor = Visitor(door=at.door, certificate=at.certificate, key=at.key, source=source)
    return Browser(visitor=visitor, cookies=_copy(browser))


def _tell_shown(report: Report, page: Page, *, level: int = 3, methods: str = "hwk, user") -> None:
    """Compare the facts about the second factor that the application received."""
    shown = _value(page).get("shown", {})
    report.compare("the level that the bank learns", f"urn:doorward:level:{level}", str(shown.get("level")))
    report.compare("the factors that the bank learns", methods, ", ".join(shown.get("methods", [])))
    age = shown.get("age")
    good = isinstance(age, int) and age <= 300
    report.judge("their age that the bank learns", "at most 300 s", f"{age} s", good=good)


def main() -> int:
    """Play the day; return 0 if every result is as expected."""
    began = time.monotonic()
    report = open_report(silent=False)
    report.title("A day at the bank", f"https://{HOST}, on this machine only; everything is real")
    with ExitStack() as standing:
        folder = standing.enter_context(workplace(None))
        with report.preparing("making an authority, opening the door, enrolling alice, carol and tina"):
            scene = standing.enter_context(demo_environment(folder, port=None, scenario=SCENARIO))
            day = Day(scene=scene)
        play(scene, report, day.scenes())
    report.end(time.monotonic() - began)
    return 0 if report.well else 1


if __name__ == "__main__":
    sys.exit(main())
