"""Adding a device at the portal: the page, the link, and taking it back."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from doorward.directory.invitations import list_open
from doorward.directory.inviting import invite
from doorward.directory.own_certificates import list_own_certificates
from doorward.web.pool import UseCasePool
from tests.support.portal import ORIGIN, PortalBrowser
from tests.support.world import OPERATOR, Held, World

PATH = "/certificates/add"
LINK = re.compile(re.escape(ORIGIN) + r"/join#([A-Za-z0-9_-]{43})")


@pytest.fixture
def passkey(portal: PortalBrowser, alice: Held) -> None:
    """Alice has a passkey."""
    portal.enrol_passkey(alice.record.subject_name)


def show_passkey(portal: PortalBrowser, held: Held) -> str:
    """Open the page, and use the passkey where it leads; return where that leads."""
    check = portal.ask("GET", PATH, held).headers["location"]
    return str(portal.show_passkey(check, held).headers["location"])


def count_open(portal: PortalBrowser) -> int:
    """Return how many links of Alice are open."""
    return len(list_open(portal.world.services, "alice"))


@pytest.mark.usefixtures("passkey")
def test_a_link_is_made_after_the_passkey_and_becomes_a_certificate(
    portal: PortalBrowser, alice: Held
) -> None:
    """The page asks for the passkey, comes back, and shows link, QR code and end; the link works on another device."""
    assert f'href="{PATH}"' in portal.ask("GET", "/", alice).text
    assert show_passkey(portal, alice) == PATH
    assert "Make the link" in portal.ask("GET", PATH, alice).text
    assert count_open(portal) == 0
    page = portal.ask("POST", PATH, alice)
    assert page.status_code == 200
    assert page.headers["cache-control"] == "no-store"
    assert "<svg" in page.text
    assert "in 15 minutes" in page.text
    (token,) = set(LINK.findall(page.text))
    headers = {"Content-Type": "application/pkcs10", "Authorization": f"Bearer {token}"}
    answer = portal.ask("POST", "/join/certificates", content=portal.world.csr(), headers=headers)
    assert answer.status_code == 201
    assert len(list_own_certificates(portal.world.services, alice.record.principal_id)) == 2


@pytest.mark.usefixtures("passkey")
def test_the_link_is_shown_once(portal: PortalBrowser, alice: Held) -> None:
    """No other page has it; asked for again, there is another link, and the first one is void."""
    show_passkey(portal, alice)
    (first,) = set(LINK.findall(portal.ask("POST", PATH, alice).text))
    for path in (PATH, "/"):
        assert first not in portal.ask("GET", path, alice).text
    (second,) = set(LINK.findall(portal.ask("POST", PATH, alice).text))
    assert second != first
    assert count_open(portal) == 1


@pytest.mark.usefixtures("passkey")
def test_without_a_fresh_check_there_is_no_link(portal: PortalBrowser, alice: Held) -> None:
    """The form leads to the check as the page does, also five minutes after it."""
    assert portal.ask("POST", PATH, alice).headers["location"].startswith("/check/")
    show_passkey(portal, alice)
    portal.world.clock.present += timedelta(minutes=5, seconds=1)
    for method in ("GET", "POST"):
        assert portal.ask(method, PATH, alice).headers["location"].startswith("/check/")
    assert count_open(portal) == 0


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_without_a_factor_there_is_no_link(portal: PortalBrowser, alice: Held, method: str) -> None:
    """The page says to add a second factor first, and leads there."""
    page = portal.ask(method, PATH, alice).text
    assert "Add a second factor first" in page
    assert 'href="/factors"' in page
    assert count_open(portal) == 0


@pytest.mark.usefixtures("passkey")
def test_too_many_certificates_are_a_page(portal: PortalBrowser, alice: Held) -> None:
    """In words, with what to do."""
    show_passkey(portal, alice)
    for _ in range(19):
        portal.world.issue("alice")
    answer = portal.ask("POST", PATH, alice)
    assert answer.status_code == 403
    assert "the limit of valid certificates" in answer.text


@pytest.mark.usefixtures("passkey")
def test_a_link_is_withdrawn(portal: PortalBrowser, alice: Held) -> None:
    """From the page that shows it, and from what happened lately; an administrator's link is not found."""
    show_passkey(portal, alice)
    for _ in range(2):
        page = portal.ask("POST", PATH, alice).text
        (action,) = re.findall(rf'action="({PATH}/[^"]+/withdraw)"', page)
        (lately,) = re.findall(r'href="(/lately/link-made\.[^"]+)"', portal.ask("GET", "/", alice).text)[:1]
        assert f'action="{action}"' in portal.ask("GET", lately, alice).text
        answer = portal.ask("POST", action, alice)
        assert (answer.status_code, answer.headers["location"]) == (303, "/#lately")
        assert count_open(portal) == 0
        portal.world.clock.turn(seconds=1)
    made = invite(portal.world.services, "alice", actor=OPERATOR).record
    assert portal.ask("POST", f"{PATH}/{made.id}/withdraw", alice).status_code == 404
    (lately,) = re.findall(rf'href="(/lately/link-made\.{made.id}[^"]+)"', portal.ask("GET", "/", alice).text)
    page = portal.ask("GET", lately, alice).text
    assert "by an administrator" in page
    assert "Withdraw" not in page


@pytest.mark.usefixtures("passkey")
def test_the_page_is_there_in_german(portal: PortalBrowser, alice: Held) -> None:
    """Both of its states."""
    german = {"Accept-Language": "de"}
    assert show_passkey(portal, alice) == PATH
    assert "Ein Gerät hinzufügen" in portal.ask("GET", PATH, alice, headers=german).text
    assert "Er gilt bis" in portal.ask("POST", PATH, alice, headers=german).text


def test_it_is_offered_on_a_trusted_page_only(world: World, pool: UseCasePool, alice: Held) -> None:
    """Where browsers warn of the join page, nothing leads there."""
    with (untrusted := PortalBrowser(world=world, pool=pool, trusted=False)).client:
        assert PATH not in untrusted.ask("GET", "/", alice).text
        assert "Ask the help desk" in untrusted.ask("GET", PATH, alice).text
        assert untrusted.ask("POST", PATH, alice).status_code == 404
