"""Who is calling: only what a registered gateway signed, for this audience, about a certificate that is good now."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.testclient import TestClient

from doorward.authority.revocation import revoke
from doorward.core.certificate import RevocationReason
from doorward.core.names import PORTAL_AUDIENCE
from doorward.directory import principals as directory
from doorward.directory.callers import Caller
from doorward.web.app import build_surface
from doorward.web.guard import Guard, GuardedRoute, UnguardedRoute
from doorward.web.identity import Identities
from doorward.web.pool import UseCasePool
from tests.support.assertions import AssertedDoor
from tests.support.world import OPERATOR, Held, World

ORIGIN = "https://portal.corp.example"


@pytest.fixture
def client(world: World) -> Iterator[TestClient]:
    """A surface that says who it took the caller for."""
    pool = UseCasePool(workers=2)

    async def tell(_request: Request, caller: Caller) -> Response:
        return JSONResponse({"name": caller.name, "id": caller.certificate_id, "from": caller.source})

    async def free(_request: Request) -> Response:
        return Response("free")

    async def audience(_request: Request) -> str:
        return PORTAL_AUDIENCE

    async def origin(_request: Request) -> str:
        return ORIGIN

    guard = Guard(Identities(world.services, pool), audience=audience, origin=origin)
    ways = [
        GuardedRoute(method="GET", path="/me", answer=tell),
        GuardedRoute(method="POST", path="/me", answer=tell),
        UnguardedRoute(path="/free", answer=free, why="a test"),
    ]
    app: Starlette = build_surface(guard.routes(ways))
    yield TestClient(app)
    pool.close()


def code_of(client: TestClient, headers: dict[str, str]) -> str:
    """Ask who one is, and return the code of the refusal; empty if there is none."""
    answer = client.get("/me", headers=headers)
    return "" if answer.status_code == 200 else str(answer.json()["code"])


def test_the_caller_is_whom_the_door_names(client: TestClient, door: AssertedDoor, alice: Held) -> None:
    """Name, certificate, and the address that the door itself wrote down."""
    answer = client.get("/me", headers=door.headers(alice, PORTAL_AUDIENCE))
    assert answer.json() == {"name": "alice", "id": alice.record.id, "from": "192.0.2.7"}


def test_without_an_assertion_there_is_no_caller(client: TestClient, alice: Held) -> None:
    """Header fields that look like an identity are none."""
    claimed = {"Doorward-Principal": "alice", "X-Forwarded-Client-Cert": f"Hash={alice.record.sha256}"}
    assert code_of(client, claimed) == "certificate-needed"


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "payments"},
        {"exp": 0},
        {"iat": 4_000_000_000},
        {"iss": "https://corp.example/gateway-2"},
        {"iss": None},
        {"cnf": None},
        {"cnf": {"x5t#S256": "A" * 43}},
        {"cnf": {"x5t#S256": 7}},
        {"principal_id": "per_" + "2" * 20},
        {"principal_id": None},
    ],
)
def test_each_claim_must_hold(
    client: TestClient, door: AssertedDoor, alice: Held, claims: dict[str, Any]
) -> None:
    """Another audience, an end in the past, a beginning to come, another issuer, certificate or principal."""
    audience = claims.get("aud", PORTAL_AUDIENCE)
    more = {name: value for name, value in claims.items() if name != "aud"}
    assert code_of(client, door.headers(alice, audience, **more)) == "identity-refused"


def test_a_key_that_no_gateway_has(client: TestClient, door: AssertedDoor, alice: Held) -> None:
    """A signature by a key that is not registered."""
    door.key = ec.generate_private_key(ec.SECP256R1())
    assert code_of(client, door.headers(alice, PORTAL_AUDIENCE)) == "identity-refused"


def test_a_gateway_speaks_for_itself_only(world: World, client: TestClient, alice: Held) -> None:
    """The key of one gateway under the name of another."""
    one, other = AssertedDoor(world=world), AssertedDoor(world=world, name="gateway-2")
    assert code_of(client, one.headers(alice, PORTAL_AUDIENCE)) == ""
    other.name = "gateway-1"
    assert code_of(client, other.headers(alice, PORTAL_AUDIENCE)) == "identity-refused"


def test_a_new_gateway_is_known_within_a_second(world: World, client: TestClient, alice: Held) -> None:
    """The keys are remembered, but an unknown one is looked for again."""
    assert code_of(client, AssertedDoor(world=world).headers(alice, PORTAL_AUDIENCE)) == ""
    late = AssertedDoor(world=world, name="gateway-2")
    world.clock.turn(seconds=1)
    assert code_of(client, late.headers(alice, PORTAL_AUDIENCE)) == ""


def test_two_assertions_are_none(client: TestClient, door: AssertedDoor, alice: Held) -> None:
    """The door writes one; two of them say that something else wrote."""
    token = door.sign(alice, PORTAL_AUDIENCE)
    answer = client.get("/me", headers=[("Doorward-Assertion", token), ("Doorward-Assertion", token)])
    assert answer.json()["code"] == "identity-refused"


def test_a_withdrawn_certificate_has_no_caller(
    world: World, client: TestClient, door: AssertedDoor, alice: Held
) -> None:
    """The certificate is looked up in the inventory for every assertion."""
    headers = door.headers(alice, PORTAL_AUDIENCE)
    revoke(world.services, alice.record.id, RevocationReason.KEY_COMPROMISE, OPERATOR)
    assert code_of(client, headers) == "identity-refused"


def test_a_suspended_account_has_no_caller(
    world: World, client: TestClient, door: AssertedDoor, alice: Held
) -> None:
    """The directory is asked too."""
    headers = door.headers(alice, PORTAL_AUDIENCE)
    directory.suspend(world.services, "alice", actor=OPERATOR)
    assert code_of(client, headers) == "identity-refused"


def test_a_certificate_that_has_ended_has_no_caller(
    world: World, client: TestClient, door: AssertedDoor, alice: Held
) -> None:
    """Its own end is compared, not the assertion's alone."""
    later = alice.record.not_after + timedelta(seconds=1)
    world.clock.present = later
    headers = door.headers(alice, PORTAL_AUDIENCE)
    assert code_of(client, headers) == "identity-refused"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": ORIGIN}, 200),
        ({"Origin": ORIGIN, "Sec-Fetch-Site": "same-origin"}, 200),
        ({}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ORIGIN + ":8443"}, 403),
        ({"Origin": "http://portal.corp.example"}, 403),
        ({"Origin": "https://payments.corp.example"}, 403),
        ({"Origin": ORIGIN, "Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": ORIGIN, "Sec-Fetch-Site": "none"}, 403),
    ],
)
def test_a_change_comes_from_our_own_page(
    client: TestClient, door: AssertedDoor, alice: Held, headers: dict[str, str], status: int
) -> None:
    """An unsafe request names exactly our origin; what names another, or none, is refused."""
    answer = client.post("/me", headers=door.headers(alice, PORTAL_AUDIENCE) | headers)
    assert answer.status_code == status
    assert status == 200 or answer.json()["code"] == "origin-wrong"


def test_an_open_way_needs_no_caller(client: TestClient) -> None:
    """It says itself that it is open."""
    assert client.get("/free").text == "free"
