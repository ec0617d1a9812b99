"""Approval by the tag of a manufacturer: who gets in without an operator, under which name, and who waits and why."""

from __future__ import annotations

import pytest

from doorward.audit.events import EventType
from doorward.core.entities import PrincipalKind
from doorward.core.errors import MalformedInput, NotFound, RequestRefused
from doorward.directory import principals as directory
from doorward.directory.fleets import manufacturers, serials, tags
from doorward.directory.fleets.manufacturers import import_manufacturer
from doorward.stores.fleet_records import ApprovalMode, EnrolmentState, SerialStanding
from tests.support.factory import approve, enrol, enrolment, import_factory, new_factory, pending, request_for
from tests.support.interleaving import before_change
from tests.support.refusals import refused
from tests.support.world import OPERATOR, found_world


def add_tag(world, approval, *groups, template="sensor-{serial}", name="sensors"):
    """A tag."""
    return tags.add_tag(
        world.services, name, approval=approval, groups=groups, name_template=template, actor=OPERATOR
    )


def expect(world, *numbers, standing=SerialStanding.EXPECTED, name="acme"):
    """State serial numbers."""
    return serials.state_serials(world.services, name, numbers, standing, actor=OPERATOR)


def tagged(world, approval, *groups, **options):
    """A factory with devices of this tag."""
    add_tag(world, approval, *groups, **options)
    return import_factory(world, tag="sensors")


def test_automatic_approval_needs_one_contact(world):
    """The first contact makes the device, with the name and the groups of the template, and gives it its certificate."""
    factory = tagged(world, ApprovalMode.AUTOMATIC, "sensors")
    issued = enrol(world, factory, factory.device("SN-9"))
    device = world.principal("sensor-sn-9")
    assert (issued.record.principal_id, device.kind, device.groups) == (
        device.id,
        PrincipalKind.DEVICE,
        ("sensors",),
    )
    approved = world.events(EventType.DEVICE_APPROVED)[0]
    assert approved.actor.startswith("tag_")


@pytest.mark.parametrize(
    ("serial", "reason"),
    [(None, "template-unusable"), ("SN 1", "template-unusable"), ("1", "name-taken")],
)
def test_a_device_without_a_usable_name_waits(world, serial, reason):
    """A name that cannot be made, or that somebody has, is for an operator, who sees why."""
    factory = tagged(world, ApprovalMode.AUTOMATIC)
    found = pending(world, factory, factory.device(serial))
    assert (found.state, found.reason) == (EnrolmentState.PENDING, reason)
    approve(world, found, "sensor-77")
    assert enrolment(world, found.id).state is EnrolmentState.APPROVED


NAMING = """\
trust_domain: corp.example
apps:
  payments:
    hosts: [payments.corp.example]
    upstream: http://127.0.0.1:9000
    rules:
      - name: the sensor reports
        allow: {devices: [sensor-sn-9]}
"""


def test_a_name_that_rules_name_is_not_given_by_a_template():
    """A rule may name a device before its delivery: another manufacturer's device with this number has to wait."""
    world = found_world(document=NAMING)
    factory = tagged(world, ApprovalMode.AUTOMATIC)
    found = pending(world, factory, factory.device("SN-9"))
    assert (found.state, found.reason) == (EnrolmentState.PENDING, "name-in-rules")
    assert enrol(world, factory, factory.device("SN-8")).record.subject_name == "sensor-sn-8"


def test_a_name_that_rules_name_is_given_to_the_expected_device():
    """The operator announced this serial number of this manufacturer; the same number of another one waits."""
    world = found_world(document=NAMING)
    factory = tagged(world, ApprovalMode.AUTOMATIC)
    other = import_factory(world, "other", tag="sensors")
    expect(world, "SN-9")
    assert pending(world, other, other.device("SN-9")).reason == "name-in-rules"
    assert enrol(world, factory, factory.device("SN-9")).record.subject_name == "sensor-sn-9"


