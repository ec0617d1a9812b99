"""Persons, devices, services and groups."""

from __future__ import annotations

import pytest

from doorward.audit.events import EventType
from doorward.authority import holder_certificates
from doorward.core.certificate import CertificateState, RevocationReason
from doorward.core.entities import PrincipalKind, PrincipalState
from doorward.core.errors import MalformedInput, NotFound, RequestRefused
from doorward.directory import principals as directory
from doorward.directory import removal
from doorward.stores.fact_protocols import ReportedFacts
from doorward.stores.records import AuthorityKind, ChangeKind
from tests.support.refusals import refused
from tests.support.world import OPERATOR, empty_world

PERSON = PrincipalKind.PERSON


def test_added_principal_is_active_and_recorded(world):
    """A new person is active, in its groups, an event without its name in public, and a change."""
    done = directory.add_principal(
        world.services,
        PERSON,
        "dora",
        display_name="Dora Döring",
        groups=["tellers", "tellers"],
        actor=OPERATOR,
    )
    found = directory.find_principal(world.services, "dora")
    assert done.value == found
    assert (found.state, found.groups, found.display_name) == (
        PrincipalState.ACTIVE,
        ("tellers",),
        "Dora Döring",
    )
    assert found.id.startswith("per_")
    assert done.notes == ()
    assert done.seq == world.head()
    event = world.events(EventType.PRINCIPAL_CREATED)[-1]
    assert dict(event.data) == {"principal": found.id, "kind": "person"}
    assert dict(event.personal) == {"name": "dora", "display_name": "Dora Döring"}
    assert event.actor == OPERATOR
    with world.work.read() as stores:
        change = stores.changes.since(done.seq - 1)[0]
    assert (change.kind, change.subject) == (ChangeKind.PRINCIPAL, found.id)


def test_unknown_group_is_created_and_said(world):
    """A group exists from its first use, and the notes show a misspelt one."""
    done = directory.add_principal(world.services, PERSON, "dora", groups=["tellres"], actor=OPERATOR)
    assert done.notes == ("the group tellres did not exist and was created",)
    assert directory.list_groups(world.services)["tellres"] == 1
    event = world.events(EventType.GROUP_CREATED)[-1]
    assert event.data["group_name"] == "tellres"
    assert event.data["group"] == directory.group_id("tellres")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"name": "Dora"}, "name-malformed"),
        ({"name": ""}, "name-malformed"),
        ({"groups": ["no spaces"]}, "name-malformed"),
        ({"groups": ["g"] * 257}, "too-many-groups"),
        ({"display_name": "x" * 129}, "display-name-malformed"),
        ({"display_name": "two\nlines"}, "display-name-malformed"),
        ({"display_name": " space"}, "display-name-malformed"),
    ],
)
def test_bad_words_are_refused(world, change, code):
    """What cannot be a name, a group or a line on a screen is refused, and nothing is stored."""
    before = world.head()
    arguments = {"name": "dora", **change}
    with refused(MalformedInput, code):
        directory.add_principal(world.services, PERSON, arguments.pop("name"), actor=OPERATOR, **arguments)
    assert world.head() == before


def test_name_is_unique_over_all_kinds(world):
    """A device cannot have a person's name; the error says which principal has it."""
    with refused(RequestRefused, "name-taken") as refusal:
        directory.add_principal(world.services, PrincipalKind.DEVICE, "alice", actor=OPERATOR)
    assert "person named alice" in refusal.value.detail


def test_nothing_before_the_founding():
    """There is no directory before there is an authority."""
    world = empty_world()
    with refused(NotFound, "not-founded") as refusal:
        directory.add_principal(world.services, PERSON, "alice", actor=OPERATOR)
    assert "doorward init" in refusal.value.hint


def test_suspend_and_resume(world):
    """Suspending and resuming change the state, each with its event and number; certificates stay."""
    held = world.issue("alice")
    suspended = directory.suspend(world.services, "alice", actor=OPERATOR)
    assert directory.find_principal(world.services, "alice").state is PrincipalState.SUSPENDED
    assert suspended.value.state is PrincipalState.SUSPENDED
    assert world.certificate(held).state is CertificateState.VALID
    resumed = directory.resume(world.services, "alice", kind=PERSON, actor=OPERATOR)
    assert resumed.seq == suspended.seq + 1
    assert directory.find_principal(world.services, "alice").state is PrincipalState.ACTIVE
    assert (
        len(world.events(EventType.PRINCIPAL_SUSPENDED))
        == len(world.events(EventType.PRINCIPAL_RESUMED))
        == 1
    )


def test_repeated_suspension_changes_nothing(world):
    """To suspend twice is no error, no event and no change."""
    directory.suspend(world.services, "alice", actor=OPERATOR)
    before, events = world.head(), world.work.events
    again = directory.suspend(world.services, "alice", actor=OPERATOR)
    assert again.seq == world.head() == before
    assert again.notes == ("alice was suspended already",)
    assert world.work.events == events


@pytest.mark.parametrize("verb", [directory.suspend, directory.resume, removal.remove])
def test_unknown_and_wrong_kind_are_refused(world, verb):
    """An unknown name, or the name of another kind of principal, is refused with the next step."""
    with refused(NotFound, "principal-unknown"):
        verb(world.services, "nobody", actor=OPERATOR)
    with pytest.raises(NotFound) as unknown:
        verb(world.services, "nobody", kind=PrincipalKind.DEVICE, actor=OPERATOR)
    assert "device" in unknown.value.detail
    with refused(RequestRefused, "principal-kind") as wrong:
        verb(world.services, "alice", kind=PrincipalKind.DEVICE, actor=OPERATOR)
    assert "doorward person" in wrong.value.hint


