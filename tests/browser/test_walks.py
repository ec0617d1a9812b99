"""A person's days with certificate and passkey, in Chromium, through the real door.

The first factor, a lost device, an ended certificate, signing out, another certificate, password and code.
"""

from __future__ import annotations

import base64
import re
import sqlite3
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import expect

from doorward.authority.revocation import revoke
from doorward.core.certificate import RevocationReason
from doorward.directory.own_certificates import list_own_certificates
from doorward.directory.principals import find_principal
from doorward.factors.totp import render_totp, step_at
from tests.support.browser import Chromium, chromium
from tests.support.browser_passkeys import give_passkey
from tests.support.doorway import ACTOR, Doorway, eventually
from tests.support.nss import chosen_by_itself

pytestmark = pytest.mark.needs("certutil", "pk12util", "chromium")

SIGN_OUT = """() => {
  const form = document.createElement("form");
  Object.assign(form, {method: "post", action: "/_doorward/sign-out"});
  document.body.append(form);
  form.submit();
}"""


def bank(door: Doorway, path: str = "/") -> str:
    """Return an address of the bank."""
    return f"https://{door.host('bank')}:{door.port}{path}"


def portal(door: Doorway, path: str = "/") -> str:
    """Return an address of the portal."""
    return f"{door.installation.portal_origin()}{path}"


def end_certificate(door: Doorway, name: str) -> None:
    """Let the newest certificate of a person be one that ended yesterday, in the inventory."""
    newest = list_own_certificates(door.services, find_principal(door.services, name).id)[0].record
    now = door.services.clock.now()
    with closing(sqlite3.connect(door.installation.layout.database)) as connection, connection:
        connection.execute(
            "UPDATE certificates SET not_before = ?, not_after = ? WHERE id = ?",
            (
                int((now - timedelta(days=91)).timestamp() * 1_000_000),
                int((now - timedelta(days=1)).timestamp() * 1_000_000),
                newest.id,
            ),
        )


def save_file(browser: Chromium, button: str, folder: Path) -> None:
    """Press the button that makes a certificate, and import its file as a person does."""
    with browser.page.expect_download() as downloading:
        browser.page.get_by_role("button", name=button).click()
    file = folder / "new.p12"
    downloading.value.save_as(file)
    browser.store.import_file(file, browser.page.locator("[data-password]").inner_text())


def test_the_first_factor_and_the_first_application(door: Doorway) -> None:
    """Just enrolled, Bob adds a passkey, opens the bank from his portal, and makes a transfer."""
    bob = door.person("bob")
    with chromium(door, bob) as browser:
        browser.authenticator()
        browser.open(portal(door, "/welcome"))
        browser.page.get_by_role("link", name="Add a second factor").click()
        browser.shoot("factors-none")
        assert browser.barriers() == []
        browser.page.get_by_role("link", name=re.compile("A passkey")).click()
        browser.page.get_by_label("A name for it").fill("Bob's laptop")
        browser.shoot("factors-passkey")
        assert browser.barriers() == []
        browser.page.get_by_role("button", name="Make a passkey").click()
        expect(browser.page.get_by_text("Passkey: Bob's laptop")).to_be_visible()
        browser.shoot("factors-one")
        browser.open(portal(door))
        browser.shoot("mine")
        assert browser.barriers() == []
        browser.page.get_by_role("link", name="bank").click()
        expect(browser.page).to_have_url(bank(door))
        browser.open(bank(door, "/transfers/1"))
        expect(browser.page).to_have_url(bank(door, "/transfers/1"))
        assert browser.faults == []


def test_a_lost_device_is_cut_off_and_its_owner_comes_back(door: Doorway, tmp_path: Path) -> None:
    """From a new device, with the passkey: the old one is out within a second, the new one is in."""
    carol = door.person("carol")
    with chromium(door) as browser, door.session(carol, app="bank") as stolen:
        assert stolen.request("GET", "/").status == 200
        give_passkey(door, "carol", browser.authenticator())
        browser.open(portal(door, "/renew"))
        browser.shoot("renew")
        assert browser.barriers() == []
        browser.page.get_by_label(re.compile("is lost")).check()
        save_file(browser, "Show my passkey", tmp_path)
        with pytest.raises(OSError):  # noqa: PT012 - the cut may be seen at the second request only
            for _ in range(100):
                stolen.request("GET", "/")
        assert door.get(carol, "/", app="bank").status == 403
        browser.restart()
        browser.open(bank(door))
        assert "person/carol" in browser.text()
        browser.open(portal(door))
        assert "Reported lost" in browser.text()
        browser.shoot("mine-after-loss")


