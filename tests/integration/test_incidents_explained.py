"""From the incident id on a page to what happened: through the real door, its log and its record."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from doorward.authority.revocation import hold
from doorward.core.errors import NotFound
from doorward.directory.help_desk import Explained
from doorward.directory.principals import add_member
from doorward.runtime.explaining import explain_id
from tests.support.doorway import ACTOR, Doorway, Identity, eventually, open_doorway

BROWSER = {"Accept": "text/html", "Sec-Fetch-Dest": "document"}
INCIDENT = re.compile(r"data-copyable>([0-9a-f]{4}-[0-9a-f]{4})<")
SECONDS = 60.0


@pytest.fixture(scope="module")
def door() -> Iterator[Doorway]:
    """A bank for people, of an organisation with a name."""
    with open_doorway(
        settings={"brand_name": "Meridian Bank", "brand_help": "tel:+49301234", "help_desk_group": "desk"}
    ) as running:
        running.apply("- {allow: {kind: person}, to: {paths: [/open]}}", app="bank", on_refusal="page")
        yield running


@pytest.fixture(scope="module")
def alice(door: Doorway) -> Identity:
    """A person with a certificate."""
    return door.person("alice")


def explained(door: Doorway, who: Identity | None, path: str, app: str = "bank") -> Explained:
    """Ask, and explain the incident id on the page as soon as it is on record."""
    answer = door.get(who, path, app=app, headers=BROWSER)
    assert answer.status == 403
    page = answer.body.decode()
    assert "Meridian Bank" in page
    assert 'href="tel:+49301234"' in page
    found = INCIDENT.search(page)
    assert found
    told: list[Explained] = []

    def is_known() -> bool:
        try:
            told.append(explain_id(door.installation, found[1]))
        except NotFound:
            return False
        return True

    assert eventually(is_known, SECONDS)
    return told[0]


def test_no_certificate_is_explained(door: Doorway) -> None:
    """The page of our own surface: the decision about its connection says why, and how to help."""
    told = explained(door, None, "/")
    facts = dict(told.facts)
    assert facts["result"] == "refused 403"
    assert "certificate-missing" in facts["decided"]
    assert any("doorward invite" in hint for hint in told.hints)


def test_a_refused_path_is_explained(door: Doorway, alice: Identity) -> None:
    """A page of Envoy's: who it was, and which command judges the request by the rules of now."""
    told = explained(door, alice, "/closed")
    facts = dict(told.facts)
    assert facts["who"].startswith("person/alice")
    assert facts["reason"] == "no-allow-rule"
    assert any("policy explain --principal alice --app bank GET /closed" in hint for hint in told.hints)


def test_the_pages_find_their_style(door: Doorway) -> None:
    """Without a certificate, at the address that the page names."""
    page = door.get(None, "/", app="bank", headers=BROWSER).body.decode()
    names = re.findall(r'(?:href|src)="(/_doorward/static/[^"]+)"', page)
    assert {name.partition("?")[0].rpartition(".")[2] for name in names} == {"css", "js", "svg"}
    for name in names:
        assert door.get(None, name, app="bank").status == 200


def test_a_refusal_of_the_portal_is_explained(door: Doorway) -> None:
    """As at an application: refused, why the certificate was not good, and what to do about it."""
    bob = door.person("bob")
    door.settle(hold(door.services, door.certificate_of("bob"), ACTOR))
    told = explained(door, bob, "/", app="portal")
    facts = dict(told.facts)
    assert facts["result"] == "refused 403"
    assert "certificate-on-hold" in facts["decided"]
    assert any("doorward cert release" in hint for hint in told.hints)


def test_the_help_desk_reads_the_same(door: Doorway, alice: Identity) -> None:
    """At the portal, as a member of the group; to another person there is no such page."""
    incident = dict(explained(door, alice, "/closed").facts)["incident"]
    host = f"{door.host('portal')}:{door.port}"
    form = {
        "Host": host,
        "Origin": f"https://{host}",
        "Content-Type": "application/x-www-form-urlencoded",
        **BROWSER,
    }

    def look_up(who: Identity) -> tuple[int, str]:
        with door.session(who, app="portal") as session:
            answer = session.request("POST", "/help-desk", headers=form, body=f"id={incident}".encode())
            return answer.status, answer.body.decode()

    carol = door.person("carol")
    assert look_up(carol)[0] == 404
    door.settle(add_member(door.services, "desk", "carol", actor=ACTOR).seq)
    status, page = look_up(carol)
    assert status == 200
    assert "person/alice" in page
    assert "/closed" in page
