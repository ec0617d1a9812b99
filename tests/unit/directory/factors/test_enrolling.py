"""Adding factors: on what ground, once, and told."""

from __future__ import annotations

import base64
from datetime import timedelta

import pytest

from doorward.audit.events import EventType
from doorward.core.errors import MalformedInput, RequestRefused
from doorward.core.factor_kinds import FactorKind
from doorward.directory import principals as directory
from doorward.directory.callers import Caller
from doorward.directory.factors import enrolling
from doorward.directory.factors.enrolment_tickets import (
    FIRST_LIFETIME,
    add_ticket,
    find_ticket,
    invite_to_enrol,
    use_ticket,
)
from doorward.directory.sealing import open_sealed
from doorward.stores.records import ChangeKind
from tests.support.factor_world import GOOD_PASSWORD, NOTHING, FactorWorld
from tests.support.passkeys import SoftAuthenticator
from tests.support.world import OPERATOR

PASSWORD, TOTP, WEBAUTHN = FactorKind.PASSWORD, FactorKind.TOTP, FactorKind.WEBAUTHN


@pytest.fixture
def alice(people: FactorWorld) -> Caller:
    """Alice with the certificate that her invitation gave her just now."""
    return people.comes("alice")


def code_of(refused: pytest.ExceptionInfo[RequestRefused]) -> str:
    """Return the code of a refusal."""
    return refused.value.code


def test_a_certificate_by_invitation_may_enrol_the_first_factor_once(
    people: FactorWorld, alice: Caller
) -> None:
    """The ticket ends with the first factor; the second one needs a check of the first."""
    people.set_password(alice)
    with pytest.raises(RequestRefused) as refused:
        people.app(alice)
    assert code_of(refused) == "factor-too-weak"
    assert people.kinds(alice) == [PASSWORD]


def test_the_right_of_a_certificate_ends_after_fifteen_minutes(people: FactorWorld, alice: Caller) -> None:
    """One second before it is good, and at the end it is not."""
    people.clock.turn(minutes=15, seconds=-1)
    enrolling.begin_passkey(people.factors, alice, shown=NOTHING)
    people.clock.turn(seconds=1)
    with pytest.raises(RequestRefused) as refused:
        people.passkey(alice)
    assert code_of(refused) == "enrolment-closed"


def test_the_right_is_the_certificates_own(people: FactorWorld, alice: Caller) -> None:
    """Another certificate of Alice has none, and neither has Bob's."""
    for other in (people.comes("alice", invited=False), people.comes("bob", invited=False)):
        with pytest.raises(RequestRefused) as refused:
            people.set_password(other)
        assert code_of(refused) == "enrolment-closed"


def test_two_at_once_enrol_one_first_factor(people: FactorWorld, alice: Caller) -> None:
    """Both began with the ticket; the one who finishes later is refused."""
    browser = SoftAuthenticator(origin=people.factors.party.origin)
    asked = enrolling.begin_passkey(people.factors, alice, shown=NOTHING)
    people.set_password(alice)
    with pytest.raises(RequestRefused) as refused:
        enrolling.finish_passkey(
            people.factors, alice, asked.id, browser.create(asked.options), name="", shown=NOTHING
        )
    assert code_of(refused) == "factor-too-weak"


def test_a_new_invitation_gives_no_right_to_who_has_a_factor(people: FactorWorld, alice: Caller) -> None:
    """A stolen invitation link brings a certificate, and not the second factor."""
    people.set_password(alice)
    thief = people.comes("alice")
    with pytest.raises(RequestRefused) as refused:
        people.set_password(thief, "another otter lantern quilt")
    assert code_of(refused) == "factor-check-needed"


def test_a_new_invitation_opens_no_right_beside_a_factor(people: FactorWorld, alice: Caller) -> None:
    """It is not even kept; and one that is open gives nothing to who has a factor by then."""
    people.set_password(alice)
    told = len(people.events(EventType.FACTOR_INVITED))
    people.comes("alice")
    assert len(people.events(EventType.FACTOR_INVITED)) == told
    services, now = people.services, people.clock.now()
    with services.work.change() as stores:
        add_ticket(services, stores, alice.principal_id, now=now, lifetime=FIRST_LIFETIME)
        assert find_ticket(stores, alice, "", now) is None


def test_the_first_factor_ends_every_right(people: FactorWorld) -> None:
    """Those of other certificates of the person too."""
    first, second = people.comes("alice"), people.comes("alice")
    people.set_password(first)
    with people.work.read() as stores:
        assert stores.enrolment_tickets.open_for(second.principal_id, people.clock.now()) == []


