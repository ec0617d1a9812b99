"""Finding sources of evidence: those that verified certificates name, and no others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509

from doorward.audit.events import Event
from doorward.core.certificate import CertificateState
from doorward.partners.evidence import SourceScan, sources
from doorward.stores.partner_records import EvidenceKind
from doorward.stores.protocols import Stores, UnitOfWork
from doorward.stores.records import ChangeKind
from doorward.verification.partner import RevocationMode
from tests.support import records
from tests.support.certificates.issuing import certify, crl_at, responder_at
from tests.support.certificates.status import crl_of
from tests.support.partner_world import ISSUING_CRL, RESPONDER, ROOT_CRL, authority, partner_world
from tests.support.ports import NOON


def looked_for(west) -> list[tuple[str, str]]:
    """Return kind and URL of every row."""
    return [(row.kind.value, row.source) for row in west.rows()]


def test_crls_of_authorities_and_leaves_are_found():
    """CRLs of intermediates and leaves are found at once."""
    west = partner_world()
    west.let_in("alice", crl_at(ISSUING_CRL, "ldap://pki.partner.example/"))
    west.look()
    assert looked_for(west) == [("crl", ISSUING_CRL), ("crl", ROOT_CRL)]
    assert {row.try_at for row in west.rows()} == {NOON}


def test_an_anchors_crl_is_looked_for_and_its_status_is_not():
    """An anchor's CRL may cover others; the anchor itself is not checked."""
    west = partner_world()
    root = certify("Other", extra=[crl_at("http://a.example/1"), responder_at(RESPONDER)])
    west.trust([root])
    west.look()
    assert looked_for(west) == [("crl", "http://a.example/1")]


def test_ocsp_is_asked_if_no_crl_is_named():
    """OCSP is used for leaf and intermediate only if they name no CRL."""
    west = partner_world()
    issuing = certify("West Issuing", west.root, extra=[responder_at(RESPONDER)])
    west.trust([west.root], [issuing])
    alice = west.let_in("alice", responder_at(RESPONDER), issuer=issuing)
    west.let_in("bob", responder_at(RESPONDER), crl_at(ISSUING_CRL), issuer=issuing)
    west.look()
    assert looked_for(west) == [("crl", ISSUING_CRL), ("ocsp", RESPONDER), ("ocsp", RESPONDER)]
    assert {row.about for row in west.rows()} == {"", alice.parsed.sha256, issuing.parsed.sha256}


def test_ocsp_is_asked_if_the_crl_is_unavailable():
    """OCSP is used after three failures, until the CRL is back."""
    west = partner_world()
    west.let_in("alice", crl_at(ISSUING_CRL), responder_at(RESPONDER))
    for _ in range(3):
        west.run()
        west.clock.turn(minutes=1)
    assert ("ocsp", RESPONDER) not in looked_for(west)
    west.clock.turn(minutes=10)
    west.look()
    assert ("ocsp", RESPONDER) in looked_for(west)
    west.pages[ISSUING_CRL] = crl_of(west.issuing, next_update=NOON + timedelta(days=9))
    west.run()
    west.clock.turn(minutes=11)
    west.look()
    assert ("ocsp", RESPONDER) not in looked_for(west)


@pytest.mark.parametrize("stands", [CertificateState.REVOKED, CertificateState.ON_HOLD])
def test_only_valid_leaves_count(stands):
    """Nothing is fetched for a revoked or held certificate."""
    west = partner_world()
    west.let_in("alice", crl_at(ISSUING_CRL))
    with west.work.change() as stores:
        stores.certificates.set_state("crt_" + "1".zfill(20), stands, reason=None, revoked_at=None)
    west.look()
    assert looked_for(west) == [("crl", ROOT_CRL)]


def test_certificates_without_a_good_path_give_no_source():
    """The addresses in a certificate without a path to an anchor are ignored."""
    west = partner_world()
    stranger = certify("West Root")
    forged = certify("West Issuing", stranger, key=west.issuing.key, extra=[crl_at("http://evil.example/1")])
    west.trust([west.root], [west.issuing, forged])
    west.let_in("eve", crl_at("http://evil.example/2"), issuer=west.issuing, signer=stranger.key)
    west.let_in(
        "late",
        crl_at("http://late.example/"),
        not_after=NOON - timedelta(days=1),
        not_before=NOON - timedelta(days=2),
    )
    west.let_in("lost", crl_at("http://lost.example/"), issuer=stranger)
    west.look()
    assert looked_for(west) == [("crl", ROOT_CRL)]


