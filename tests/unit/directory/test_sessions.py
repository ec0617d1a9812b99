"""From an application to the portal and back: each binding of the way holds, and signing out ends what came of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from doorward.audit.events import EventType
from doorward.authority.revocation import revoke
from doorward.core.certificate import RevocationReason
from doorward.core.errors import NotFound, RequestRefused
from doorward.core.factor_kinds import FactorKind
from doorward.core.names import PORTAL_APPLICATION
from doorward.directory import principals as directory
from doorward.directory.callers import Caller
from doorward.directory.portal_sessions import LONGEST, find_portal_session, note_factor
from doorward.directory.sessions import (
    MAX_OPEN,
    OpenedSession,
    end_session,
    list_sessions,
    redeem_code,
    sign_out,
)
from doorward.directory.step_ups import (
    MAX_RETURN_PATH,
    begin_own_check,
    begin_step_up,
    end_own_check,
    find_step_up,
    make_code,
)
from doorward.stores.factor_records import SessionRecord, StepUpRecord
from doorward.stores.policy_snapshot import PolicySnapshots
from doorward.stores.records import ChangeKind
from tests.support.factor_records import factor
from tests.support.refusals import refused
from tests.support.world import OPERATOR, World

HOST = "payments.corp.example:8443"
PATH = "/accounts/7?a=1&b=%2F"
REQUEST = "c0ffee00-0000-4000-8000-000000000000"
WEBAUTHN, TOTP = FactorKind.WEBAUTHN, FactorKind.TOTP


def caller_of(world: World, name: str, client: str = "Firefox") -> Caller:
    """Somebody with a certificate of their own."""
    held = world.issue(name).record
    principal = world.principal(name)
    return Caller(
        principal_id=principal.id,
        name=name,
        kind=principal.kind,
        certificate_id=held.id,
        certificate_sha256=held.sha256,
        not_after=held.not_after,
        expires_at=held.not_after,
        source="192.0.2.7",
        client=client,
    )


@pytest.fixture
def alice(world: World) -> Caller:
    """Alice on her laptop."""
    return caller_of(world, "alice")


def begin(world: World, caller: Caller, app: str = "payments", **changed: object) -> StepUpRecord:
    """Be sent to the portal by an application."""
    fields: dict[str, object] = {
        "application_id": world.application_id(app),
        "authority": HOST,
        "request": REQUEST,
        "return_path": PATH,
        "port": 8443,
        **changed,
    }
    return begin_step_up(world.services, PolicySnapshots(), caller, **fields)  # type: ignore[arg-type]


def show(world: World, caller: Caller, kind: FactorKind, *, former: str) -> tuple[SessionRecord, str]:
    """Have a factor of this kind, and show it at the portal."""
    with world.work.change() as stores:
        had = [one for one in stores.factors.of_principal(caller.principal_id) if one.kind is kind]
        held = (
            had[0] if had else factor(f"{caller.name}-{kind.value}", kind, principal_id=caller.principal_id)
        )
        if not had:
            stores.factors.add(held)
    return note_factor(world.services, caller, kind, factor_id=held.id, former=former)


def code_for(world: World, caller: Caller, kind: FactorKind = WEBAUTHN) -> str:
    """Show a factor at the portal, and get a code for payments."""
    step_up = begin(world, caller)
    session, _ = show(world, caller, kind, former="")
    return make_code(world.services, caller, step_up.id, session)[1]


def redeem(world: World, caller: Caller, code: str, **changed: object) -> OpenedSession:
    """Come back to payments with a code."""
    fields: dict[str, object] = {
        "code": code,
        "application_id": world.application_id("payments"),
        "host": HOST,
        "begin": REQUEST,
        **changed,
    }
    return redeem_code(world.services, caller, **fields)  # type: ignore[arg-type]


def refusals(world: World) -> list[object]:
    """Return why callbacks were refused."""
    return [event.data["reason"] for event in world.events(EventType.SESSION_REFUSED)]


class TestStepUp:
    """Where a person came from."""

    def test_it_is_kept_here(self, world: World, alice: Caller) -> None:
        """Return path and request are stored, and found by the same certificate."""
        step_up = begin(world, alice)
        assert find_step_up(world.services, alice, step_up.id) == step_up
        assert (step_up.return_path, step_up.host, step_up.request) == (PATH, HOST, REQUEST)

    @pytest.mark.parametrize(
        "changed",
        [
            {"authority": "payments.corp.example"},
            {"authority": "payments.corp.example:443"},
            {"authority": "evil.example:8443"},
            {"authority": "sensors.corp.example:8443"},
            {"authority": "PAYMENTS.corp.example:8443"},
            {"return_path": ""},
            {"return_path": "accounts"},
            {"return_path": "https://evil.example/"},
            {"return_path": "/a b"},
            {"return_path": "/a\r\nSet-Cookie: x=1"},
            {"return_path": "/ä"},
            {"return_path": "/" + "a" * MAX_RETURN_PATH},
            {"request": ""},
            {"request": "a;b"},
            {"request": "a" * 65},
        ],
    )
    def test_nothing_leads_elsewhere(self, world: World, alice: Caller, changed: dict[str, str]) -> None:
        """Only a host of the application at the door's port, and only a path of printable ASCII."""
        with refused(RequestRefused, "step-up-refused"):
            begin(world, alice, **changed)

    def test_the_port_443_is_not_written(self, world: World, alice: Caller) -> None:
        """As browsers write an authority."""
        begin(world, alice, port=443, authority="payments.corp.example")
        with pytest.raises(RequestRefused):
            begin(world, alice, port=443, authority="payments.corp.example:443")

    def test_an_unknown_application(self, world: World, alice: Caller) -> None:
        """An id that no application of the document has."""
        with pytest.raises(NotFound, match="no such application"):
            begin(world, alice, application_id="app_nothing")

    def test_nobody_is_sent_from_the_portal_to_itself(self, world: World, alice: Caller) -> None:
        """Its own checks lead back to addresses of ours; a link of a stranger would lead to one of theirs."""
        with world.services.work.read() as stores:
            hosts = PolicySnapshots().current(stores)[0].policies[PORTAL_APPLICATION].hosts
        assert hosts
        for host in hosts:
            with pytest.raises(NotFound, match="no such application"):
                begin(
                    world,
                    alice,
                    application_id=PORTAL_APPLICATION,
                    authority=f"{host}:8443",
                    return_path="//evil.example/",
                )

    def test_it_is_one_certificates(self, world: World, alice: Caller) -> None:
        """Another certificate of the same person does not find it."""
        step_up = begin(world, alice)
        with pytest.raises(NotFound, match="another certificate"):
            find_step_up(world.services, caller_of(world, "alice"), step_up.id)

    def test_it_ends_after_five_minutes(self, world: World, alice: Caller) -> None:
        """As the cookie in the browser does."""
        step_up = begin(world, alice)
        world.clock.turn(minutes=5)
        with pytest.raises(NotFound, match="has ended"):
            find_step_up(world.services, alice, step_up.id)

    def test_it_gives_one_code(self, world: World, alice: Caller) -> None:
        """A second code needs another step-up."""
        step_up = begin(world, alice)
        session, _ = show(world, alice, WEBAUTHN, former="")
        make_code(world.services, alice, step_up.id, session)
        with pytest.raises(NotFound):
            make_code(world.services, alice, step_up.id, session)

    def test_the_portals_own_pages_ask_as_well(self, world: World, alice: Caller) -> None:
        """A check that a page of the portal began leads back to that page, once."""
        step_up = begin_own_check(world.services, alice, return_path="/factors")
        assert end_own_check(world.services, alice, step_up.id).return_path == "/factors"
        with pytest.raises(NotFound):
            end_own_check(world.services, alice, step_up.id)


