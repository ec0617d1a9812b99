"""Building the trust of partners from the records, and caching it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from doorward.core.entities import PrincipalKind
from doorward.core.errors import MalformedInput
from doorward.partners.importing import remove_partner
from doorward.partners.trust import (
    build_partner_trust,
    find_issuer,
    find_path,
    find_unread,
    load_partners,
    read_inputs,
    trust_of,
)
from doorward.stores.records import ChangeKind
from doorward.verification.identity import SanSource
from doorward.verification.partner import PartnerTrust, RevocationMode
from tests.support import records
from tests.support.certificates.issuing import certify
from tests.support.partner_site import PartnerSite, partner_site
from tests.support.partner_world import authority
from tests.support.ports import NOON
from tests.support.world import OPERATOR


def load(site: PartnerSite) -> dict[str, PartnerTrust]:
    """Return the current trust."""
    with site.work.read() as stores:
        return load_partners(stores)


def test_the_trust_has_every_term() -> None:
    """Each term of the record is in the trust."""
    record = records.partner(
        "west",
        source=SanSource.DNS,
        kind=PrincipalKind.DEVICE,
        domain="west.example",
        revocation=RevocationMode.PREFER,
        max_staleness=timedelta(minutes=5),
        permitted=("dns:west.example",),
        excluded=("dns:bad.west.example",),
    )
    root = certify("West Root")
    trust = build_partner_trust(record, [authority(record, root, anchor=True)])
    assert (trust.id, trust.name, trust.revocation) == (record.id, "west", RevocationMode.PREFER)
    assert trust.max_staleness == timedelta(minutes=5)
    assert (trust.identity.source, trust.identity.kind) == (SanSource.DNS, PrincipalKind.DEVICE)
    assert trust.identity.domain == "west.example"
    assert trust.inputs == read_inputs(record.permitted, record.excluded)
    assert trust.store.is_anchor(root.parsed)
    with pytest.raises(MalformedInput):
        read_inputs(("nonsense",), ())


def test_an_intermediate_is_no_anchor() -> None:
    """An intermediate is not trusted by itself."""
    record, root = records.partner("west"), certify("West Root")
    issuing = certify("West Issuing", root)
    rows = [authority(record, root, anchor=True), authority(record, issuing, anchor=False)]
    store = build_partner_trust(record, rows).store
    assert not store.is_anchor(issuing.parsed)
    assert store.find_by_subject(issuing.parsed.subject) == [issuing.parsed]


def test_an_unchanged_trust_is_kept() -> None:
    """The same trust store is returned, with its verified signatures; other terms make another one."""
    site = partner_site(publish=False)
    first = load(site)
    assert load(site)["clinic"].store is first["clinic"].store
    site.bring_in(replacing=True, max_staleness=timedelta(minutes=1))
    second = load(site)
    assert second["clinic"].store is not first["clinic"].store
    assert second["clinic"].max_staleness == timedelta(minutes=1)
    newer = certify("clinic Second", site.root)
    site.bring_in(replacing=True, intermediates=[site.issuing, newer], max_staleness=timedelta(minutes=1))
    third = load(site)
    assert third["clinic"].store is not second["clinic"].store
    assert set(third["clinic"].authority_ids) == {
        one.parsed.sha256 for one in (site.root, site.issuing, newer)
    }


def test_a_removed_partner_is_not_kept() -> None:
    """A removed partner has no trust any more."""
    site = partner_site(publish=False)
    assert set(load(site)) == {"clinic"}
    remove_partner(site.services, "clinic", actor=OPERATOR)
    assert load(site) == {}


def test_certificates_of_one_signer_are_known() -> None:
    """Name and key identify an authority, through renewals and a new import."""
    site = partner_site(publish=False)
    first = load(site)["clinic"].authority_ids[site.issuing.parsed.sha256]
    renewed = certify("clinic Issuing", site.root, key=site.issuing.key, serial=9)
    twin = certify("clinic Issuing", site.root)
    site.bring_in(replacing=True, intermediates=[renewed, twin])
    partner = load(site)["clinic"]
    ids = partner.authority_ids
    second = ids[renewed.parsed.sha256]
    assert set(partner.namesakes[second]) == {first, second}
    assert set(partner.namesakes[ids[twin.parsed.sha256]]) == {ids[twin.parsed.sha256]}
    remove_partner(site.services, "clinic", actor=OPERATOR)
    site.bring_in()
    partner = load(site)["clinic"]
    third = partner.authority_ids[site.issuing.parsed.sha256]
    assert set(partner.namesakes[third]) == {first, second, third}


def test_kept_terms_are_of_the_same_record() -> None:
    """A partner with the same name and authorities but another id is another one."""
    site = partner_site(publish=False)
    with site.work.read() as stores:
        authorities = stores.partners.authorities(site.partner.id)
    known = trust_of(site.partner, authorities)
    other = trust_of(replace(site.partner, id="ptn_other"), authorities)
    assert known is trust_of(site.partner, authorities)
    assert (known.id, other.id) == (site.partner.id, "ptn_other")
    assert other.store is not known.store


def test_another_part_of_the_same_certificates_is_another_trust() -> None:
    """An anchor that became an intermediate is no anchor any more."""
    site = partner_site(publish=False)
    site.bring_in(replacing=True, anchors=[site.root, site.issuing], intermediates=[])
    assert load(site)["clinic"].store.is_anchor(site.issuing.parsed)
    site.bring_in(replacing=True)
    again = load(site)["clinic"].store
    assert again.is_anchor(site.root.parsed)
    assert not again.is_anchor(site.issuing.parsed)


def test_an_anchor_that_cannot_be_read_loses_no_other() -> None:
    """An unreadable anchor is left out and reported; the others stay."""
    site = partner_site()
    bob = site.leaf("bob@clinic.example")
    with site.work.change() as stores:
        kept = stores.partners.authorities(site.partner.id)
        broken = replace(kept[0], der=b"no certificate", sha256="0" * 64, id="aut_broken")
        stores.partners.set_authorities(site.partner.id, [*kept, broken])
        stores.changes.note(ChangeKind.PARTNER, site.partner.id, site.clock.now())
    partner = load(site)["clinic"]
    assert partner.store.is_anchor(site.root.parsed)
    assert "aut_broken" not in partner.namesakes
    with site.work.read() as stores:
        assert find_unread(stores.partners.authorities(site.partner.id)) == ("0" * 64,)
    assert "path-valid" in site.reasons(bob)


def test_terms_that_cannot_be_read_are_no_trust() -> None:
    """A partner with unreadable terms is not trusted."""
    record, root = records.partner("west", permitted=("nonsense",)), certify("West Root")
    assert trust_of(record, [authority(record, root, anchor=True)]) is None


def test_a_path_is_found_for_any_purpose() -> None:
    """Evidence is fetched for every certificate with a good path."""
    record, root = records.partner("west"), certify("West Root")
    trust = build_partner_trust(record, [authority(record, root, anchor=True)])
    server = certify("www", root, ca=False, purposes=(ExtendedKeyUsageOID.SERVER_AUTH,))
    assert find_path(trust, server.parsed, NOON) == (server.parsed, root.parsed)
    assert find_issuer(trust, server.parsed, NOON) == root.parsed
    assert find_issuer(trust, certify("eve", certify("Elsewhere"), ca=False).parsed, NOON) is None
