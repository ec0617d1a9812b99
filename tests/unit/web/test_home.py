"""A person's own portal: one page, and what can be done from it."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest

from doorward.access.policies import apply_document, export_revision
from doorward.authority.rollover import moving, preparing
from doorward.directory.account_activity import ACTIVITY_PERIOD
from doorward.directory.factors.removing import reset_factors
from doorward.directory.own_certificates import (
    OwnCertificateStatus,
    list_own_certificates,
    renew_own_certificate,
)
from doorward.stores.factor_records import SessionRecord
from doorward.web.look.rendering import Look
from doorward.web.portal.clients import name_client
from tests.support.doorway import eventually
from tests.support.factor_records import session
from tests.support.portal import PortalBrowser
from tests.support.world import OPERATOR, Held, World

CSR = {"Content-Type": "application/pkcs10"}


def open_session(world: World, held: Held, name: str) -> SessionRecord:
    """Sign Alice in at payments."""
    made = session(
        name,
        principal_id=held.record.principal_id,
        certificate_id=held.record.id,
        certificate_sha256=held.record.sha256,
        application_id=world.application_id("payments"),
        client="Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0",
        source="192.0.2.7",
    )
    with world.services.work.change() as stores:
        stores.sessions.add(made)
    return made


def open_now(world: World) -> list[str]:
    """Return the ids of the open sessions."""
    with world.services.work.read() as stores:
        return [one.id for one in stores.sessions.open_at(world.clock.now(), None)]


def test_the_page_shows_what_is_alices(portal: PortalBrowser, alice: Held) -> None:
    """Her application with its address, her certificate as good and as this device, and that a factor is missing."""
    open_session(portal.world, alice, "one")
    page = portal.ask("GET", "/", alice).text
    assert "Welcome, alice" in page
    assert 'href="https://payments.corp.example:8443/"' in page
    assert "sensors" not in page
    assert "(this device)" in page
    assert "You have no second factor" in page
    assert "Firefox on Linux, 192.0.2.7" in page


@pytest.mark.parametrize(
    ("factors", "told", "href"),
    [
        ("{tellers: [webauthn]}", "requires a passkey", "/factors/webauthn"),
        ("{tellers: [totp]}", "requires codes from an app", "/factors/totp"),
        ("{tellers: [any]}", "requires a second factor", "/factors"),
    ],
)
def test_a_required_factor_that_is_missing_is_told(
    portal: PortalBrowser, alice: Held, factors: str, told: str, href: str
) -> None:
    """On the first page with the way to add it, and where factors are listed; no more once it is there."""
    text, _ = export_revision(portal.world.services)
    apply_document(portal.world.services, f"{text}factors: {factors}\n", file="f", actor=OPERATOR)
    page = portal.ask("GET", "/", alice).text
    assert told in page
    assert f'href="{href}"' in page
    assert "You have no second factor" not in page
    assert told in portal.ask("GET", "/factors", alice).text
    portal.enrol_passkey("alice")
    assert (told in portal.ask("GET", "/", alice).text) is ("totp" in factors)


def test_others_are_not_on_the_page(portal: PortalBrowser, alice: Held) -> None:
    """Neither certificates nor sessions of another person."""
    bob = portal.world.issue("bob")
    made = open_session(portal.world, bob, "bob's")
    page = portal.ask("GET", "/", alice).text
    assert bob.record.id not in page
    assert made.id not in page


def test_a_certificate_that_ends_soon_needs_alice_today(portal: PortalBrowser, alice: Held) -> None:
    """The page says when, and leads to the renewal."""
    portal.world.clock.present = alice.record.not_after - timedelta(days=3)
    page = portal.ask("GET", "/", alice).text
    assert "ends soon" in page
    assert "in 3 days" in page
    assert 'href="/certificates/renew"' in page


def test_a_rollover_asks_for_a_renewal_until_there_is_a_successor(portal: PortalBrowser, alice: Held) -> None:
    """While the certificates of the old authority are issued again, the page leads to the renewal."""
    services, words = portal.world.services, "needs a successor"
    preparing.prepare(services, actor=OPERATOR)
    portal.world.clock.present += timedelta(minutes=1)  # the gateway counts as away
    moving.activate(services, actor=OPERATOR, ignore_away=True)
    assert words not in portal.ask("GET", "/", alice).text
    moving.drain(services, actor=OPERATOR, ignore_away=True)
    page = portal.ask("GET", "/", alice).text
    assert words in page
    assert 'href="/certificates/renew"' in page
    renew_own_certificate(
        services, alice.record.id, portal.world.csr("alice"), actor=alice.record.principal_id
    )
    assert words not in portal.ask("GET", "/", alice).text


def test_a_new_certificate_of_another_device_is_news(portal: PortalBrowser, alice: Held) -> None:
    """For a week, with a way to say that it was not she."""
    other = portal.world.issue("alice").record
    page = portal.ask("GET", "/", alice).text
    assert "Another device got a certificate in your name" in page
    assert page.index("It was not me") < page.index("My applications")
    assert f'href="/certificates/{other.id}/lost"' in page
    portal.world.clock.present += timedelta(days=8)
    assert "Another device" not in portal.ask("GET", "/", alice).text


def test_a_device_is_named(portal: PortalBrowser, alice: Held) -> None:
    """The name is on the page, as text."""
    answer = portal.ask("POST", f"/certificates/{alice.record.id}/name", alice, data={"name": "<b>laptop"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/#certificates")
    assert "&lt;b&gt;laptop" in portal.ask("GET", "/", alice).text


def test_a_certificate_is_renewed_by_itself(portal: PortalBrowser, alice: Held) -> None:
    """The page makes a key; the request becomes a successor beside the present one."""
    assert 'data-proof="caller"' in portal.ask("GET", "/certificates/renew", alice).text
    answer = portal.ask("POST", "/certificates/renew", alice, content=portal.world.csr(), headers=CSR)
    assert answer.status_code == 201
    statuses = [one.status for one in list_own_certificates(portal.world.services, alice.record.principal_id)]
    assert statuses == [OwnCertificateStatus.GOOD, OwnCertificateStatus.GOOD]


def test_a_renewal_is_confirmed_by_the_passkey(portal: PortalBrowser, alice: Held) -> None:
    """Who has one shows it first: a thief of the unlocked device makes no certificate for a device of the thief's."""
    portal.enrol_passkey("alice")
    asked = portal.ask("GET", "/certificates/renew", alice)
    sent = {"content": portal.world.csr(), "headers": CSR | {"Accept": "*/*"}}
    refused = portal.ask("POST", "/certificates/renew", alice, **sent)
    assert (refused.status_code, refused.json()["code"]) == (403, "factor-check-needed")
    assert len(list_own_certificates(portal.world.services, alice.record.principal_id)) == 1
    assert portal.show_passkey(asked.headers["location"], alice).headers["location"] == "/certificates/renew"
    assert portal.ask("POST", "/certificates/renew", alice, **sent).status_code == 201