def test_serial_numbers_that_differ_in_case_collide_visibly(world):
    """Two serial numbers never become one device."""
    factory = tagged(world, ApprovalMode.AUTOMATIC)
    enrol(world, factory, factory.device("ab"))
    assert pending(world, factory, factory.device("AB")).reason == "name-taken"


def test_a_second_certificate_for_one_serial_number_waits(world):
    """Two factory certificates with one serial number: one of them may be a copy."""
    factory = tagged(world, ApprovalMode.AUTOMATIC)
    enrol(world, factory, factory.device("SN-1"))
    assert pending(world, factory, factory.device("SN-1")).reason == "serial-known"


def test_first_device_only(world):
    """The tag closes with its first device; the second waits for an operator."""
    factory = tagged(world, ApprovalMode.FIRST, template="plant-gateway")
    issued = enrol(world, factory, factory.device("SN-1"))
    assert issued.record.subject_name == "plant-gateway"
    assert tags.list_tags(world.services)[0].closed_at is not None
    assert pending(world, factory, factory.device("SN-2")).reason == "tag-closed"


def test_of_two_first_devices_at_once_one_is_the_first(world):
    """Another device's first contact comes between reading and writing of this one: it waits."""
    factory = tagged(world, ApprovalMode.FIRST)

    def other():
        del world.work.change
        enrol(world, factory, factory.device("SN-2"))

    before_change(world, 1, other)
    assert pending(world, factory, factory.device("SN-1")).reason == "tag-closed"


def test_without_a_tag_only_expected_devices_are_approved(world, factory):
    """A device that was announced gets a name by an operator or is a device of the directory already."""
    assert pending(world, factory, factory.device("SN-1")).reason == "serial-not-expected"
    expect(world, "SN-2")
    assert pending(world, factory, factory.device("SN-2")).reason == "template-missing"


def test_an_expected_device_of_the_directory_gets_its_certificate(world, factory):
    """`device add` with a factory serial number: the first contact gives that device its certificate."""
    principal = world.principal("sensor-1")
    with world.work.change() as stores:
        manufacturer = stores.manufacturers.by_name("acme")
        serials.state_serial_within(
            world.services,
            stores,
            manufacturer,
            "SN-1",
            SerialStanding.EXPECTED,
            principal_id=principal.id,
            actor=OPERATOR,
            now=world.clock.now(),
        )
    assert enrol(world, factory, factory.device("SN-1")).record.principal_id == principal.id


@pytest.mark.parametrize("spoil", ["certificate", "suspended"])
def test_an_expected_device_that_has_a_certificate_or_no_rights_waits(world, factory, spoil):
    """No second certificate beside one that it has, and none for a suspended device."""
    principal = world.principal("sensor-1")
    with world.work.change() as stores:
        serials.state_serial_within(
            world.services,
            stores,
            stores.manufacturers.by_name("acme"),
            "SN-1",
            SerialStanding.EXPECTED,
            principal_id=principal.id,
            actor=OPERATOR,
            now=world.clock.now(),
        )
    if spoil == "certificate":
        world.issue("sensor-1")
    else:
        directory.suspend(world.services, "sensor-1", actor=OPERATOR)
    reason = {"certificate": "has-certificate", "suspended": "device-not-active"}[spoil]
    assert pending(world, factory, factory.device("SN-1")).reason == reason


def test_a_device_that_waits_is_approved_when_it_is_expected_later(world):
    """The rules are asked again at a later contact, without a new start of the device."""
    factory = tagged(world, ApprovalMode.EXPECTED)
    device, request = factory.device("SN-1"), request_for()
    pending(world, factory, device, request)
    expect(world, "SN-1")
    world.clock.turn(minutes=2)
    assert enrol(world, factory, device, request).record.subject_name == "sensor-sn-1"


def test_a_device_seen_from_two_sources_is_never_approved_by_a_rule(world):
    """Two sources with one factory certificate may be a device and its clone: an operator decides."""
    factory = tagged(world, ApprovalMode.EXPECTED)
    device, request = factory.device("SN-1"), request_for()
    pending(world, factory, device, request)
    expect(world, "SN-1")
    pending(world, factory, device, request, source="198.51.100.9")
    world.clock.turn(minutes=2)
    assert pending(world, factory, device, request, source="198.51.100.9").state is EnrolmentState.PENDING