def test_a_right_is_used_by_one_of_two(people: FactorWorld, alice: Caller) -> None:
    """Both found it open; the store lets one win."""
    with people.work.change() as stores:
        ticket = find_ticket(stores, alice, "", people.clock.now())
        assert ticket is not None
        use_ticket(stores, ticket, people.clock.now())
        with pytest.raises(RequestRefused) as refused:
            use_ticket(stores, ticket, people.clock.now())
    assert code_of(refused) == "enrolment-closed"


@pytest.mark.parametrize(("invited", "ended"), [(True, 1), (False, 0)])
def test_a_link_tells_how_many_rights_it_ends(people: FactorWorld, *, invited: bool, ended: int) -> None:
    """That of a new certificate, and then the link before it; used or over ones do not count."""
    services, carol = people.services, people.comes("carol", invited=invited)
    assert invite_to_enrol(services, "carol", actor=OPERATOR).ended == ended
    second = invite_to_enrol(services, "carol", actor=OPERATOR)
    assert second.ended == 1
    people.set_password(carol, token=second.token)
    assert invite_to_enrol(services, "carol", actor=OPERATOR).ended == 0
    people.clock.turn(hours=24)
    assert invite_to_enrol(services, "carol", actor=OPERATOR).ended == 0


def test_a_link_that_was_used_or_is_over_asks_for_nothing(people: FactorWorld) -> None:
    """No passkey is made in vain."""
    services, carol = people.services, people.comes("carol", invited=False)
    used = invite_to_enrol(services, "carol", actor=OPERATOR)
    people.passkey(carol, token=used.token)
    over = invite_to_enrol(services, "carol", actor=OPERATOR)
    people.clock.turn(hours=24)
    for token in (used.token, over.token):
        with people.work.read() as stores:
            assert find_ticket(stores, carol, token, people.clock.now()) is None


def test_a_factor_vouches_for_one_that_is_no_stronger(people: FactorWorld, alice: Caller) -> None:
    """A fresh passkey adds a password; a fresh password adds no passkey."""
    people.set_password(alice)
    with pytest.raises(RequestRefused) as refused:
        people.passkey(alice, shown=people.shown(PASSWORD))
    assert code_of(refused) == "factor-too-weak"
    bob = people.comes("bob")
    people.passkey(bob)
    people.set_password(bob, shown=people.shown(WEBAUTHN))
    assert people.kinds(bob) == [WEBAUTHN, PASSWORD]


def test_the_strongest_factor_has_to_vouch(people: FactorWorld, alice: Caller) -> None:
    """Who has a passkey adds nothing by password, however weak it is that is added."""
    people.passkey(alice)
    people.set_password(alice, shown=people.shown(WEBAUTHN))
    with pytest.raises(RequestRefused) as refused:
        people.app(alice, shown=people.shown(PASSWORD))
    assert code_of(refused) == "factor-check-needed"
    assert refused.value.context["needed"] == "webauthn"


def test_a_check_is_fresh_for_five_minutes(people: FactorWorld, alice: Caller) -> None:
    """At five minutes it is good, and a second later it is not."""
    people.passkey(alice)
    people.passkey(alice, shown=people.shown(WEBAUTHN, ago=timedelta(minutes=5)))
    with pytest.raises(RequestRefused) as refused:
        people.passkey(alice, shown=people.shown(WEBAUTHN, ago=timedelta(minutes=5, seconds=1)))
    assert code_of(refused) == "factor-check-needed"


def test_an_administrators_link_adds_a_stronger_factor_once(people: FactorWorld, alice: Caller) -> None:
    """The token is good for its person, once, with any certificate."""
    people.set_password(alice)
    invited = invite_to_enrol(people.services, "alice", actor=OPERATOR)
    bob = people.comes("bob", invited=False)
    with pytest.raises(RequestRefused) as refused:
        people.passkey(bob, token=invited.token)
    assert code_of(refused) == "enrolment-closed"
    other = people.comes("alice", invited=False)
    people.passkey(other, token=invited.token)
    with pytest.raises(RequestRefused) as refused:
        people.passkey(other, token=invited.token)
    assert code_of(refused) == "enrolment-closed"
    assert invited.token not in repr(invited)


def test_an_invited_person_without_the_link_has_no_right(people: FactorWorld) -> None:
    """The token has to be shown."""
    carol = people.comes("carol", invited=False)
    invite_to_enrol(people.services, "carol", actor=OPERATOR)
    with pytest.raises(RequestRefused) as refused:
        people.set_password(carol)
    assert code_of(refused) == "enrolment-closed"