def test_off_removes_all_rows():
    """With `revocation: off` all rows are removed."""
    west = partner_world()
    west.look()
    west.trust([west.root], [west.issuing], revocation=RevocationMode.OFF)
    west.look()
    assert west.rows() == []


def test_rows_that_are_not_named_any_more_are_removed():
    """After a change of authorities old rows are removed, with a change if they had evidence."""
    west = partner_world()
    west.pages[ROOT_CRL] = crl_of(west.root)
    west.run()
    before = west.head()
    other = certify("Other", extra=[crl_at("http://a.example/1")])
    west.trust([other])
    west.look()
    assert looked_for(west) == [("crl", "http://a.example/1")]
    with west.work.read() as stores:
        changes = stores.changes.since(before)
    assert [(one.kind, one.subject) for one in changes] == [(ChangeKind.EVIDENCE, west.partner.id)]


def test_a_removed_partner_leaves_no_row():
    """The rows of a removed partner are removed."""
    west = partner_world()
    west.look()
    with west.work.change() as stores:
        stores.partners.remove(west.partner.id, NOON)
    west.look()
    assert west.rows() == []


def test_a_new_leaf_is_found_at_once_and_an_ended_one_later():
    """A new leaf is found in the next step; rows of an expired one go with the next scan."""
    west = partner_world()
    west.look()
    west.let_in("alice", crl_at(ISSUING_CRL), not_after=NOON + timedelta(minutes=5))
    west.look()
    assert ("crl", ISSUING_CRL) in looked_for(west)
    west.clock.turn(minutes=6)
    west.look()
    assert ("crl", ISSUING_CRL) in looked_for(west)
    west.clock.turn(minutes=6)
    west.look()
    assert ("crl", ISSUING_CRL) not in looked_for(west)


def test_many_leaves_are_looked_at_in_pages(monkeypatch):
    """A step reads one page, every leaf is read, and rows are removed only after all were read."""
    monkeypatch.setattr(sources, "CERTIFICATES_AT_ONCE", 2)
    west = partner_world()
    for number in range(5):
        west.let_in(f"user{number}", crl_at(f"http://a.example/{number}"))
    west.look()
    assert len(west.rows()) == 6
    west.scan = SourceScan(west.services)
    assert west.scan.step()
    assert len(west.rows()) == 6
    west.look()
    assert len(west.rows()) == 6


def test_a_long_scan_is_completed(monkeypatch):
    """A long scan still reads the newest leaves and removes old rows."""
    monkeypatch.setattr(sources, "CERTIFICATES_AT_ONCE", 1)
    west = partner_world()
    with west.work.change() as stores:
        stores.evidence.store(records.evidence("west", "http://a.example/gone"))
    for number in range(5):
        west.let_in(f"user{number}", crl_at(f"http://a.example/{number}"))
    for _ in range(7):
        west.scan.step()
        west.clock.turn(minutes=6)
    assert looked_for(west) == [
        *(("crl", f"http://a.example/{number}") for number in range(5)),
        ("crl", ROOT_CRL),
    ]
    west.let_in("late", crl_at("http://a.example/late"))
    west.look()
    assert ("crl", "http://a.example/late") in looked_for(west)


def test_sources_beyond_the_limits_are_counted(monkeypatch):
    """A partner with too many sources gets rows up to its limit; the rest is counted."""
    monkeypatch.setattr(sources, "CRL_LIMIT", 3)
    west = partner_world()
    for number in range(5):
        west.let_in(f"user{number}", crl_at(f"http://a.example/{number}"))
    west.look()
    assert len(west.rows()) == 3
    assert west.scan.left_out == {west.partner.id: 3}


@pytest.mark.parametrize("what", ["authority", "terms"])
def test_a_partner_with_unreadable_terms_does_not_stop_others(what):
    """A partner with unreadable terms keeps its rows; others are scanned as usual."""
    west = partner_world()
    west.look()
    before = looked_for(west)
    east, root = records.partner("east"), certify("East", extra=[crl_at("http://east.example/1")])
    broken = replace(
        authority(west.partner, west.root, anchor=True), der=b"no", sha256="0" * 64, id="aut_broken"
    )
    with west.work.change() as stores:
        if what == "authority":
            kept = stores.partners.authorities(west.partner.id)
            stores.partners.set_authorities(west.partner.id, [*kept, broken])
        else:
            stores.partners.save(replace(west.partner, permitted=("nonsense",)))
        stores.partners.add(east)
        stores.partners.set_authorities(east.id, [authority(east, root, anchor=True)])
    west.pages.clear()
    west.look()
    assert looked_for(west) == before == [("crl", ROOT_CRL)]  # kept: the last word of a list must not be lost
    assert west.scan.unread == ({"west": ("0" * 64,)} if what == "authority" else {})
    with west.work.read() as stores:
        assert [row.source for row in stores.evidence.list(east.id)] == ["http://east.example/1"]


