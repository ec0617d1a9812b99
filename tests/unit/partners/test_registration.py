"""Recording a partner's certificate and principal: only verified ones, once, and on the terms in force."""

from __future__ import annotations

from dataclasses import replace

import pytest

from doorward.audit.events import EventType
from doorward.core.errors import Unavailable
from doorward.directory import removal
from doorward.partners.importing import remove_partner
from doorward.partners.judging import PendingRegistration, judge_for_partners
from doorward.partners.registration import register
from doorward.partners.trust import load_partners
from doorward.stores.records import ChangeKind
from doorward.verification.steps import PresentedCertificate
from tests.support.certificates.issuing import CertifiedKey, certify
from tests.support.partner_site import PartnerSite
from tests.support.world import OPERATOR

BOB = "bob@clinic.example"
NAME = f"clinic/{BOB}"


def registration(site: PartnerSite, leaf: CertifiedKey) -> PendingRegistration:
    """Return the pending registration of a certificate."""
    with site.work.read() as stores:
        _, found = judge_for_partners(
            stores,
            PresentedCertificate(der=leaf.der),
            stores.certificates.by_sha256(leaf.parsed.sha256),
            partners=list(load_partners(stores).values()),
            evidence_cache=site.evidence_cache,
            now=site.clock.now(),
            trust_domain="corp.example",
        )
    assert found is not None
    return found


def write(site: PartnerSite, found: PendingRegistration) -> int:
    """Register it; return the number of changes."""
    before = site.head()
    register(site.services, found, site.clock.now())
    return site.head() - before


def test_certificate_and_principal_are_written_down(site: PartnerSite) -> None:
    """Both get a record, an event and a change; names are personal fields."""
    bob = site.leaf(BOB)
    assert write(site, registration(site, bob)) == 2
    row = site.row(bob)
    principal = site.principal(NAME)
    assert row is not None
    assert (row.principal_id, row.serial) == (principal.id, bob.certificate.serial_number)
    (seen,) = site.events(EventType.CERTIFICATE_SEEN)
    assert (seen.actor, seen.data["certificate"], seen.data["principal"]) == ("system", row.id, principal.id)
    assert (seen.data["partner"], seen.data["authority"]) == (site.partner.id, row.authority_id)
    assert seen.data["sha256"] == row.sha256
    assert BOB not in str(dict(seen.data))
    assert BOB in seen.personal["san"]
    created = site.events(EventType.PRINCIPAL_CREATED)[-1]
    assert (created.actor, created.data["partner"]) == ("system", site.partner.id)
    assert created.personal["name"] == NAME
    with site.work.read() as stores:
        kinds = [one.kind for one in stores.changes.since(site.head() - 2, limit=9)]
    assert kinds == [ChangeKind.PRINCIPAL, ChangeKind.CERTIFICATE]


def test_somebody_was_quicker(site: PartnerSite) -> None:
    """A registration by another gateway is not repeated."""
    bob = site.leaf(BOB)
    found = registration(site, bob)
    write(site, found)
    row = site.row(bob)
    assert write(site, found) == 0
    assert site.row(bob) == row
    assert len(site.events(EventType.CERTIFICATE_SEEN)) == 1


def test_two_certificates_of_one_person_at_once(site: PartnerSite) -> None:
    """The second registration uses the principal of the first."""
    first, second = site.leaf(BOB), site.leaf(BOB)
    found = [registration(site, one) for one in (first, second)]
    for one in found:
        write(site, one)
    decision = site.decide(second)
    assert decision.principal is not None
    row = site.row(second)
    assert row is not None
    assert row.principal_id == decision.principal.id
    created = site.events(EventType.PRINCIPAL_CREATED)
    assert len([one for one in created if one.data.get("partner")]) == 1


def test_former_terms_write_nothing(site: PartnerSite) -> None:
    """A registration on former terms writes nothing."""
    found = registration(site, site.leaf(BOB))
    site.bring_in(replacing=True, everyone=False)
    assert write(site, found) == 0
    found = registration(site, site.leaf("eve@clinic.example"))
    remove_partner(site.services, "clinic", actor=OPERATOR)
    assert write(site, found) == 0
    assert site.events(EventType.CERTIFICATE_SEEN) == []


def test_a_removed_principal_stays_out(site: PartnerSite) -> None:
    """The next certificate of a removed principal is recorded without a principal."""
    site.decide(site.leaf(BOB))
    removal.remove(site.services, NAME, actor=OPERATOR)
    again = site.leaf(BOB)
    assert write(site, registration(site, again)) == 1
    row = site.row(again)
    assert row is not None
    assert row.principal_id == ""


def test_the_number_was_given_away(site: PartnerSite) -> None:
    """Of two certificates with one serial number the second is not recorded."""
    first, second = site.leaf(BOB, serial=5), site.leaf("eve@clinic.example", serial=5)
    found = [registration(site, one) for one in (first, second)]
    for one in found:
        write(site, one)
    assert site.row(first) is not None
    assert site.row(second) is None
    assert "serial-not-unique" in site.reasons(second)


def test_a_number_that_is_taken_is_not_taken_over(site: PartnerSite) -> None:
    """A record keeps its authority if the new one has another certificate with its serial."""
    bob = site.leaf(BOB)
    site.decide(bob)
    before = site.row(bob)
    assert before is not None
    renewed = certify("clinic Issuing", site.root, key=site.issuing.key, serial=99)
    site.bring_in(replacing=True, intermediates=[renewed])
    site.publish()
    found = registration(site, bob)
    with site.work.change() as stores:
        stores.certificates.add_seen(
            replace(before, id=f"crt_{9:020d}", sha256="9" * 64, authority_id=found.authority_id)
        )
    assert write(site, found) == 0
    assert site.row(bob) == before


def test_a_failed_registration_refuses_the_connection(site: PartnerSite) -> None:
    """If the database cannot be written, the connection is refused with an error."""
    bob = site.leaf(BOB)
    found = registration(site, bob)
    site.work.broken = Unavailable("database-unavailable", "the disk is full")
    with pytest.raises(Unavailable):
        register(site.services, found, site.clock.now())
    site.work.broken = None
    assert site.row(bob) is None