def test_an_invitation_has_a_lifetime_and_voids_the_former(people: FactorWorld) -> None:
    """One day unless it is said, at most a week; the second link makes the first worthless."""
    services, carol = people.services, people.comes("carol", invited=False)
    first = invite_to_enrol(services, "carol", actor=OPERATOR)
    second = invite_to_enrol(services, "carol", actor=OPERATOR)
    with pytest.raises(RequestRefused):
        people.set_password(carol, token=first.token)
    people.clock.turn(hours=24)
    with pytest.raises(RequestRefused):
        people.set_password(carol, token=second.token)
    for lifetime in (timedelta(0), timedelta(days=8)):
        with pytest.raises(RequestRefused) as refused:
            invite_to_enrol(services, "carol", lifetime=lifetime, actor=OPERATOR)
        assert code_of(refused) == "lifetime-refused"


def test_only_an_active_person_is_invited(people: FactorWorld) -> None:
    """A device has no second factor; a suspended person has to be resumed first."""
    with pytest.raises(RequestRefused) as refused:
        invite_to_enrol(people.services, "sensor-1", actor=OPERATOR)
    assert code_of(refused) == "factors-for-persons"
    directory.suspend(people.services, "carol", actor=OPERATOR)
    with pytest.raises(RequestRefused) as refused:
        invite_to_enrol(people.services, "carol", actor=OPERATOR)
    assert code_of(refused) == "principal-suspended"


def test_a_devices_certificate_opens_no_enrolment(people: FactorWorld) -> None:
    """A device that comes by invitation gets no ticket."""
    people.comes("sensor-1")
    assert people.events(EventType.FACTOR_INVITED) == []


def test_what_is_enrolled_is_told(people: FactorWorld, alice: Caller) -> None:
    """The person's record has which kind, by which certificate and by which ticket."""
    record = people.set_password(alice)
    (invited,) = people.events(EventType.FACTOR_INVITED)
    (event,) = people.events(EventType.FACTOR_ENROLLED)
    assert event.data["factor"] == record.id
    assert event.data["kind"] == "password"
    assert event.data["certificate"] == alice.certificate_id
    assert event.data["enrolment"] == invited.data["enrolment"]
    assert event.personal["source"] == "192.0.2.7"


def test_a_new_password_ends_the_sessions_of_the_old_one(people: FactorWorld, alice: Caller) -> None:
    """The epoch grows, gateways are told, and one password is kept; a first password ends nothing."""
    before = people.epoch(alice)
    people.set_password(alice)
    assert people.epoch(alice) == before
    people.set_password(alice, "another otter lantern quilt", shown=people.shown(PASSWORD))
    assert people.epoch(alice) != before
    assert people.kinds(alice) == [PASSWORD]
    with people.work.read() as stores:
        assert stores.changes.since(stores.changes.head() - 1)[0].kind is ChangeKind.PRINCIPAL
    assert people.use_password(alice, GOOD_PASSWORD).good is False
    assert people.use_password(alice, "another otter lantern quilt").good


@pytest.mark.parametrize("text", ["alicepayments", "meridianalice", "sensorsmeridian"])
def test_names_of_the_person_the_organisation_and_the_applications_are_no_password(
    people: FactorWorld, alice: Caller, text: str
) -> None:
    """They are guessed first."""
    with pytest.raises(RequestRefused) as refused:
        people.set_password(alice, text)
    assert code_of(refused) == "password-guessable"


def test_an_app_is_enrolled_by_its_first_code(people: FactorWorld, alice: Caller) -> None:
    """A wrong code may be followed by the right one; the secret is sealed, and the code is not good again."""
    offer = enrolling.begin_totp(people.factors, alice, shown=NOTHING)
    assert offer.secret not in repr(offer)
    assert offer.uri.startswith("otpauth://totp/Corp%3Aalice?secret=" + offer.secret)
    with pytest.raises(RequestRefused) as refused:
        enrolling.finish_totp(people.factors, alice, offer.id, "000000", name="", shown=NOTHING)
    assert code_of(refused) == "totp-code-wrong"
    record = people.app(alice)
    assert record.name == "phone"
    assert people.apps["alice"] not in record.secret
    place = f"factor:{record.id}"
    assert open_sealed(people.services, record.secret, context=place) == people.apps["alice"]


def test_an_offer_is_over_after_five_minutes(people: FactorWorld, alice: Caller) -> None:
    """Its code is right and comes too late."""
    offer = enrolling.begin_totp(people.factors, alice, shown=NOTHING)
    people.clock.turn(minutes=5)
    with pytest.raises(RequestRefused) as refused:
        enrolling.finish_totp(people.factors, alice, offer.id, "000000", name="", shown=NOTHING)
    assert code_of(refused) == "question-over"