class TestRedeeming:
    """A code becomes a session, once, and only where it is bound to."""

    def test_a_code_becomes_a_session(self, world: World, alice: Caller) -> None:
        """With the factors that were shown, their time, the epoch, and the way back."""
        opened = redeem(world, alice, code_for(world, alice))
        assert opened.return_path == PATH
        assert opened.epoch == "0.0.0"
        assert opened.session.factors == {WEBAUTHN: world.clock.now()}
        assert opened.session.ends_at == world.clock.now() + timedelta(hours=8)
        (event,) = world.events(EventType.SESSION_OPENED)
        assert event.data["session"] == opened.session.id
        assert (event.data["level"], event.data["factors"]) == (3, ("webauthn",))

    def test_it_ends_with_the_certificate(self, world: World, alice: Caller) -> None:
        """No session outlives the certificate that it is bound to."""
        soon = replace(alice, not_after=world.clock.now() + timedelta(hours=1))
        assert redeem(world, soon, code_for(world, soon)).session.ends_at == soon.not_after

    @pytest.mark.parametrize(
        ("changed", "why"),
        [
            ({"application_id": "sensors"}, "code-of-other-application"),
            ({"host": "payments.corp.example"}, "code-of-other-application"),
            ({"begin": ""}, "code-of-other-browser"),
            ({"begin": REQUEST[:-1] + "1"}, "code-of-other-browser"),
            ({"begin": "\udcff"}, "code-of-other-browser"),
        ],
    )
    def test_each_binding_holds(self, world: World, alice: Caller, changed: dict[str, str], why: str) -> None:
        """Another application, another host, a browser without the cookie or with another one."""
        code = code_for(world, alice)
        if "application_id" in changed:
            changed = {"application_id": world.application_id("sensors")}
        with refused(RequestRefused, "session-code-refused"):
            redeem(world, alice, code, **changed)
        assert refusals(world) == [why]
        with pytest.raises(RequestRefused):  # and the try used it up
            redeem(world, alice, code)

    def test_another_certificate_gets_nothing(self, world: World, alice: Caller) -> None:
        """Neither another one of the same person, nor another person's."""
        for name in ("alice", "bob"):
            code = code_for(world, alice)
            with pytest.raises(RequestRefused):
                redeem(world, caller_of(world, name), code)
        assert refusals(world) == ["code-of-other-certificate"] * 2

    def test_a_code_is_good_once(self, world: World, alice: Caller) -> None:
        """The second caller gets nothing."""
        code = code_for(world, alice)
        redeem(world, alice, code)
        with pytest.raises(RequestRefused):
            redeem(world, alice, code)
        assert refusals(world) == ["code-unknown"]

    @pytest.mark.parametrize("code", ["", "x", "\udcff", "A" * 43])
    def test_a_code_that_never_was(self, world: World, alice: Caller, code: str) -> None:
        """Any text is refused in the same way."""
        with refused(RequestRefused, "session-code-refused"):
            redeem(world, alice, code)

    def test_a_code_is_good_for_thirty_seconds(self, world: World, alice: Caller) -> None:
        """Just before the end, and not at it."""
        code, late = code_for(world, alice), code_for(world, alice)
        world.clock.turn(seconds=29.9)
        redeem(world, alice, code)
        world.clock.turn(seconds=0.1)
        with pytest.raises(RequestRefused):
            redeem(world, alice, late)
        assert refusals(world) == ["code-expired"]

    def test_a_withdrawal_in_between_wins(self, world: World, alice: Caller) -> None:
        """Certificate and account are looked at in the same transaction."""
        code = code_for(world, alice)
        revoke(world.services, alice.certificate_id, RevocationReason.KEY_COMPROMISE, OPERATOR)
        with pytest.raises(RequestRefused):
            redeem(world, alice, code)
        bob = caller_of(world, "bob")
        code = code_for(world, bob)
        directory.suspend(world.services, "bob", actor=OPERATOR)
        with pytest.raises(RequestRefused):
            redeem(world, bob, code)
        assert refusals(world) == ["standing-lost", "code-unknown"]  # suspending takes the code away

    def test_a_fresh_factor_goes_on_with_the_session(self, world: World, alice: Caller) -> None:
        """One browser has one session at an application, however often it shows a factor."""
        first = redeem(world, alice, code_for(world, alice))
        world.clock.turn(minutes=6)
        second = redeem(world, alice, code_for(world, alice))
        assert second.session.id == first.session.id
        assert second.session.factors == {WEBAUTHN: world.clock.now()}
        elsewhere = replace(alice, source="203.0.113.9")
        for other in (caller_of(world, "alice"), elsewhere, replace(alice, client="Chromium")):
            assert redeem(world, other, code_for(world, other)).session.id != first.session.id

    def test_what_was_shown_before_is_not_taken_over(self, world: World, alice: Caller) -> None:
        """A weaker factor gives a session with the weaker factor, also beside one with a passkey."""
        redeem(world, alice, code_for(world, alice, WEBAUTHN))
        assert set(redeem(world, alice, code_for(world, alice, TOTP)).session.factors) == {TOTP}

    def test_an_old_session_is_not_gone_on_with(self, world: World, alice: Caller) -> None:
        """With less than half of its time to come another one begins."""
        first = redeem(world, alice, code_for(world, alice))
        world.clock.turn(hours=4)
        assert redeem(world, alice, code_for(world, alice)).session.id != first.session.id

    def test_sessions_are_bounded(self, world: World, alice: Caller) -> None:
        """However many browsers a certificate says it is in."""
        for number in range(MAX_OPEN + 5):
            browser = replace(alice, client=f"browser {number}")
            redeem(world, browser, code_for(world, browser))
        listed = list_sessions(world.services, alice.principal_id)
        assert len([one for one in listed if one.application_id != PORTAL_APPLICATION]) == MAX_OPEN


