"""The operator's part: approve and refuse, one by one, and what follows for duplicates."""

from __future__ import annotations

from datetime import timedelta

import pytest

from doorward.audit.events import EventType
from doorward.authority import holder_certificates
from doorward.core.certificate import CertificateState, RevocationReason
from doorward.core.errors import RequestRefused
from doorward.directory import removal
from doorward.directory.fleets import approving, manufacturers
from doorward.directory.fleets.approving import Wish
from doorward.directory.fleets.serials import state_serials
from doorward.stores.fleet_records import EnrolmentState, SerialStanding
from doorward.stores.records import CertificateFilter
from tests.support.factory import approve, enrol, enrolment, pending, reset
from tests.support.interleaving import before_change
from tests.support.refusals import refused
from tests.support.world import OPERATOR


def duplicate(world, factory, device):
    """A device with a certificate that came again with another key; returns its enrolment and the certificate."""
    found = pending(world, factory, device)
    approve(world, found)
    issued = enrol(world, factory, device)
    reset(device)
    with refused(RequestRefused, "device-refused"):
        enrol(world, factory, device)
    return enrolment(world, found.id), issued.record


def test_many_devices_are_approved_one_by_one(world, factory):
    """A name that is taken stops only its own device; each outcome is told."""
    found = [pending(world, factory, factory.device(f"SN-{number}")) for number in range(3)]
    names = ["sensor-10", "alice", "sensor-12"]
    wishes = [Wish(enrolment_id=one.id, name=name) for one, name in zip(found, names, strict=True)]
    outcomes = list(approving.approve_each(world.services, wishes, actor=OPERATOR))
    assert [one.name for one in outcomes] == ["sensor-10", "", "sensor-12"]
    assert outcomes[1].error.code == "name-taken"
    waiting = list(approving.list_enrolments(world.services))
    assert [one.id for one, _ in waiting] == [found[1].id]


def test_an_approved_duplicate_replaces_the_old_certificate(world, factory):
    """After a factory reset the device gets a new certificate, and the old one is revoked as superseded in one step."""
    device = factory.device()
    found, old = duplicate(world, factory, device)
    approving.approve(world.services, found.id, actor=OPERATOR)
    new = enrol(world, factory, device).record
    with world.work.read() as stores:
        every = {
            one.id: one for one in stores.certificates.list(CertificateFilter(principal_id=old.principal_id))
        }
    assert every[old.id].state is CertificateState.REVOKED
    assert every[old.id].reason is RevocationReason.SUPERSEDED
    assert every[new.id].state is CertificateState.VALID
    assert new.principal_id == old.principal_id


def test_an_approved_duplicate_replaces_every_page(world, factory, monkeypatch):
    """The newest certificates are on the last page; one that ended is revoked too, because its key could still renew it."""
    monkeypatch.setattr(holder_certificates, "PAGE", 2)
    device = factory.device()
    found, old = duplicate(world, factory, device)
    name = old.subject_name
    held = [world.issue(name) for _ in range(4)]
    ended = held[0].record.not_after - world.clock.now() + timedelta(days=1)
    world.clock.turn(seconds=int(ended.total_seconds()))
    held.append(world.issue(name))
    approving.approve(world.services, found.id, actor=OPERATOR)
    new = enrol(world, factory, device).record
    assert {world.certificate(one).state for one in held} == {CertificateState.REVOKED}
    with world.work.read() as stores:
        assert stores.certificates.get(new.id).state is CertificateState.VALID


def test_a_refused_duplicate_keeps_its_certificate(world, factory):
    """The clone gets nothing, the device goes on, and a later contact of the clone is seen again."""
    device = factory.device()
    found, old = duplicate(world, factory, device)
    done = approving.refuse(world.services, found.id, actor=OPERATOR)
    assert any("keeps the certificate" in note for note in done.notes)
    with world.work.read() as stores:
        assert stores.certificates.get(old.id).state is CertificateState.VALID
    with refused(RequestRefused, "device-refused"):
        enrol(world, factory, device)
    assert len(world.events(EventType.DEVICE_DUPLICATE)) == 2


def test_a_duplicate_keeps_its_name(world, factory):
    """Another name would be another device, with the rights of another name."""
    found, _ = duplicate(world, factory, factory.device())
    with refused(RequestRefused, "device-has-name"):
        approving.approve(world.services, found.id, name="other", actor=OPERATOR)


