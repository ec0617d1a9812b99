"""A person's factors on the portal's pages: the first one, further ones, away with one, and recovery."""

from __future__ import annotations

import re

import pytest
from httpx2 import Response

from doorward.core.factor_kinds import FactorKind
from doorward.demo.browser import hidden_fields, passkey_options
from doorward.directory.factors.enrolment_tickets import invite_to_enrol, open_first_enrolment
from doorward.factors.totp import render_totp, step_at
from doorward.web.pool import UseCasePool
from tests.support.portal import DOCUMENT, PortalBrowser
from tests.support.world import OPERATOR, World, found_world

GOOD = "seven wet umbrellas in april"


@pytest.fixture
def world() -> World:
    """A founded authority; its payments require a passkey."""
    return found_world(document=DOCUMENT)


@pytest.fixture
def newcomer(world: World, pool: UseCasePool) -> PortalBrowser:
    """Alice with a certificate that was just issued, and no factor yet."""
    browser = PortalBrowser(world=world, pool=pool, held=world.issue("alice"))
    with world.work.change() as stores:
        record = browser.held.record
        open_first_enrolment(world.services, stores, record.principal_id, record.id, actor=OPERATOR)
    return browser


@pytest.fixture
def alice(world: World, pool: UseCasePool) -> PortalBrowser:
    """Alice with a certificate and a passkey, and nothing shown yet."""
    browser = PortalBrowser(world=world, pool=pool, held=world.issue("alice"))
    browser.enrol_passkey()
    return browser


def kinds(browser: PortalBrowser) -> list[FactorKind]:
    """Return the kinds of the factors that the person has."""
    with browser.world.work.read() as stores:
        return [one.kind for one in stores.factors.of_principal(browser.held.record.principal_id)]


def add_passkey(browser: PortalBrowser, page: Response, **fields: str) -> Response:
    """Make a passkey on the page that asks for it."""
    sent = hidden_fields(page.text, "/factors/webauthn") | fields
    sent["credential"] = browser.authenticator.create(passkey_options(page.text))
    return browser.at_portal("POST", "/factors/webauthn", data=sent)


def add_app(browser: PortalBrowser, page: Response) -> tuple[Response, bytes]:
    """Type the code of an app with the secret that the page shows; return the answer and the secret."""
    import base64

    (secret,) = re.findall(r'<code class="id">([A-Z2-7]+)</code>', page.text)
    raw = base64.b32decode(secret)
    code = render_totp(raw, step_at(browser.world.clock.now()))
    sent = hidden_fields(page.text, "/factors/totp") | {"code": code, "name": "phone"}
    return browser.at_portal("POST", "/factors/totp", data=sent), raw


class TestFirst:
    """A certificate that was just issued may add one factor."""

    def test_a_passkey(self, newcomer: PortalBrowser) -> None:
        """It is named, and shown by being made: the person is not asked again at once."""
        assert "Add your first one now" in newcomer.at_portal("GET", "/factors").text
        done = add_passkey(newcomer, newcomer.at_portal("GET", "/factors/webauthn"), name="my laptop")
        assert (done.status_code, done.headers["location"]) == (303, "/factors")
        assert "my laptop" in newcomer.at_portal("GET", "/factors").text
        assert newcomer.begin().status_code == 200

    def test_an_app(self, newcomer: PortalBrowser) -> None:
        """With the picture for its camera, which has no style of its own."""
        page = newcomer.at_portal("GET", "/factors/totp")
        assert "<svg" in page.text
        assert " style=" not in page.text
        done, _ = add_app(newcomer, page)
        assert done.status_code == 303
        assert kinds(newcomer) == [FactorKind.TOTP]

    def test_a_password(self, newcomer: PortalBrowser) -> None:
        """A good one; a weak one is refused on the page, in words."""
        weak = newcomer.at_portal("POST", "/factors/password", data={"password": "password"})
        assert weak.status_code == 403
        assert 'role="alert"' in weak.text
        good = newcomer.at_portal("POST", "/factors/password", data={"password": GOOD})
        assert good.status_code == 303
        assert kinds(newcomer) == [FactorKind.PASSWORD]

    def test_a_wrong_code_can_be_typed_again(self, newcomer: PortalBrowser) -> None:
        """The page comes again with a fault."""
        page = newcomer.at_portal("GET", "/factors/totp")
        sent = hidden_fields(page.text, "/factors/totp") | {"code": "000000"}
        assert newcomer.at_portal("POST", "/factors/totp", data=sent).status_code == 403
        assert kinds(newcomer) == []

    def test_not_after_fifteen_minutes(self, newcomer: PortalBrowser) -> None:
        """Then an administrator's link is needed."""
        assert 'href="/factors/totp"' in newcomer.at_portal("GET", "/factors").text
        newcomer.world.clock.turn(minutes=15)
        assert newcomer.at_portal("GET", "/factors/webauthn").status_code == 403
        overview = newcomer.at_portal("GET", "/factors").text
        assert 'href="/factors/totp"' not in overview
        assert "Ask your administrator for a link to add one." in overview

    def test_not_by_another_certificate(self, newcomer: PortalBrowser) -> None:
        """Also not by another one of the same person."""
        newcomer.held = newcomer.world.issue("alice")
        assert newcomer.at_portal("GET", "/factors/webauthn").status_code == 403

    def test_a_link_of_an_administrator(self, newcomer: PortalBrowser) -> None:
        """Its token stays in the forms, and is good once."""
        newcomer.world.clock.turn(minutes=15)
        token = invite_to_enrol(newcomer.world.services, "alice", actor=OPERATOR).token
        assert "data-token" in newcomer.at_portal("GET", "/enrol").text
        page = newcomer.at_portal("POST", "/factors/webauthn/begin", data={"token": token})
        assert add_passkey(newcomer, page).status_code == 303
        again = newcomer.at_portal("POST", "/factors/totp/begin", data={"token": token})
        assert again.status_code == 403


