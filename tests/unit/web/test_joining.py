"""Joining on the portal: the page, and a certificate for the token of a link."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from doorward.core.ports import KeyKind
from doorward.directory.inviting import invite
from doorward.pki.csr import build_csr
from doorward.web.pool import UseCasePool
from tests.support.portal import ORIGIN, PortalBrowser
from tests.support.ports import PlainKeys
from tests.support.world import OPERATOR, World


def client(world: World, pool: UseCasePool, *, offered: bool = True) -> TestClient:
    """A client of the portal's routes for joining."""
    return PortalBrowser(world=world, pool=pool, trusted=offered).client


def headers(token: str, **more: str) -> dict[str, str]:
    """What the page's script sends."""
    return {
        "authorization": f"Bearer {token}",
        "content-type": "application/pkcs10",
        "accept": "application/json",
        "origin": ORIGIN,
        **more,
    }


def request() -> bytes:
    """A PKCS#10 request."""
    return build_csr(PlainKeys().generate(KeyKind.P256), "doorward", [])


def test_the_page_offers_every_system(world: World, pool: UseCasePool) -> None:
    """Each system has its choice and its words, and every script is a file."""
    answer = client(world, pool).get("/join")
    assert answer.status_code == 200
    for system in ("windows", "macos", "ios", "android", "linux", "firefox"):
        assert f'value="{system}"' in answer.text
        assert f'data-system="{system}"' in answer.text
    assert answer.text.count("<script") == answer.text.count('<script type="module" src="/static/') == 2
    assert "script-src 'self'" in answer.headers["content-security-policy"]


def test_a_token_becomes_a_certificate(world: World, pool: UseCasePool) -> None:
    """The answer has the name, the certificate and its chain as JSON, for the page's script."""
    token = invite(world.services, "alice", actor=OPERATOR).token
    answer = client(world, pool).post("/join/certificates", content=request(), headers=headers(token))
    assert answer.status_code == 201
    assert answer.json()["name"] == "alice"
    assert answer.json()["certificate"].startswith("-----BEGIN CERTIFICATE-----")
    assert len(answer.json()["chain"]) == 1


@pytest.mark.parametrize(
    "origin", [None, "null", "https://portal.corp.example", "https://app.corp.example:8443"]
)
def test_another_page_cannot_use_a_token(world: World, pool: UseCasePool, origin: str | None) -> None:
    """A request that comes from no page of ours is refused, and the token is as good as before."""
    token = invite(world.services, "alice", actor=OPERATOR).token
    sent = {name: value for name, value in headers(token).items() if name != "origin"}
    sent |= {"origin": origin} if origin else {}
    door = client(world, pool)
    refused = door.post("/join/certificates", content=request(), headers=sent)
    assert (refused.status_code, refused.json()["code"]) == (403, "origin-wrong")
    assert door.post("/join/certificates", content=request(), headers=headers(token)).status_code == 201


def test_without_a_trusted_certificate_the_page_names_the_command(world: World, pool: UseCasePool) -> None:
    """Nothing is offered that would teach people to click a warning away."""
    door = client(world, pool, offered=False)
    page = door.get("/join").text
    assert "doorward enroll" in page
    assert "certificate.js" not in page
    token = invite(world.services, "alice", actor=OPERATOR).token
    answer = door.post("/join/certificates", content=request(), headers=headers(token))
    assert answer.status_code == 404


def test_wrong_tokens_are_counted(world: World, pool: UseCasePool) -> None:
    """Beyond the limit, an address gets `too-many-attempts`; a valid token still works."""
    door = client(world, pool)
    source = {"doorward-source": "198.51.100.7"}
    statuses = [
        door.post("/join/certificates", content=request(), headers=headers("x" * 43, **source)).status_code
        for _ in range(12)
    ]
    assert statuses[:10] == [401] * 10
    assert statuses[10:] == [429] * 2
    token = invite(world.services, "alice", actor=OPERATOR).token
    good = door.post("/join/certificates", content=request(), headers=headers(token, **source))
    assert good.status_code == 201