def test_removal_revokes_every_live_certificate(world):
    """Removing takes the certificates with it in the same transaction; those of others stay."""
    first, second, other = world.issue("alice"), world.issue("alice"), world.issue("bob")
    from doorward.authority import revocation

    revocation.hold(world.services, second.record.id, OPERATOR)
    done = removal.remove(world.services, "alice", actor=OPERATOR)
    for held in (first, second):
        record = world.certificate(held)
        assert (record.state, record.reason) == (
            CertificateState.REVOKED, RevocationReason.CESSATION_OF_OPERATION,
        )  # fmt: skip
    assert world.certificate(other).state is CertificateState.VALID
    assert done.notes == ("2 certificates were revoked",)
    assert done.value.state is PrincipalState.REMOVED
    assert done.seq == world.head()
    with pytest.raises(NotFound):
        directory.find_principal(world.services, "alice")


def test_removal_forgets_what_the_inventory_knew(world):
    """Names of machines and times of visits do not outlive the principal."""
    held = world.issue("alice")
    with world.work.change() as stores:
        stores.facts.report(held.record.id, ReportedFacts(host_name="laptop"), world.clock.now())
    removal.remove(world.services, "alice", actor=OPERATOR)
    with world.work.read() as stores:
        assert stores.facts.of([held.record.id]) == {}


def test_removal_goes_through_many_certificates(world, monkeypatch):
    """More certificates than one page are all revoked."""
    monkeypatch.setattr(holder_certificates, "PAGE", 2)
    held = [world.issue("alice") for _ in range(5)]
    assert removal.remove(world.services, "alice", actor=OPERATOR).notes == ("5 certificates were revoked",)
    assert all(world.certificate(one).state is CertificateState.REVOKED for one in held)


def test_removal_passes_over_what_is_revoked_already(world):
    """A certificate that was revoked before keeps its reason."""
    from doorward.authority import revocation

    held = world.issue("alice")
    revocation.revoke(world.services, held.record.id, RevocationReason.KEY_COMPROMISE, OPERATOR)
    assert removal.remove(world.services, "alice", actor=OPERATOR).notes == ()
    assert world.certificate(held).reason is RevocationReason.KEY_COMPROMISE


def test_removal_needs_no_signing_key(world):
    """A removal goes through if the responder's key is away; its OCSP answers are due then."""
    held = world.issue("alice")
    with world.work.read() as stores:
        responder = stores.authorities.current(AuthorityKind.OCSP_RESPONDER)
        assert stores.status.ocsp(held.record.id, "sha1") is not None
    world.keys.remove(responder.key_name)
    assert removal.remove(world.services, "alice", actor=OPERATOR).notes == ("1 certificate was revoked",)
    with world.work.read() as stores:
        assert stores.status.ocsp(held.record.id, "sha1") is None
        assert stores.status.due_ocsp(world.clock.now(), 10) == [held.record.id]


def test_name_of_a_removed_principal_is_free(world):
    """The name may go to another, who is somebody else."""
    before = directory.find_principal(world.services, "alice")
    removal.remove(world.services, "alice", actor=OPERATOR)
    after = directory.add_principal(world.services, PERSON, "alice", actor=OPERATOR).value
    assert after.id != before.id
    assert after.groups == ()


def test_groups_are_joined_and_left(world):
    """Membership changes are events and changes about the principal."""
    joined = directory.add_member(world.services, "auditors", "alice", actor=OPERATOR)
    assert joined.value.groups == ("auditors", "tellers")
    assert joined.notes == ("the group auditors did not exist and was created",)
    left = directory.remove_member(world.services, "auditors", "alice", actor=OPERATOR)
    assert left.value.groups == ("tellers",)
    assert left.seq == world.head() == joined.seq + 1
    assert directory.find_principal(world.services, "alice").groups == ("tellers",)
    added = world.events(EventType.GROUP_MEMBER_ADDED)[-1]
    removed = world.events(EventType.GROUP_MEMBER_REMOVED)[-1]
    assert added.data == removed.data
    assert added.data["group"] == directory.group_id("auditors")


def test_repeated_membership_changes_nothing(world):
    """To join twice, or to leave where one is not, is no error and no change."""
    before = world.head()
    assert directory.add_member(world.services, "tellers", "alice", actor=OPERATOR).notes
    assert directory.remove_member(world.services, "sensors", "alice", actor=OPERATOR).notes
    assert world.head() == before


def test_unknown_group_cannot_be_left(world):
    """Leaving a group that does not exist is a typing error."""
    with refused(NotFound, "group-unknown"):
        directory.remove_member(world.services, "nogroup", "alice", actor=OPERATOR)


def test_group_is_created_once(world):
    """An empty group can be made ahead, once."""
    done = directory.create_group(world.services, "auditors", actor=OPERATOR)
    assert done.value == "auditors"
    assert done.seq == world.head()
    assert directory.list_groups(world.services)["auditors"] == 0
    head = world.head()
    again = directory.create_group(world.services, "auditors", actor=OPERATOR)
    assert again.notes == ("the group auditors existed already",)
    assert world.head() == head


def test_lists_are_sorted_by_name(world):
    """Lists are in the order people look things up in."""
    names = [one.name for one in directory.list_principals(world.services)]
    assert names == sorted(names)
    assert [one.name for one in directory.list_principals(world.services, PrincipalKind.DEVICE)] == [
        "sensor-1"
    ]
    assert list(directory.list_groups(world.services)) == ["contractors", "sensors", "services", "tellers"]
