"""Joining as a person meets it: a link, three clicks, a file, and the application opens."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import expect

from doorward.core.entities import PrincipalKind
from doorward.core.ports import KeyKind
from doorward.directory.inviting import invite
from doorward.directory.principals import add_principal
from doorward.pki.csr import build_csr
from tests.support.browser import Chromium, chromium
from tests.support.doorway import ACTOR, Doorway, open_doorway
from tests.support.firefox import firefox
from tests.support.ports import PlainKeys

pytestmark = pytest.mark.needs("certutil", "pk12util", "chromium")

SYSTEMS = ["windows", "macos", "ios", "android", "linux", "firefox"]


@pytest.fixture(scope="module")
def door() -> Iterator[Doorway]:
    """One application for people, and a portal that browsers trust."""
    with open_doorway(settings={"root_is_deployed": True}) as running:
        running.apply("- allow: {kind: person}")
        yield running


def link_for(door: Doorway, name: str) -> str:
    """Add a person and return the link for the browser."""
    add_principal(door.services, PrincipalKind.PERSON, name, actor=ACTOR)
    return door.installation.joining_link(
        invite(door.services, name, lifetime=timedelta(hours=1), actor=ACTOR).token
    )


def make_certificate(browser: Chromium, folder: Path, *, system: str = "linux") -> tuple[Path, str]:
    """Choose a system, make the certificate; return the file and its password."""
    browser.page.locator(f"[name=device][value={system}]").check()
    with browser.page.expect_download() as downloading:
        browser.page.get_by_role("button", name="Make my certificate").click()
    file = folder / downloading.value.suggested_filename
    downloading.value.save_as(file)
    password = browser.page.locator("[data-password]").inner_text()
    return file, password


def test_from_the_link_to_the_application(door: Doorway, tmp_path: Path) -> None:
    """The link opens in a browser without a certificate; one click makes the file; imported, it opens the application."""
    with chromium(door) as browser:
        browser.open(link_for(door, "alice"))
        expect(browser.page.get_by_role("heading", level=1)).to_have_text("Get your certificate")
        browser.shoot("join-1-device")
        assert browser.barriers() == []
        file, password = make_certificate(browser, tmp_path)
        assert file.name == "alice.p12"
        assert "#" not in browser.page.url
        browser.shoot("join-2-put-in")
        assert browser.barriers() == []
        assert browser.faults == []
        browser.store.import_file(file, password)
        browser.restart()
        browser.open(f"{door.installation.portal_origin()}/welcome")
        assert "Your certificate shows that you are alice" in browser.text()
        browser.shoot("join-3-welcome")
        assert browser.barriers() == []
        browser.open(f"https://{door.host('app')}:{door.port}/")
        assert "person/alice" in browser.text()


def test_a_browser_without_a_certificate_is_told_what_to_do(door: Doorway) -> None:
    """The test of the certificate says that none came, and how one is found."""
    with chromium(door) as browser:
        browser.open(f"{door.installation.portal_origin()}/welcome")
        assert "did not send your certificate yet" in browser.text()
        browser.shoot("welcome-without")
        assert browser.barriers() == []


def test_a_link_that_was_used_is_said_to_be_so(door: Doorway, tmp_path: Path) -> None:
    """In the words of the page, which stay open for another try."""
    link = link_for(door, "bob")
    with chromium(door) as browser:
        browser.open(link)
        make_certificate(browser, tmp_path)
        browser.open("about:blank")
        browser.open(link)
        browser.page.get_by_role("button", name="Make my certificate").click()
        expect(browser.page.get_by_role("alert")).to_contain_text("This link cannot be used")
        browser.shoot("join-used")
        assert browser.barriers() == []


def test_a_link_without_its_token_makes_no_key(door: Doorway) -> None:
    """A link that was cut in a message says so at once."""
    with chromium(door) as browser:
        browser.open(f"{door.installation.portal_origin()}/join")
        expect(browser.page.get_by_role("alert")).to_contain_text("The link is incomplete")
        expect(browser.page.get_by_role("button", name="Make my certificate")).to_be_disabled()


def test_each_system_has_words_of_its_own(door: Doorway, tmp_path: Path) -> None:
    """One of the systems is shown after the file was made, and its file opens with the password."""
    with chromium(door) as browser:
        for system in SYSTEMS:
            browser.open("about:blank")
            browser.open(link_for(door, f"carol-{system}"))
            file, password = make_certificate(browser, tmp_path, system=system)
            browser.store.import_file(file, password)
            words = {name: browser.page.locator(f"[data-system={name}]") for name in SYSTEMS}
            assert [name for name in SYSTEMS if words[name].is_visible()] == [system]


def test_a_request_of_ones_own_is_enough(door: Doorway, tmp_path: Path) -> None:
    """A CSR made elsewhere is uploaded, and the certificate comes back as PEM."""
    request = tmp_path / "request.pem"
    request.write_bytes(build_csr(PlainKeys().generate(KeyKind.P256), "dora"))
    with chromium(door) as browser:
        browser.open(link_for(door, "dora"))
        browser.page.get_by_text("I have a request of my own").click()
        browser.page.locator("#request").set_input_files(request)
        with browser.page.expect_download() as downloading:
            browser.page.get_by_role("button", name="Send it").click()
        downloading.value.save_as(tmp_path / "chain.pem")
        assert (tmp_path / "chain.pem").read_text().count("BEGIN CERTIFICATE") == 2


def test_joining_is_walked_by_keyboard(door: Doorway) -> None:
    """Tab to the choice, arrows within it, Tab to the button, Enter; the words of the file get the focus."""
    with chromium(door) as browser:
        browser.open(link_for(door, "erin"))
        browser.press_until("[name=device]")
        browser.page.keyboard.press("ArrowDown")
        browser.press_until("[data-make] button")
        with browser.page.expect_download():
            browser.page.keyboard.press("Enter")
        expect(browser.page.locator("[data-done]")).to_be_focused()
        browser.press_until("[data-copy]")
        browser.press_until("a[href='/welcome']")
        browser.page.keyboard.press("Enter")
        expect(browser.page).to_have_url(f"{door.installation.portal_origin()}/welcome")


@pytest.mark.needs("firefox-esr")
def test_firefox_makes_a_certificate_too(door: Doorway) -> None:
    """The same module in another engine: the key is made, and the password is shown."""
    with firefox(door) as browser:
        browser.open(link_for(door, "frank"))
        assert browser.script("return document.querySelector('[name=device]:checked').value") == "firefox"
        browser.click("[data-make] button")
        browser.wait_for("document.querySelector('[data-password]').textContent.length === 27")
        browser.shoot("join-put-in")
