"""Every page of the portal in Chromium: no barrier in either theme, no fault of a script, nothing wider than a phone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Request

from doorward.directory.factors.enrolment_tickets import open_first_enrolment
from doorward.directory.help_desk import Explained, HelpDesk
from doorward.web.pool import UseCasePool
from tests.support.browser import PHONE, Chromium
from tests.support.factor_records import session
from tests.support.gallery import Shown, gallery
from tests.support.portal import DOCUMENT, ORIGIN, PortalBrowser
from tests.support.world import OPERATOR, found_world

pytestmark = pytest.mark.needs("chromium", "certutil", "pk12util")

BROWSERS = "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0"
MOST_BYTES = 150_000
TOLD = Explained(
    title="request:answered GET /books at payments",
    facts=(
        ("incident", "3f2a-9c1b"),
        ("who", "person/bob from 192.0.2.7"),
        ("result", "refused 403"),
        ("method", "GET"),
    ),
    lines=("2026-11-29 10:00:00.123Z  person/bob  connection:admitted  ok  evt_3oc66hzk2fnubz36ibgo",),
    hints=("what the present rules say: doorward policy explain --principal bob --app payments GET /books",),
    application="payments",
    reasons=("no-allow-rule",),
)


class Visit:
    """Alice at the portal: with her passkey shown, asked for it, as somebody new, or without a certificate."""

    def __init__(self, pool: UseCasePool) -> None:
        self.alice, self.asked, self.new = self._person(pool), self._person(pool), self._person(pool)
        self.alice.enrol_passkey()
        self.alice.show_passkey(self.alice.begin().headers["location"])
        self.asked.enrol_passkey()
        self.check = self.asked.begin().headers["location"]
        self._sign_in()
        record = self.new.held.record
        with self.new.world.services.work.change() as stores:
            open_first_enrolment(
                self.new.world.services, stores, record.principal_id, record.id, actor=OPERATOR
            )
        self.as_who = "alice"
        self.language = "en"

    @staticmethod
    def _person(pool: UseCasePool) -> PortalBrowser:
        world = found_world(document=DOCUMENT)
        desk = HelpDesk(world.services, "tellers", lambda _text: TOLD)
        browser = PortalBrowser(world=world, pool=pool, held=world.issue("alice"), help_desk=desk)
        world.issue("alice")
        return browser

    def _sign_in(self) -> None:
        record = self.alice.held.record
        made = session(
            "bank",
            principal_id=record.principal_id,
            certificate_id=record.id,
            certificate_sha256=record.sha256,
            application_id=self.alice.world.application_id("payments"),
            client=BROWSERS,
            source="192.0.2.7",
        )
        with self.alice.world.services.work.change() as stores:
            stores.sessions.add(made)

    def answer(self, method: str, path: str, request: Request) -> Shown:
        """Answer as the portal behind the door."""
        headers = {"Accept-Language": self.language, "Accept": request.headers.get("accept", "*/*")}
        more: dict[str, Any] = {"headers": headers}
        if request.post_data is not None:
            headers["Content-Type"] = request.headers.get("content-type", "")
            more["content"] = request.post_data
        if self.as_who == "nobody":
            came = self.new.client.request(method, path, **more)
        else:
            who = {"alice": self.alice, "asked": self.asked, "new": self.new}[self.as_who]
            came = who.at_portal(method, path, **more)
        return came.status_code, dict(came.headers), came.content


@pytest.fixture(scope="module")
def visit() -> Iterator[Visit]:
    """One world for all pages."""
    pool = UseCasePool(workers=2)
    yield Visit(pool)
    pool.close()


@pytest.fixture(scope="module")
def browser(visit: Visit) -> Iterator[Chromium]:
    """One Chromium for all pages."""
    with gallery(visit.answer) as running:
        yield running


PAGES = {
    "mine": ("alice", "/"),
    "factors": ("alice", "/factors"),
    "passkey": ("alice", "/factors/webauthn"),
    "app": ("alice", "/factors/totp"),
    "password": ("alice", "/factors/password"),
    "codes": ("alice", "/factors/recovery-code"),
    "check": ("asked", "CHECK"),
    "lost": ("alice", "/certificates/CERTIFICATE/lost"),
    "not-me": ("alice", "/lately/certificate-issued.CERTIFICATE.ISSUED"),
    "add-device": ("alice", "/certificates/add"),
    "add-device-new": ("new", "/certificates/add"),
    "renew-here": ("alice", "/certificates/renew"),
    "recover": ("alice", "/recover"),
    "welcome": ("alice", "/welcome"),
    "mine-new": ("new", "/"),
    "factors-new": ("new", "/factors"),
    "welcome-new": ("new", "/welcome"),
    "welcome-nobody": ("nobody", "/welcome"),
    "join": ("nobody", "/join"),
    "renew": ("nobody", "/renew"),
    "nobody": ("nobody", "/"),
    "enrol": ("alice", "/enrol"),
    "help-desk": ("alice", "/help-desk"),
    "unknown": ("alice", "/check/stp_unknown"),
}


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_page_of_the_portal_has_no_barrier(
    browser: Chromium, visit: Visit, name: str, language: str
) -> None:
    """axe-core finds nothing serious; it fits a phone; page, style and script are within 150 kB."""
    visit.as_who, path = PAGES[name]
    visit.language = language
    path = path.replace("CHECK", visit.check).replace("CERTIFICATE", visit.alice.held.record.id)
    path = path.replace("ISSUED", str(int(visit.alice.held.record.created_at.timestamp())))
    sizes: list[int] = []
    browser.page.on("response", lambda answer: sizes.append(len(answer.body())))
    browser.faults.clear()
    browser.open(f"{ORIGIN}{path}")
    if language == "en" or name in {"mine", "check", "join"}:
        browser.shoot(f"portal-{name}-{language}")
    assert browser.barriers() == []
    browser.page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    assert browser.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert sum(sizes) <= MOST_BYTES
    assert browser.faults == []


@pytest.mark.parametrize("language", ["en", "de"])
def test_what_the_help_desk_is_told_has_no_barrier(browser: Chromium, visit: Visit, language: str) -> None:
    """The answer to an incident id, as the form brings it."""
    visit.as_who, visit.language = "alice", language
    browser.faults.clear()
    browser.open(f"{ORIGIN}/help-desk")
    browser.page.fill("#id", "3f2a-9c1b")
    browser.page.click("main form button")
    browser.page.wait_for_selector("#found", timeout=20_000)
    browser.shoot(f"portal-help-desk-told-{language}")
    assert browser.barriers() == []
    assert browser.faults == []
