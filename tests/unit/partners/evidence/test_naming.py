"""From which address a CRL is accepted: a certificate that the CRL covers must name the address."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509

from doorward.audit.events import EventType
from doorward.core.certificate import CertificateState
from doorward.partners.evidence import fetch_results, sources
from doorward.verification.revocation.crl import parse_crl
from tests.support import records
from tests.support.certificates.issuing import CertifiedKey, certify, crl_at
from tests.support.certificates.status import crl_of, scope
from tests.support.memory_inventory import MemoryCertificates
from tests.support.partner_world import (
    ISSUING_CRL,
    ROOT_CRL,
    PartnerWorld,
    authority,
    inventory_row,
    partner_world,
)
from tests.support.ports import NOON

ELSEWHERE = "http://elsewhere.example/list.crl"


def two_siblings() -> tuple[PartnerWorld, CertifiedKey]:
    """A partner with two issuing authorities that both sign CRLs."""
    west = partner_world()
    sibling = certify("West Sibling", west.root, extra=[crl_at(ROOT_CRL)])
    west.trust([west.root], [west.issuing, sibling])
    return west, sibling


def refusals(west: PartnerWorld) -> list[tuple[object, object]]:
    """Return URL and code of each refusal."""
    return [(one.data["url"], one.data["reason"]) for one in west.events(EventType.EVIDENCE_REFUSED)]


def test_an_authority_serves_no_crl_of_another_authority():
    """An authority cannot serve an old CRL of another one at its own address."""
    west, sibling = two_siblings()
    west.let_in("eve", crl_at(ELSEWHERE))
    west.pages[ELSEWHERE] = crl_of(sibling)
    west.run()
    assert west.row(ELSEWHERE).der == b""
    assert refusals(west) == [(ELSEWHERE, "evidence-of-another")]


def test_a_siblings_list_served_once_keeps_the_right_one_not_out():
    """After another authority's CRL was refused, the right one is accepted."""
    west, sibling = two_siblings()
    west.let_in("alice", crl_at(ISSUING_CRL))
    west.pages[ISSUING_CRL] = crl_of(sibling, number=9)
    west.run()
    west.pages[ISSUING_CRL] = right = crl_of(west.issuing, 7)
    west.clock.turn(minutes=1)
    west.run()
    assert west.row(ISSUING_CRL).der == right


@pytest.mark.parametrize(("indirect", "taken"), [(True, True), (False, False)], ids=["indirect", "its own"])
def test_a_crl_issuer_is_named_for_indirect_lists_only(indirect, taken):
    """Naming another authority as CRL issuer does not cover its own certificates."""
    west, sibling = two_siblings()
    point = x509.DistributionPoint(
        full_name=[x509.UniformResourceIdentifier(ELSEWHERE)],
        relative_name=None,
        reasons=None,
        crl_issuer=[x509.DirectoryName(sibling.certificate.subject)],
    )
    west.let_in("eve", (x509.CRLDistributionPoints([point]), False))
    west.pages[ELSEWHERE] = crl_of(sibling, scope=scope(indirect_crl=True) if indirect else None)
    west.run()
    assert bool(west.row(ELSEWHERE).der) is taken


def test_an_anchors_own_list_is_taken():
    """An anchor needs no path to name its CRL."""
    west = partner_world()
    root = certify("Other", extra=[crl_at(ELSEWHERE)])
    west.trust([root])
    west.pages[ELSEWHERE] = crl_of(root)
    west.run()
    assert west.row(ELSEWHERE).sha256


def test_a_naming_leaf_is_found_on_any_page(monkeypatch):
    """All leaves are read before a CRL is refused."""
    for module in (fetch_results, sources):
        monkeypatch.setattr(module, "CERTIFICATES_AT_ONCE", 2)
    west, sibling = two_siblings()
    for number in range(4):
        west.let_in(f"user{number}", crl_at(ELSEWHERE))
    west.pages[ELSEWHERE] = crl_of(sibling)
    west.run()
    assert west.row(ELSEWHERE).der == b""
    west.let_in("bob", crl_at(ELSEWHERE), issuer=sibling)
    west.clock.turn(minutes=1)
    west.run()
    assert west.row(ELSEWHERE).sha256