class TestPortalSession:
    """What was shown at the portal, bound to the certificate."""

    def test_it_gathers_what_was_shown(self, world: World, alice: Caller) -> None:
        """A second factor adds to the first, under another cookie, and the first cookie is refused."""
        _, first = show(world, alice, TOTP, former="")
        shown = world.clock.now()
        world.clock.turn(minutes=1)
        session, second = show(world, alice, WEBAUTHN, former=first)
        assert session.factors == {TOTP: shown, WEBAUTHN: world.clock.now()}
        assert find_portal_session(world.services, alice, first) is None
        assert find_portal_session(world.services, alice, second) is not None

    @pytest.mark.parametrize("name", ["alice", "bob"])
    def test_another_certificate_does_not_have_it(self, world: World, alice: Caller, name: str) -> None:
        """Neither another one of the same person, nor another person's; nor does it add to theirs."""
        _, token = show(world, alice, TOTP, former="")
        other = caller_of(world, name)
        assert find_portal_session(world.services, other, token) is None
        session, _ = show(world, other, WEBAUTHN, former=token)
        assert set(session.factors) == {WEBAUTHN}

    def test_a_factor_that_is_gone_is_not_noted(self, world: World, alice: Caller) -> None:
        """A reset that comes between the check and the session wins."""
        with pytest.raises(RequestRefused, match="removed just now"):
            note_factor(world.services, alice, TOTP, factor_id="fct_gone", former="")
        assert list_sessions(world.services) == []

    def test_it_ends_after_fifteen_idle_minutes(self, world: World, alice: Caller) -> None:
        """A request in between prolongs it."""
        _, token = show(world, alice, TOTP, former="")
        for _ in range(3):
            world.clock.turn(minutes=14)
            assert find_portal_session(world.services, alice, token) is not None
        world.clock.turn(minutes=15)
        assert find_portal_session(world.services, alice, token) is None

    def test_it_ends_after_eight_hours(self, world: World, alice: Caller) -> None:
        """However busy it is, and however often a factor is shown."""
        _, token = show(world, alice, TOTP, former="")
        for _ in range(LONGEST // timedelta(minutes=10)):
            assert find_portal_session(world.services, alice, token) is not None
            world.clock.turn(minutes=10)
        assert find_portal_session(world.services, alice, token) is None

    @pytest.mark.parametrize("token", ["", "x", "\udcff", "A" * 43, "A" * 44])
    def test_another_text_has_none(self, world: World, alice: Caller, token: str) -> None:
        """Any text is looked up, or is no token."""
        assert find_portal_session(world.services, alice, token) is None


class TestSigningOut:
    """The epoch grows, and gateways hear of it."""

    def test_of_one_application(self, world: World, alice: Caller) -> None:
        """Its sessions end and its tokens are worthless; those of others are not; the portal asks again."""
        first = redeem(world, alice, code_for(world, alice))
        _, token = show(world, alice, TOTP, former="")
        done = sign_out(
            world.services,
            alice.principal_id,
            application_id=world.application_id("payments"),
            actor=alice.principal_id,
        )
        assert done.value == 1
        assert self.epochs(world, alice) == ("0.0.1", "0.0.0")
        assert self.newest(world) == (ChangeKind.PRINCIPAL, alice.principal_id)
        assert find_portal_session(world.services, alice, token) is None
        assert redeem(world, alice, code_for(world, alice)).session.id != first.session.id
        (event,) = world.events(EventType.SESSION_ENDED)
        assert event.data["application"] == world.application_id("payments")

    def test_everywhere(self, world: World, alice: Caller) -> None:
        """Every session, every code on its way and the portal's own."""
        redeem(world, alice, code_for(world, alice))
        pending = code_for(world, alice)
        sign_out(world.services, alice.principal_id, actor=alice.principal_id)
        assert list_sessions(world.services, alice.principal_id) == []
        assert self.epochs(world, alice) == ("0.1.0", "0.1.0")
        with pytest.raises(RequestRefused):
            redeem(world, alice, pending)

    def test_one_session_takes_the_application_with_it(self, world: World, alice: Caller) -> None:
        """Sessions of one person at one application share an epoch."""
        opened = redeem(world, alice, code_for(world, alice))
        end_session(world.services, opened.session.id, of=alice.principal_id, actor=alice.principal_id)
        assert self.epochs(world, alice) == ("0.0.1", "0.0.0")
        with refused(RequestRefused, "session-over") as caught:
            end_session(world.services, opened.session.id, actor=OPERATOR)
        assert "doorward session list" in caught.value.hint

    @pytest.mark.parametrize("application", ["payments", "sensors", "", PORTAL_APPLICATION])
    def test_it_takes_codes_that_are_on_their_way(
        self, world: World, alice: Caller, application: str
    ) -> None:
        """Of an application, everywhere, or of the portal: no code from before opens a session after it."""
        code = code_for(world, alice)
        if application == PORTAL_APPLICATION:
            (portal,) = list_sessions(world.services)
            end_session(world.services, portal.id, actor=OPERATOR)
        else:
            there = world.application_id(application) if application else ""
            sign_out(world.services, alice.principal_id, application_id=there, actor=OPERATOR)
        with pytest.raises(RequestRefused):
            redeem(world, alice, code)
        assert refusals(world) == ["code-unknown"]

    def test_no_code_is_made_after_it(self, world: World, alice: Caller) -> None:
        """The portal's session was looked up before, and has ended since."""
        step_up = begin(world, alice)
        session, _ = show(world, alice, WEBAUTHN, former="")
        sign_out(
            world.services,
            alice.principal_id,
            application_id=world.application_id("payments"),
            actor=OPERATOR,
        )
        with pytest.raises(NotFound):
            make_code(world.services, alice, step_up.id, session)

    def test_the_portals_session_alone(self, world: World, alice: Caller) -> None:
        """Ends without a change for gateways."""
        session, token = show(world, alice, TOTP, former="")
        before = world.head()
        end_session(world.services, session.id, actor=OPERATOR)
        assert find_portal_session(world.services, alice, token) is None
        assert world.head() == before

    def test_somebody_elses_session(self, world: World, alice: Caller) -> None:
        """Is not found, and goes on."""
        opened = redeem(world, alice, code_for(world, alice))
        bob = caller_of(world, "bob")
        with pytest.raises(NotFound):
            end_session(world.services, opened.session.id, of=bob.principal_id, actor=bob.principal_id)
        assert len(list_sessions(world.services, alice.principal_id)) == 2

    @staticmethod
    def epochs(world: World, caller: Caller) -> tuple[str, str]:
        """Return the epochs at payments and at sensors."""
        with world.work.read() as stores:
            return (
                stores.epochs.of(caller.principal_id, world.application_id("payments")),
                stores.epochs.of(caller.principal_id, world.application_id("sensors")),
            )

    @staticmethod
    def newest(world: World) -> tuple[ChangeKind, str]:
        """Return the newest change."""
        with world.work.read() as stores:
            change = stores.changes.since(stores.changes.head() - 1)[0]
        return change.kind, change.subject
