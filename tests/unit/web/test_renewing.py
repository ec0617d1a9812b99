"""Coming back by passkey over HTTP: the page, the challenge, a certificate, and what is refused."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any

import pytest
from httpx2 import Response

from doorward.core.entities import Reason
from doorward.directory.own_certificates import list_own_certificates
from doorward.enforcement.envoy.names import REFUSAL
from doorward.web.pool import UseCasePool
from tests.support.passkeys import PRESENT, SoftAuthenticator
from tests.support.portal import PortalBrowser
from tests.support.world import World, found_world


@pytest.fixture
def world() -> World:
    """Alice's only certificate has just ended."""
    made = found_world()
    made.clock.present = made.issue("alice").record.not_after + timedelta(seconds=1)
    return made


@pytest.fixture
def key(portal: PortalBrowser) -> SoftAuthenticator:
    """Alice's passkey."""
    return portal.enrol_passkey("alice")


def send(
    portal: PortalBrowser, key: SoftAuthenticator, *, wrong: dict[str, Any] | None = None, **more: Any
) -> Response:
    """Ask for a challenge and send the answer with a request, as the page does."""
    asked = portal.ask("POST", "/renew/challenge", json={})
    assert asked.status_code == 200
    body = {
        "credential": json.loads(key.get(asked.json(), **(wrong or {}))),
        "request": base64.b64encode(portal.world.csr()).decode(),
    }
    return portal.ask("POST", "/renew/certificates", json=body | more.pop("body", {}), **more)


def test_a_passkey_brings_a_certificate(portal: PortalBrowser, key: SoftAuthenticator) -> None:
    """Three requests: the page, the challenge, and the certificate as JSON for the script."""
    page = portal.ask("GET", "/renew")
    assert page.status_code == 200
    assert 'data-proof="passkey"' in page.text
    answer = send(portal, key)
    assert answer.status_code == 201
    assert answer.json()["name"] == "alice"


def test_a_wrong_passkey_brings_none(portal: PortalBrowser, key: SoftAuthenticator) -> None:
    """Without its user verified, as with any other fault, the answer is one word."""
    answer = send(portal, key, wrong={"flags": PRESENT})
    assert (answer.status_code, answer.json()["code"]) == (403, "passkey-refused")
    assert not any(
        one.is_usable
        for one in list_own_certificates(portal.world.services, portal.world.principal("alice").id)
    )


@pytest.mark.parametrize("path", ["/renew/challenge", "/renew/certificates"])
@pytest.mark.parametrize("origin", [None, "null", "https://app.corp.example:8443"])
def test_another_page_cannot_ask(portal: PortalBrowser, path: str, origin: str | None) -> None:
    """Requests come from our own pages, or are refused."""
    answer = portal.ask("POST", path, json={}, headers={"Origin": origin})
    assert (answer.status_code, answer.json()["code"]) == (403, "origin-wrong")


def test_wrong_answers_are_counted_and_a_right_one_still_works(
    portal: PortalBrowser, key: SoftAuthenticator
) -> None:
    """Ten wrong answers are recorded; further ones get `too-many-attempts`, and Alice can still renew from that address."""
    codes = [send(portal, key, wrong={"flags": PRESENT}).json()["code"] for _ in range(12)]
    assert codes == ["passkey-refused"] * 10 + ["too-many-attempts"] * 2
    assert send(portal, key).status_code == 201


@pytest.mark.parametrize("trusted", [True, False])
def test_who_comes_without_a_certificate_is_led_here(
    world: World, pool: UseCasePool, *, trusted: bool
) -> None:
    """The portal's own page of refusal leads to the way back, if browsers trust the portal."""
    told = {REFUSAL: Reason.CERTIFICATE_MISSING.value}
    page = PortalBrowser(world=world, pool=pool, trusted=trusted).ask("GET", "/", headers=told)
    assert page.status_code == 403
    assert ('class="button" href="/renew"' in page.text) is trusted


def test_without_a_trusted_certificate_nothing_is_offered(world: World, pool: UseCasePool) -> None:
    """Browsers use passkeys on no page with a certificate error."""
    portal = PortalBrowser(world=world, pool=pool, trusted=False)
    assert "certificate.js" not in portal.ask("GET", "/renew").text
    assert portal.ask("POST", "/renew/challenge", json={}).status_code == 404
    assert portal.ask("POST", "/renew/certificates", json={}).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"credential": {}, "request": 7}',
        b'{"credential": [], "request": ""}',
        b'{"credential": {}, "request": "%%%"}',
        '{"credential": {}, "request": "ä"}'.encode(),
        b'{"credential": {}, "request": "", "lost": "yes"}',
    ],
)
def test_a_malformed_body_is_said_to_be_so(portal: PortalBrowser, body: bytes) -> None:
    """Nothing is guessed."""
    headers = {"Content-Type": "application/json"}
    answer = portal.ask("POST", "/renew/certificates", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "renewal-malformed")


def test_a_body_is_json_and_not_a_form(portal: PortalBrowser) -> None:
    """A form of another site could not send JSON without asking first."""
    answer = portal.ask("POST", "/renew/certificates", data={"credential": "x"})
    assert answer.json()["code"] == "media-type-wrong"


def test_a_body_is_bounded(portal: PortalBrowser) -> None:
    """At 64 KiB."""
    headers = {"Content-Type": "application/json"}
    answer = portal.ask("POST", "/renew/certificates", content=b"x" * 65537, headers=headers)
    assert answer.status_code == 413
