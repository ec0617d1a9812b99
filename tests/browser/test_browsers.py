"""Browsers with a client certificate come through the door, and their virtual authenticators work."""

from __future__ import annotations

import pytest

from tests.support.browser import chromium
from tests.support.doorway import Doorway, Identity
from tests.support.firefox import firefox

pytestmark = pytest.mark.needs("certutil", "pk12util")

CREATE = """async () => {
  const made = await navigator.credentials.create({publicKey: {
    rp: {name: "test"}, challenge: new Uint8Array(32),
    user: {id: new Uint8Array([1]), name: "alice", displayName: "Alice"},
    pubKeyCredParams: [{type: "public-key", alg: -7}],
    authenticatorSelection: {userVerification: "required", residentKey: "required"}}});
  return new Uint8Array(made.response.getAuthenticatorData())[32];
}"""
PRESENT_VERIFIED_ATTESTED = 0x01 | 0x04 | 0x40


def address(door: Doorway) -> str:
    """Return where the application is."""
    return f"https://{door.host('bank')}:{door.port}/"


@pytest.mark.needs("chromium")
def test_chromium_comes_in_with_its_certificate(door: Doorway, alice: Identity) -> None:
    """The application learns who came, and a passkey can be made with the user verified."""
    with chromium(door, alice) as browser:
        browser.open(address(door))
        assert "person/alice" in browser.text()
        authenticator = browser.authenticator()
        flags = browser.page.evaluate(CREATE)
        assert flags & PRESENT_VERIFIED_ATTESTED == PRESENT_VERIFIED_ATTESTED
        assert len(authenticator.credentials()) == 1


@pytest.mark.needs("firefox-esr")
def test_firefox_comes_in_with_its_certificate(door: Doorway, alice: Identity) -> None:
    """The same with Firefox."""
    with firefox(door, alice) as browser:
        browser.open(address(door))
        assert "person/alice" in browser.text()
        browser.authenticator()
        flags = browser.script(f"return ({CREATE})()")
        assert flags & PRESENT_VERIFIED_ATTESTED == PRESENT_VERIFIED_ATTESTED