def test_renewals_have_an_end(portal: PortalBrowser, alice: Held) -> None:
    """A script on a forgotten page cannot fill the inventory."""
    for _ in range(19):
        portal.world.issue("alice")
    answer = portal.ask(
        "POST", "/certificates/renew", alice, content=portal.world.csr(), headers=CSR | {"Accept": "*/*"}
    )
    assert (answer.status_code, answer.json()["code"]) == (403, "certificates-too-many")


def test_a_lost_device_is_withdrawn_after_a_question(portal: PortalBrowser, alice: Held) -> None:
    """The question names what follows; the answer takes effect, and the page says since when."""
    portal.world.issue("alice")
    (lost,) = (
        one
        for one in list_own_certificates(portal.world.services, alice.record.principal_id)
        if one.record.id != alice.record.id
    )
    path = f"/certificates/{lost.record.id}/lost"
    assert "loses access to all applications within a second" in portal.ask("GET", path, alice).text
    assert portal.ask("POST", path, alice).status_code == 303
    page = portal.ask("GET", "/", alice).text
    assert "Reported lost" in page
    assert "You do not have to do anything else" in portal.ask("GET", path, alice).text


def test_a_loss_is_confirmed_by_the_passkey(portal: PortalBrowser, alice: Held) -> None:
    """Who has one shows it first, within five minutes; a thief of the unlocked device cannot lock its owner out."""
    portal.enrol_passkey("alice")
    path = f"/certificates/{alice.record.id}/lost"
    for method in ("GET", "POST"):
        asked = portal.ask(method, path, alice)
        assert asked.status_code == 303
        assert asked.headers["location"].startswith("/check/")
    assert portal.show_passkey(asked.headers["location"], alice).headers["location"] == path
    assert portal.ask("GET", path, alice).status_code == 200
    portal.world.clock.present += timedelta(minutes=5, seconds=1)
    assert portal.ask("POST", path, alice).headers["location"].startswith("/check/")
    assert list_own_certificates(portal.world.services, alice.record.principal_id)[0].is_usable