def test_a_passkey_answers_its_own_question_once(people: FactorWorld, alice: Caller) -> None:
    """An answer is not good twice, for another certificate, or to no question."""
    browser = SoftAuthenticator(origin=people.factors.party.origin)
    asked = enrolling.begin_passkey(people.factors, alice, shown=NOTHING)
    answer = browser.create(asked.options)
    other = people.comes("alice")
    with pytest.raises(RequestRefused) as refused:
        enrolling.finish_passkey(people.factors, other, asked.id, answer, name="", shown=NOTHING)
    assert code_of(refused) == "question-over"
    enrolling.finish_passkey(people.factors, alice, asked.id, answer, name=" my\x1b key ", shown=NOTHING)
    with pytest.raises(RequestRefused) as refused:
        enrolling.finish_passkey(people.factors, alice, asked.id, answer, name="", shown=NOTHING)
    assert code_of(refused) == "question-over"
    with people.work.read() as stores:
        (kept,) = stores.factors.of_principal(alice.principal_id)
    assert (kept.name, kept.rp_id) == ("my key", "portal.corp.example")


def test_a_passkey_without_its_user_verified_is_not_enrolled(people: FactorWorld, alice: Caller) -> None:
    """The refusal says why; what cannot be read is malformed."""
    browser = SoftAuthenticator(origin=people.factors.party.origin)
    asked = enrolling.begin_passkey(people.factors, alice, shown=NOTHING)
    with pytest.raises(RequestRefused) as refused:
        enrolling.finish_passkey(
            people.factors, alice, asked.id, browser.create(asked.options, flags=1), name="", shown=NOTHING
        )
    assert code_of(refused) == "passkey-unusable"
    assert refused.value.context["reasons"] == "user-not-verified"
    asked = enrolling.begin_passkey(people.factors, alice, shown=NOTHING)
    with pytest.raises(MalformedInput):
        enrolling.finish_passkey(people.factors, alice, asked.id, "{}", name="", shown=NOTHING)


def test_a_person_has_at_most_five_apps(people: FactorWorld, alice: Caller) -> None:
    """The sixth is refused before its secret is shown."""
    people.app(alice)
    for _ in range(4):
        people.app(alice, shown=people.shown(TOTP))
    with pytest.raises(RequestRefused) as refused:
        people.app(alice, shown=people.shown(TOTP))
    assert code_of(refused) == "factors-full"


def test_a_person_has_at_most_twenty_passkeys_and_is_asked_for_others(
    people: FactorWorld, alice: Caller
) -> None:
    """The options list the passkeys that the person has, so that an authenticator does not make a second one."""
    people.passkey(alice)
    asked = enrolling.begin_passkey(people.factors, alice, shown=people.shown(WEBAUTHN))
    assert len(asked.options["excludeCredentials"]) == 1


def test_the_same_form_sent_twice_enrols_one_app(people: FactorWorld, alice: Caller) -> None:
    """The offer is used up by the first."""
    people.passkey(alice)
    shown = people.shown(WEBAUTHN)
    offer = enrolling.begin_totp(people.factors, alice, shown=shown)
    people.apps["alice"] = base64.b32decode(offer.secret)
    code = people.code(alice)
    enrolling.finish_totp(people.factors, alice, offer.id, code, name="", shown=shown)
    with pytest.raises(RequestRefused) as refused:
        enrolling.finish_totp(people.factors, alice, offer.id, code, name="", shown=shown)
    assert code_of(refused) == "question-over"
    assert people.kinds(alice) == [WEBAUTHN, TOTP]


def test_recovery_codes_come_after_the_first_factor(people: FactorWorld, alice: Caller) -> None:
    """A ticket gives no codes; a fresh check gives ten, and the next ten replace them."""
    with pytest.raises(RequestRefused) as refused:
        enrolling.make_recovery_codes(people.factors, alice, shown=NOTHING)
    assert code_of(refused) == "enrolment-closed"
    people.set_password(alice)
    with pytest.raises(RequestRefused) as refused:
        enrolling.make_recovery_codes(people.factors, alice, shown=NOTHING)
    assert code_of(refused) == "factor-check-needed"
    first = enrolling.make_recovery_codes(people.factors, alice, shown=people.shown(PASSWORD))
    second = enrolling.make_recovery_codes(people.factors, alice, shown=people.shown(PASSWORD))
    assert len(first) == len(second) == 10
    assert people.kinds(alice) == [PASSWORD] + [FactorKind.RECOVERY] * 10


def test_a_suspended_or_removed_person_enrols_nothing(people: FactorWorld, alice: Caller) -> None:
    """The ticket is open, and the person may not use it."""
    directory.suspend(people.services, "alice", actor=OPERATOR)
    with pytest.raises(RequestRefused) as refused:
        people.set_password(alice)
    assert code_of(refused) == "principal-suspended"