def test_a_loss_is_reported_from_another_device(door: Doorway, tmp_path: Path) -> None:
    """With the passkey, by a question that names what follows; the lost one is out within a second, and a new one is added."""
    lost = door.person("dora")
    phone = door.enrol("dora")
    with chromium(door, phone) as browser, door.session(lost, app="bank") as stolen:
        assert stolen.request("GET", "/").status == 200
        give_passkey(door, "dora", browser.authenticator())
        browser.open(portal(door))
        other = browser.page.locator("li", has=browser.page.locator("details")).filter(
            has_not_text="(this device)"
        )
        other.get_by_text("Name it, or report it lost").click()
        other.get_by_role("link", name="It is lost").click()
        expect(browser.page.get_by_role("heading", level=1)).to_have_text("Is this device lost?")
        browser.shoot("lost")
        assert browser.barriers() == []
        began = time.monotonic()
        browser.page.get_by_role("button", name="Yes, withdraw it now").click()
        expect(browser.page.get_by_text("Reported lost")).to_be_visible()

        def is_cut() -> bool:
            try:
                return stolen.request("GET", "/").status != 200
            except OSError:
                return True

        assert eventually(is_cut), time.monotonic() - began
        browser.page.get_by_role("link", name="Add a device").click()
        browser.page.get_by_role("button", name="Make the link").click()
        expect(browser.page.get_by_role("img", name=re.compile("QR code"))).to_be_visible()
        browser.shoot("add-device")
        assert browser.barriers() == []
        link = browser.page.locator("[data-copyable]").inner_text()
        assert link.startswith(portal(door, "/join#"))
        browser.open(link)
        save_file(browser, "Make my certificate", tmp_path)
    usable = [
        one
        for one in list_own_certificates(door.services, find_principal(door.services, "dora").id)
        if one.is_usable
    ]
    assert len(usable) == 2


def test_an_ended_certificate_is_renewed_in_three_clicks(door: Doorway, tmp_path: Path) -> None:
    """Renew, show the passkey, go on: and the bank is open."""
    door.person("erin")
    end_certificate(door, "erin")
    clicks = 0
    with chromium(door) as browser:
        give_passkey(door, "erin", browser.authenticator())
        browser.open(bank(door))
        browser.shoot("door-no-certificate")
        assert browser.barriers() == []
        browser.page.get_by_role("link", name=re.compile("Get or renew")).click()
        clicks += 1
        expect(browser.page).to_have_url(portal(door, "/renew"))
        save_file(browser, "Show my passkey", tmp_path)
        clicks += 1
        browser.restart()
        browser.open(portal(door, "/welcome"))
        assert "Your certificate shows that you are erin" in browser.text()
        browser.open(bank(door))
        assert "person/erin" in browser.text()
    assert clicks <= 3


def test_a_certificate_is_renewed_before_it_ends(door: Doorway, tmp_path: Path) -> None:
    """From the portal, with the present one as the right; both then work."""
    fred = door.person("fred")
    with chromium(door, fred) as browser:
        browser.open(portal(door))
        browser.page.get_by_role("link", name="Renew", exact=True).click()
        save_file(browser, "Make my new certificate", tmp_path)
        browser.shoot("renew-here")
        assert browser.barriers() == []
    usable = [
        one
        for one in list_own_certificates(door.services, find_principal(door.services, "fred").id)
        if one.is_usable
    ]
    assert len(usable) == 2


def test_signing_out_asks_for_the_factor_again(door: Doorway) -> None:
    """Everywhere, from the portal: the bank's session is refused, and the passkey opens a new one."""
    gina = door.person("gina")
    with chromium(door, gina) as browser:
        authenticator = browser.authenticator()
        give_passkey(door, "gina", authenticator)
        browser.open(bank(door, "/transfers/1"))
        expect(browser.page).to_have_url(bank(door, "/transfers/1"))
        browser.open(portal(door))
        browser.shoot("mine-signed-in")
        assert browser.barriers() == []
        authenticator.verify_user(succeeds=False)
        browser.page.get_by_role("button", name="Sign out everywhere").click()
        expect(browser.page.get_by_text("You have no session with a second factor")).to_be_visible()
        browser.open(bank(door, "/transfers/2"))
        expect(browser.page).to_have_url(re.compile("/check/"))
        authenticator.verify_user(succeeds=True)
        browser.page.get_by_role("button", name="Use my passkey").click()
        expect(browser.page).to_have_url(bank(door, "/transfers/2"))


