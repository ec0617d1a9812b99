"""A certificate that was once found revoked stays refused, even if the evidence disappears.

West Root -> West Issuing -> alice (serial 1), bob (serial 2); both are in the inventory
"""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.x509 import ocsp

from doorward.core.errors import Unavailable
from doorward.partners.evidence import fetch_results
from doorward.partners.evidence.recorded_revocations import RevocationUpdate
from doorward.partners.evidence_cache import EvidenceCache
from doorward.pki.der import encode_enumerated, encode_extension
from doorward.stores.records import ChangeKind
from doorward.verification.path.store import TrustStore
from doorward.verification.revocation.path_status import judge_path_status
from doorward.verification.revocation.status import RevocationStatus
from tests.support import records
from tests.support.certificates.issuing import CertifiedKey, certify, crl_at, responder_at
from tests.support.certificates.judging import status_sources
from tests.support.certificates.status import HOUR, answer_about, crl_of, entry, scope
from tests.support.certificates.status_der import list_bytes, listed
from tests.support.partner_world import ISSUING_CRL, RESPONDER, ROOT_CRL, PartnerWorld, partner_world
from tests.support.ports import NOON

HOLD, REMOVED = x509.ReasonFlags.certificate_hold, x509.ReasonFlags.remove_from_crl
DAY = timedelta(days=1)


@pytest.fixture
def west() -> PartnerWorld:
    """Alice and Bob name the CRL of the issuing authority."""
    made = partner_world(root_crl="")
    for number, name in enumerate(("alice", "bob"), start=1):
        made.let_in(name, crl_at(ISSUING_CRL), serial=number)
    return made


def serve(west: PartnerWorld, *entries: object, at: timedelta = timedelta(0), **options: object) -> None:
    """Serve a CRL of the issuing authority that is valid for an hour, and fetch it."""
    begins = NOON + at
    times = {"this_update": begins - HOUR / 2, "next_update": begins + HOUR}
    west.pages[ISSUING_CRL] = crl_of(west.issuing, *entries, **{**times, **options})  # type: ignore[arg-type]
    west.run()


def seen(west: PartnerWorld) -> dict[int, tuple[str, bool]]:
    """Return the recorded revocations: serial number to reason, and whether it is a hold."""
    with west.work.read() as stores:
        return {
            one.serial: (one.reason, one.held)
            for one in stores.evidence.recorded_revocations(west.partner.id)
        }


def judge(west: PartnerWorld, leaf: CertifiedKey) -> RevocationStatus:
    """Return the status of a leaf by the loaded evidence."""
    evidence_cache = EvidenceCache(west.work)
    evidence_cache.load(west.partner.id)
    store = TrustStore([west.root.parsed], [west.issuing.parsed])
    sources = status_sources(evidence_cache.of(west.partner.id), store)
    path = (leaf.parsed, west.issuing.parsed, west.root.parsed)
    return judge_path_status(path, sources, west.services.clock.now())[-1].status


def turn(west: PartnerWorld, by: timedelta) -> None:
    """Advance the clock."""
    west.clock.turn(seconds=by.total_seconds())


def test_revocations_of_known_certificates_are_recorded(west: PartnerWorld) -> None:
    """A revoked authority is recorded too; an unknown certificate is not."""
    serve(west, entry(1, x509.ReasonFlags.key_compromise), 99)
    assert seen(west) == {1: ("key-compromise", False)}
    west.trust(
        [west.root],
        [certify("West Issuing", west.root, key=west.issuing.key, extra=[crl_at(ROOT_CRL)], serial=5)],
    )
    west.pages[ROOT_CRL] = crl_of(west.root, 5)
    west.run()
    assert seen(west) == {1: ("key-compromise", False), 5: ("", False)}


def test_odd_numbers_and_entries_do_not_hide_revocations(west: PartnerWorld) -> None:
    """RFC 5280 sections 5.2.3, 5.3.1, 5.3.2: odd numbers, reasons and dates."""
    carol = west.let_in("carol", crl_at(ISSUING_CRL), serial=3)
    odd = [
        listed(98, reason=encode_enumerated(11)),
        listed(99, encode_extension("2.5.29.24", b"\x00")),
        listed(3),
    ]
    west.pages[ISSUING_CRL] = list_bytes(west.issuing, *odd, number=(1 << 159) - 1)
    west.run()
    assert (west.row(ISSUING_CRL).problem, west.row(ISSUING_CRL).unusable) == ("", False)
    assert judge(west, carol) is RevocationStatus.REVOKED
    assert seen(west) == {3: ("", False)}


