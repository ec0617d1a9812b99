"""Envoy's own replies to browsers and programs in a real Envoy, with the pages of the product."""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from doorward.demo.ports import free_port
from doorward.enforcement.plan import SessionPlan
from doorward.policy.model import HttpUpstream
from doorward.web.look.brand import Brand
from doorward.web.look.rendering import Look
from doorward.web.pages.replies import build_reply_pages
from doorward.web.pages.surface import STATIC_BASE
from tests.posture.witness import standing_witness
from tests.support.compiled_door import CompiledDoor, standing_door
from tests.support.door_site import APPS, CLEARED, TELLER, Answer, id_of
from tests.support.envoy_process import facts_of

PORTAL = "https://portal.test"
BRAND = Brand(name="Meridian Bank", help_address="mailto:help@bank.example")
BROWSER = (("Accept", "text/html,application/xhtml+xml,*/*;q=0.8"), ("Sec-Fetch-Dest", "document"))
GERMAN = (*BROWSER, ("Accept-Language", "de-DE,de;q=0.9,en;q=0.5"))
INCIDENT = re.compile("[0-9a-f]{4}-[0-9a-f]{4}")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CompiledDoor]:
    """One Envoy for all tests of this file."""
    folder = tmp_path_factory.mktemp("door")
    sessions = SessionPlan(
        issuer="https://corp.example/portal",
        jwks=(),
        portal_origin=PORTAL,
        sessions_socket=str(folder / "sessions.sock"),
    )
    pages = build_reply_pages(Look(BRAND, base=STATIC_BASE), portal_origin=PORTAL)
    silent = HttpUpstream(host="127.0.0.1", port=free_port())
    with (
        standing_witness(folder / "sessions.sock"),
        standing_door(folder, APPS, sessions=sessions, pages=pages, upstreams={"other": silent}) as door,
    ):
        yield door


@pytest.fixture
def door(running: CompiledDoor) -> CompiledDoor:
    """The door with a teller in front of it."""
    running.authorizer.facts = facts_of(TELLER, CLEARED)
    return running


def refused(door: CompiledDoor, headers: Sequence[tuple[str, str]]) -> Answer:
    """Ask for what no rule allows."""
    return door.site.ask("GET", "/nothing", headers=headers)


def test_a_browser_gets_a_page_in_its_language(door: CompiledDoor) -> None:
    """Title, the application's name, who it is, an incident id, the way on; not kept, and nothing inline may run."""
    english, german = refused(door, BROWSER), refused(door, GERMAN)
    assert english.status == german.status == 403
    assert english.headers["content-type"] == "text/html; charset=utf-8"
    assert "<h1>You cannot open this in pay</h1>" in english.body
    assert "<h1>Das dürfen Sie in pay nicht öffnen</h1>" in german.body
    assert "signed in as alice," in english.body
    assert INCIDENT.search(english.body)
    assert f'href="{PORTAL}/"' in english.body
    assert english.headers["cache-control"] == "no-store"
    assert english.headers["content-security-policy"].startswith("default-src 'none'")


@pytest.mark.parametrize(
    "headers",
    [
        (("Accept", "application/json"),),
        (("Accept", "text/html, application/json"), ("Sec-Fetch-Dest", "empty")),
    ],
)
def test_a_program_gets_the_same_as_a_problem_document(
    door: CompiledDoor, headers: Sequence[tuple[str, str]]
) -> None:
    """RFC 9457: the title of the page, a type that leads to its explanation, the incident id of the log line."""
    answer = refused(door, headers)
    problem = json.loads(answer.body)
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["type"] == "/_doorward/problems/not-allowed"
    assert problem["title"] == "You cannot open this in pay"
    assert problem["status"] == 403
    assert "signed in as alice," in problem["detail"]
    assert problem["request"].replace("-", "").startswith(problem["incident"].replace("-", ""))


def test_anybody_else_gets_a_sentence(door: CompiledDoor) -> None:
    """Curl reads text, with the incident id."""
    answer = refused(door, (("Accept", "*/*"),))
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert INCIDENT.search(answer.body)


