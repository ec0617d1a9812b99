"""The facts about a partner's certificate that rules can use."""

from __future__ import annotations

from dataclasses import replace

from cryptography import x509

from tests.support.certificates.issuing import certify
from tests.support.partner_site import PartnerSite

BOB = "bob@clinic.example"


def test_rules_see_a_partners_certificate(site: PartnerSite) -> None:
    """Its issuer is each imported authority with that name and key; it has no profile of ours."""
    bob = site.leaf(BOB, names=[x509.RFC822Name(BOB), x509.DNSName("Ward7.Clinic.Example")])
    subject = site.decide(bob).subject
    assert subject is not None
    assert subject.certificate is not None
    row = site.row(bob)
    assert row is not None
    assert subject.certificate.issuers == {row.authority_id}
    assert subject.certificate.profile == ""
    assert subject.certificate.content.dns == ("ward7.clinic.example",)
    assert subject.certificate.content.policies == frozenset()


def test_a_renewed_authority_is_the_same_issuer(site: PartnerSite) -> None:
    """A rule with the old or the new certificate of an authority matches."""
    bob = site.leaf(BOB)
    site.decide(bob)
    former = site.row(bob)
    renewed = certify("clinic Issuing", site.root, key=site.issuing.key, serial=8)
    site.bring_in(intermediates=[renewed], replacing=True)
    subject = site.decide(bob).subject
    assert subject is not None
    assert subject.certificate is not None
    assert former is not None
    assert former.authority_id in subject.certificate.issuers
    assert len(subject.certificate.issuers) == 2


def test_another_partner_with_the_same_authority_is_another_issuer(site: PartnerSite) -> None:
    """Its authorities are not the first partner's, also if they have the same key."""
    bob = site.leaf(BOB)
    site.decide(bob)
    row = site.row(bob)
    ward = replace(site, name="ward")
    ward.bring_in()
    subject = site.decide(bob).subject
    assert row is not None
    assert subject is not None
    assert subject.certificate is not None
    assert subject.certificate.issuers == {row.authority_id}
