"""Every route of the portal and of the door's own paths, from their own route tables: who may send what to it.

A route that is added is tested here without a new line. Only a route without a caller needs one, with its reason. The door
in front of these surfaces is not here (test_portal.py, test_sessions.py), nor are surfaces without callers (test_surfaces.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from starlette.testclient import TestClient

from doorward.core.names import PORTAL_AUDIENCE
from doorward.stores.policy_snapshot import PolicySnapshots
from doorward.web.answers import Pages
from doorward.web.app import build_portal_app, build_sessions_app, build_surface
from doorward.web.guard import GuardedRoute, UnguardedRoute
from doorward.web.look.rendering import Look
from doorward.web.pool import UseCasePool
from doorward.web.portal.context import PortalOptions
from doorward.web.portal.surface import PortalSurface
from doorward.web.sessions.surface import SessionSurface
from tests.support.assertions import AssertedDoor
from tests.support.portal import DOCUMENT, HOST, ORIGIN
from tests.support.world import Held, World, found_world

OPEN_AT_THE_PORTAL = {
    ("GET", "/static/{name}"): "style, scripts and signs; the same for all",
    ("GET", "/_doorward/static/{name}"): "the same, for Envoy's own replies",
    ("GET", "/join"): "a page; the link's token is the right, and stays in the browser",
    ("POST", "/join/certificates"): "needs the token of a link",
    ("GET", "/renew"): "a page; a passkey says who comes back",
    ("POST", "/renew/challenge"): "gives random bytes that a passkey is asked to sign",
    ("POST", "/renew/certificates"): "needs a passkey",
    ("GET", "/welcome"): "says who came, or what to do if no certificate came",
    ("POST", "/_doorward/choose"): "a person without a good certificate may choose another one, too",
}
OPEN_AT_APPLICATIONS = {
    ("POST", "/_doorward/choose"): "as at the portal",
}
BEHIND_THE_TABLE = {
    ("GET", "/_doorward/static/{name}"): "as at the portal",
    ("GET", "/_doorward/problems/{name}"): "says what a state means",
    ("*", "/{path:path}"): "says why a connection was refused, whatever the method; changes nothing",
}
"""The pages of refused connections, which the application of the sessions has beside its table."""

ELSEWHERE = (
    None,
    "null",
    "https://evil.example",
    "https://corp.example",
    "https://portal.corp.example",
    "http://portal.corp.example:8443",
    "https://portal.corp.example:8443.evil.example",
    "https://sensors.corp.example:8443",
)
"""Origins of other pages: none, an opaque one, strangers, the parent domain, another port or scheme, another application."""

NO_CALLER = {"certificate-needed", "identity-refused"}


@dataclass(frozen=True, kw_only=True)
class Surface:
    """One surface: its table, a client of it, and what a sound request of its own pages has."""

    table: tuple[GuardedRoute | UnguardedRoute, ...]
    client: TestClient
    audience: str
    origin: str
    more: dict[str, str]

    @property
    def guarded(self) -> list[GuardedRoute]:
        """The routes that need a caller."""
        return [one for one in self.table if isinstance(one, GuardedRoute)]

    def refusal(self, route: GuardedRoute | UnguardedRoute, headers: dict[str, str]) -> str:
        """Return the code with which a program's request to that route is refused; empty if it is answered."""
        path = re.sub(r"\{[a-z_]+\}", "x", route.path)
        answer = self.client.request(route.method, path, headers=self.more | headers)
        problem = answer.headers.get("content-type", "").startswith("application/problem+json")
        return str(answer.json()["code"]) if problem else ""


@pytest.fixture(scope="module")
def world() -> World:
    """A founded authority; its payments ask for a passkey."""
    return found_world(document=DOCUMENT)


@pytest.fixture(scope="module")
def door(world: World) -> AssertedDoor:
    """A registered gateway."""
    return AssertedDoor(world=world)


@pytest.fixture(scope="module")
def alice(world: World) -> Held:
    """Alice's certificate."""
    return world.issue("alice")


@pytest.fixture(scope="module")
def surfaces(world: World) -> Iterator[tuple[Surface, Surface]]:
    """The portal and the door's own paths at payments, each made of nothing but its table."""
    pool, options = UseCasePool(workers=2), PortalOptions(origin=lambda: ORIGIN, is_trusted=True)
    pages, snapshots = Pages(Look()), PolicySnapshots()
    portal = PortalSurface(world.services, pool, pages, options, snapshots)
    sessions = SessionSurface(world.services, pool, pages, options, snapshots)
    at_payments = {"Doorward-Application": world.application_id("payments")}
    with ExitStack() as stack:
        stack.callback(pool.close)

        def build(surface: PortalSurface | SessionSurface, base: str) -> TestClient:
            client = TestClient(build_surface(surface.routes()), base_url=base, follow_redirects=False)
            return stack.enter_context(client)

        yield (
            Surface(
                table=tuple(portal.route_table()),
                client=build(portal, ORIGIN),
                audience=PORTAL_AUDIENCE,
                origin=ORIGIN,
                more={},
            ),
            Surface(
                table=tuple(sessions.route_table()),
                client=build(sessions, f"https://{HOST}"),
                audience="payments",
                origin=f"https://{HOST}",
                more=at_payments,
            ),
        )