@pytest.mark.parametrize(
    ("asked", "more", "status", "title"),
    [
        ("GET /a;b", (), 400, "This address cannot be opened"),
        ("GET /_doorward/x", (), 404, "There is nothing here"),
        ("TRACE /accounts/7", (), 405, "This cannot be done here"),
        (
            "POST /transfers",
            (("Origin", "https://evil.test"),),
            403,
            "This request came from another website",
        ),
    ],
)
def test_other_refusals_have_their_own_pages(
    door: CompiledDoor, asked: str, more: Sequence[tuple[str, str]], status: int, title: str
) -> None:
    """Each says what happened."""
    method, _, path = asked.partition(" ")
    answer = door.site.ask(method, path, headers=(*BROWSER, *more))
    assert answer.status == status
    assert f"<h1>{title}</h1>" in answer.body


def test_another_host_is_told_to_load_again(door: CompiledDoor) -> None:
    """421 by the connection of another application (RFC 9110 section 15.5.20)."""
    answer = door.site.ask("GET", "/", host="other.test", sni="pay.test", headers=BROWSER)
    assert answer.status == 421
    assert "<h1>Please load this page again</h1>" in answer.body


def test_too_many_cookies_are_told_as_a_page(door: CompiledDoor) -> None:
    """Of a head that is too large Envoy knows no field, so it is taken for a browser's."""
    with door.site.connect("pay.test") as connection:
        cookie = "x" * 100_000
        head = f"GET / HTTP/1.1\r\nHost: pay.test\r\nAccept: text/html\r\nCookie: {cookie}\r\n\r\n"
        came = _spoken(connection, head.encode())
    assert came.startswith(b"HTTP/1.1 431")
    assert b"<h1>Too many cookies for this site</h1>" in came


def test_an_application_that_does_not_answer_is_told(door: CompiledDoor) -> None:
    """The page loads itself again, by script or without; it says that the fault is not the person's."""
    door.authorizer.facts = facts_of(id_of("other", APPS["other"][0]))
    answer = door.site.ask("GET", "/", host="other.test", headers=GERMAN)
    assert answer.status == 503
    assert "<h1>other antwortet nicht</h1>" in answer.body
    assert 'data-reloads="10,20,40"' in answer.body
    assert '<meta http-equiv="refresh"' in answer.body


def test_a_part_of_ours_that_is_away_is_not_the_application(tmp_path: Path) -> None:
    """A stranger is told that the door is starting, and nothing of the application."""
    away = SessionPlan(
        issuer="https://corp.example/portal",
        jwks=(),
        portal_origin=PORTAL,
        sessions_socket=str(tmp_path / "away.sock"),
    )
    pages = build_reply_pages(Look(BRAND, base=STATIC_BASE), portal_origin=PORTAL)
    with standing_door(tmp_path, APPS, sessions=away, pages=pages) as door:
        door.authorizer.facts = facts_of(TELLER, CLEARED)
        answer = door.site.ask("GET", f"{STATIC_BASE}/look.css", headers=BROWSER)
    assert answer.status == 503
    assert "<h1>One moment</h1>" in answer.body


def test_only_the_style_is_there_for_all(door: CompiledDoor) -> None:
    """Without a grant the style is served by our own socket, which hears no identity."""
    door.authorizer.facts = facts_of("nothing")
    answer = door.site.ask("GET", f"{STATIC_BASE}/look.css?v=1")
    assert answer.status == 200
    heard = dict(answer.seen["headers"])
    assert not {"doorward-assertion", "doorward-principal", "client-cert"} & heard.keys()
    assert door.site.ask("POST", f"{STATIC_BASE}/look.css").status == 404


def _spoken(connection: ssl.SSLSocket, message: bytes) -> bytes:
    """Send bytes, and return what comes until the end."""
    came = b""
    try:
        connection.sendall(message)
        while more := connection.recv(65536):
            came += more
    except (TimeoutError, OSError):
        pass
    return came
