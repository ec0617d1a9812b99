"""Adding a device: who may, what the link allows, and when it stops working."""

from __future__ import annotations

from datetime import timedelta

import pytest

from doorward.audit.events import EventType
from doorward.authority.revocation import hold, release, revoke
from doorward.core.certificate import RevocationReason
from doorward.core.errors import NotFound, RequestRefused
from doorward.core.factor_kinds import FactorKind
from doorward.directory import principals
from doorward.directory.added_devices import (
    LIFETIME,
    MOST_LINKS,
    invite_own_device,
    withdraw_own_invitation,
)
from doorward.directory.callers import Caller
from doorward.directory.factors import checking, enrolling, removing
from doorward.directory.invitations import list_open, withdraw
from doorward.directory.inviting import InvitationClaim, invite
from doorward.directory.own_certificates import MOST_USABLE, report_lost
from doorward.directory.session_ending import end_everyone
from doorward.directory.sessions import sign_out
from doorward.enrolment.invitation import redeem
from tests.support.factor_world import NOTHING, FactorWorld
from tests.support.world import OPERATOR, found_world

PASSWORD, WEBAUTHN, TOTP = FactorKind.PASSWORD, FactorKind.WEBAUTHN, FactorKind.TOTP


@pytest.fixture
def people() -> FactorWorld:
    """A founded authority; its people may have second factors."""
    return found_world(FactorWorld)


@pytest.fixture
def alice(people: FactorWorld) -> Caller:
    """Alice with a passkey and a password, on her phone."""
    found = people.comes("alice")
    people.passkey(found, name="phone")
    people.set_password(found, shown=people.shown(WEBAUTHN))
    return found


def add(people: FactorWorld, who: Caller, *kinds: FactorKind, ago: timedelta = timedelta(0)) -> str:
    """Make a link after these factors were shown; return its token."""
    shown = people.shown(*kinds, ago=ago) if kinds else NOTHING
    return invite_own_device(people.services, who, shown=shown).token


def refusal_of(people: FactorWorld, who: Caller, *kinds: FactorKind, ago: timedelta = timedelta(0)) -> str:
    """Return the code with which a link is refused; nothing is open after it."""
    with pytest.raises(RequestRefused) as refused:
        add(people, who, *kinds, ago=ago)
    assert list_open(people.services, who.name) == []
    return refused.value.code


def refusal_of_token(people: FactorWorld, token: str) -> tuple[str, str]:
    """Return how a link is refused: the word for the peer, and the word for the record."""
    with pytest.raises(RequestRefused) as refused:
        redeem(people.services, token, people.csr())
    event = people.events(EventType.INVITATION_REFUSED)[-1]
    return refused.value.code, str(event.data["reason"])


def test_the_link_becomes_a_certificate_in_the_same_name(people: FactorWorld, alice: Caller) -> None:
    """Once, within 15 minutes, with the profile of a person; the record says that Alice asked for it."""
    made = invite_own_device(people.services, alice, shown=people.shown(WEBAUTHN))
    assert made.record.expires_at - made.record.created_at == LIFETIME == timedelta(minutes=15)
    event = people.events(EventType.INVITATION_CREATED)[-1]
    assert (event.actor, event.data["principal"]) == (alice.principal_id, alice.principal_id)
    assert (event.data["profile"], event.data["certificate"]) == ("person", alice.certificate_id)
    issued = redeem(people.services, made.token, people.csr())
    assert issued.record.principal_id == alice.principal_id
    assert issued.record.id != alice.certificate_id
    assert refusal_of_token(people, made.token) == ("invitation-invalid", "invitation-used")


def test_without_a_factor_no_device_is_added(people: FactorWorld) -> None:
    """A stolen certificate alone never becomes two, also within the minutes in which it may enrol a first factor."""
    bob = people.comes("bob")
    assert refusal_of(people, bob) == "device-needs-factor"
    assert refusal_of(people, bob, WEBAUTHN, PASSWORD) == "device-needs-factor"


def test_recovery_codes_are_no_factor(people: FactorWorld, alice: Caller) -> None:
    """A recovery code is not a check that allows adding a device."""
    assert refusal_of(people, alice, FactorKind.RECOVERY) == "factor-check-needed"


def test_the_strongest_factor_is_shown_within_five_minutes(people: FactorWorld, alice: Caller) -> None:
    """Neither an old check nor one of the password is enough for a person with a passkey."""
    assert refusal_of(people, alice) == "factor-check-needed"
    assert refusal_of(people, alice, PASSWORD) == "factor-check-needed"
    assert refusal_of(people, alice, TOTP) == "factor-check-needed"
    assert refusal_of(people, alice, WEBAUTHN, ago=timedelta(minutes=5, seconds=1)) == "factor-check-needed"
    assert add(people, alice, WEBAUTHN, ago=timedelta(minutes=5))


