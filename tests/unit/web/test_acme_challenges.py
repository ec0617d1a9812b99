"""The listener of http-01: tokens of open orders, the way to the door, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from starlette.testclient import TestClient

from doorward.core.entities import TENANT
from doorward.stores.acme_protocols import AcmeChallengeRecord
from doorward.web.app import build_challenge_app
from doorward.web.pool import UseCasePool
from tests.support.ports import NOON
from tests.support.world import World, found_world

TOKEN = "t" * 22
CHALLENGE = AcmeChallengeRecord(
    token=TOKEN,
    tenant=TENANT,
    order_id="ord_1",
    host="a.corp.example",
    kind="http-01",
    authorization=f"{TOKEN}.x",
    ends_at=NOON + timedelta(minutes=10),
)
BASE = "/.well-known/acme-challenge"


@pytest.fixture
def world() -> World:
    """A founded authority with two open challenges."""
    founded = found_world()
    with founded.work.change() as stores:
        stores.acme.save_challenge(CHALLENGE)
        stores.acme.save_challenge(replace(CHALLENGE, token="d" * 22, kind="dns-01"))
    return founded


@pytest.fixture
def client(world: World, pool: UseCasePool) -> TestClient:
    """A client of the listener."""
    return TestClient(
        build_challenge_app(world.services, pool, public_port=8443, portal_host="portal.example"),
        follow_redirects=False,
    )


def test_an_open_token_is_answered(client: TestClient, world: World) -> None:
    """With the key authorization, until its time is over."""
    answer = client.get(f"{BASE}/{TOKEN}")
    assert (answer.status_code, answer.text) == (200, f"{TOKEN}.x")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert client.head(f"{BASE}/{TOKEN}").status_code == 200
    world.clock.turn(minutes=10)
    assert client.get(f"{BASE}/{TOKEN}").status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/accounts",
        f"{BASE}/",
        f"{BASE}/{'u' * 22}",
        f"{BASE}/{'d' * 22}",
        f"{BASE}/..%2f..%2fetc",
        "/status",
    ],
)
def test_nothing_else_is_there(client: TestClient, path: str) -> None:
    """Neither an application nor the token of another kind of challenge."""
    assert client.get(path).status_code == 404


@pytest.mark.parametrize(
    ("host", "target"),
    [
        ("payments.corp.example", "/accounts/7?a=b%20c"),
        ("PAYMENTS.corp.example:80", "//elsewhere.example/"),
        ("portal.example", "/"),
        ("enroll.corp.example", "/"),
    ],
)
def test_a_browser_is_led_to_the_door(client: TestClient, host: str, target: str) -> None:
    """To the same host and path, by https at the door's port; a path cannot lead elsewhere."""
    answer = client.get(f"http://testserver{target}", headers={"host": host})
    assert answer.status_code == 308
    assert answer.headers["location"] == f"https://{host.partition(':')[0].lower()}:8443{target}"


@pytest.mark.parametrize(
    "host", ["elsewhere.example", "corp.example", "", "payments.corp.example@evil.example"]
)
def test_no_link_leads_through_here_to_elsewhere(client: TestClient, host: str) -> None:
    """A host that the door does not have gets 404."""
    assert client.get("/", headers={"host": host}).status_code == 404


def test_only_reading_is_possible(client: TestClient) -> None:
    """No method changes anything."""
    assert client.post(f"{BASE}/{TOKEN}", content=b"x").status_code == 405


def test_a_text_that_is_no_token_is_not_looked_up(client: TestClient, world: World) -> None:
    """A stranger's work is bounded: the database is asked for possible tokens only."""
    from doorward.core.errors import Unavailable

    world.work.broken = Unavailable("store-unavailable", "away")
    assert client.get(f"{BASE}/short").status_code == 404
    assert client.get(f"{BASE}/{TOKEN}").status_code == 503
