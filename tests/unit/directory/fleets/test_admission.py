"""Just-in-time registration: what a device gets for its factory certificate, step by step."""

from __future__ import annotations

from datetime import timedelta

import pytest

from doorward.audit.events import EventType
from doorward.authority import revocation
from doorward.core.certificate import CertificateState, RevocationReason
from doorward.core.entities import Outcome
from doorward.core.errors import NotFound, RequestRefused
from doorward.core.ports import KeyKind
from doorward.directory import principals as directory
from doorward.directory import removal
from doorward.directory.fleets import admission, approving, manufacturers
from doorward.directory.fleets.serials import state_serials
from doorward.directory.fleets.states import TRANSITIONS, EnrolmentStep, next_state
from doorward.stores.fleet_records import EnrolmentState, SerialStanding
from doorward.stores.records import CertificateFilter
from tests.support.factory import approve, enrol, enrolment, import_factory, pending, request_for, reset
from tests.support.interleaving import ProcessDiedError, before_change, die_at
from tests.support.ports import PlainKeys
from tests.support.refusals import refused
from tests.support.world import OPERATOR


def certificates_of(world, name):
    """The certificates of a device that are not intents, oldest first."""
    principal = world.principal(name)
    with world.work.read() as stores:
        every = stores.certificates.list(CertificateFilter(principal_id=principal.id))
    return [one for one in every if one.state is not CertificateState.INTENDED]


def test_first_contact_waits_then_one_certificate_is_issued(world, factory):
    """A device waits at its first contact, is approved with a name and groups, and gets one certificate of that device."""
    device = factory.device("SN-1")
    found = pending(world, factory, device)
    assert (found.serial, found.state, found.principal_id) == ("SN-1", EnrolmentState.PENDING, "")
    approve(world, found, "sensor-7", "sensors")
    issued = enrol(world, factory, device)
    principal = world.principal("sensor-7")
    assert issued.record.principal_id == principal.id
    assert principal.groups == ("sensors",)
    assert issued.record.profile == "device"
    assert enrolment(world, found.id).state is EnrolmentState.ENROLLED
    assert world.decide(issued.record.der, "sensors").verdict.outcome is Outcome.GOOD
    names = [one.type.value for one in world.work.events if one.type.value.startswith("device:")]
    assert names == ["device:pending", "device:approved", "device:enrolled"]
    assert world.events(EventType.DEVICE_ENROLLED)[0].data["certificate"] == issued.record.id


def test_a_waiting_device_is_no_principal(world, factory):
    """Before the approval there is nothing that a rule could name, and the factory certificate is refused at the door."""
    device = factory.device()
    before = {one.name for one in directory.list_principals(world.services)}
    pending(world, factory, device)
    assert {one.name for one in directory.list_principals(world.services)} == before
    assert world.decide(device.der, "sensors").verdict.outcome is Outcome.BAD


def test_contacts_of_a_waiting_device_are_one_row(world, factory):
    """Repeated contacts leave one row and one event, and write at most once a minute."""
    device, request = factory.device(), request_for()
    first = pending(world, factory, device, request)
    head = len(world.work.events)
    for _ in range(5):
        assert pending(world, factory, device, request) == first
    world.clock.turn(minutes=2)
    counted = pending(world, factory, device, request)
    assert (counted.id, counted.contacts, counted.keys, counted.sources) == (first.id, 2, 1, 1)
    assert len(world.work.events) == head


def test_two_sources_at_once_are_seen(world, factory):
    """Another key or address is counted at once, up to a number that shows a clone."""
    device = factory.device()
    first, second = request_for(), request_for()
    pending(world, factory, device, first, source="192.0.2.7")
    seen = pending(world, factory, device, second, source="198.51.100.9")
    assert (seen.keys, seen.sources) == (2, 2)
    for _ in range(40):
        seen = pending(world, factory, device, first, source="192.0.2.7")
        seen = pending(world, factory, device, second, source="198.51.100.9")
    assert seen.keys + seen.sources <= admission.MOST_CHANGES + 1


def test_retry_after_grows_and_ends(world, factory):
    """A device that waits for hours asks at least every 15 minutes."""
    device = factory.device()
    waits = []
    for passed in (0, 20, 60 * 24):
        world.clock.turn(minutes=passed)
        with pytest.raises(admission.EnrolmentPending) as pending_now:
            enrol(world, factory, device)
        waits.append(pending_now.value.retry_after)
    assert waits == [timedelta(seconds=30), timedelta(minutes=2), timedelta(minutes=15)]


def test_a_lost_answer_is_given_again(world, factory):
    """The same request gives the certificate that was issued for it; no second one is made."""
    device, request = factory.device(), request_for()
    approve(world, pending(world, factory, device, request))
    issued = enrol(world, factory, device, request)
    again = enrol(world, factory, device, request)
    assert again.record == issued.record
    assert again.chain_der == issued.chain_der
    assert len(certificates_of(world, "sensor-7")) == 1