def test_a_suspended_person_adds_none(people: FactorWorld, alice: Caller) -> None:
    """Neither makes a link, nor uses one from before."""
    token = add(people, alice, WEBAUTHN)
    principals.suspend(people.services, "alice", actor=OPERATOR)
    assert refusal_of(people, alice, WEBAUTHN) == "principal-suspended"
    assert refusal_of_token(people, token) == ("invitation-invalid", "invitation-voided")


def test_a_service_adds_none(people: FactorWorld) -> None:
    """It has no second factors, so nothing says that a person is there."""
    principals.add_principal(people.services, principals.PrincipalKind.SERVICE, "backup", actor=OPERATOR)
    assert refusal_of(people, people.comes("backup", invited=False), WEBAUTHN) == "factors-for-persons"


def test_at_most_one_link_is_open(people: FactorWorld, alice: Caller) -> None:
    """A later one voids the earlier one, also one of an administrator; and an administrator's voids hers."""
    services = people.services
    first = add(people, alice, WEBAUTHN)
    second = add(people, alice, WEBAUTHN)
    assert refusal_of_token(people, first) == ("invitation-invalid", "invitation-voided")
    assert people.events(EventType.INVITATION_VOIDED)[-1].data["reason"] == "superseded"
    invite(services, "alice", actor=OPERATOR)
    assert refusal_of_token(people, second) == ("invitation-invalid", "invitation-voided")
    assert len(list_open(services, "alice")) == 1


def test_the_number_of_certificates_has_a_limit(people: FactorWorld, alice: Caller) -> None:
    """The same as for renewals at the portal."""
    for _ in range(MOST_USABLE - 1):
        people.issue("alice")
    assert refusal_of(people, alice, WEBAUTHN) == "certificates-too-many"


@pytest.mark.parametrize("by", ["its holder", "an administrator", "a hold"])
def test_a_link_dies_with_the_device_it_was_made_from(people: FactorWorld, alice: Caller, by: str) -> None:
    """A thief of the unlocked phone who made a link in time loses it when the phone is reported."""
    services, other = people.services, people.issue("alice").record
    token = add(people, alice, WEBAUTHN)
    if by == "its holder":
        report_lost(services, alice.principal_id, alice.certificate_id, present=other.id)
    elif by == "an administrator":
        revoke(services, alice.certificate_id, RevocationReason.KEY_COMPROMISE, OPERATOR)
    else:
        hold(services, alice.certificate_id, OPERATOR)
    assert refusal_of_token(people, token) == ("invitation-invalid", "invitation-voided")
    assert list_open(services, "alice") == []
    if by == "a hold":
        release(services, alice.certificate_id, OPERATOR)
        assert redeem(services, token, people.csr()).record.principal_id == alice.principal_id


def test_a_loss_that_is_reported_meanwhile_stops_the_certificate(people: FactorWorld, alice: Caller) -> None:
    """The claim looks at the device again before the intent, and before the certificate becomes valid."""
    services = people.services
    made = invite_own_device(services, alice, shown=people.shown(WEBAUTHN))
    claim = InvitationClaim(invitation=made.record, name="alice")
    report_lost(services, alice.principal_id, alice.certificate_id)
    other = people.issue("alice").record
    with services.work.change() as stores:
        with pytest.raises(RequestRefused) as before:
            claim.examine(stores, services.clock.now())
        with pytest.raises(RequestRefused) as after:
            claim.settle(services, stores, other)
    assert before.value.code == after.value.code == "invitation-invalid"


def test_another_device_that_is_lost_leaves_it_open(people: FactorWorld, alice: Caller) -> None:
    """The lost laptop is reported, and the link that the phone made for its successor still works."""
    services, laptop = people.services, people.issue("alice").record
    token = add(people, alice, WEBAUTHN)
    report_lost(services, alice.principal_id, laptop.id, present=alice.certificate_id)
    assert redeem(services, token, people.csr()).record.principal_id == alice.principal_id


def test_its_maker_withdraws_it(people: FactorWorld, alice: Caller) -> None:
    """For good, with an event that names her; a second time changes nothing."""
    services = people.services
    made = invite_own_device(services, alice, shown=people.shown(WEBAUTHN))
    withdrawn = withdraw_own_invitation(services, alice, made.record.id)
    assert withdrawn.voided_at == people.clock.now()
    event = people.events(EventType.INVITATION_VOIDED)[-1]
    assert (event.actor, event.data["reason"]) == (alice.principal_id, "withdrawn")
    assert withdraw_own_invitation(services, alice, made.record.id).voided_at == withdrawn.voided_at
    assert refusal_of_token(people, made.token) == ("invitation-invalid", "invitation-voided")


