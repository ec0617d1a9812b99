"""Another certificate, chosen by a person in the real dialog of Chromium on a real screen, at a real door.

The browser has two people's certificates and no policy. The page of the door has the link, and its script does the rest.
Debian has what it needs in xvfb, openbox, xdotool and imagemagick.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.support.browser import Chromium, chromium
from tests.support.doorway import Doorway, open_doorway
from tests.support.screen import Screen, screen

pytestmark = [
    pytest.mark.needs("certutil", "pk12util", "chromium"),
    pytest.mark.needs("Xvfb", "openbox", "xdotool", "import", must=False),
]

PEOPLE = {"alice", "bob"}


@pytest.fixture(scope="module")
def door() -> Iterator[Doorway]:
    """An application that people may look at from the front only, so that any other page is one of the door's."""
    with open_doorway(settings={"root_is_deployed": True}) as running:
        running.apply("- {allow: {kind: person}, to: {paths: [/]}}", on_refusal="page")
        for name in sorted(PEOPLE):
            running.person(name)
        yield running


@pytest.fixture
def hand() -> Iterator[Screen]:
    """A screen with a keyboard."""
    with screen() as one:
        yield one


@pytest.fixture
def browser(door: Doorway, hand: Screen) -> Iterator[Chromium]:
    """A browser with the certificates of both."""
    with chromium(door, also=list(door.identities.values()), on=hand) as running:
        yield running


def at(door: Doorway, name: str, path: str = "/") -> str:
    """An address at the application or at the portal."""
    return f"https://{door.host(name)}:{door.port}{path}"


def known_as(browser: Chromium) -> str:
    """Whom the application knows, or the door's or the portal's page names; empty on any other page."""
    found = re.search(r"(?:person/|signed in as |Welcome, )(\w+)", browser.text())
    return found.group(1) if found else ""


def see_another(browser: Chromium, hand: Screen, before: str) -> str:
    """Wait until the page names another person than before."""
    hand.wait("another person", lambda: known_as(browser) not in {"", before})
    return known_as(browser)


def test_a_person_chooses_another_certificate_on_a_page_of_the_door(
    door: Doorway, browser: Chromium, hand: Screen
) -> None:
    """The first visit asks; the link has the browser ask again, and the door knows the other person."""
    browser.begin(at(door, "app", "/closed"))
    hand.answer("Return")
    first = see_another(browser, hand, "")
    browser.page.get_by_role("link", name="Use another certificate").click()
    hand.answer("Down", "Return")
    second = see_another(browser, hand, first)
    assert {first, second} == PEOPLE
    browser.open(at(door, "app"))
    assert known_as(browser) == second
    assert not door.gateway.connections.showing(door.certificate_of(first))


@pytest.mark.parametrize("name", ["app", "portal"])
def test_a_person_who_showed_none_chooses_after_all(
    door: Doorway, browser: Chromium, hand: Screen, name: str
) -> None:
    """“Cancel” leads to the page that asks for a certificate, and its link to the dialog again."""
    browser.begin(at(door, name))
    hand.answer("Escape")
    browser.page.get_by_role("link", name="Choose again").click()
    hand.answer("Return")
    assert see_another(browser, hand, "") in PEOPLE


def test_a_person_becomes_another_at_the_portal(door: Doorway, browser: Chromium, hand: Screen) -> None:
    """The portal's first page has the same link."""
    browser.begin(at(door, "portal"))
    hand.answer("Return")
    first = see_another(browser, hand, "")
    browser.page.get_by_role("link", name="Use another certificate").click()
    hand.answer("Down", "Return")
    assert {first, see_another(browser, hand, first)} == PEOPLE