def test_a_crash_between_intent_and_signature_locks_no_device_out(world, factory):
    """The approval is used with the intent; if that certificate never became valid, the device gets another one."""
    device = factory.device()
    found = pending(world, factory, device)
    approve(world, found)
    die_at(world, 2)
    with pytest.raises(ProcessDiedError):
        enrol(world, factory, device)
    del world.work.change
    pending(world, factory, device)  # it could still be on its way
    world.clock.turn(minutes=2)
    issued = enrol(world, factory, device)
    assert [one.id for one in certificates_of(world, "sensor-7")] == [issued.record.id]


def test_of_two_requests_with_one_approval_one_gets_a_certificate(world, factory):
    """Between examining and redeeming, another request of the device is faster: the approval is used once."""
    device = factory.device()
    approve(world, pending(world, factory, device))
    before_change(world, 1, lambda: _enrol_now(world, factory, device))
    with refused(RequestRefused, "enrolment-used"):
        enrol(world, factory, device)
    assert len(certificates_of(world, "sensor-7")) == 1
    assert len(world.events(EventType.CERTIFICATE_INTENDED)) == 1  # the key signed once


def _enrol_now(world, factory, device):
    del world.work.change
    enrol(world, factory, device)


def test_the_later_of_two_intents_becomes_valid(world, factory):
    """If signing took so long that the device got another certificate meanwhile, the first one never becomes valid."""
    device = factory.device()
    approve(world, pending(world, factory, device))

    def later():
        world.clock.turn(minutes=2)
        _enrol_now(world, factory, device)

    before_change(world, 2, later)
    with refused(RequestRefused, "enrolment-used"):
        enrol(world, factory, device)
    assert len(certificates_of(world, "sensor-7")) == 1


@pytest.mark.parametrize("number", [1, 2])
def test_a_removed_manufacturer_ends_a_request_in_flight(world, factory, number):
    """Before the intent, and between the intent and the certificate."""
    device = factory.device()
    approve(world, pending(world, factory, device))

    def remove():
        del world.work.change
        manufacturers.remove_manufacturer(world.services, "acme", actor=OPERATOR)

    before_change(world, number, remove)
    with refused(RequestRefused, "factory-certificate-refused"):
        enrol(world, factory, device)
    assert certificates_of(world, "sensor-7") == []


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_bar_ends_an_approval(world, factory, number):
    """Before the contact, before the intent, and between the intent and the certificate."""
    device = factory.device("SN-1")
    approve(world, pending(world, factory, device))

    def bar():
        world.work.__dict__.pop("change", None)
        state_serials(world.services, "acme", ["SN-1"], SerialStanding.BARRED, actor=OPERATOR)

    if number:
        before_change(world, number, bar)
    else:
        bar()
    with refused(RequestRefused, "serial-barred"):
        enrol(world, factory, device)
    assert len(world.events(EventType.DEVICE_ENROLLED)) == (number == 2)
    assert certificates_of(world, "sensor-7") == []


def test_a_removed_manufacturers_devices_are_forgotten(world, factory):
    """Its waiting devices go, and a new contact leaves no row; an enrolled device keeps its certificate."""
    waiting, enrolled = factory.device("SN-1"), factory.device("SN-2")
    pending(world, factory, waiting)
    approve(world, pending(world, factory, enrolled))
    held = enrol(world, factory, enrolled).record
    result = manufacturers.remove_manufacturer(world.services, "acme", actor=OPERATOR)
    assert any("1 of its devices waited" in note for note in result.notes)
    assert any("keep them" in note for note in result.notes)
    with refused(RequestRefused, "factory-certificate-refused"):
        enrol(world, factory, waiting)
    with world.work.read() as stores:
        assert stores.certificates.get(held.id).state is CertificateState.VALID
    assert list(approving.list_enrolments(world.services)) == []


def test_a_first_contact_while_the_manufacturer_is_removed_leaves_no_row(world, factory):
    """The manufacturer is looked up again in the transaction that adds the row."""

    def remove():
        del world.work.change
        manufacturers.remove_manufacturer(world.services, "acme", actor=OPERATOR)

    before_change(world, 1, remove)
    with refused(RequestRefused, "factory-certificate-refused"):
        enrol(world, factory, factory.device())
    assert world.work.state.device_enrolments == {}


def test_a_refusal_wins_over_a_request_in_flight(world, factory):
    """The operator refuses an approved device between its contact and the intent: no certificate."""
    device = factory.device()
    found = pending(world, factory, device)
    approve(world, found)

    def refuse():
        del world.work.change
        approving.refuse(world.services, found.id, actor=OPERATOR)

    before_change(world, 1, refuse)
    with refused(RequestRefused, "enrolment-used"):
        enrol(world, factory, device)
    with refused(RequestRefused, "device-refused"):
        enrol(world, factory, device)
    assert certificates_of(world, "sensor-7") == []


