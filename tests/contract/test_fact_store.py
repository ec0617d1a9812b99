"""The contract of `FactStore`."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from doorward.core.entities import PrincipalKind, PrincipalState
from doorward.stores.fact_protocols import (
    CertificateFacts,
    InventoryFilter,
    ReportedFacts,
    Sighting,
)
from doorward.stores.protocols import Stores, UnitOfWork
from tests.support.ports import NOON
from tests.support.records import certificate, opaque, principal

MINUTE = timedelta(minutes=1)
BANK = opaque("app", "bank")
FACTS = ReportedFacts(
    host_name="pump.example", system="Linux 6", agent_version="1.2", store="pem", next_renewal=NOON + MINUTE
)
PUMP, VALVE, ALICE = (opaque("dev", "pump"), opaque("dev", "valve"), opaque("per", "alice"))
OLD, NEW, OTHER = (opaque("crt", name) for name in ("old", "new", "other"))


def fill(stores: Stores) -> None:
    """Add a pump with two certificates, a valve with none, and alice with one."""
    for id_, name, kind in (
        (PUMP, "pump", PrincipalKind.DEVICE),
        (VALVE, "valve", PrincipalKind.DEVICE),
        (ALICE, "alice", PrincipalKind.PERSON),
    ):
        stores.directory.add(replace(principal(name), id=id_, kind=kind, groups=()), NOON)
    for serial, (id_, holder) in enumerate(((OLD, PUMP), (NEW, PUMP), (OTHER, ALICE)), start=1):
        record = replace(certificate(serial), id=id_, principal_id=holder, serial=serial)
        stores.certificates.add_intended(record)
        stores.certificates.complete(replace(record, der=b"der"))


@pytest.fixture
def filled(work: UnitOfWork) -> UnitOfWork:
    """A directory with certificates."""
    with work.change() as stores:
        fill(stores)
    return work


def seen(certificate_id: str, minutes: int) -> Sighting:
    """Return a sighting some minutes after noon."""
    return Sighting(certificate_id=certificate_id, at=NOON + minutes * MINUTE, application_id=BANK)


def names(work: UnitOfWork, wanted: InventoryFilter) -> list[str]:
    """Return the names of an inventory."""
    with work.read() as stores:
        found = [stores.directory.get(row.principal_id) for row in stores.facts.inventory(wanted)]
    return [one.name for one in found if one is not None]


def test_a_report_replaces_the_last_one_and_keeps_the_sighting(filled: UnitOfWork) -> None:
    """Each of the two leaves what the other wrote."""
    with filled.change() as stores:
        assert stores.facts.report(NEW, FACTS, NOON)
        assert stores.facts.see([seen(NEW, 1)], again_after=5 * MINUTE) == 1
        assert stores.facts.report(NEW, ReportedFacts(system="Linux 7"), NOON + MINUTE)
    expected = CertificateFacts(
        certificate_id=NEW,
        principal_id=PUMP,
        reported=ReportedFacts(system="Linux 7"),
        reported_at=NOON + MINUTE,
        seen_at=NOON + MINUTE,
        seen_application=BANK,
    )
    with filled.read() as stores:
        assert stores.facts.of([NEW, OLD]) == {NEW: expected}
        assert stores.facts.of([]) == {}


def test_every_field_comes_back(filled: UnitOfWork) -> None:
    """As it was reported."""
    with filled.change() as stores:
        stores.facts.report(OLD, FACTS, NOON)
        kept = stores.facts.of([OLD])[OLD]
    assert (kept.reported, kept.reported_at, kept.seen_at) == (FACTS, NOON, None)


def test_a_sighting_is_noted_again_only_after_a_while(filled: UnitOfWork) -> None:
    """A connection that stays open does not write each minute."""
    with filled.change() as stores:
        written = [
            stores.facts.see([seen(NEW, minute)], again_after=5 * MINUTE) for minute in (0, 4, 5, 3, 10)
        ]
        assert written == [1, 0, 1, 0, 1]
        assert stores.facts.of([NEW])[NEW].seen_at == NOON + 10 * MINUTE
        assert stores.facts.see([seen(OLD, 0), seen(OTHER, 0), seen(NEW, 11)], again_after=5 * MINUTE) == 2
        assert stores.facts.see([], again_after=5 * MINUTE) == 0


def test_nothing_is_kept_about_unknown_and_removed_ones(filled: UnitOfWork) -> None:
    """Facts of a removed principal do not come back."""
    with filled.change() as stores:
        stores.directory.set_state(ALICE, PrincipalState.REMOVED)
        for certificate_id in (OTHER, opaque("crt", "nowhere")):
            assert not stores.facts.report(certificate_id, FACTS, NOON)
            assert stores.facts.see([seen(certificate_id, 0)], again_after=MINUTE) == 0
        assert stores.facts.of([OTHER]) == {}


def test_facts_are_forgotten_with_their_principal(filled: UnitOfWork) -> None:
    """Of all its certificates, and of no other."""
    with filled.change() as stores:
        for certificate_id in (OLD, NEW, OTHER):
            stores.facts.report(certificate_id, FACTS, NOON)
        assert stores.facts.forget(PUMP) == 2
        assert stores.facts.of([OLD, NEW, OTHER]).keys() == {OTHER}
        assert stores.facts.forget(PUMP) == 0


def test_facts_are_forgotten_with_their_partner(filled: UnitOfWork) -> None:
    """Of all principals of the partner."""
    partner = opaque("ptn", "acme")
    with filled.change() as stores:
        guest = replace(principal("acme/bob"), partner=partner)
        stores.directory.add(guest, NOON)
        theirs = replace(certificate(9), principal_id=guest.id)
        stores.certificates.add_intended(theirs)
        stores.facts.report(theirs.id, FACTS, NOON)
        stores.facts.report(OTHER, FACTS, NOON)
        assert stores.facts.forget_partner(partner) == 1
        assert stores.facts.of([theirs.id, OTHER]).keys() == {OTHER}


def test_an_inventory_has_the_newest_of_each(filled: UnitOfWork) -> None:
    """The certificate that was seen last, the report that came last, the latest end of what is valid."""
    with filled.change() as stores:
        stores.facts.see([seen(OLD, 9), seen(NEW, 1)], again_after=MINUTE)
        stores.facts.report(OLD, FACTS, NOON)
        stores.facts.report(NEW, ReportedFacts(system="new"), NOON + MINUTE)
        end = stores.certificates.get(NEW)
        pump, valve = stores.facts.inventory(InventoryFilter(kind=PrincipalKind.DEVICE))
    assert end is not None
    assert (pump.principal_id, valve.principal_id) == (PUMP, VALVE)
    assert pump.seen is not None
    assert pump.reported is not None
    assert (pump.seen.certificate_id, pump.reported.certificate_id) == (OLD, NEW)
    assert pump.valid_until == end.not_after
    assert (valve.seen, valve.reported, valve.valid_until) == (None, None, None)


def test_an_inventory_is_filtered_and_has_pages(filled: UnitOfWork) -> None:
    """By the last time and by reports; the order is that of the names."""
    devices = InventoryFilter(kind=PrincipalKind.DEVICE)
    with filled.change() as stores:
        stores.facts.see([seen(OLD, 9)], again_after=MINUTE)
        stores.facts.report(OLD, FACTS, NOON)
    assert names(filled, devices) == ["pump", "valve"]
    assert names(filled, replace(devices, unseen_since=NOON + 9 * MINUTE)) == ["valve"]
    assert names(filled, replace(devices, unseen_since=NOON + 10 * MINUTE)) == ["pump", "valve"]
    assert names(filled, replace(devices, not_reported=True)) == ["valve"]
    assert names(filled, replace(devices, limit=1)) == ["pump"]
    assert names(filled, replace(devices, after_name="pump")) == ["valve"]
    assert names(filled, InventoryFilter(kind=PrincipalKind.PERSON)) == ["alice"]
    with filled.change() as stores:
        stores.directory.set_state(PUMP, PrincipalState.REMOVED)
    assert names(filled, devices) == ["valve"]


def test_a_read_transaction_writes_no_facts(filled: UnitOfWork) -> None:
    """As every store."""
    with pytest.raises(RuntimeError), filled.read() as stores:
        stores.facts.report(NEW, FACTS, NOON)