def keys(table: tuple[GuardedRoute | UnguardedRoute, ...]) -> list[tuple[str, str]]:
    """Return method and path of each line."""
    return [(one.method, one.path) for one in table]


def test_only_the_listed_routes_are_open(surfaces: tuple[Surface, Surface]) -> None:
    """A route without a caller is in the list, and no other is; no method and path stands in a table twice."""
    for surface, listed in zip(surfaces, (OPEN_AT_THE_PORTAL, OPEN_AT_APPLICATIONS), strict=True):
        is_open = tuple(one for one in surface.table if isinstance(one, UnguardedRoute))
        assert set(keys(is_open)) == set(listed)
        assert len(set(keys(surface.table))) == len(surface.table)
        assert all(one.why for one in is_open)


def test_the_applications_have_no_other_routes(world: World, surfaces: tuple[Surface, Surface]) -> None:
    """The served routes are those of the tables; the pages of refused connections are beside them."""
    options, pool = PortalOptions(origin=lambda: ORIGIN, is_trusted=True), UseCasePool(workers=1)
    apps = (
        build_portal_app(world.services, pool, options),
        build_sessions_app(world.services, pool, options),
    )
    pool.close()
    for app, surface, beside in zip(apps, surfaces, ({}, BEHIND_THE_TABLE), strict=True):
        found = {
            (method, route.path)
            for route in app.routes
            for method in (getattr(route, "methods", None) or {"*"}) - {"HEAD"}
        }
        assert found == set(keys(surface.table)) | set(beside)


def test_each_guarded_route_needs_a_caller(
    world: World, door: AssertedDoor, alice: Held, surfaces: tuple[Surface, Surface]
) -> None:
    """Refused: no assertion, another's word for it, one for another audience, an ended one, two of them."""
    before = head(world)
    for surface in surfaces:
        sound = door.headers(alice, surface.audience)
        twice = f"{sound['Doorward-Assertion']}, {sound['Doorward-Assertion']}"
        others = {PORTAL_AUDIENCE, "payments", "sensors", "", f"{surface.audience}x"} - {surface.audience}
        assert surface.guarded
        for headers in (
            {},
            {"Doorward-Principal": "person/alice", "Doorward-Certificate": alice.record.id},
            {"Doorward-Assertion": ""},
            {"Doorward-Assertion": twice},
            *(door.headers(alice, audience) for audience in others),
            door.headers(alice, surface.audience, exp=0),
        ):
            sent = headers | {"Origin": surface.origin}
            admitted = [one for one in surface.guarded if surface.refusal(one, sent) not in NO_CALLER]
            assert keys(tuple(admitted)) == [], headers
    assert head(world) == before


def test_each_change_comes_from_its_own_pages(
    world: World, door: AssertedDoor, alice: Held, surfaces: tuple[Surface, Surface]
) -> None:
    """An unsafe method with no Origin or another one is refused before anything else, also if no caller is needed."""
    before = head(world)
    for surface in surfaces:
        changes = [one for one in surface.table if one.method != "GET"]
        assert changes
        sound = door.headers(alice, surface.audience)
        attempts = [{"Origin": one} if one is not None else {} for one in ELSEWHERE]
        attempts += [
            {"Origin": surface.origin, "Sec-Fetch-Site": one} for one in ("cross-site", "same-site", "none")
        ]
        for headers in attempts:
            admitted = [one for one in changes if surface.refusal(one, sound | headers) != "origin-wrong"]
            assert keys(tuple(admitted)) == [], headers
    assert head(world) == before


def test_without_the_look_at_the_origin_another_page_may_change(
    door: AssertedDoor, alice: Held, surfaces: tuple[Surface, Surface], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The twin: the same requests of another page are refused by nothing else."""
    monkeypatch.setattr("doorward.web.guard.check_origin", lambda request, origin: None)
    for surface in surfaces:
        sent = door.headers(alice, surface.audience) | {"Origin": "https://evil.example"}
        changes = [one for one in surface.guarded if one.method != "GET"]
        assert "origin-wrong" not in {surface.refusal(one, sent) for one in changes}


def test_a_sound_request_is_no_strangers(
    door: AssertedDoor, alice: Held, surfaces: tuple[Surface, Surface]
) -> None:
    """With the assertion for this audience and our own Origin no guarded route refuses so."""
    for surface in surfaces:
        for route in surface.guarded:
            sound = door.headers(alice, surface.audience) | {"Origin": surface.origin}
            assert surface.refusal(route, sound) not in NO_CALLER | {"origin-wrong"}, route.path


def head(world: World) -> int:
    """Return the number of the newest change."""
    with world.work.read() as stores:
        return stores.changes.head()
