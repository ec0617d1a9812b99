"""The end of an approval: another key, too late, or a link for the same device."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from doorward.audit.events import EventType
from doorward.core.entities import PrincipalKind
from doorward.core.errors import RequestRefused
from doorward.directory import principals as directory
from doorward.directory.fleets import approving, lapsing
from doorward.directory.fleets.serials import state_serial_within
from doorward.directory.invitations import list_open
from doorward.directory.inviting import invite
from doorward.enrolment.invitation import redeem
from doorward.stores.fleet_records import EnrolmentState, SerialStanding
from tests.support.factory import approve, enrol, enrolment, pending, request_for, reset
from tests.support.interleaving import ProcessDiedError, before_change, die_at
from tests.support.refusals import refused
from tests.support.world import OPERATOR, World

DAYS = 30


def told(world: World) -> list[object]:
    """The reasons of the events that say that a device waits, without the first contact."""
    return [one.data["reason"] for one in world.events(EventType.DEVICE_PENDING) if one.data.get("reason")]


def test_an_approval_is_for_the_key_that_the_operator_saw(world, factory):
    """Another key waits again, the operator is told, no rule or list approves it, and the right key waits, too."""
    device = factory.device()
    found = pending(world, factory, device)
    approve(world, found)
    waiting = pending(world, factory, device, request_for())
    assert (waiting.state, waiting.reason) == (EnrolmentState.PENDING, "another-key")
    assert told(world) == ["another-key"]
    assert pending(world, factory, device).state is EnrolmentState.PENDING
    with refused(RequestRefused, "device-not-new"):
        approving.approve(world.services, found.id, only_new=True, actor=OPERATOR)
    approving.approve(world.services, found.id, actor=OPERATOR)
    assert enrol(world, factory, device).record.subject_name == "sensor-7"


def test_an_operator_may_say_which_key(world, factory):
    """The device came with another key between the look and the approval: nothing is approved."""
    device = factory.device()
    seen = pending(world, factory, device)
    pending(world, factory, device, request_for())
    with refused(RequestRefused, "enrolment-key-changed"):
        approving.approve(world.services, seen.id, name="sensor-7", key=seen.wanted_key[:16], actor=OPERATOR)
    pending(world, factory, device)
    approving.approve(world.services, seen.id, name="sensor-7", key=seen.wanted_key[:16], actor=OPERATOR)
    assert enrol(world, factory, device).record.spki_sha256 == seen.wanted_key


def test_an_approval_ends(world, factory):
    """After 30 days the device waits again; the setting changes the time."""
    device = factory.device()
    found = pending(world, factory, device)
    approve(world, found)
    world.clock.turn(days=DAYS)
    assert pending(world, factory, device).reason == "approval-ended"
    assert told(world) == ["approval-ended"]
    approving.approve(world.services, found.id, actor=OPERATOR)
    world.services = replace(world.services, approval_lifetime=timedelta(days=2))
    world.clock.turn(days=2)
    pending(world, factory, device)
    approving.approve(world.services, found.id, actor=OPERATOR)
    world.clock.turn(days=1, hours=23)
    assert enrol(world, factory, device).is_new


def test_an_approval_that_ends_in_flight_gives_nothing(world, factory):
    """Between the look and the intent the time is over, or another approval was given for another key."""
    device = factory.device()
    found = pending(world, factory, device)
    approve(world, found)
    before_change(world, 1, lambda: world.clock.turn(days=DAYS))
    with refused(RequestRefused, "enrolment-used"):
        enrol(world, factory, device)
    del world.work.change
    pending(world, factory, device)
    approving.approve(world.services, found.id, actor=OPERATOR)

    def approve_another() -> None:
        del world.work.change
        pending(world, factory, device, request_for())
        world.clock.turn(seconds=1)
        approving.approve(world.services, found.id, actor=OPERATOR)

    before_change(world, 1, approve_another)
    with refused(RequestRefused, "enrolment-used"):
        enrol(world, factory, device)


@pytest.mark.parametrize(("days", "reason"), [(0, "another-key"), (DAYS, "approval-ended")])
def test_a_lost_certificate_is_made_again_for_the_same_key_only(world, factory, days, reason):
    """After a crash the approval goes on, for the key and the time that it had."""
    device = factory.device()
    found = pending(world, factory, device)
    approve(world, found)
    die_at(world, 2)
    with pytest.raises(ProcessDiedError):
        enrol(world, factory, device)
    del world.work.change
    world.clock.turn(days=days, minutes=2)
    if not days:
        reset(device)
    with refused(RequestRefused, "device-refused"):
        enrol(world, factory, device)
    seen = enrolment(world, found.id)
    assert (seen.state, seen.reason) == (EnrolmentState.DUPLICATE, reason)


def test_an_approved_duplicate_with_another_key_is_a_duplicate_again(world, factory):
    """It had a certificate, which it keeps until an operator decides."""
    device = factory.device()
    found = pending(world, factory, device)
    approve(world, found)
    first = enrol(world, factory, device)
    reset(device)
    with refused(RequestRefused, "device-refused"):
        enrol(world, factory, device)
    approving.approve(world.services, found.id, actor=OPERATOR)
    with refused(RequestRefused, "device-refused"):
        enrol(world, factory, device, request_for())
    seen = enrolment(world, found.id)
    assert (seen.state, seen.reason, seen.certificate_id) == (
        EnrolmentState.DUPLICATE, lapsing.ANOTHER_KEY, first.record.id,
    )  # fmt: skip
    assert len(world.events(EventType.DEVICE_DUPLICATE)) == 2


class TestOneClaim:
    """A device has an approval or a link: the later act of an operator counts."""

    def test_a_link_ends_the_approval(self, world, factory):
        """The device waits again, and the operator is told; the link works."""
        device = factory.device()
        found = pending(world, factory, device)
        approve(world, found)
        invitation = invite(world.services, "sensor-7", actor=OPERATOR)
        assert invitation.notes == (f"the approval of {found.id} was withdrawn: the link takes its place",)
        assert pending(world, factory, device).reason == "invited"
        assert told(world) == ["invited"]
        assert redeem(world.services, invitation.token, request_for()).record.subject_name == "sensor-7"

    def test_an_approval_ends_the_link(self, world, factory):
        """The link is void, and the operator is told."""
        directory.add_principal(world.services, PrincipalKind.DEVICE, "pump-1", actor=OPERATOR)
        token = invite(world.services, "pump-1", actor=OPERATOR).token
        device = factory.device()
        found = pending(world, factory, device)
        done = approving.approve(world.services, found.id, name="pump-1", actor=OPERATOR)
        assert "1 open link was withdrawn" in done.notes
        assert list_open(world.services) == []
        with refused(RequestRefused, "invitation-invalid"):
            redeem(world.services, token, request_for())
        assert enrol(world, factory, device).record.subject_name == "pump-1"

    def test_no_rule_takes_a_link_away(self, world, factory):
        """An expected device with an open link waits; an operator may approve it."""
        pump = directory.add_principal(world.services, PrincipalKind.DEVICE, "pump-1", actor=OPERATOR).value
        with world.work.change() as stores:
            acme, expected = stores.manufacturers.by_name("acme"), SerialStanding.EXPECTED
            more = {"principal_id": pump.id, "actor": OPERATOR, "now": world.clock.now()}
            state_serial_within(world.services, stores, acme, "SN-1", expected, **more)
        invite(world.services, "pump-1", actor=OPERATOR)
        assert pending(world, factory, factory.device("SN-1")).reason == "invited"
        assert len(list_open(world.services)) == 1

    def test_a_certificate_by_a_link_is_replaced_by_an_approval(self, world, factory):
        """The device got a certificate by a link meanwhile: after the approval it has one certificate, not two."""
        device = factory.device()
        found = pending(world, factory, device)
        approve(world, found)
        first = redeem(
            world.services, invite(world.services, "sensor-7", actor=OPERATOR).token, request_for()
        )
        approving.approve(world.services, found.id, actor=OPERATOR)
        second = enrol(world, factory, device)
        with world.work.read() as stores:
            states = [stores.certificates.get(one.record.id).state.value for one in (first, second)]
        assert states == ["revoked", "valid"]