def test_only_its_maker_withdraws_it(people: FactorWorld, alice: Caller) -> None:
    """Neither another person's link nor an administrator's is found: a thief may not void the way back of its owner."""
    services, bob = people.services, people.comes("bob")
    made = invite_own_device(services, alice, shown=people.shown(WEBAUTHN)).record
    with pytest.raises(NotFound):
        withdraw_own_invitation(services, bob, made.id)
    of_operator = invite(services, "alice", actor=OPERATOR).record
    with pytest.raises(NotFound):
        withdraw_own_invitation(services, alice, of_operator.id)
    assert [record.id for record, _ in list_open(services, "alice")] == [of_operator.id]


def test_a_used_link_is_not_withdrawn(people: FactorWorld, alice: Caller) -> None:
    """Its certificate is there: the way to end that is the report of its device."""
    made = invite_own_device(people.services, alice, shown=people.shown(WEBAUTHN))
    redeem(people.services, made.token, people.csr())
    with pytest.raises(RequestRefused) as refused:
        withdraw_own_invitation(people.services, alice, made.record.id)
    assert refused.value.code == "invitation-not-open"


@pytest.mark.parametrize(
    "why", ["a reset", "a removed factor", "a new password", "a recovery code", "a sign-out", "everyone"]
)
def test_a_link_ends_with_all_sessions(people: FactorWorld, alice: Caller, why: str) -> None:
    """A thief who had a factor may have made the link; an administrator's invitation stays open."""
    services, shown = people.services, people.shown(WEBAUTHN)
    codes = enrolling.make_recovery_codes(people.factors, alice, shown=shown)
    bob = people.comes("bob")
    of_operator = invite(services, "bob", actor=OPERATOR).record
    token = add(people, alice, WEBAUTHN)

    if why == "a reset":
        removing.reset_factors(services, "alice", actor=OPERATOR)
    elif why == "a removed factor":
        password = next(one for one in removing.list_own_factors(services, alice) if one.kind is PASSWORD)
        removing.remove_factor(services, alice, password.id, shown=shown)
    elif why == "a new password":
        people.set_password(alice, text="another good one for me", shown=shown)
    elif why == "a recovery code":
        checking.check_recovery(people.factors, alice, codes[0])
    elif why == "a sign-out":
        sign_out(services, alice.principal_id, actor=alice.principal_id)
        sign_out(services, bob.principal_id, actor=bob.principal_id)
    else:
        end_everyone(services, reason="ended-by-operator", actor=OPERATOR)

    event = people.events(EventType.INVITATION_VOIDED)[-1]
    assert (event.data["principal"], event.data["reason"]) == (alice.principal_id, "withdrawn")
    assert refusal_of_token(people, token) == ("invitation-invalid", "invitation-voided")
    assert [record.id for record, _ in list_open(services)] == [of_operator.id]


def test_a_link_stays_open_after_a_sign_out_of_one_application(people: FactorWorld, alice: Caller) -> None:
    """Leaving one application says nothing about a theft."""
    token = add(people, alice, WEBAUTHN)
    sign_out(people.services, alice.principal_id, application_id="app_wiki", actor=alice.principal_id)
    assert redeem(people.services, token, people.csr()).record.principal_id == alice.principal_id


def test_a_link_never_allows_a_first_factor(people: FactorWorld, alice: Caller) -> None:
    """If a thief uses a link while an administrator resets the factors, the thief enrols no factor."""
    services = people.services
    made = invite_own_device(services, alice, shown=people.shown(WEBAUTHN))
    removing.reset_factors(services, "alice", actor=OPERATOR)
    claim, other = InvitationClaim(invitation=made.record, name="alice"), people.issue("alice").record
    with services.work.change() as stores:
        claim.settle(services, stores, other)
        assert stores.enrolment_tickets.open_for(alice.principal_id, services.clock.now()) == []


def test_a_link_of_a_device_on_hold_can_be_withdrawn(people: FactorWorld, alice: Caller) -> None:
    """Otherwise it would work again after the release."""
    services = people.services
    made = invite_own_device(services, alice, shown=people.shown(WEBAUTHN))
    hold(services, alice.certificate_id, OPERATOR)
    withdraw(services, made.record.id, actor=OPERATOR)
    release(services, alice.certificate_id, OPERATOR)
    assert refusal_of_token(people, made.token) == ("invitation-invalid", "invitation-voided")


def test_the_number_of_unused_links_in_a_day_has_a_limit(people: FactorWorld, alice: Caller) -> None:
    """One check of a factor allows no thousand rows. An administrator's links do not count; the next day there are more."""
    invite(people.services, "alice", actor=OPERATOR)
    for _ in range(MOST_LINKS):
        token = add(people, alice, WEBAUTHN)
    with pytest.raises(RequestRefused) as refused:
        add(people, alice, WEBAUTHN)
    assert refused.value.code == "device-links-too-many"
    assert refused.value.context["retry_after_seconds"] == 24 * 60 * 60
    redeem(people.services, token, people.csr())  # the last one still works, and a used one does not count
    add(people, alice, WEBAUTHN)
    people.clock.present += timedelta(days=1, seconds=1)
    assert add(people, alice, WEBAUTHN)