def test_a_revocation_stays_if_a_newer_crl_leaves_it_out(west: PartnerWorld) -> None:
    """RFC 5280 section 3.3: an entry stays until the certificate has expired."""
    alice = west.let_in("carol", crl_at(ISSUING_CRL), serial=3)
    serve(west, 3)
    assert judge(west, alice) is RevocationStatus.REVOKED
    turn(west, HOUR)
    serve(west, at=HOUR, number=2)
    assert judge(west, alice) is RevocationStatus.REVOKED
    turn(west, DAY)
    assert judge(west, alice) is RevocationStatus.REVOKED


def test_revocations_are_recorded_before_a_crl_is_replaced(west: PartnerWorld) -> None:
    """A certificate known later is recorded before the CRL is replaced."""
    serve(west, 3)
    assert seen(west) == {}
    carol = west.let_in("carol", crl_at(ISSUING_CRL), serial=3)
    turn(west, 2 * HOUR)
    serve(west, at=2 * HOUR, scope=scope(only_contains_ca_certs=True))
    assert west.row(ISSUING_CRL).der == west.pages[ISSUING_CRL]
    assert seen(west) == {3: ("", False)}
    assert judge(west, carol) is RevocationStatus.REVOKED


def test_revocations_are_recorded_before_a_row_is_removed(west: PartnerWorld) -> None:
    """Before a row is removed, its revocations are recorded."""
    serve(west, 1)
    with west.work.change() as stores:
        for one in stores.evidence.recorded_revocations(west.partner.id):
            stores.evidence.forget_revocation(west.partner.id, one)
    with west.work.change() as stores:
        stores.evidence.store(
            records.evidence(
                "west",
                "http://old.example/crl",
                der=west.pages[ISSUING_CRL],
                sha256=hashlib.sha256(west.pages[ISSUING_CRL]).hexdigest(),
            )
        )
        stores.evidence.store(records.evidence("west", "http://odd.example/crl", der=b"x", sha256="ab"))
    turn(west, HOUR)
    west.look()
    assert [row.source for row in west.rows()] == [ISSUING_CRL]
    assert seen(west) == {1: ("", False)}


def test_a_hold_is_released_by_a_newer_list(west: PartnerWorld) -> None:
    """RFC 5280 section 5.3.1: until then it stays, also after its CRL has expired."""
    erin = west.let_in("erin", crl_at(ISSUING_CRL), serial=3)
    serve(west, entry(3, HOLD))
    assert seen(west) == {3: ("certificate-hold", True)}
    turn(west, 2 * HOUR)
    assert judge(west, erin) is RevocationStatus.REVOKED
    serve(west, at=2 * HOUR, number=2)
    assert seen(west) == {}
    assert judge(west, erin) is RevocationStatus.GOOD
    turn(west, DAY)
    assert judge(west, erin) is RevocationStatus.UNDETERMINED


def test_a_hold_becomes_a_revocation_and_never_the_other_way_round(west: PartnerWorld) -> None:
    """RFC 5280 section 5.3.1."""
    serve(west, entry(1, HOLD))
    turn(west, HOUR)
    serve(west, entry(1, x509.ReasonFlags.superseded), at=HOUR, number=2)
    assert seen(west) == {1: ("superseded", False)}
    turn(west, HOUR)
    serve(west, entry(1, HOLD), at=2 * HOUR, number=3)
    assert seen(west) == {1: ("superseded", False)}


def test_a_delta_crl_releases_a_hold(west: PartnerWorld) -> None:
    """RFC 5280 section 5.2.4: only `removeFromCRL` in a delta CRL releases a hold."""
    west.let_in("fred", crl_at("http://pki.partner.example/delta.crl"), serial=3)
    serve(west, entry(1, HOLD), entry(2, HOLD))
    assert set(seen(west)) == {1, 2}
    turn(west, HOUR / 2)
    west.pages["http://pki.partner.example/delta.crl"] = crl_of(
        west.issuing, entry(1, REMOVED), 3, number=2, base=1, this_update=NOON, next_update=NOON + HOUR
    )
    west.run()
    assert seen(west) == {2: ("certificate-hold", True), 3: ("", False)}


