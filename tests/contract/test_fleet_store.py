"""The contract of the stores of device fleets."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from doorward.core.entities import TENANT
from doorward.core.errors import RequestRefused
from doorward.stores.fleet_records import (
    ApprovalMode,
    DeviceEnrolmentRecord,
    EnrolmentState,
    EnrolmentTagRecord,
    FactorySerialRecord,
    ManufacturerAuthorityRecord,
    ManufacturerRecord,
    SerialStanding,
)
from doorward.stores.protocols import UnitOfWork
from tests.support.ports import NOON
from tests.support.records import opaque
from tests.support.refusals import refused

ACME, OTHER = opaque("mfr", "acme"), opaque("mfr", "other")
LATER = NOON + timedelta(minutes=5)
EVERY_STATE = tuple(EnrolmentState)


def manufacturer(id_: str = ACME, name: str = "acme") -> ManufacturerRecord:
    """A manufacturer."""
    return ManufacturerRecord(
        id=id_, tenant=TENANT, name=name, tag="sensors", most_pending=3, created_at=NOON
    )


def authority(name: str, *, anchor: bool = True, of: str = ACME) -> ManufacturerAuthorityRecord:
    """One certificate of a manufacturer."""
    return ManufacturerAuthorityRecord(
        id=opaque("aut", name),
        tenant=TENANT,
        manufacturer_id=of,
        sha256=name * 64,
        anchor=anchor,
        der=name.encode(),
        not_after=LATER,
        created_at=NOON,
    )


def enrolment(name: str = "a", *, of: str = ACME, **fields: object) -> DeviceEnrolmentRecord:
    """An enrolment that is pending."""
    made = DeviceEnrolmentRecord(
        id=opaque("den", name),
        tenant=TENANT,
        manufacturer_id=of,
        fingerprint=name * 64,
        serial=f"SN-{name}",
        subject=f"CN={name}",
        factory_der=name.encode(),
        state=EnrolmentState.PENDING,
        wanted_key="k" * 64,
        source="192.0.2.7",
        created_at=NOON,
        seen_at=NOON,
    )
    return replace(made, **fields)  # type: ignore[arg-type]  # keywords are passed through


def test_manufacturers_are_kept_with_their_authorities(work: UnitOfWork) -> None:
    """A name belongs to one manufacturer at a time; a removed one is found by its id only."""
    sub, root = authority("a", anchor=False), authority("b")
    with work.change() as stores:
        stores.manufacturers.add(manufacturer(), [sub, root])
        stores.manufacturers.add(manufacturer(OTHER, "a-factory"), [authority("c", of=OTHER)])
    with refused(RequestRefused, "name-taken"), work.change() as stores:
        stores.manufacturers.add(manufacturer(opaque("mfr", "again")), [])
    with work.read() as stores:
        assert stores.manufacturers.get(ACME) == stores.manufacturers.by_name("acme") == manufacturer()
        assert [one.name for one in stores.manufacturers.list()] == ["a-factory", "acme"]
        assert stores.manufacturers.authorities(ACME) == [root, sub]
    with work.change() as stores:
        stores.manufacturers.change(ACME, tag="gauges", most_pending=3)
        changed = replace(manufacturer(), tag="gauges", most_pending=3)
        assert stores.manufacturers.get(ACME) == changed
        stores.manufacturers.change(ACME, tag=manufacturer().tag, most_pending=manufacturer().most_pending)
    with work.change() as stores:
        assert stores.manufacturers.remove(ACME, LATER)
        assert not stores.manufacturers.remove(ACME, LATER)
        assert stores.manufacturers.by_name("acme") is None
        assert stores.manufacturers.get(ACME) == replace(manufacturer(), removed_at=LATER)
        stores.manufacturers.add(manufacturer(opaque("mfr", "again")), [])


def test_a_factory_certificate_has_one_enrolment(work: UnitOfWork) -> None:
    """A second enrolment for the same factory certificate is not added."""
    first = enrolment()
    with work.change() as stores:
        assert stores.device_enrolments.add(first)
        assert not stores.device_enrolments.add(replace(first, id=opaque("den", "b")))
    with work.read() as stores:
        assert stores.device_enrolments.get(first.id) == first
        assert stores.device_enrolments.by_fingerprint(first.fingerprint) == first
        assert stores.device_enrolments.by_fingerprint("0" * 64) is None
        assert stores.device_enrolments.by_serial(ACME, "SN-a") == [first]
        assert stores.device_enrolments.by_serial(OTHER, "SN-a") == []


def test_one_of_two_callers_advances_an_enrolment(work: UnitOfWork) -> None:
    """The state is compared and set: the second caller with the same view fails, and the first one's values stay."""
    before = enrolment()
    approved = replace(
        before,
        state=EnrolmentState.APPROVED,
        principal_id=opaque("dev", "a"),
        decided_by="os:1000",
        decided_at=LATER,
        seen_at=LATER,
        contacts=4,
        keys=2,
        sources=3,
        source="192.0.2.8",
        reason="by-operator",
    )
    with work.change() as stores:
        stores.device_enrolments.add(before)
        assert stores.device_enrolments.advance(before, approved)
        assert not stores.device_enrolments.advance(before, replace(before, state=EnrolmentState.REFUSED))
    enrolled = replace(
        approved, state=EnrolmentState.ENROLLED, certificate_id=opaque("crt", "a"), issued_key="k" * 64
    )
    with work.change() as stores:
        assert stores.device_enrolments.advance(approved, enrolled)
        assert not stores.device_enrolments.advance(approved, enrolled)
        assert stores.device_enrolments.get(before.id) == enrolled
        assert stores.device_enrolments.by_principal(enrolled.principal_id) == [enrolled]
        assert stores.device_enrolments.by_principal(opaque("dev", "b")) == []