def test_a_barred_serial_number_gets_nothing(world):
    """It is refused, seen, and not approved by any rule."""
    factory = tagged(world, ApprovalMode.AUTOMATIC)
    expect(world, "SN-1", standing=SerialStanding.BARRED)
    device = factory.device("SN-1")
    for _ in range(2):
        with refused(RequestRefused, "device-refused"):
            enrol(world, factory, device)
    assert len(world.events(EventType.DEVICE_REFUSED)) == 1
    assert world.events(EventType.SERIAL_BARRED)[0].personal["factory_serial"] == "SN-1"


def test_a_list_of_expected_numbers_lifts_no_bar(world):
    """An older list may name a number that was barred since: it stays barred, and the note says so."""
    import_factory(world)
    expect(world, "SN-1", standing=SerialStanding.BARRED)
    done = expect(world, "SN-1", "SN-2")
    assert done.value == 1
    assert done.notes == ("still barred: SN-1; --lift-bar would expect them",)
    with world.work.read() as stores:
        acme = stores.manufacturers.by_name("acme")
        assert stores.factory_serials.get(acme.id, "SN-1").standing is SerialStanding.BARRED
    lifted = serials.state_serials(
        world.services, "acme", ["SN-1"], SerialStanding.EXPECTED, lift_bar=True, actor=OPERATOR
    )
    assert (lifted.value, lifted.notes) == (1, ())
    assert len(world.events(EventType.SERIAL_EXPECTED)) == 2


def test_barring_names_devices_that_keep_their_certificate(world):
    """A bar does not revoke; the note says which device to remove. A repeat changes nothing."""
    factory = tagged(world, ApprovalMode.AUTOMATIC)
    enrol(world, factory, factory.device("SN-1"))
    done = expect(world, "SN-1", standing=SerialStanding.BARRED)
    assert done.value == 1
    assert "doorward device remove sensor-sn-1" in done.notes[0]
    assert expect(world, "SN-1", standing=SerialStanding.BARRED).value == 0


def test_an_operator_mode_waits_also_for_expected_devices(world):
    """With `operator`, no rule approves."""
    factory = tagged(world, ApprovalMode.OPERATOR)
    expect(world, "SN-1")
    found = pending(world, factory, factory.device("SN-1"))
    assert found.reason == "operator"
    approve(world, found, "", "extra")
    assert world.principal("sensor-sn-1").groups == ("extra",)


def test_a_group_that_a_field_names_must_exist(world):
    """The text of a factory certificate makes no group, and reaches no group outside of the template's prefix."""
    factory = tagged(world, ApprovalMode.AUTOMATIC, "site-{o}")
    assert pending(world, factory, factory.device("SN-1")).reason == "group-unknown"
    directory.create_group(world.services, "site-acme", actor=OPERATOR)
    enrol(world, factory, factory.device("SN-2"))
    assert world.principal("sensor-sn-2").groups == ("site-acme",)
    with refused(MalformedInput, "template-malformed"):
        add_tag(world, ApprovalMode.AUTOMATIC, "{o}", name="other")


@pytest.mark.parametrize(
    ("approval", "template", "code"),
    [
        (ApprovalMode.AUTOMATIC, "", "template-missing"),
        (ApprovalMode.FIRST, "", "template-missing"),
        (ApprovalMode.AUTOMATIC, "sensor", "template-malformed"),
        (ApprovalMode.EXPECTED, "sensor", "template-malformed"),
    ],
)
def test_a_rule_needs_a_template_that_makes_different_names(world, approval, template, code):
    """Without one, all devices but the first would wait."""
    with refused(MalformedInput, code):
        add_tag(world, approval, template=template)


