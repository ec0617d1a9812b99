"""Listing, renaming, removing and resetting factors."""

from __future__ import annotations

from dataclasses import replace

import pytest

from doorward.access.policies import apply_document, export_revision
from doorward.audit.events import EventType
from doorward.core.errors import NotFound, RequestRefused
from doorward.core.factor_kinds import FactorKind
from doorward.core.names import PORTAL_APPLICATION
from doorward.directory.callers import Caller
from doorward.directory.factors import enrolling, removing
from doorward.directory.factors.enrolment_tickets import invite_to_enrol
from doorward.directory.factors.required import find_missing_factors
from doorward.directory.portal_sessions import note_factor
from doorward.directory.sessions import list_sessions
from doorward.factors.throttling import LOCKED_AFTER, LONGEST
from tests.support import records
from tests.support.factor_world import NOTHING, FactorWorld
from tests.support.ports import NOON
from tests.support.refusals import refused
from tests.support.world import OPERATOR

PASSWORD, WEBAUTHN, RECOVERY = FactorKind.PASSWORD, FactorKind.WEBAUTHN, FactorKind.RECOVERY


@pytest.fixture
def alice(people: FactorWorld) -> Caller:
    """Alice with a passkey, a password and recovery codes."""
    found = people.comes("alice")
    people.passkey(found, name="laptop")
    people.clock.turn(seconds=1)
    people.set_password(found, shown=people.shown(WEBAUTHN))
    enrolling.make_recovery_codes(people.factors, found, shown=people.shown(WEBAUTHN))
    return found


def require(people: FactorWorld, factors: str) -> None:
    """Put a document into force that requires these factors of groups."""
    text, _ = export_revision(people.services)
    apply_document(people.services, f"{text}factors: {factors}\n", file="f", actor=OPERATOR)


def test_factors_are_listed_without_their_secrets(people: FactorWorld, alice: Caller) -> None:
    """Recovery codes are one row with their number; a passkey of another host of the portal is lost."""
    principal, views = removing.list_factors(people.services, "alice", rp_id="portal.corp.example")
    assert principal.id == alice.principal_id
    assert [(one.kind, one.name, one.number, one.lost) for one in views] == [
        (WEBAUTHN, "laptop", 1, False),
        (PASSWORD, "", 1, False),
        (RECOVERY, "", 10, False),
    ]
    assert not any(hasattr(one, "secret") for one in views)
    moved = removing.list_own_factors(people.services, alice, rp_id="elsewhere.corp.example")
    assert [one.lost for one in moved] == [True, False, False]


def test_a_factor_is_renamed_by_its_person_only(people: FactorWorld, alice: Caller) -> None:
    """The name is fitted to a line; Bob does not find Alice's factor."""
    services = people.services
    key = removing.list_own_factors(services, alice)[0]
    assert removing.rename_factor(services, alice, key.id, "\tphone\n" + "x" * 99).name == "phone" + "x" * 59
    bob = people.comes("bob")
    with pytest.raises(NotFound):
        removing.rename_factor(services, bob, key.id, "mine")
    with pytest.raises(NotFound):
        removing.remove_factor(services, bob, key.id, shown=people.shown(WEBAUTHN))


def test_removing_needs_the_strongest_factor_just_now(people: FactorWorld, alice: Caller) -> None:
    """A password removes neither the passkey nor itself."""
    services = people.services
    for view in removing.list_own_factors(services, alice):
        with refused(RequestRefused, "factor-check-needed"):
            removing.remove_factor(services, alice, view.id, shown=people.shown(PASSWORD))


def test_a_removed_factor_ends_all_sessions_and_is_told(people: FactorWorld, alice: Caller) -> None:
    """The portal's own too; the epoch grows, and the change has a number for gateways."""
    services = people.services
    key, password, _ = removing.list_own_factors(services, alice)
    note_factor(services, alice, WEBAUTHN, factor_id=key.id, former="")
    before = people.epoch(alice)
    done = removing.remove_factor(services, alice, password.id, shown=people.shown(WEBAUTHN))
    assert done.value is PASSWORD
    assert done.seq == people.head()
    assert people.epoch(alice) != before
    assert [one for one in list_sessions(services) if one.application_id == PORTAL_APPLICATION] == []
    (event,) = people.events(EventType.FACTOR_REMOVED)
    assert (event.data["kind"], event.data["reason"]) == ("password", "removed-by-its-person")
    assert not people.use_password(alice).good


