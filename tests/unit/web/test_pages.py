"""Pages of the door: the table of states, words for people and for programs, and what the surface believes."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from markupsafe import Markup
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from doorward.authority.revocation import revoke
from doorward.core.certificate import RevocationReason
from doorward.core.entities import Reason
from doorward.directory.own_certificates import report_lost
from doorward.enforcement.envoy.reply_cases import PAGE_STATES, STATUS_CASES
from doorward.enforcement.plan import Placeholder
from doorward.web.edge import EdgeMiddleware
from doorward.web.look.assets import BUILT_IN_ASSETS, ICONS
from doorward.web.look.brand import Brand
from doorward.web.look.catalogues import CATALOGUES
from doorward.web.look.dates import render_distance, render_moment_with_distance
from doorward.web.look.rendering import Look, translate
from doorward.web.pages.message import Message, build_context, describe_problem
from doorward.web.pages.replies import build_reply_pages
from doorward.web.pages.states import BY_REASON, STATES, ActionTarget, state_of
from doorward.web.pages.surface import STATIC_BASE, PagesSurface, build_targets
from doorward.web.pool import UseCasePool
from doorward.web.problems import incident_of
from tests.support.world import OPERATOR, World

PORTAL = "https://portal.corp.example"
REQUEST = "3f2a9c1b-0d5e-4c6f-8a7b-000000000000"
BROWSER = {"accept": "text/html,*/*;q=0.8", "sec-fetch-dest": "document"}
VALUES = {"application": "payments", "who": "alice", "issuer": "Other CA", "organisation": "Bank"}
EVERY = VALUES | {"until": "then", "since": "then", "now": "now"}
NOW = datetime(2026, 11, 29, 10, 0, tzinfo=UTC)


@pytest.fixture
def client(world: World) -> Iterator[TestClient]:
    """A client of the surface, as the door calls it."""
    pool = UseCasePool(workers=2)
    routes = PagesSurface(world.services, pool, Look(base=STATIC_BASE), portal_origin=PORTAL).routes()
    yield TestClient(Starlette(routes=routes, middleware=[Middleware(EdgeMiddleware)]))
    pool.close()


def told(refusal: str, pem: str = "", **more: str) -> dict[str, str]:
    """Header fields as the door sets them."""
    fields = {"doorward-application": "app_x", "doorward-refusal": refusal, "x-request-id": REQUEST}
    return fields | {"doorward-claimed-certificate": urllib.parse.quote(pem) or "-"} | BROWSER | more


def pem_of(world: World, name: str) -> tuple[str, str]:
    """Id and PEM of a certificate of somebody."""
    record = world.certificate(world.issue(name))
    return record.id, x509.load_der_x509_certificate(record.der).public_bytes(Encoding.PEM).decode()


@pytest.mark.parametrize("language", sorted(CATALOGUES))
@pytest.mark.parametrize("name", sorted(STATES))
def test_every_state_is_a_short_page_in_every_language(name: str, language: str) -> None:
    """At most eight words of title, one button that leads somewhere, two quiet links, and less than 5 kB."""
    look = Look(base=STATIC_BASE)
    message = Message(state=name, language=language, values=EVERY, targets=build_targets(PORTAL))
    context = build_context(look, message)
    page = look.render("door.html", context, language)
    assert len(context["title"].split()) <= 8
    assert context["button"] or STATES[name].button[0].target is ActionTarget.HELP
    assert len(context["links"]) <= 2
    assert "%(" not in page
    assert len(page.encode()) < 5_000


def test_a_page_of_the_door_is_small() -> None:
    """Page, style and script are less than 30 kB in all."""
    assert sum(len(BUILT_IN_ASSETS[name].body) for name in ("look.css", "door.js", "door.svg")) < 25_000


def test_every_state_has_a_sign_and_a_status() -> None:
    """Signs are those that there are; a state is an error (RFC 9110 section 15)."""
    assert {one.icon for one in STATES.values()} <= set(ICONS)
    assert all(400 <= one.status < 600 for one in STATES.values())


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_leads_to_a_state(reason: Reason) -> None:
    """A reason without a state of its own gives `certificate-from-elsewhere`."""
    assert state_of(reason.value) in STATES


def test_an_unknown_word_is_no_certificate() -> None:
    """What the door does not say leads to the plainest page."""
    assert state_of("") == state_of("<script>") == "certificate-missing"
    assert set(BY_REASON.values()) <= set(STATES)


def test_an_incident_id_is_eight_digits_in_groups() -> None:
    """Of a request id that is none, there is no incident id."""
    assert incident_of(REQUEST) == "3f2a-9c1b"
    assert incident_of("") == incident_of("<b>") == incident_of("3F2A9C1B-") == ""


def test_a_program_reads_the_same_words() -> None:
    """RFC 9457: type, title, status, detail and incident; no markup within."""
    values = VALUES | {"until": Markup("<b>then</b>")}
    problem = describe_problem(
        Message(state="certificate-ended", language="de", values=values, incident="a-b")
    )
    assert problem == {
        "type": "/_doorward/problems/certificate-ended",
        "title": "Your certificate has ended",
        "status": 403,
        "detail": "It was valid until then. You can get a new one in a minute.",
        "incident": "a-b",
    }


def test_without_a_portal_the_help_desk_is_the_way() -> None:
    """A button that leads nowhere is not shown; what can stand in its place is."""
    targets = {ActionTarget.AGAIN: "", ActionTarget.HELP: "mailto:help@corp.example"}
    context = build_context(
        Look(), Message(state="certificate-ended", language="en", values=EVERY, targets=targets)
    )
    assert context["button"] == ("Ask the help desk", "mailto:help@corp.example")


def test_moments_are_written_out_with_their_distance() -> None:
    """Day, month, year, time, zone and how long ago; the element carries the moment itself."""
    text = render_moment_with_distance(NOW - timedelta(days=26), NOW, "en")
    assert text == '<time datetime="2026-11-03T10:00:00Z">3 November 2026, 10:00 UTC</time> (26 days ago)'
    assert "3. November 2026, 10:00 Uhr UTC" in render_moment_with_distance(
        NOW - timedelta(days=26), NOW, "de"
    )


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (timedelta(seconds=-5), "just now"),
        (timedelta(seconds=5), "in a moment"),
        (timedelta(minutes=1), "in 1 minute"),
        (timedelta(minutes=-119), "119 minutes ago"),
        (timedelta(hours=-47), "47 hours ago"),
        (timedelta(days=2), "in 2 days"),
    ],
)
def test_distances_have_one_unit(span: timedelta, words: str) -> None:
    """The largest of which there are two at least."""
    assert render_distance(NOW + span, NOW, "en") == words


def test_a_browser_without_a_certificate_gets_a_page(client: TestClient) -> None:
    """Title, way to the portal, incident id; not cached, and nothing inline may run."""
    answer = client.get("/accounts/7?x=1", headers=told("certificate-missing"))
    assert answer.status_code == 403
    assert "This door needs your certificate" in answer.text
    assert f'href="{PORTAL}/renew"' in answer.text
    assert "3f2a-9c1b" in answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert "accounts" not in answer.text


def test_the_page_speaks_german(client: TestClient) -> None:
    """Accept-Language decides."""
    answer = client.get("/", headers=told("certificate-missing", **{"accept-language": "de-DE,de"}))
    assert "Diese Tür braucht Ihr Zertifikat" in answer.text


@pytest.mark.parametrize("fields", [{"accept": "application/json"}, {"sec-fetch-dest": "empty"}])
def test_a_program_gets_a_problem_document(client: TestClient, fields: dict[str, str]) -> None:
    """No HTML in Accept, or a request that is no navigation."""
    answer = client.post("/transfers", headers=told("certificate-missing", **fields))
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["incident"] == "3f2a-9c1b"
    assert answer.json()["status"] == answer.status_code == 403


def test_a_withdrawn_certificate_is_told_when_and_why(world: World, client: TestClient) -> None:
    """Its holder, who has shown the key, reads the reason; another reason is not told."""
    certificate, pem = pem_of(world, "alice")
    revoke(world.services, certificate, RevocationReason.KEY_COMPROMISE, actor=OPERATOR)
    answer = client.get("/", headers=told("certificate-revoked", pem))
    assert "It was reported lost on" in answer.text
    assert "Valid until" in answer.text


def test_a_lost_certificate_leads_to_another_and_a_withdrawn_one_to_the_help_desk(
    world: World, client: TestClient
) -> None:
    """A passkey brings another only if the holder reported the loss (docs/design/0072)."""
    withdrawn, pem = pem_of(world, "alice")
    revoke(world.services, withdrawn, RevocationReason.KEY_COMPROMISE, actor=OPERATOR)
    assert f"{PORTAL}/renew" not in client.get("/", headers=told("certificate-revoked", pem)).text
    lost, pem = pem_of(world, "alice")
    report_lost(world.services, world.principal("alice").id, lost)
    assert f"{PORTAL}/renew" in client.get("/", headers=told("certificate-revoked", pem)).text


def test_an_ended_certificate_is_told_its_end(world: World, client: TestClient) -> None:
    """The sentence has the date."""
    _, pem = pem_of(world, "alice")
    answer = client.get("/", headers=told("certificate-expired", pem))
    assert re.search(r"It was valid until <time datetime=", answer.text)


def test_what_a_certificate_says_is_text(client: TestClient) -> None:
    """A field that is no certificate, or much too long, is a page without facts, and never markup."""
    for value in ("<script>alert(1)</script>", "-----BEGIN CERTIFICATE-----x", "A" * 200_000):
        answer = client.get("/", headers=told("issuer-unknown") | {"doorward-claimed-certificate": value})
        assert answer.status_code == 403
        assert "<script>alert" not in answer.text


def test_every_method_is_answered(client: TestClient) -> None:
    """For every method and path, the page says why the request is refused."""
    for method in ("PUT", "DELETE", "PROPFIND"):
        assert client.request(method, "/a/b", headers=told("certificate-missing")).status_code == 403


def test_a_state_has_a_page_of_explanation(client: TestClient) -> None:
    """`type` of a problem document leads to it; an unknown one is not there."""
    answer = client.get("/_doorward/problems/certificate-ended", headers=BROWSER)
    assert answer.status_code == 200
    assert "Your certificate has ended" in answer.text
    assert client.get("/_doorward/problems/nothing", headers=BROWSER).status_code == 404


def test_static_files_are_there(client: TestClient) -> None:
    """The style of pages and of Envoy's own replies."""
    assert client.get(f"{STATIC_BASE}/look.css").headers["content-type"].startswith("text/css")


