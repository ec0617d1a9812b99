"""The same door in Firefox: a passkey is made at the portal and shown for a transfer; another engine, another store."""

from __future__ import annotations

import pytest

from tests.support.doorway import Doorway
from tests.support.firefox import firefox

pytestmark = pytest.mark.needs("certutil", "pk12util", "firefox-esr")


def test_step_up_in_firefox(door: Doorway) -> None:
    """Fay adds a passkey, is asked for it by the bank, and comes back to her transfer."""
    fay = door.person("fay")
    origin, bank = door.installation.portal_origin(), f"https://{door.host('bank')}:{door.port}"
    with firefox(door, fay) as browser:
        browser.authenticator()
        browser.open(f"{origin}/factors/webauthn")
        browser.type("#name", "key")
        browser.click("form[data-webauthn] button")
        browser.wait_for("document.body.innerText.includes('Passkey: key')")
        browser.shoot("factors-one")
        browser.open(f"{origin}/")
        browser.click("form[action='/sign-out'] button")
        browser.wait_for("document.body.innerText.includes('You have no session with a second factor')")
        browser.open(f"{bank}/transfers/7?to=bob")
        browser.wait_for("location.pathname.startsWith('/check/') || location.pathname === '/transfers/7'")
        if "/check/" in browser.url:
            browser.click("form[data-webauthn] button")
        browser.wait_for("location.pathname === '/transfers/7' && location.search === '?to=bob'")
        assert "person/fay" in browser.text()
        browser.shoot("bank-transfer")
