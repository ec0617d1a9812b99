"""From an application to the portal and back, over the memory store, with a passkey made of software."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from httpx2 import Response
from starlette.testclient import TestClient

from doorward.demo.browser import hidden_fields, passkey_options
from doorward.stores.policy_snapshot import PolicySnapshots
from doorward.web.answers import CUT_DELAY_SECONDS, Pages
from doorward.web.app import build_surface
from doorward.web.look.rendering import Look
from doorward.web.pool import UseCasePool
from doorward.web.portal.context import PortalOptions
from doorward.web.sessions.surface import SessionSurface
from tests.support.assertions import AssertedDoor
from tests.support.portal import DOCUMENT, HOST, ORIGIN, REQUEST, PortalBrowser
from tests.support.world import World, found_world


@pytest.fixture
def world() -> World:
    """A founded authority; its payments require a passkey."""
    return found_world(document=DOCUMENT)


@pytest.fixture
def alice(world: World, pool: UseCasePool, door: AssertedDoor) -> PortalBrowser:
    """Alice with a certificate and a passkey."""
    browser = PortalBrowser(world=world, pool=pool, held=world.issue("alice"), door=door)
    browser.enrol_passkey()
    return browser


def test_alice_is_asked_and_comes_back(alice: PortalBrowser) -> None:
    """The thin path: payments, portal, passkey, code, cookie, and where she was."""
    asked = alice.begin()
    assert asked.status_code == 303
    page = alice.show_passkey(asked.headers["location"])
    assert page.status_code == 200
    assert "__Host-doorward-portal=" in page.headers["set-cookie"]
    assert page.headers["referrer-policy"] == "no-referrer"
    back = alice.at_app("GET", alice.code_of(page))
    assert back.status_code == 303
    assert back.headers["location"] == f"https://{HOST}/accounts/7?a=%2F&b"
    cookies = back.headers.get_list("set-cookie")
    assert any(one.startswith("__Host-doorward-session=eyJ") for one in cookies)
    assert any(one.startswith("__Host-doorward-begin=;") for one in cookies)


def code_path(browser: PortalBrowser, **more: Any) -> str:
    """Go as far as the way back."""
    return browser.code_of(browser.show_passkey(browser.begin(**more).headers["location"]))


class TestBindings:
    """A way back is good once, for one certificate, one application, one browser, for 30 seconds."""

    def test_once(self, alice: PortalBrowser) -> None:
        """The second use is refused."""
        path = code_path(alice)
        assert alice.at_app("GET", path).status_code == 303
        alice.app.cookies.set("__Host-doorward-begin", REQUEST)
        assert_refused(alice.at_app("GET", path))

    @pytest.mark.parametrize("name", ["alice", "bob"])
    def test_another_certificate(self, alice: PortalBrowser, name: str) -> None:
        """Of the same person or of another: a page says that there are two."""
        path = code_path(alice)
        alice.held = alice.world.issue(name)
        answer = alice.at_app("GET", path)
        assert_refused(answer)
        assert "Two different certificates" in answer.text

    def test_another_application(self, alice: PortalBrowser) -> None:
        """Sensors get nothing for a code of payments."""
        path = code_path(alice)
        headers = {"Host": "sensors.corp.example:8443"}
        assert_refused(alice.at_app("GET", path, app="sensors", headers=headers))

    def test_the_application_is_not_what_a_header_says(self, alice: PortalBrowser) -> None:
        """Its assertion must be for the same application."""
        path = code_path(alice)
        headers = {"Doorward-Application": alice.world.application_id("payments")}
        assert alice.at_app("GET", path, app="sensors", headers=headers).status_code == 403
        assert alice.at_app("GET", path, headers={"Doorward-Application": "app_none"}).status_code == 404

    @pytest.mark.parametrize("begin", [None, "c0ffee00-0000-4000-8000-000000000001"])
    def test_another_browser(self, alice: PortalBrowser, begin: str | None) -> None:
        """One that did not begin it, or that began another since."""
        path = code_path(alice)
        alice.app.cookies.clear()
        if begin:
            alice.app.cookies.set("__Host-doorward-begin", begin)
        assert_refused(alice.at_app("GET", path))

    def test_two_cookies_of_the_beginning(self, alice: PortalBrowser) -> None:
        """Are none."""
        path = code_path(alice)
        alice.app.cookies.clear()
        headers = {"Cookie": f"__Host-doorward-begin={REQUEST}; __Host-doorward-begin=x"}
        assert alice.at_app("GET", path, headers=headers).status_code == 400

    def test_thirty_seconds(self, alice: PortalBrowser) -> None:
        """Then it is over."""
        path = code_path(alice)
        alice.world.clock.turn(seconds=30)
        assert_refused(alice.at_app("GET", path))

    def test_another_host(self, alice: PortalBrowser) -> None:
        """A host that is not the application's has no way back."""
        path = code_path(alice)
        for host in ("payments.corp.example", "sensors.corp.example:8443", "evil.example:8443"):
            assert alice.at_app("GET", path, headers={"Host": host}).status_code == 403

    def test_a_second_code_in_the_address(self, alice: PortalBrowser) -> None:
        """Which of the two was meant is not known."""
        assert_refused(alice.at_app("GET", f"{code_path(alice)}&code=x"))


