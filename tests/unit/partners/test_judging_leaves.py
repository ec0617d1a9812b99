"""Which certificates of partners are cached."""

from __future__ import annotations

from doorward.partners.evidence_cache import EvidenceCache
from doorward.partners.judging import judge_for_partners
from doorward.partners.trust import load_partners
from doorward.verification.certificate_cache import CertificateCache
from doorward.verification.steps import PresentedCertificate
from tests.support.certificates.issuing import certify
from tests.support.partner_world import partner_world
from tests.support.ports import NOON


def test_only_certificates_of_the_inventory_are_kept() -> None:
    """Other certificates are not cached, so that they cannot displace these."""
    world, cache = partner_world(), CertificateCache()
    known = world.let_in("alice")
    strangers = [
        certify("bob", world.issuing, ca=False),
        certify("eve", world.issuing, ca=False, signer=known.key),
    ]
    with world.services.work.read() as stores:
        partners = list(load_partners(stores).values())
        for leaf in (*strangers, known):
            assert len(cache) == 0
            judge_for_partners(
                stores,
                PresentedCertificate(der=leaf.der),
                stores.certificates.by_sha256(leaf.parsed.sha256),
                partners=partners,
                evidence_cache=EvidenceCache(world.services.work),
                now=NOON,
                trust_domain="corp.example",
                certificate_cache=cache,
            )
    assert len(cache) == 1  # the one that is known