def test_nothing_refused_is_nothing_here(client: TestClient) -> None:
    """Without the door's word there is no refusal to be explained."""
    assert client.get("/_doorward/other", headers=BROWSER).status_code == 404


def test_every_state_is_translated() -> None:
    """German says something else than English, for each title and reason."""
    for state in STATES.values():
        for text in (state.title, state.why):
            assert translate(text, "de", **EVERY) != translate(text, "en", **EVERY)


def test_envoys_own_replies_are_made_of_the_same_table() -> None:
    """A short page for each state and language, with tokens for what is known later, and the words of the problem."""
    brand = Brand(name="Meridian Bank 100 %", help_address="mailto:help@bank.example", hours="8-18")
    pages = build_reply_pages(Look(brand, base=STATIC_BASE), portal_origin=PORTAL)
    assert {state for state, _ in pages.html} == set(PAGE_STATES) <= set(STATES)
    assert max(len(page.encode()) for page in pages.html.values()) < 3_000
    page = pages.html["not-allowed", "de"]
    assert f"Das dürfen Sie in {Placeholder.APPLICATION.value} nicht öffnen" in page
    assert Placeholder.INCIDENT.value in page
    assert Placeholder.MOMENT.value in page
    assert f'href="{PORTAL}/"' in page
    assert '<p lang="de"><strong>Zu viele Cookies' in pages.html["cookies-too-large", "en"]
    assert pages.words["other-address"][0] == "Please load this page again"


def test_the_statuses_of_envoys_replies_are_those_of_the_table() -> None:
    """A page says the number that the answer has."""
    for case in STATUS_CASES:
        assert not case.state or STATES[case.state].status == case.status