@pytest.mark.parametrize("why", ["held", "without a path", "another partner's"])
def test_held_pathless_and_foreign_leaves_name_no_address(why):
    """A held leaf, one without a good path, and another partner's leaf do not count."""
    west, sibling = two_siblings()
    west.let_in("eve", crl_at(ELSEWHERE))
    if why == "another partner's":
        east, twin = records.partner("east"), certify("West Sibling", west.root, key=sibling.key)
        with west.work.change() as stores:
            stores.partners.add(east)
            stores.partners.set_authorities(east.id, [authority(east, twin, anchor=True)])
            leaf = certify("bob", sibling, ca=False, extra=[crl_at(ELSEWHERE)])
            assert stores.certificates.add_seen(inventory_row(east, twin, leaf, 9))
    elif why == "held":
        west.let_in("bob", crl_at(ELSEWHERE), issuer=sibling)
        with west.work.change() as stores:
            held = "crt_" + "2".zfill(20)
            stores.certificates.set_state(held, CertificateState.ON_HOLD, reason=None, revoked_at=None)
    else:
        west.let_in("bob", crl_at(ELSEWHERE), issuer=sibling, not_after=NOON - timedelta(minutes=1))
    west.pages[ELSEWHERE] = crl_of(sibling)
    west.run()
    assert west.row(ELSEWHERE).der == b""
    assert refusals(west) == [(ELSEWHERE, "evidence-of-another")]


def test_others_certificates_are_not_loaded(monkeypatch):
    """Leaves of other partners are not read."""
    west, sibling = two_siblings()
    west.let_in("eve", crl_at(ELSEWHERE))
    east, root = records.partner("east"), certify("East Root")
    with west.work.change() as stores:
        stores.partners.add(east)
        stores.partners.set_authorities(east.id, [authority(east, root, anchor=True)])
        for number in range(7, 10):
            leaf = certify(f"user{number}", root, ca=False, extra=[crl_at(ELSEWHERE)])
            assert stores.certificates.add_seen(inventory_row(east, root, leaf, number))
    read, listed = [], MemoryCertificates.list

    def keep_count(stores, wanted):
        found = listed(stores, wanted)
        read.extend(one.id for one in found)
        return found

    monkeypatch.setattr(MemoryCertificates, "list", keep_count)
    with west.work.read() as stores:
        authorities = tuple(stores.partners.authorities(west.partner.id))
    assert not fetch_results.is_named_for(
        west.services, west.partner, authorities, url=ELSEWHERE, crl=parse_crl(crl_of(sibling)), now=NOON
    )
    assert read == ["crt_" + "1".zfill(20)]


def test_the_list_at_hand_is_not_asked_about_again():
    """A stored CRL stays if the leaf that named it is held; a new CRL must be named again."""
    west, sibling = two_siblings()
    west.let_in("eve", crl_at(ELSEWHERE))
    west.let_in("bob", crl_at(ELSEWHERE), issuer=sibling)
    west.pages[ELSEWHERE] = kept = crl_of(sibling, number=7, next_update=NOON + timedelta(days=1))
    west.run()
    first = west.row(ELSEWHERE)
    assert first.der == kept
    with west.work.change() as stores:
        bob = "crt_" + "2".zfill(20)
        stores.certificates.set_state(bob, CertificateState.ON_HOLD, reason=None, revoked_at=None)
    west.clock.turn(hours=1)
    west.run()
    again = west.row(ELSEWHERE)
    assert again.fetched_at > first.fetched_at
    assert (again.der, again.failures, refusals(west)) == (kept, 0, [])
    west.pages[ELSEWHERE] = crl_of(sibling, number=8, next_update=NOON + timedelta(days=1))
    west.clock.turn(hours=1)
    west.run()
    assert west.row(ELSEWHERE).der == kept
    assert refusals(west) == [(ELSEWHERE, "evidence-of-another")]


def test_a_blank_in_an_address_keeps_no_list_out():
    """An address with a space in the certificate is fetched, and found, with `%20`."""
    west = partner_world(root_crl="http://pki.partner.example/west root.crl")
    url = "http://pki.partner.example/west%20root.crl"
    west.pages[url] = crl_of(west.root)
    west.let_in("alice", crl_at("http://pki.partner.example/west issuing.crl"))
    west.pages["http://pki.partner.example/west%20issuing.crl"] = crl_of(west.issuing)
    west.run()
    assert all(row.sha256 for row in west.rows())
