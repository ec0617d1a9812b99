"""What happened to a person's account lately."""

from __future__ import annotations

from datetime import timedelta

import pytest

from doorward.audit.events import EventType
from doorward.authority.revocation import revoke
from doorward.core.certificate import RevocationReason
from doorward.core.errors import RequestRefused
from doorward.core.factor_kinds import FactorKind
from doorward.directory import added_devices
from doorward.directory.account_activity import (
    ACTIVITY_PERIOD,
    MOST_SHOWN,
    AccountActivity,
    ActivityKind,
    find_activity,
    list_activities,
    select_shown,
)
from doorward.directory.callers import Caller
from doorward.directory.factor_losses import KEPT, FactorLoss, list_losses, note_loss
from doorward.directory.factors import checking, enrolling, removing
from doorward.directory.inviting import invite
from doorward.directory.own_certificates import renew_own_certificate
from doorward.enrolment.invitation import redeem
from doorward.stores.factor_records import SessionRecord
from tests.support.factor_records import session
from tests.support.factor_world import GOOD_PASSWORD, FactorWorld
from tests.support.ports import NOON
from tests.support.world import OPERATOR

PASSWORD, WEBAUTHN = FactorKind.PASSWORD, FactorKind.WEBAUTHN


@pytest.fixture
def alice(people: FactorWorld) -> Caller:
    """Alice with a passkey, a password and recovery codes."""
    found = people.comes("alice")
    people.passkey(found, name="laptop")
    people.clock.turn(seconds=1)
    people.set_password(found, shown=people.shown(WEBAUTHN))
    return found


def told(people: FactorWorld, caller: Caller, *kinds: ActivityKind) -> list[AccountActivity]:
    """Return the activities of these kinds."""
    found = list_activities(people.services, caller.principal_id)
    return [one for one in found if one.kind in kinds]


def last_event(people: FactorWorld, kind: EventType) -> str:
    """Return the id of the newest event of that type."""
    return people.events(kind)[-1].id


def test_a_link_is_told_until_a_certificate_tells_of_it(people: FactorWorld, alice: Caller) -> None:
    """Who made it, from which device, and whether it is open; a used link is listed as its certificate."""
    services = people.services
    made = added_devices.invite_own_device(services, alice, shown=people.shown(WEBAUTHN))
    (link,) = told(people, alice, ActivityKind.LINK_MADE)
    assert (link.subject_id, link.certificate_id) == (made.record.id, alice.certificate_id)
    assert (link.by_self, link.is_over) == (True, False)
    people.clock.turn(seconds=1)
    invited = invite(services, "alice", actor=OPERATOR)
    newest, oldest = told(people, alice, ActivityKind.LINK_MADE)
    assert (newest.by_self, newest.is_over) == (False, False)
    assert (oldest.by_self, oldest.is_over) == (True, True)
    redeem(services, invited.token, people.csr())
    assert told(people, alice, ActivityKind.LINK_MADE) == [oldest]
    people.clock.turn(seconds=ACTIVITY_PERIOD.total_seconds())
    assert told(people, alice, ActivityKind.LINK_MADE) == []


def test_unused_links_push_out_nothing(people: FactorWorld, alice: Caller) -> None:
    """Of many links only the open one is more important than a renewal."""
    services = people.services
    renew_own_certificate(services, alice.certificate_id, people.csr(), actor=alice.principal_id)
    for _ in range(MOST_SHOWN + 2):
        people.clock.turn(seconds=1)
        added_devices.invite_own_device(services, alice, shown=people.shown(WEBAUTHN))
    shown = select_shown(list_activities(services, alice.principal_id))
    assert ActivityKind.CERTIFICATE_RENEWED in {one.kind for one in shown}
    assert next(one.is_over for one in shown if one.kind is ActivityKind.LINK_MADE) is False


def sign_in(people: FactorWorld, caller: Caller, name: str, source: str, client: str) -> SessionRecord:
    """Begin a session a minute later."""
    people.clock.turn(seconds=60)
    now = people.clock.now()
    made = session(
        name,
        principal_id=caller.principal_id,
        certificate_id=caller.certificate_id,
        source=source,
        client=client,
        created_at=now,
        ends_at=now + timedelta(hours=8),
    )
    with people.services.work.change() as stores:
        stores.sessions.add(made)
    return made


def test_added_factors_are_told(people: FactorWorld, alice: Caller) -> None:
    """Newest first; the recovery codes that were made at once are told once."""
    enrolling.make_recovery_codes(people.factors, alice, shown=people.shown(WEBAUTHN))
    found = told(people, alice, ActivityKind.FACTOR_ADDED)
    assert {one.factor_kind for one in found} == {FactorKind.RECOVERY, PASSWORD, WEBAUTHN}
    assert len(found) == 3
    assert found[-1].name == "laptop"


def test_the_last_use_of_a_factor_is_told(people: FactorWorld, alice: Caller) -> None:
    """With its time."""
    people.clock.turn(seconds=60)
    assert checking.check_password(people.factors, alice, GOOD_PASSWORD).good
    (used,) = (one for one in told(people, alice, ActivityKind.FACTOR_USED) if one.factor_kind is PASSWORD)
    assert used.at == people.clock.now()


def test_a_removed_factor_is_told(people: FactorWorld, alice: Caller) -> None:
    """Although its row is gone: with its kind, the event for the help desk, and that it was done in the person's name."""
    key = next(one for one in removing.list_own_factors(people.services, alice) if one.kind is PASSWORD)
    removing.remove_factor(people.services, alice, key.id, shown=people.shown(WEBAUTHN))
    (removed,) = told(people, alice, ActivityKind.FACTOR_REMOVED)
    assert (removed.factor_kind, removed.subject_id, removed.by_self) == (
        PASSWORD,
        last_event(people, EventType.FACTOR_REMOVED),
        True,
    )
    assert told(people, people.comes("bob"), ActivityKind.FACTOR_REMOVED) == []