def assert_refused(answer: Response) -> None:
    """A page says so, and no session begins."""
    assert answer.status_code == 403
    assert "__Host-doorward-session" not in answer.headers.get("set-cookie", "")


class TestChecking:
    """The page that asks for a factor."""

    def test_a_fresh_factor_is_not_asked_for_again(self, alice: PortalBrowser) -> None:
        """With the portal's session a second step-up goes straight back; after five minutes it does not."""
        alice.show_passkey(alice.begin().headers["location"])
        straight = alice.begin()
        assert straight.status_code == 200
        assert alice.at_app("GET", alice.code_of(straight)).status_code == 303
        alice.world.clock.turn(minutes=6)
        assert alice.begin().status_code == 303

    def test_it_does_not_go_in_circles(self, alice: PortalBrowser) -> None:
        """A browser that is redirected again and again gets a page about it."""
        alice.show_passkey(alice.begin().headers["location"])
        assert [alice.begin().status_code for _ in range(5)] == [200, 200, 200, 409, 409]
        alice.world.clock.turn(seconds=31)
        assert alice.begin().status_code == 200

    def test_an_answer_is_good_once(self, alice: PortalBrowser) -> None:
        """The same answer again, or to another question, is refused."""
        check = alice.begin().headers["location"]
        answer = alice.answer(check)
        assert alice.at_portal("POST", f"{check}/webauthn", data=answer).status_code == 200
        other = alice.begin(request="c0ffee00-0000-4000-8000-000000000002")
        alice.client.cookies.clear()
        alice.world.clock.turn(minutes=6)
        check = alice.begin().headers["location"]
        alice.at_portal("GET", check)
        assert alice.at_portal("POST", f"{check}/webauthn", data=answer).status_code == 403
        assert other.status_code == 200

    @pytest.mark.parametrize(
        "fields", [{"x": ""}, {"credential": ""}, {"credential": "{}"}, {"credential": "ä" * 40_000}]
    )
    def test_what_is_no_answer(self, alice: PortalBrowser, fields: dict[str, str]) -> None:
        """Is refused on the same page, with the same words."""
        check = alice.begin().headers["location"]
        alice.at_portal("GET", check)
        answer = alice.at_portal("POST", f"{check}/webauthn", data=fields)
        assert answer.status_code in {403, 400, 413}
        assert "__Host-doorward-portal" not in answer.headers.get("set-cookie", "")

    def test_a_check_is_of_one_certificate(self, alice: PortalBrowser) -> None:
        """Another certificate does not see it."""
        check = alice.begin().headers["location"]
        alice.held = alice.world.issue("alice")
        assert alice.at_portal("GET", check).status_code == 404

    def test_somebody_elses_passkey(self, alice: PortalBrowser, pool: UseCasePool) -> None:
        """Bob cannot use Alice's."""
        bob = PortalBrowser(world=alice.world, pool=pool, held=alice.world.issue("bob"), door=alice.door)
        bob.authenticator.made = 10  # passkeys of software have ids by number
        bob.enrol_passkey()
        check = bob.begin().headers["location"]
        page = bob.at_portal("GET", check).text
        options = passkey_options(page) | {"allowCredentials": []}
        answer = hidden_fields(page, f"{check}/webauthn") | {"credential": alice.authenticator.get(options)}
        assert bob.at_portal("POST", f"{check}/webauthn", data=answer).status_code == 403

    def test_somebody_without_a_factor(self, world: World, pool: UseCasePool, door: AssertedDoor) -> None:
        """Is told what to do."""
        bob = PortalBrowser(world=world, pool=pool, held=world.issue("bob"), door=door)
        page = bob.at_portal("GET", bob.begin().headers["location"])
        assert "no second factor" in page.text

    def test_the_pages_policy(self, alice: PortalBrowser) -> None:
        """No script or style within the page, no frame, no other origin, and no cache."""
        page = alice.at_portal("GET", alice.begin().headers["location"])
        policy = page.headers["content-security-policy"]
        for part in ("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "trusted-types"):
            assert part in policy
        assert "unsafe" not in policy
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["referrer-policy"] == "same-origin"

    def test_a_weaker_factor_is_not_enough(self, alice: PortalBrowser) -> None:
        """A password is noted, and then the passkey is asked for still."""
        alice.show_passkey(alice.at_portal("GET", "/factors/password").headers["location"])
        alice.at_portal("POST", "/factors/password", data={"password": "seven wet umbrellas in april"})
        alice.client.cookies.clear()
        check = alice.begin().headers["location"]
        weak = alice.at_portal("POST", f"{check}/password", data={"password": "seven wet umbrellas in april"})
        assert (weak.status_code, weak.headers["location"]) == (303, check)
        assert alice.show_passkey(check).status_code == 200

    def test_programs_are_told_in_json(self, alice: PortalBrowser) -> None:
        """A refusal is a problem document for a client that does not ask for a page."""
        path = code_path(alice)
        alice.held = alice.world.issue("bob")
        answer = alice.at_app("GET", path, headers={"Accept": "application/json"})
        assert answer.json()["code"] == "session-code-refused"

    def test_a_form_is_a_form(self, alice: PortalBrowser) -> None:
        """Another type of body is refused."""
        check = alice.begin().headers["location"]
        answer = alice.at_portal(
            "POST", f"{check}/webauthn", content=b"{}", headers={"Content-Type": "text/json"}
        )
        assert answer.status_code == 415

    def test_who_comes_without_a_certificate_reads_why(self, alice: PortalBrowser) -> None:
        """A page of the door, and not a code."""
        answer = alice.client.get(
            "/factors", headers={"Accept": "text/html", "Doorward-Refusal": "certificate-missing"}
        )
        assert answer.status_code in {401, 403}
        assert "<h1" in answer.text

    def test_the_style_is_served(self, alice: PortalBrowser) -> None:
        """Without a certificate, too."""
        assert alice.client.get("/static/look.css").headers["content-type"].startswith("text/css")

    def test_a_way_that_is_none(self, alice: PortalBrowser) -> None:
        """An unknown kind of factor."""
        check = alice.begin().headers["location"]
        for kind in ("recovery-code", "x"):
            assert alice.at_portal("POST", f"{check}/{kind}", data={}).status_code == 404


class TestSigningOut:
    """Out of one application, or of all."""

    def test_the_page_after_it_says_what_is_true(self, alice: PortalBrowser, pool: UseCasePool) -> None:
        """While a session is open there, it says so."""
        alice.at_app("GET", code_path(alice))
        services, options = alice.world.services, PortalOptions(origin=lambda: ORIGIN)
        surface = SessionSurface(services, pool, Pages(Look()), options, PolicySnapshots(), status_checks=1)
        client = TestClient(build_surface(surface.routes()), base_url=f"https://{HOST}")
        headers = alice.door.headers(alice.held, "payments")
        headers |= {"Doorward-Application": alice.world.application_id("payments"), "Accept": "text/html"}
        answer = client.get("/_doorward/signed-out", headers=headers)
        assert (answer.status_code, "not signed out yet" in answer.text) == (503, True)

    def test_of_this_application(self, alice: PortalBrowser) -> None:
        """The cookie goes, the epoch grows, and the page after it says so."""
        alice.at_app("GET", code_path(alice))
        out = alice.at_app("POST", "/_doorward/sign-out", data={"here": "1"})
        assert "1; url=/_doorward/signed-out" in out.text
        assert out.headers["set-cookie"].startswith("__Host-doorward-session=;")
        assert "signed out" in alice.at_app("GET", "/_doorward/signed-out").text
        assert self.epoch(alice) == "0.0.1"
        assert alice.begin().status_code == 303

    def test_the_answer_comes_first(self, alice: PortalBrowser, monkeypatch: pytest.MonkeyPatch) -> None:
        """The sessions end a moment after it: what cuts the connection would cut the answer off."""
        waited = []

        async def note(seconds: float) -> None:
            waited.append((seconds, self.epoch(alice)))

        monkeypatch.setattr(asyncio, "sleep", note)
        alice.at_app("GET", code_path(alice))
        alice.at_app("POST", "/_doorward/sign-out", data={"here": "1"})
        assert waited == [(CUT_DELAY_SECONDS, "0.0.0")]
        assert self.epoch(alice) == "0.0.1"

    def test_everywhere(self, alice: PortalBrowser) -> None:
        """The principal's own epoch grows."""
        alice.at_app("GET", code_path(alice))
        alice.at_app("POST", "/_doorward/sign-out", data={"everywhere": "1"})
        assert self.epoch(alice) == "0.1.0"

    def test_not_from_another_page(self, alice: PortalBrowser) -> None:
        """A page of another origin cannot sign a person out."""
        headers = {"Origin": "https://evil.example"}
        assert (
            alice.at_app("POST", "/_doorward/sign-out", data={"here": "1"}, headers=headers).status_code
            == 403
        )
        assert self.epoch(alice) == "0.0.0"

    @staticmethod
    def epoch(browser: PortalBrowser) -> str:
        """Return the epoch at payments."""
        with browser.world.work.read() as stores:
            principal = browser.world.principal("alice").id
            return stores.epochs.of(principal, browser.world.application_id("payments"))