class TestFurther:
    """What a person has is changed after the strongest of it was shown."""

    @pytest.mark.parametrize("kind", ["webauthn", "totp", "password", "recovery-code"])
    def test_a_check_comes_first(self, alice: PortalBrowser, kind: str) -> None:
        """The page leads to the check, and the check back to the page."""
        first = alice.at_portal("GET", f"/factors/{kind}")
        if kind == "recovery-code":
            first = alice.at_portal("POST", f"/factors/{kind}", data={"sure": "1"})
        assert first.headers["location"].startswith("/check/stp_")
        back = alice.show_passkey(first.headers["location"])
        assert (back.status_code, back.headers["location"]) == (303, f"/factors/{kind}")
        assert alice.at_portal("GET", f"/factors/{kind}").status_code == 200

    def test_a_second_passkey(self, alice: PortalBrowser) -> None:
        """After the first was shown."""
        alice.show_passkey(alice.at_portal("GET", "/factors/webauthn").headers["location"])
        assert add_passkey(alice, alice.at_portal("GET", "/factors/webauthn")).status_code == 303
        assert kinds(alice) == [FactorKind.WEBAUTHN] * 2

    def test_removing(self, alice: PortalBrowser) -> None:
        """Ends everything, and needs the passkey; the last one stays."""
        with alice.world.work.read() as stores:
            (only,) = stores.factors.of_principal(alice.held.record.principal_id)
        path = f"/factors/{only.id}/remove"
        first = alice.at_portal("POST", path, data={"sure": "1"})
        alice.show_passkey(first.headers["location"])
        assert "only" in alice.at_portal("POST", path, data={"sure": "1"}).text
        add_passkey(alice, alice.at_portal("GET", "/factors/webauthn"))
        gone = alice.at_portal("POST", path, data={"sure": "1"})
        assert (gone.status_code, gone.headers["location"]) == (303, "/factors")
        assert kinds(alice) == [FactorKind.WEBAUTHN]
        assert alice.begin().status_code == 303

    def test_renaming(self, alice: PortalBrowser) -> None:
        """One's own, and markup in a name is text."""
        with alice.world.work.read() as stores:
            (only,) = stores.factors.of_principal(alice.held.record.principal_id)
        alice.at_portal("POST", f"/factors/{only.id}/rename", data={"name": "<b>x"})
        assert "&lt;b&gt;x" in alice.at_portal("GET", "/factors").text
        assert alice.at_portal("POST", "/factors/fct_none/rename", data={"name": "x"}).status_code == 404

    def test_an_unknown_kind(self, alice: PortalBrowser) -> None:
        """There is no such page."""
        assert alice.at_portal("GET", "/factors/x").status_code == 404


class TestOtherWays:
    """A password, a code, a recovery code."""

    def test_a_password_is_shown(self, newcomer: PortalBrowser) -> None:
        """It is asked for if a password is what the person has; wrong ones are refused, and then wait."""
        newcomer.at_portal("POST", "/factors/password", data={"password": GOOD})
        newcomer.client.cookies.clear()
        first = newcomer.at_portal("POST", "/factors/recovery-code", data={"sure": "1"})
        check = first.headers["location"]
        assert 'action="' + check + '/password"' in newcomer.at_portal("GET", check).text
        wrong = [
            newcomer.at_portal("POST", f"{check}/password", data={"password": f"no {number}"})
            for number in range(6)
        ]
        assert [one.status_code for one in wrong] == [403] * 5 + [429]
        newcomer.world.clock.turn(seconds=31)
        right = newcomer.at_portal("POST", f"{check}/password", data={"password": GOOD})
        assert right.status_code == 303

    def test_a_code_is_shown(self, newcomer: PortalBrowser) -> None:
        """The next one of the app."""
        _, secret = add_app(newcomer, newcomer.at_portal("GET", "/factors/totp"))
        newcomer.client.cookies.clear()
        newcomer.world.clock.turn(seconds=30)
        check = newcomer.at_portal("GET", "/factors/totp").headers["location"]
        code = render_totp(secret, step_at(newcomer.world.clock.now()))
        good = newcomer.at_portal("POST", f"{check}/totp", data={"code": code})
        assert (good.status_code, good.headers["location"]) == (303, "/factors/totp")

    def test_recovery(self, alice: PortalBrowser) -> None:
        """Ten codes are shown once; one of them opens enrolment, and the passkey is gone."""
        alice.show_passkey(alice.at_portal("GET", "/factors/webauthn").headers["location"])
        page = alice.at_portal("POST", "/factors/recovery-code", data={"sure": "1"})
        codes = re.findall(r'<code class="id">([^<]+)</code>', page.text)
        assert len(codes) == 10
        assert "10 codes left" in alice.at_portal("GET", "/factors").text
        alice.client.cookies.clear()
        assert alice.at_portal("GET", "/recover").status_code == 200
        assert alice.at_portal("POST", "/recover", data={"code": "no"}).status_code == 403
        done = alice.at_portal("POST", "/recover", data={"code": codes[0]})
        assert (done.status_code, done.headers["location"]) == (303, "/factors")
        assert FactorKind.WEBAUTHN not in kinds(alice)
        assert add_passkey(alice, alice.at_portal("GET", "/factors/webauthn")).status_code == 303
