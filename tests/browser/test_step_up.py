"""Step-up as a person meets it: the bank asks for the passkey on the portal, and she comes back to where she was."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.support.browser import chromium
from tests.support.browser_passkeys import give_passkey
from tests.support.doorway import Doorway, Identity

pytestmark = pytest.mark.needs("certutil", "pk12util", "chromium")


def test_alice_is_asked_for_her_passkey_and_comes_back(door: Doorway, alice: Identity) -> None:
    """The thin path: bank, portal, passkey, and the page that she asked for, with its query."""
    bank = f"https://{door.host('bank')}:{door.port}"
    with chromium(door, alice) as browser:
        give_passkey(door, "alice", browser.authenticator())
        browser.open(f"{bank}/transfers/7?amount=12%2F00&to=bob")
        expect(browser.page).to_have_url(f"{bank}/transfers/7?amount=12%2F00&to=bob")
        assert "person/alice" in browser.text()
        assert browser.faults == []
        browser.open(f"{bank}/transfers/8")
        expect(browser.page).to_have_url(f"{bank}/transfers/8")


def test_the_check_is_walked_by_keyboard(door: Doorway, alice: Identity) -> None:
    """Without a mouse: Tab to the button, Enter, and back."""
    bank = f"https://{door.host('bank')}:{door.port}"
    with chromium(door, alice) as browser:
        authenticator = browser.authenticator()
        give_passkey(door, "alice", authenticator)
        authenticator.verify_user(succeeds=False)
        browser.open(f"{bank}/transfers/9")
        expect(browser.page).to_have_url(re.compile(r"/check/"))
        browser.shoot("check")
        assert browser.barriers() == []
        authenticator.verify_user(succeeds=True)
        browser.press_until("form[data-webauthn] button")
        browser.page.keyboard.press("Enter")
        expect(browser.page).to_have_url(f"{bank}/transfers/9")
