"""Every page of the door in Chromium: no barrier in either theme, no fault of a script, nothing wider than a phone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Request

from doorward.enforcement.envoy.replies import build_local_replies
from doorward.enforcement.envoy.reply_cases import PAGE_STATES
from doorward.enforcement.plan import Placeholder
from doorward.web.look.brand import Brand
from doorward.web.look.dates import render_moment, render_moment_with_distance
from doorward.web.look.rendering import Look, page_policy
from doorward.web.pages.message import Message, build_context
from doorward.web.pages.replies import build_reply_pages
from doorward.web.pages.states import STATES
from doorward.web.pages.surface import STATIC_BASE, build_targets
from tests.support.browser import PHONE, Chromium
from tests.support.gallery import Shown, gallery

pytestmark = pytest.mark.needs("chromium", "certutil", "pk12util")

ORIGIN = "https://payments.bank.example"
PORTAL = "https://portal.bank.example"
BRAND = Brand(name="Meridian Bank", help_address="tel:+49301234567", hours="Mon to Fri, 8 to 18")
NOW = datetime(2026, 11, 29, 10, 0, tzinfo=UTC)
LOOK = Look(BRAND, base=STATIC_BASE)
PAGES = build_reply_pages(LOOK, portal_origin=PORTAL)
KNOWN = {
    Placeholder.APPLICATION: "payments",
    Placeholder.INCIDENT: "3f2a-9c1b",
    Placeholder.MOMENT: "2026-11-29T10:00:00Z",
    Placeholder.WHO: "alice",
}


def door_page(name: str, language: str) -> str:
    """The page of a state as the surface makes it."""
    values = {
        "application": "payments",
        "who": "alice",
        "issuer": "Some Other Authority",
        "organisation": BRAND.name,
        "since": render_moment_with_distance(NOW + timedelta(days=26), NOW, language),
        "until": render_moment_with_distance(NOW - timedelta(days=26), NOW, language),
        "now": render_moment(NOW, language),
    }
    facts = [
        ("Application", "payments"),
        ("Certificate of", "CN=alice"),
        ("Serial number ends in", "9c1b44e0"),
    ]
    message = Message(
        state=name,
        language=language,
        values=values,
        incident="3f2a-9c1b",
        at=NOW,
        facts=facts,
        targets=build_targets(PORTAL),
        until=NOW + timedelta(days=26) if name == "certificate-not-yet-valid" else None,
    )
    return LOOK.render("door.html", build_context(LOOK, message), language)


def reply_page(name: str, language: str) -> str:
    """The page of a state as Envoy answers with it."""
    page = PAGES.html[name, language]
    for token, value in KNOWN.items():
        page = page.replace(token.value, value)
    return page


def answer(_method: str, path: str, _request: Request) -> Shown:
    """Answer with a static file, or with a page: /door/STATE/LANGUAGE, /reply/STATE/LANGUAGE."""
    plain = path.partition("?")[0]
    if plain.startswith(f"{STATIC_BASE}/"):
        asset = LOOK.assets[plain.rpartition("/")[2]]
        return 200, {"content-type": asset.media_type}, asset.body
    kind, name, language = plain[1:].split("/")
    page = door_page(name, language) if kind == "door" else reply_page(name, language)
    policy = page_policy() if kind == "door" else PAGES.policy
    return (
        STATES[name].status,
        {"content-type": "text/html", "content-security-policy": policy},
        page.encode(),
    )


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    """One Chromium for all pages."""
    with gallery(answer) as running:
        yield running


def look_at(browser: Chromium, path: str) -> None:
    """Open a page and see that it is sound; keep pictures if they are wanted."""
    browser.open(f"{ORIGIN}{path}")
    browser.shoot(path[1:].replace("/", "-"))
    assert browser.barriers() == []
    browser.page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    assert browser.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert browser.faults == []


@pytest.mark.parametrize("name", sorted(STATES))
def test_a_page_of_the_door_has_no_barrier(browser: Chromium, name: str) -> None:
    """axe-core finds nothing serious; the text fits a phone; the policy blocks nothing that the page needs."""
    look_at(browser, f"/door/{name}/{'de' if len(name) % 2 else 'en'}")


@pytest.mark.parametrize("name", sorted(PAGE_STATES))
def test_a_reply_of_envoy_has_no_barrier(browser: Chromium, name: str) -> None:
    """The short form of the same page."""
    look_at(browser, f"/reply/{name}/{'en' if len(name) % 2 else 'de'}")


def test_the_incident_id_can_be_copied(browser: Chromium) -> None:
    """Script adds a button beside it; without script it is selected with one click."""
    browser.open(f"{ORIGIN}/door/certificate-missing/en")
    browser.page.get_by_text("For the help desk").click()
    assert browser.page.get_by_role("button", name="Copy").is_visible()


def test_a_wrong_clock_is_named(browser: Chromium) -> None:
    """A certificate may seem to begin later only because the device's clock is wrong."""
    browser.page.clock.set_fixed_time("2026-11-28T08:00:00Z")
    browser.open(f"{ORIGIN}/door/certificate-not-yet-valid/en")
    assert "The clock of this device says" in browser.text()
    browser.page.clock.set_fixed_time("2026-11-29T10:00:20Z")
    browser.open(f"{ORIGIN}/door/certificate-not-yet-valid/en")
    assert "The clock of this device says" not in browser.text()


def test_replies_are_compiled_from_these_pages() -> None:
    """What is looked at here is what Envoy is given."""
    text = str(build_local_replies("payments", (), PAGES))
    assert "You cannot open this in payments" in text