def test_the_last_factor_is_not_removed(people: FactorWorld, alice: Caller) -> None:
    """A person keeps at least one; recovery codes do not count, and are removed together."""
    services, shown = people.services, people.shown(WEBAUTHN)
    key, password, codes = removing.list_own_factors(services, alice)
    removing.remove_factor(services, alice, password.id, shown=shown)
    with refused(RequestRefused, "factor-last"):
        removing.remove_factor(services, alice, key.id, shown=shown)
    removing.remove_factor(services, alice, codes.id, shown=shown)
    assert people.kinds(alice) == [WEBAUTHN]


def test_a_required_factor_is_removed_only_if_there_is_another(people: FactorWorld, alice: Caller) -> None:
    """Of its kind: a group of Alice's must have passkeys; what is not required goes as before."""
    services, shown = people.services, people.shown(WEBAUTHN)
    require(people, "{tellers: [webauthn]}")
    assert find_missing_factors(services, alice, {PASSWORD}).words == ("webauthn",)
    key, password, _ = removing.list_own_factors(services, alice)
    with refused(RequestRefused, "factor-required"):
        removing.remove_factor(services, alice, key.id, shown=shown)
    people.passkey(alice, name="phone", shown=shown)
    removing.remove_factor(services, alice, key.id, shown=shown)
    removing.remove_factor(services, alice, password.id, shown=shown)
    assert people.kinds(alice)[0] is WEBAUTHN


def test_what_a_partners_groups_require_holds_for_its_people(people: FactorWorld, alice: Caller) -> None:
    """And nothing is required of who is not there."""
    services = people.services
    require(people, "{staff: [any]}")
    assert not find_missing_factors(services, alice, set())
    unknown = replace(alice, principal_id="per_" + "z" * 20)
    assert not find_missing_factors(services, unknown, set())
    with people.services.work.change() as stores:
        clinic = records.partner("clinic", groups=("staff",))
        stores.partners.add(clinic)
        bob = records.principal("clinic/bob@clinic.example", partner=clinic.id)
        stores.directory.add(bob, NOON)
    assert find_missing_factors(services, replace(alice, principal_id=bob.id), set()).words == ("any",)


def test_an_administrator_resets_all_factors(people: FactorWorld, alice: Caller) -> None:
    """They are gone, sessions are ended, open tickets are void, and a new link lets the person begin again."""
    services, before = people.services, people.epoch(alice)
    link = invite_to_enrol(services, "alice", actor=OPERATOR)
    done = removing.reset_factors(services, "alice", actor=OPERATOR)
    assert (done.value, done.seq, done.notes) == (12, people.head(), ())
    assert people.kinds(alice) == []
    assert people.epoch(alice) != before
    (event,) = people.events(EventType.FACTOR_RESET)
    assert (event.actor, event.data["number"]) == (OPERATOR, 12)
    for token in ("", link.token):
        with pytest.raises(RequestRefused):
            people.set_password(alice, token=token)
    people.set_password(alice, token=invite_to_enrol(services, "alice", actor=OPERATOR).token)
    assert removing.reset_factors(services, "bob", actor=OPERATOR).notes == ("bob had no factor",)


def test_a_reset_unlocks(people: FactorWorld, alice: Caller) -> None:
    """What was locked by a hundred wrong tries is open again for the new factor."""
    for _ in range(LOCKED_AFTER):
        people.use_password(alice, "wrong horse battery staple")
        people.clock.turn(seconds=LONGEST.total_seconds())
    services = people.services
    assert people.use_password(alice).locked
    removing.reset_factors(services, "alice", actor=OPERATOR)
    people.set_password(alice, token=invite_to_enrol(services, "alice", actor=OPERATOR).token)
    assert people.use_password(alice).good


def test_who_is_not_in_the_directory_changes_nothing(people: FactorWorld, alice: Caller) -> None:
    """A caller that the directory does not know has no right."""
    ghost = replace(alice, principal_id="per_" + "z" * 20)
    with refused(RequestRefused, "enrolment-closed"):
        enrolling.begin_passkey(people.factors, ghost, shown=NOTHING)