def test_a_removed_device_comes_back_only_by_an_operator(world, factory):
    """Its certificate was revoked with it; after the approval it is a new device, with a new id."""
    device = factory.device()
    found = pending(world, factory, device)
    approve(world, found)
    before = enrol(world, factory, device).record.principal_id
    removal.remove(world.services, "sensor-7", actor=OPERATOR)
    reset(device)
    with refused(RequestRefused, "device-refused"):
        enrol(world, factory, device)
    approve(world, found, "sensor-7")
    assert enrol(world, factory, device).record.principal_id != before


def test_a_refused_device_may_be_approved_later(world, factory):
    """The operator decides otherwise; meanwhile the device is refused without a new row."""
    device = factory.device()
    found = pending(world, factory, device)
    approving.refuse(world.services, found.id, actor=OPERATOR)
    with refused(RequestRefused, "device-refused"):
        enrol(world, factory, device)
    with refused(RequestRefused, "enrolment-state"):
        approving.refuse(world.services, found.id, actor=OPERATOR)
    approve(world, found)
    assert enrol(world, factory, device).record.subject_name == "sensor-7"


def test_of_approval_and_refusal_at_once_one_wins(world, factory):
    """Another operator refuses between the approval's reading and writing: both see the same state in the end."""
    found = pending(world, factory, factory.device())

    def refuse():
        del world.work.change
        approving.refuse(world.services, found.id, actor=OPERATOR)

    before_change(world, 1, refuse)
    approve(world, found)  # decided in its own transaction, after the refusal: the last decision counts
    assert enrolment(world, found.id).state is EnrolmentState.APPROVED


def test_no_approval_after_the_manufacturer_was_removed(world, factory):
    """Approving a device that could get no certificate would leave a device without one in the directory."""
    found = pending(world, factory, factory.device())

    def remove():
        del world.work.change
        manufacturers.remove_manufacturer(world.services, "acme", actor=OPERATOR)

    before_change(world, 1, remove)
    with refused(RequestRefused, "enrolment-unknown"):
        approve(world, found)


@pytest.mark.parametrize("state", ["refused", "duplicate"])
def test_no_approval_of_what_stays_after_the_removal(world, factory, state):
    """A refused device and a duplicate are kept when the manufacturer goes, and cannot be approved then."""
    device = factory.device()
    if state == "refused":
        found = pending(world, factory, device)
        approving.refuse(world.services, found.id, actor=OPERATOR)
    else:
        found, _ = duplicate(world, factory, device)
    manufacturers.remove_manufacturer(world.services, "acme", actor=OPERATOR)
    with refused(RequestRefused, "manufacturer-removed"):
        approving.approve(world.services, found.id, name="sensor-9", actor=OPERATOR)


def test_a_barred_device_is_approved_by_no_operator(world, factory):
    """The bar came after the first contact; `--all` and a name are refused alike."""
    found = pending(world, factory, factory.device("SN-1"))
    state_serials(world.services, "acme", ["SN-1"], SerialStanding.BARRED, actor=OPERATOR)
    for name in ("sensor-7", "sensor-1"):  # a new device, and one of the directory
        (outcome,) = approving.approve_each(
            world.services, [Wish(enrolment_id=found.id, name=name)], actor=OPERATOR
        )
        assert outcome.error.code == "serial-barred"
    assert enrolment(world, found.id).state is EnrolmentState.PENDING


def test_a_device_that_was_added_before_is_meant_by_its_name(world, factory):
    """`device add pump-1`, then `approve --name pump-1`: the same device, with its groups; not if it has a certificate."""
    found = pending(world, factory, factory.device("SN-1"))
    approve(world, found, "sensor-1", "extra")
    device = factory.device("SN-2")
    assert world.principal("sensor-1").groups == ("extra", "sensors")
    second = pending(world, factory, device)
    world.issue("sensor-1")
    with refused(RequestRefused, "name-taken"):
        approve(world, second, "sensor-1")
    with refused(RequestRefused, "name-taken"):
        approve(world, second, "alice")


def test_a_refused_approval_says_what_stays(world, factory):
    """Refusing an approved device that did not come yet leaves it in the directory, and says so."""
    found = pending(world, factory, factory.device())
    approve(world, found)
    done = approving.refuse(world.services, found.id, actor=OPERATOR)
    assert "doorward device remove sensor-7" in done.notes[0]


def test_the_reapproved_answer_is_given_again(world, factory):
    """Also after an approved duplicate, a lost answer is given again."""
    device = factory.device()
    found, _ = duplicate(world, factory, device)
    approving.approve(world.services, found.id, actor=OPERATOR)
    new = enrol(world, factory, device).record
    assert enrol(world, factory, device).record == new