def test_a_known_row_is_not_changed():
    """A scan that finds a row keeps its time and its evidence."""
    west = partner_world()
    west.pages[ROOT_CRL] = crl_of(west.root)
    west.run()
    before = west.row(ROOT_CRL)
    west.scan = SourceScan(west.services)
    west.look()
    assert west.row(ROOT_CRL) == before
    assert before.kind is EvidenceKind.CRL


def test_a_shorter_refresh_holds_at_once():
    """A shorter `refresh` makes rows due earlier, also if it was set before a start."""
    for restarted in (False, True):
        west = partner_world(refresh=timedelta(days=7))
        west.pages[ROOT_CRL] = crl_of(west.root, next_update=NOON + timedelta(days=30))
        west.run()
        assert west.run() == 0
        west.trust([west.root], [west.issuing], refresh=timedelta(hours=1))
        if restarted:
            west.scan = SourceScan(west.services)
        assert west.run() == 1


def test_new_terms_make_failed_rows_due():
    """After a change of terms failed rows are due at once; after a start they are not."""
    west = partner_world(refresh=timedelta(days=1))
    for _ in range(6):
        west.run()
        west.clock.turn(minutes=8)
    west.run()
    assert west.run() == 0
    west.scan = SourceScan(west.services)
    assert west.run() == 0
    west.trust(
        [west.root], [west.issuing], refresh=timedelta(days=1), allow_private=("127.0.0.0/8", "::1/128")
    )
    assert west.run() == 1


def test_addresses_given_by_hand_are_looked_at():
    """For a partner without addresses in its certificates, the operator's addresses are used."""
    by_hand = {"crl_urls": (ISSUING_CRL,), "ocsp_urls": (RESPONDER,)}
    west = partner_world(root_crl="", **by_hand)
    west.look()
    alice = west.let_in("alice")
    west.look()
    assert looked_for(west) == [("crl", ISSUING_CRL), ("ocsp", RESPONDER), ("ocsp", RESPONDER)]
    assert {row.about for row in west.rows()} == {"", alice.parsed.sha256, west.issuing.parsed.sha256}


def test_a_list_from_an_address_given_by_hand_is_taken():
    """RFC 5280 section 6.3.3: without a distribution point the issuer's full CRL covers it."""
    west = partner_world(root_crl="", crl_urls=(ISSUING_CRL,))
    west.let_in("alice")
    west.pages[ISSUING_CRL] = crl_of(west.issuing)
    west.run()
    assert west.row(ISSUING_CRL).der


def test_nothing_is_asked_about_a_short_life():
    """A leaf with noRevAvail is not asked for at the operator's responder, if its partner may issue such ones."""
    null = (x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.56"), b"\x05\x00"), False)
    for short_lived, asked in ((timedelta(days=7), 0), (timedelta(0), 1)):
        west = partner_world(short_lived=short_lived, ocsp_urls=(RESPONDER,))
        west.let_in("alice", null, not_after=NOON + timedelta(days=1))
        west.look()
        assert [row for row in looked_for(west) if row[0] == "ocsp"] == [("ocsp", RESPONDER)] * asked


class _WithoutCertificates:
    """A unit of work that fails if the inventory is read."""

    def __init__(self, work: UnitOfWork) -> None:
        self._work = work

    def change(self, *, traffic: bool = False) -> AbstractContextManager[Stores]:
        return self._work.change(traffic=traffic)

    def record(self, events: Sequence[Event]) -> None:
        self._work.record(events)

    @contextmanager
    def read(self) -> Iterator[Any]:
        with self._work.read() as stores:
            yield SimpleNamespace(partners=stores.partners, evidence=stores.evidence)


def test_without_a_partner_to_check_the_inventory_is_not_read():
    """There may be a million certificates of our own, and the scan asks each second."""
    west = partner_world(revocation=RevocationMode.OFF)
    scan = SourceScan(replace(west.services, work=_WithoutCertificates(west.work)))
    assert [scan.step() for _ in range(3)] == [True, False, False]
    assert west.rows() == []