def test_signing_out_of_one_application(door: Doorway) -> None:
    """By its row at the portal, and by the form that the bank itself may send to its own host."""
    hugo = door.person("hugo")
    with chromium(door, hugo) as browser:
        authenticator = browser.authenticator()
        give_passkey(door, "hugo", authenticator)
        browser.open(bank(door, "/transfers/1"))
        expect(browser.page).to_have_url(bank(door, "/transfers/1"))
        authenticator.verify_user(succeeds=False)
        browser.open(portal(door))
        browser.page.get_by_role("button", name="Sign out of bank").click()
        expect(browser.page.get_by_role("button", name="Sign out of bank")).to_have_count(0)
        browser.open(bank(door, "/transfers/2"))
        expect(browser.page).to_have_url(re.compile("/check/"))
        authenticator.verify_user(succeeds=True)
        browser.page.get_by_role("button", name="Use my passkey").click()
        expect(browser.page).to_have_url(bank(door, "/transfers/2"))
        browser.page.evaluate(SIGN_OUT)
        expect(browser.page.get_by_role("heading", name="You are signed out")).to_be_visible()
        browser.shoot("signed-out")
        assert browser.barriers() == []


def test_another_certificate(door: Doorway) -> None:
    """Who came with a certificate that opens nothing here takes another one by a button, without leaving the browser."""
    visitor, ida = door.person("visitor"), door.person("ida")
    revoke(door.services, door.certificate_of("visitor"), RevocationReason.SUPERSEDED, ACTOR)
    with chromium(door, visitor) as browser:
        browser.store.add(ida)
        browser.select("visitor")
        browser.restart()
        browser.open(bank(door))
        expect(browser.page.get_by_role("heading", level=1)).to_contain_text("withdrawn")
        browser.shoot("door-withdrawn")
        assert browser.barriers() == []
        browser.select("ida")
        browser.open(bank(door))
        expect(browser.page.get_by_role("heading", level=1)).to_contain_text("withdrawn")
        browser.page.get_by_role("link", name="Use another").first.click()
        expect(browser.page.get_by_text("person/ida")).to_be_visible()


def test_two_certificates_are_told_apart(door: Doorway) -> None:
    """Kim at the bank and Leo at the portal, in one browser: the way back says so, and opens nothing."""
    kim, leo = door.person("kim"), door.person("leo")
    with chosen_by_itself(portal(door)) as at_portal, chromium(door, kim) as browser:
        browser.store.add(leo)
        at_portal.take("leo")
        browser.select("kim")
        browser.restart()
        authenticator = browser.authenticator()
        give_passkey(door, "kim", authenticator)
        give_passkey(door, "leo", authenticator)
        browser.open(bank(door, "/transfers/1"))
        expect(browser.page.get_by_role("heading", level=1)).to_have_text("Two different certificates")
        browser.shoot("two-certificates")
        assert browser.barriers() == []
        browser.open(bank(door, "/transfers/1"))
        assert "person/kim" not in browser.text()


def test_password_and_code(door: Doorway) -> None:
    """Harry has no passkey: he adds an app, and a password beside it; the password opens what needs any factor."""
    harry = door.person("harry")
    with chromium(door, harry) as browser:
        browser.open(portal(door, "/factors/totp"))
        expect(browser.page.get_by_role("heading", level=1)).to_have_text("Add an app")
        browser.shoot("factors-totp")
        assert browser.barriers() == []
        browser.page.get_by_text("Type the key instead").click()
        secret = browser.page.locator("details code.id").inner_text()
        browser.page.get_by_label("Six digits").fill(code_of(secret, door))
        browser.page.get_by_role("button", name="Add", exact=True).click()
        expect(browser.page.get_by_role("heading", name=re.compile("Code from an app"))).to_be_visible()
        browser.open(portal(door, "/factors/password"))
        browser.page.get_by_label("New password").fill("otter umbrella gravel piano")
        browser.shoot("factors-password")
        assert browser.barriers() == []
        browser.page.get_by_role("button", name="Save password").click()
        expect(browser.page.get_by_role("heading", name="Password", exact=True)).to_be_visible()
        browser.context.clear_cookies()
        browser.open(bank(door, "/accounts/7"))
        expect(browser.page).to_have_url(re.compile("/check/"))
        browser.shoot("check-password-and-code")
        assert browser.barriers() == []
        browser.page.get_by_label("Password").fill("otter umbrella gravel piano")
        browser.page.locator("form[action$='/password'] button").click()
        expect(browser.page).to_have_url(bank(door, "/accounts/7"))


def code_of(secret: str, door: Doorway) -> str:
    """Return what an app with this key shows now."""
    key = base64.b32decode(secret.replace(" ", "") + "=" * (-len(secret.replace(" ", "")) % 8))
    return render_totp(key, step_at(door.services.clock.now()))