def test_alice_signs_out_of_one_and_of_all(portal: PortalBrowser, alice: Held) -> None:
    """One session ends with its button, all of them with the other; another's is not found."""
    first = open_session(portal.world, alice, "first")
    answer = portal.ask("POST", f"/sessions/{first.id}/end", alice)
    assert (answer.status_code, answer.headers["location"]) == (303, "/#sessions")
    open_session(portal.world, alice, "second")
    assert "Signing you out" in portal.ask("POST", "/sign-out", alice).text
    assert eventually(lambda: not open_now(portal.world))
    of_bob = open_session(portal.world, portal.world.issue("bob"), "third")
    portal.ask("POST", f"/sessions/{of_bob.id}/end", alice)
    assert open_now(portal.world) == [of_bob.id]


def test_the_device_in_use_is_withdrawn_after_its_answer(portal: PortalBrowser, alice: Held) -> None:
    """The answer would not arrive on a connection that is cut; the certificate is out all the same."""
    answer = portal.ask("POST", f"/certificates/{alice.record.id}/lost", alice)
    assert "This device has no access any more" in answer.text
    assert eventually(
        lambda: not list_own_certificates(portal.world.services, alice.record.principal_id)[0].is_usable
    )


def test_welcome_says_whether_the_certificate_came(portal: PortalBrowser, alice: Held) -> None:
    """With one it says who came; without one it says what to do."""
    assert "Your certificate shows that you are alice" in portal.ask("GET", "/welcome", alice).text
    assert "did not send your certificate yet" in portal.ask("GET", "/welcome").text


def test_every_page_is_there_in_german(portal: PortalBrowser, alice: Held) -> None:
    """No word of the person's own pages is left in English."""
    german = {"Accept-Language": "de"}
    page = portal.ask("GET", "/", alice, headers=german).text
    assert "Willkommen, alice" in page
    assert "Was zuletzt geschah" in page
    (path, *_) = lately_of(portal, alice)
    assert "Waren Sie das nicht?" in portal.ask("GET", path, alice, headers=german).text


def lately_of(portal: PortalBrowser, held: Held) -> list[str]:
    """Return the addresses behind "It was not me" in the list of what happened."""
    page = portal.ask("GET", "/", held).text
    return re.findall(r'href="(/lately/[^"]+)" aria-label', page)


def test_what_happened_lately_leads_to_what_mends_it(portal: PortalBrowser, alice: Held) -> None:
    """A session leads to the report of its device, and to signing out, with the id that the help desk can explain."""
    made = open_session(portal.world, alice, "one")
    found = [one for one in lately_of(portal, alice) if made.id in one]
    assert len(found) == 1
    page = portal.ask("GET", found[0], alice).text
    assert "Sign-in: payments" in page
    assert f'href="/certificates/{alice.record.id}/lost"' in page
    assert 'action="/sign-out"' in page
    assert f"data-copyable>{made.id}<" in page