def test_enrolments_are_listed_counted_and_removed(work: UnitOfWork) -> None:
    """By state and manufacturer, in pages."""
    made = [enrolment("a"), enrolment("b"), enrolment("c", of=OTHER), enrolment("d")]
    made[3] = replace(made[3], state=EnrolmentState.ENROLLED, certificate_id=opaque("crt", "d"))
    pending = sorted((one for one in made[:3]), key=lambda one: one.id)
    with work.change() as stores:
        for one in made:
            stores.device_enrolments.add(one)
    with work.read() as stores:
        kept = stores.device_enrolments
        waiting = [EnrolmentState.PENDING]
        assert kept.list(states=waiting) == pending
        assert kept.list(states=waiting, limit=1) == pending[:1]
        assert kept.list(states=waiting, after_id=pending[0].id) == pending[1:]
        assert kept.list(states=waiting, manufacturer_id=OTHER) == [made[2]]
        assert {one.id for one in kept.list(states=EVERY_STATE)} == {one.id for one in made}
        assert kept.list(states=[]) == []
        assert kept.count() == {EnrolmentState.PENDING: 3, EnrolmentState.ENROLLED: 1}
        assert kept.count(OTHER) == {EnrolmentState.PENDING: 1}
        assert kept.count_in(ACME, EnrolmentState.PENDING) == 2
        assert kept.count_in(ACME, EnrolmentState.REFUSED) == 0
    with work.change() as stores:
        assert stores.device_enrolments.remove(ACME, [EnrolmentState.DUPLICATE]) == 0
        assert stores.device_enrolments.remove(ACME, EVERY_STATE) == 2
        assert {one.id for one in stores.device_enrolments.list(states=EVERY_STATE)} == {
            made[2].id,
            made[3].id,
        }


def test_tags_are_kept_and_closed_once(work: UnitOfWork) -> None:
    """A tag has one name; it is closed by one caller."""
    tag = EnrolmentTagRecord(
        id=opaque("tag", "sensors"),
        tenant=TENANT,
        name="sensors",
        approval=ApprovalMode.FIRST,
        groups=("sensors", "plant-1"),
        name_template="sensor-{serial}",
        created_at=NOON,
    )
    with work.change() as stores:
        stores.enrolment_tags.add(tag)
    with refused(RequestRefused, "name-taken"), work.change() as stores:
        stores.enrolment_tags.add(replace(tag, id=opaque("tag", "again")))
    with work.change() as stores:
        assert stores.enrolment_tags.by_name("sensors") == tag
        assert stores.enrolment_tags.close(tag.id, LATER)
        assert not stores.enrolment_tags.close(tag.id, LATER)
        assert stores.enrolment_tags.list() == [replace(tag, closed_at=LATER)]
        changed = replace(tag, approval=ApprovalMode.OPERATOR, groups=(), name_template="")
        stores.enrolment_tags.change(changed)
        assert stores.enrolment_tags.by_name("sensors") == changed
        assert stores.enrolment_tags.remove(tag.id)
        assert not stores.enrolment_tags.remove(tag.id)
        assert stores.enrolment_tags.by_name("sensors") is None


def test_serial_numbers_are_kept_for_each_manufacturer(work: UnitOfWork) -> None:
    """The last statement about a serial number is kept; another manufacturer's number is another number."""
    expected = FactorySerialRecord(
        tenant=TENANT,
        manufacturer_id=ACME,
        serial="SN-1",
        standing=SerialStanding.EXPECTED,
        principal_id=opaque("dev", "a"),
        created_at=NOON,
    )
    barred = replace(expected, standing=SerialStanding.BARRED, principal_id="")
    with work.change() as stores:
        stores.factory_serials.save(expected)
        assert stores.factory_serials.get(ACME, "SN-1") == expected
        assert stores.factory_serials.get(OTHER, "SN-1") is None
        stores.factory_serials.save(replace(barred, created_at=LATER))
        assert stores.factory_serials.get(ACME, "SN-1") == barred
        assert stores.factory_serials.count(ACME) == 1
        assert stores.factory_serials.count_in(ACME, SerialStanding.BARRED) == 1
        assert stores.factory_serials.count_in(ACME, SerialStanding.EXPECTED) == 0
        assert stores.factory_serials.count_in(OTHER, SerialStanding.BARRED) == 0
        assert stores.factory_serials.list(ACME, SerialStanding.BARRED) == [barred]
        assert stores.factory_serials.list(ACME, SerialStanding.BARRED, after="SN-1") == []
        assert stores.factory_serials.list(ACME, SerialStanding.BARRED, limit=0) == []
        assert stores.factory_serials.list(ACME, SerialStanding.EXPECTED) == []
        assert stores.factory_serials.remove_all(ACME) == 1
        assert stores.factory_serials.count(ACME) == 0


def test_records_of_another_tenant_are_refused(work: UnitOfWork) -> None:
    """A store of one tenant writes for no other."""
    with pytest.raises(ValueError, match="another tenant"), work.change() as stores:
        stores.device_enrolments.add(enrolment(tenant="tnt_other"))
    with pytest.raises(ValueError, match="another tenant"), work.change() as stores:
        stores.manufacturers.add(replace(manufacturer(), tenant="tnt_other"), [])