def test_what_a_recovery_code_takes_is_told(people: FactorWorld, alice: Caller) -> None:
    """Every factor that it removed."""
    codes = enrolling.make_recovery_codes(people.factors, alice, shown=people.shown(WEBAUTHN))
    assert checking.check_recovery(people.factors, alice, codes[0]).good
    assert {one.factor_kind for one in told(people, alice, ActivityKind.FACTOR_REMOVED)} == {
        PASSWORD,
        WEBAUTHN,
    }


def test_a_reset_is_told_as_an_administrators(people: FactorWorld, alice: Caller) -> None:
    """Once, for all factors; a reset that removed nothing is nothing."""
    removing.reset_factors(people.services, "alice", actor=OPERATOR)
    removing.reset_factors(people.services, "alice", actor=OPERATOR)
    (reset,) = told(people, alice, ActivityKind.FACTORS_RESET)
    assert (reset.factor_kind, reset.by_self, reset.subject_id) == (
        None,
        False,
        last_event(people, EventType.FACTOR_RESET),
    )


def test_a_removal_that_is_refused_is_not_told(people: FactorWorld) -> None:
    """The note is part of the transaction that takes the factor."""
    bob = people.comes("bob")
    key = people.set_password(bob)
    with pytest.raises(RequestRefused):
        removing.remove_factor(people.services, bob, key.id, shown=people.shown(PASSWORD))
    assert told(people, bob, ActivityKind.FACTOR_REMOVED) == []


def test_the_newest_losses_are_kept(people: FactorWorld, alice: Caller) -> None:
    """A ring: the oldest makes room, and older ones than asked for are left out."""
    moments = [NOON + timedelta(seconds=number) for number in range(KEPT + 3)]
    with people.services.work.change() as stores:
        for at in moments:
            note_loss(stores, alice.principal_id, FactorLoss(at=at, event_id="evt_x", by_self=True))
        assert sorted(one.at for one in list_losses(stores, alice.principal_id, NOON)) == moments[3:]
        assert len(list_losses(stores, alice.principal_id, moments[-1])) == 1


def test_certificates_are_told(people: FactorWorld, alice: Caller) -> None:
    """Made, renewed from another, and withdrawn."""
    services, certificate = people.services, alice.certificate_id
    renewed = renew_own_certificate(services, certificate, people.csr(), actor=alice.principal_id).record
    revoke(services, certificate, RevocationReason.KEY_COMPROMISE, actor=OPERATOR)
    found = told(
        people,
        alice,
        ActivityKind.CERTIFICATE_ISSUED,
        ActivityKind.CERTIFICATE_RENEWED,
        ActivityKind.CERTIFICATE_WITHDRAWN,
    )
    assert {(one.kind, one.subject_id, one.is_over) for one in found} == {
        (ActivityKind.CERTIFICATE_ISSUED, alice.certificate_id, True),
        (ActivityKind.CERTIFICATE_RENEWED, renewed.id, False),
        (ActivityKind.CERTIFICATE_WITHDRAWN, alice.certificate_id, True),
    }


def test_a_sign_in_from_an_unknown_place_is_marked(people: FactorWorld, alice: Caller) -> None:
    """Neither the first, nor one from a known address or a known browser; an ended session is marked as over."""
    services = people.services
    first = sign_in(people, alice, "first", "192.0.2.7", "Firefox")
    sign_in(people, alice, "travelling", "198.51.100.1", "Firefox")
    sign_in(people, alice, "another browser", "192.0.2.7", "Chrome")
    unknown = sign_in(people, alice, "unknown", "203.0.113.9", "curl")
    sign_in(people, alice, "unknown again", "203.0.113.9", "curl")
    with services.work.change() as stores:
        stores.sessions.end(first.id, people.clock.now())
    found = told(people, alice, ActivityKind.SIGNED_IN)
    assert len(found) == 5
    assert [one.subject_id for one in found if one.is_from_unknown_place] == [unknown.id]
    assert [one.subject_id for one in found if one.is_over] == [first.id]


def test_two_weeks_are_told(people: FactorWorld, alice: Caller) -> None:
    """Older things are gone from the list, and from the page of each."""
    services = people.services
    sign_in(people, alice, "one", "192.0.2.7", "Firefox")
    (found,) = told(people, alice, ActivityKind.SIGNED_IN)
    assert find_activity(services, alice.principal_id, found.key) == found
    assert find_activity(services, people.comes("bob").principal_id, found.key) is None
    people.clock.turn(seconds=ACTIVITY_PERIOD.total_seconds() + 1)
    assert list_activities(services, alice.principal_id) == []


def test_many_sign_ins_hide_no_change() -> None:
    """Ten are shown, newest first: changes of factors and certificates before sign-ins from an unknown place, before the others."""

    def activity(kind: ActivityKind, second: int, *, is_from_unknown_place: bool = False) -> AccountActivity:
        at = NOON + timedelta(seconds=second)
        return AccountActivity(
            kind=kind, at=at, subject_id=f"x{second}", is_from_unknown_place=is_from_unknown_place
        )

    removed, odd = (
        activity(ActivityKind.FACTOR_REMOVED, 0),
        activity(ActivityKind.SIGNED_IN, 1, is_from_unknown_place=True),
    )
    many = [activity(ActivityKind.SIGNED_IN, number) for number in range(2, 40)]
    shown = select_shown([removed, odd, *many])
    assert len(shown) == MOST_SHOWN
    assert shown[-2:] == [odd, removed]
    assert shown[0] == many[-1]