def test_an_added_factor_can_be_removed_from_there(portal: PortalBrowser, alice: Held) -> None:
    """The page behind "It was not me" has the form that removes it."""
    portal.enrol_passkey("alice")
    (path,) = [one for one in lately_of(portal, alice) if "factor-added" in one]
    factor_id = path.split(".")[1]
    assert f'action="/factors/{factor_id}/remove"' in portal.ask("GET", path, alice).text


def test_a_reset_is_told_with_who_did_it(portal: PortalBrowser, alice: Held) -> None:
    """On the next visit, and it leads to adding one again."""
    portal.enrol_passkey("alice")
    reset_factors(portal.world.services, "alice", actor=OPERATOR)
    (path,) = [one for one in lately_of(portal, alice) if "factors-reset" in one]
    page = portal.ask("GET", path, alice).text
    assert "All your ways to sign in were removed" in page
    assert "by an administrator" in page
    assert 'href="/factors"' in page


def test_a_sign_in_from_an_unknown_place_needs_alice_today(portal: PortalBrowser, alice: Held) -> None:
    """Above everything else, until a week is over."""
    open_session(portal.world, alice, "one")
    portal.world.clock.turn(seconds=1)
    with portal.world.services.work.change() as stores:
        known = stores.sessions.begun_since(
            alice.record.principal_id, portal.world.clock.now() - ACTIVITY_PERIOD, most=1
        )
        elsewhere = {"client": "curl/8.5", "source": "198.51.100.9", "created_at": portal.world.clock.now()}
        stores.sessions.add(replace(known[0], id=session("elsewhere").id, **elsewhere))
    page = portal.ask("GET", "/", alice).text
    assert page.index("a place and a browser that you never used") < page.index("My applications")
    portal.world.clock.turn(seconds=8 * 86400)
    assert "a place and a browser that you never used" not in portal.ask("GET", "/", alice).text


def test_what_is_not_in_the_list_is_said_kindly(portal: PortalBrowser, alice: Held) -> None:
    """An old address, or one of another person, answers that it is not there."""
    made = open_session(portal.world, portal.world.issue("bob"), "bob's")
    path = f"/lately/signed-in.{made.id}.{int(made.created_at.timestamp())}"
    answer = portal.ask("GET", path, alice)
    assert answer.status_code == 404
    assert "not in the list any more" in answer.text
    assert made.id not in answer.text


@pytest.mark.parametrize(
    ("said", "name"),
    [
        (
            "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/156 Safari/537.36 Edg/156",
            "Edge on Windows",
        ),
        ("Mozilla/5.0 (iPhone) AppleWebKit/605 Version/19 Mobile Safari/604", "Safari on iPhone"),
        ("curl/8.5", "curl"),
        ("", "An unknown browser"),
    ],
)
def test_browsers_have_names(said: str, name: str) -> None:
    """Most name others as well; the first sign counts."""
    assert name_client(said, "en") == name


def test_no_page_is_larger_than_a_phone_should_load() -> None:
    """The script, the style and the pages together stay below 150 kB."""
    assert sum(len(one.body) for one in Look().assets.values()) < 110_000


def test_a_language_is_chosen_and_kept(portal: PortalBrowser, alice: Held) -> None:
    """The link at the foot sets a cookie that holds a language and nothing else; an unknown one is passed over."""
    english = portal.ask("GET", "/", alice)
    assert 'href="?lang=de"' in english.text
    chosen = portal.ask("GET", "/?lang=de", alice)
    assert '<html lang="de">' in chosen.text
    (cookie,) = [one for one in chosen.headers.get_list("set-cookie") if "language" in one]
    assert cookie.startswith("__Host-doorward.language=de;")
    for word in ("Secure", "HttpOnly", "Path=/", "SameSite=lax"):
        assert word in cookie
    kept = portal.ask("GET", "/", alice, headers={"Cookie": "__Host-doorward.language=de"})
    assert '<html lang="de">' in kept.text
    assert "__Host-doorward.language" not in str(portal.ask("GET", "/?lang=xx", alice).headers)