def test_answers_are_remembered_too() -> None:
    """A revocation stays; a hold is released by a newer answer that says good, and by no other."""
    west = partner_world(root_crl="")
    alice = west.let_in("alice", responder_at(RESPONDER), serial=1)

    def say(status: ocsp.OCSPCertStatus, at: timedelta, reason: x509.ReasonFlags | None = None) -> None:
        west.pages[RESPONDER] = answer_about(
            alice,
            west.issuing,
            status=status,
            reason=reason,
            this_update=NOON + at,
            next_update=NOON + at + HOUR,
        )
        west.run()

    say(ocsp.OCSPCertStatus.REVOKED, timedelta(0), HOLD)
    assert seen(west) == {1: ("certificate-hold", True)}
    turn(west, HOUR)
    say(ocsp.OCSPCertStatus.UNKNOWN, HOUR)
    assert seen(west) == {1: ("certificate-hold", True)}
    assert judge(west, alice) is RevocationStatus.REVOKED
    turn(west, HOUR)
    say(ocsp.OCSPCertStatus.GOOD, 2 * HOUR)
    assert (seen(west), judge(west, alice)) == ({}, RevocationStatus.GOOD)
    turn(west, HOUR)
    say(ocsp.OCSPCertStatus.REVOKED, 3 * HOUR)
    turn(west, HOUR)
    say(ocsp.OCSPCertStatus.GOOD, 4 * HOUR)
    assert (seen(west), judge(west, alice)) == ({1: ("", False)}, RevocationStatus.REVOKED)


def test_revocations_are_recorded_if_the_crl_is_too_large_for_the_disk(
    west: PartnerWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a nearly full disk a large CRL is not stored, but its revocations are."""
    carol = west.let_in("carol", crl_at(ISSUING_CRL), serial=3)
    monkeypatch.setattr(fetch_results, "PIECE_BYTES", 0)
    change = west.work.change

    def full(*, traffic: bool = False) -> object:
        if traffic:
            raise Unavailable("store-full", "the disk is nearly full")
        return change()

    monkeypatch.setattr(west.work, "change", full)
    for number, entries in enumerate(((3,), ()), start=1):
        with pytest.raises(Unavailable):
            serve(west, *entries, number=number)
        assert seen(west) == {3: ("", False)}
        turn(west, timedelta(minutes=3))
    assert west.row(ISSUING_CRL).der == b""
    assert judge(west, carol) is RevocationStatus.REVOKED


def test_certificates_without_a_good_path_are_not_recorded(west: PartnerWorld) -> None:
    """An expired certificate, or one without its authority, is refused anyway."""
    west.let_in("gone", crl_at(ISSUING_CRL), serial=3, not_after=NOON - timedelta(minutes=1))
    serve(west, 3)
    assert seen(west) == {}


def test_an_update_changes_something_once(west: PartnerWorld) -> None:
    """`apply` returns whether it changed something."""
    seen = records.seen("aa", 1, "bb")
    update = RevocationUpdate(recorded=(seen,))
    with west.work.change() as stores:
        assert update.apply(stores, west.partner.id)
        assert not update.apply(stores, west.partner.id)
        assert not RevocationUpdate(released=(records.seen("aa", 2, "bb"),)).apply(stores, west.partner.id)


def test_evidence_that_becomes_usable_again_is_a_change(west: PartnerWorld) -> None:
    """Becoming unusable is one change, becoming usable again is another one."""
    serve(west, next_update=NOON + DAY)
    good = west.pages[ISSUING_CRL]

    def changes() -> int:
        with west.work.read() as stores:
            return sum(one.kind is ChangeKind.EVIDENCE for one in stores.changes.since(0))

    assert changes() == 1
    for _ in range(2):
        turn(west, HOUR)
        west.pages[ISSUING_CRL] = b"<html>"
        west.run()
        assert (changes(), west.row(ISSUING_CRL).unusable) == (2, True)
    turn(west, HOUR)
    west.pages[ISSUING_CRL] = good
    west.run()
    assert (changes(), west.row(ISSUING_CRL).unusable) == (3, False)