def test_tags_are_removed_only_if_no_manufacturer_has_them(world):
    """Otherwise its devices would be judged by another rule."""
    tagged(world, ApprovalMode.AUTOMATIC)
    with refused(RequestRefused, "tag-in-use"):
        tags.remove_tag(world.services, "sensors", actor=OPERATOR)
    add_tag(world, ApprovalMode.OPERATOR, name="free")
    tags.remove_tag(world.services, "free", actor=OPERATOR)
    with refused(NotFound, "tag-unknown"):
        tags.remove_tag(world.services, "free", actor=OPERATOR)
    with refused(NotFound, "tag-unknown"):
        other = new_factory("other")
        import_manufacturer(world.services, "other", anchors=[other.root.der], tag="free", actor=OPERATOR)


def test_a_changed_tag_decides_at_the_next_contact(world):
    """A device that waits is judged by the tag as it is then; what a tag needs is checked as when it is added."""
    tagged(world, ApprovalMode.AUTOMATIC)
    acme = import_factory(world, "plain")
    device = acme.device("SN-1")
    assert pending(world, acme, device).reason == "serial-not-expected"
    manufacturers.change_manufacturer(world.services, "plain", tag="sensors", actor=OPERATOR)
    tags.change_tag(world.services, "sensors", approval=ApprovalMode.OPERATOR, groups=[], actor=OPERATOR)
    world.clock.turn(minutes=2)
    assert pending(world, acme, device).reason == "operator"
    again = tags.change_tag(world.services, "sensors", approval=ApprovalMode.OPERATOR, actor=OPERATOR)
    assert again.notes == ("sensors is so already",)
    with refused(MalformedInput, "template-missing"):
        tags.change_tag(
            world.services, "sensors", approval=ApprovalMode.AUTOMATIC, name_template="", actor=OPERATOR
        )
    tags.change_tag(world.services, "sensors", approval=ApprovalMode.FIRST, actor=OPERATOR)
    world.clock.turn(minutes=2)
    assert enrol(world, acme, device).is_new
    with world.work.read() as stores:
        assert stores.enrolment_tags.by_name("sensors").closed_at is not None
    assert (
        tags.change_tag(
            world.services, "sensors", approval=ApprovalMode.FIRST, actor=OPERATOR
        ).value.closed_at
        is None
    )
    assert [one.data["approval"] for one in world.events(EventType.TAG_CHANGED)] == [
        "operator",
        "first",
        "first",
    ]


def test_a_changed_manufacturer(world, factory):
    """Its limit and tag change with an event; what is so already changes nothing."""
    done = manufacturers.change_manufacturer(world.services, "acme", most_pending=1, actor=OPERATOR)
    assert done.value.manufacturer.most_pending == 1
    pending(world, factory, factory.device("SN-1"))
    with refused(RequestRefused, "enrolments-too-many"):
        enrol(world, factory, factory.device("SN-2"))
    again = manufacturers.change_manufacturer(world.services, "acme", most_pending=1, tag="", actor=OPERATOR)
    assert again.notes == ("acme is so already",)
    with refused(RequestRefused, "limit-refused"):
        manufacturers.change_manufacturer(world.services, "acme", most_pending=0, actor=OPERATOR)
    with refused(NotFound, "tag-unknown"):
        manufacturers.change_manufacturer(world.services, "acme", tag="nothing", actor=OPERATOR)
    (event,) = world.events(EventType.MANUFACTURER_CHANGED)
    assert event.data["number"] == 1


def test_barred_serial_numbers_are_listed(world, factory, monkeypatch):
    """All of them, in pages; an expected one is none of them."""
    monkeypatch.setattr(serials, "_BATCH", 2)
    numbers = [f"SN-{number}" for number in range(5)]
    serials.state_serials(world.services, "acme", numbers, SerialStanding.BARRED, actor=OPERATOR)
    expect(world, "SN-9")
    assert [one.serial for one in serials.list_barred(world.services, "acme")] == numbers


@pytest.mark.parametrize("number", ["", " SN", "SN\n", "S" * 65, "SÑ"])
def test_serial_numbers_that_no_certificate_can_state(world, factory, number):
    """They are refused, because they would never match."""
    with refused(MalformedInput, "serial-malformed"):
        expect(world, number)