def test_an_enrolled_device_with_another_key_is_held(world, factory):
    """A reset device and a clone look the same: neither gets a certificate before an operator approves it."""
    device = factory.device()
    found = pending(world, factory, device)
    approve(world, found)
    first = enrol(world, factory, device).record
    reset(device)
    for _ in range(2):
        with refused(RequestRefused, "device-refused"):
            enrol(world, factory, device, source="198.51.100.9")
    seen = enrolment(world, found.id)
    assert (seen.state, seen.reason) == (EnrolmentState.DUPLICATE, "another-key")
    assert seen.source == "198.51.100.9"
    assert len(world.events(EventType.DEVICE_DUPLICATE)) == 1
    assert [one.id for one in certificates_of(world, "sensor-7")] == [first.id]


@pytest.mark.parametrize("reason", [RevocationReason.KEY_COMPROMISE, RevocationReason.SUPERSEDED])
def test_a_revoked_device_does_not_come_back_alone(world, factory, reason):
    """After a revocation the factory certificate is worth nothing without an operator, whatever key comes."""
    device, request = factory.device(), request_for()
    found = pending(world, factory, device, request)
    approve(world, found)
    issued = enrol(world, factory, device, request).record
    revocation.revoke(world.services, issued.id, reason, OPERATOR)
    for again in (request, request_for()):
        with refused(RequestRefused, "device-refused"):
            enrol(world, factory, device, again)
    assert enrolment(world, found.id).reason == "certificate-revoked"


def test_a_removed_device_gets_nothing(world, factory):
    """A device that was approved and then removed from the directory is refused."""
    device = factory.device()
    approve(world, pending(world, factory, device))
    removal.remove(world.services, "sensor-7", actor=OPERATOR)
    with refused(RequestRefused, "principal-removed"):
        enrol(world, factory, device)


def test_the_factory_key_is_not_certified(world, factory):
    """A request for the factory's own key is refused, and leaves no row."""
    device = factory.device()
    with refused(RequestRefused, "factory-key-reused"):
        enrol(world, factory, device, request_for(device.key))
    assert world.work.state.device_enrolments == {}


def test_a_key_that_has_a_certificate_is_not_certified(world, factory):
    """Devices of one firmware image may have one key: the second is refused, before and after its approval."""
    request = request_for(PlainKeys().generate(KeyKind.P256))
    first, second, late = (factory.device(f"SN-{number}") for number in range(3))
    approve(world, pending(world, factory, first, request), "sensor-2")
    late_found = pending(world, factory, late, request)
    approve(world, late_found, "sensor-3")
    enrol(world, factory, first, request)
    for device in (second, late):
        with refused(RequestRefused, "key-used-before"):
            enrol(world, factory, device, request)
    assert enrolment(world, late_found.id).state is EnrolmentState.APPROVED
    assert len(world.work.state.device_enrolments) == 2


@pytest.mark.parametrize("number", [1, 2])
def test_two_devices_with_one_key_at_once(world, factory, number):
    """The other device is faster, before the intent or before the certificate is valid: each transaction looks again."""
    request = request_for()
    first, second = factory.device("SN-1"), factory.device("SN-2")
    approve(world, pending(world, factory, first, request), "sensor-2")
    approve(world, pending(world, factory, second, request), "sensor-3")

    def other():
        del world.work.change
        enrol(world, factory, second, request)

    before_change(world, number, other)
    with refused(RequestRefused, "key-used-before"):
        enrol(world, factory, first, request)
    assert certificates_of(world, "sensor-2") == []


def test_waiting_devices_are_capped_for_each_manufacturer(world):
    """More devices than the limit leave no row; another manufacturer is not affected; an approval makes room."""
    small, other = import_factory(world, "small", most_pending=2), import_factory(world, "other")
    first = pending(world, small, small.device("SN-1"))
    pending(world, small, small.device("SN-2"))
    with refused(RequestRefused, "enrolments-too-many") as full:
        enrol(world, small, small.device("SN-3"))
    assert full.value.context["retry_after_seconds"] == 900
    pending(world, other, other.device("SN-3"))
    approve(world, first)
    pending(world, small, small.device("SN-3"))


def test_states_follow_the_table():
    """Every step that the table does not have is refused."""
    for state in EnrolmentState:
        for step in EnrolmentStep:
            if (state, step) in TRANSITIONS:
                assert next_state(state, step) is TRANSITIONS[state, step]
            else:
                with refused(RequestRefused, "enrolment-state"):
                    next_state(state, step)


def test_unknown_enrolments_are_not_found(world):
    """An id of no enrolment."""
    with refused(NotFound, "enrolment-unknown"):
        approving.approve(world.services, "den_unknown", name="sensor-7", actor=OPERATOR)


def test_any_kind_of_new_key_is_certified(world, factory):
    """The request's key is the only thing that counts in it."""
    device, request = factory.device(), request_for(PlainKeys().generate(KeyKind.P384))
    approve(world, pending(world, factory, device, request))
    issued = enrol(world, factory, device, request)
    assert issued.record.subject_name == "sensor-7"
