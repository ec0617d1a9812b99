"""The help desk's page: members of its group look up incident ids, and to everybody else there is no such page."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from httpx2 import Response
from starlette.testclient import TestClient

from doorward.audit.events import EventType
from doorward.core.errors import NotFound
from doorward.directory.help_desk import MOST_LOOKUPS, Explained, HelpDesk
from doorward.directory.nesting import nest
from doorward.directory.principals import add_member
from doorward.web.app import build_portal_app
from doorward.web.pool import UseCasePool
from doorward.web.portal.context import PortalOptions
from doorward.web.portal.help_desk import show_explained
from tests.support.portal import ORIGIN, PortalBrowser
from tests.support.world import OPERATOR, Held, World

KNOWN = "3f2a-9c1b"
TOLD = Explained(
    title="request:answered GET /books at wiki",
    facts=(("incident", KNOWN), ("who", "person/bob"), ("method", "GET")),
    lines=("a line",),
    hints=("doorward invite bob",),
    reasons=("certificate-well-formed", "certificate-expired"),
)


def explain(text: str) -> Explained:
    """Know one id."""
    if text != KNOWN:
        raise NotFound("id-unknown", "nothing")
    return TOLD


@pytest.fixture
def portal(world: World, pool: UseCasePool) -> Iterator[PortalBrowser]:
    """The portal with a help desk, on one event loop."""
    desk = HelpDesk(world.services, "desk", explain)
    made = PortalBrowser(world=world, pool=pool, help_desk=desk)
    with made.client:
        yield made


@pytest.fixture
def alice(world: World) -> Held:
    """Alice, of the help desk, without a second factor."""
    add_member(world.services, "desk", "alice", actor=OPERATOR)
    return world.issue("alice")


def look_up(portal: PortalBrowser, held: Held | None, text: str = KNOWN, **more: object) -> Response:
    """Send the form."""
    return portal.ask("POST", "/help-desk", held, data={"id": text}, **more)


def shape(answer: Response) -> tuple[int, str, list[str]]:
    """Return what a stranger could compare."""
    return answer.status_code, answer.text, sorted(answer.headers)


def test_a_member_is_told(portal: PortalBrowser, alice: Held) -> None:
    """What happened in the words of the page that the person saw, what to do, and the record."""
    assert 'action="/help-desk"' in portal.ask("GET", "/help-desk", alice).text
    page = look_up(portal, alice, f" {KNOWN} ").text
    for told in (
        "Your certificate has ended",
        "renews at the portal",
        "person/bob",
        "a line",
        "doorward invite bob",
    ):
        assert told in page


def test_each_look_up_is_on_record(portal: PortalBrowser, alice: Held) -> None:
    """Who looked, and the id; the text of an unknown one is not kept, since it may be a name."""
    look_up(portal, alice)
    look_up(portal, alice, "bobs-laptop")
    found, unknown = portal.world.events(EventType.INCIDENT_EXPLAINED)
    assert (found.actor, found.data["incident"]) == (alice.record.principal_id, KNOWN)
    assert unknown.data["reason"] == "id-unknown"
    assert "bobs-laptop" not in repr(unknown)


def test_an_unknown_id_is_explained(portal: PortalBrowser, alice: Held) -> None:
    """404 with the form again, and why it may be unknown."""
    answer = look_up(portal, alice, "0000-0000")
    assert answer.status_code == 404
    assert "There is no record of this id" in answer.text
    assert look_up(portal, alice, "").status_code == 404
    assert look_up(portal, alice, "a" * 129).status_code == 404


def test_a_member_of_a_group_in_it_is_told(portal: PortalBrowser, world: World) -> None:
    """Nested groups count."""
    add_member(world.services, "night", "bob", actor=OPERATOR)
    add_member(world.services, "desk", "alice", actor=OPERATOR)
    nest(world.services, "desk", "night", actor=OPERATOR)
    assert look_up(portal, world.issue("bob")).status_code == 200


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_to_others_there_is_no_such_page(
    portal: PortalBrowser, alice: Held, world: World, pool: UseCasePool, method: str
) -> None:
    """Somebody outside the group gets the answer of a portal without a help desk, and of a path that is none."""
    bob = world.issue("bob")
    told = [shape(portal.ask(method, path, bob)) for path in ("/help-desk", "/no-such-page")]
    app = build_portal_app(world.services, pool, PortalOptions(origin=lambda: ORIGIN))
    portal.client = TestClient(app, base_url=ORIGIN, follow_redirects=False)
    told += [shape(portal.ask(method, "/help-desk", one)) for one in (bob, alice)]
    assert told[0][0] == 404
    assert all(one == told[0] for one in told)
    assert world.events(EventType.INCIDENT_EXPLAINED) == []


def test_only_members_find_a_link_to_it(
    portal: PortalBrowser, alice: Held, world: World, pool: UseCasePool
) -> None:
    """On the first page of the portal, in both languages; to all others nothing names the page."""
    link = 'href="/help-desk"'
    assert link in portal.ask("GET", "/", alice).text
    german = portal.ask("GET", "/", alice, headers={"Accept-Language": "de"}).text
    assert "Einen Vorfall nachschlagen" in german
    assert "help-desk" not in portal.ask("GET", "/", world.issue("bob")).text
    without = PortalBrowser(world=world, pool=pool)
    with without.client:
        assert "help-desk" not in without.ask("GET", "/", alice).text


def test_without_a_certificate_nothing_is_told(portal: PortalBrowser) -> None:
    """The request has no identity: it gets the page of a stranger."""
    answer = look_up(portal, None)
    assert answer.status_code == 404
    assert portal.world.events(EventType.INCIDENT_EXPLAINED) == []


def test_another_websites_form_is_refused(portal: PortalBrowser, alice: Held) -> None:
    """The Origin field is that of the portal."""
    answer = look_up(portal, alice, headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403
    assert portal.world.events(EventType.INCIDENT_EXPLAINED) == []


def test_a_second_factor_is_shown_first(portal: PortalBrowser, alice: Held) -> None:
    """Who has a passkey uses it, and again after 15 minutes."""
    portal.enrol_passkey("alice")
    assert look_up(portal, alice).status_code == 303
    check = portal.ask("GET", "/help-desk", alice).headers["location"]
    portal.show_passkey(check, alice)
    assert look_up(portal, alice).status_code == 200
    portal.world.clock.turn(minutes=16)
    assert look_up(portal, alice).headers["location"].startswith("/check/")


def test_look_ups_are_counted_by_person(portal: PortalBrowser, alice: Held) -> None:
    """30 in a minute; the next is refused without a look-up; a minute later it works again."""
    for _ in range(MOST_LOOKUPS):
        assert look_up(portal, alice).status_code == 200
    refused = look_up(portal, alice)
    assert refused.status_code == 429
    assert len(portal.world.events(EventType.INCIDENT_EXPLAINED)) == MOST_LOOKUPS
    portal.world.clock.turn(minutes=1)
    assert look_up(portal, alice).status_code == 200


@pytest.mark.parametrize(
    ("reasons", "title"),
    [
        (("rule-denies",), "Das dürfen Sie in … nicht öffnen"),
        (("issuer-unknown",), "Dieses Zertifikat kommt"),
        (("no-allow-rule",), "Das dürfen Sie in … nicht öffnen"),
        (("something-else",), "what"),
        ((), "what"),
    ],
)
def test_reasons_are_told_as_the_person_saw_them(reasons: tuple[str, ...], title: str) -> None:
    """In the reader's language; a refusal without a page of its own keeps its line."""
    told = show_explained(Explained(title="what", facts=(), reasons=reasons), "de")
    assert str(told["title"]).startswith(title)
