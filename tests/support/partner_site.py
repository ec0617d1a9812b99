"""A founded world with an imported partner and loaded evidence.

    site = partner_site(everyone=True)                # clinic; evidence required and at hand
    bob = site.leaf("bob@clinic.example")
    site.decide(bob)                                  # what a gateway would be told
    site.publish(bob)                                 # a newer list, with bob on it, on the evidence cache

The application `payments` hears our own authority and the partner, `sensors` our own only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from cryptography import x509

from doorward.access import policies
from doorward.access.deciding import AccessDecider, AccessDecision
from doorward.partners.evidence_cache import EvidenceCache
from doorward.partners.importing import ImportResult, find_replaced, import_partner
from doorward.partners.terms import Terms
from doorward.stores.change_result import ChangeResult
from doorward.stores.partner_records import PartnerRecord
from doorward.stores.records import CertificateRecord, ChangeKind
from tests.support.certificates.issuing import CertifiedKey, certify
from tests.support.certificates.status import crl_of
from tests.support.records import fetched_crl
from tests.support.world import DOCUMENT, OPERATOR, World, found_world

DAY = timedelta(days=1)
GUESTS = "      - {name: guests, allow: {groups: [clinicians]}}\n"


def hearing(*names: str) -> str:
    """Return the document with an application that trusts these partners and admits their people."""
    heard = f"    trust: [{', '.join(names)}]\n    rules:\n"
    return DOCUMENT.replace("    rules:\n", heard, 1).replace(
        "  sensors:\n    hosts", f"{GUESTS}  sensors:\n    hosts"
    )


@dataclass(kw_only=True)
class PartnerSite(World):
    """A world with a partner, which is imported and judged by the real use cases."""

    root: CertifiedKey
    issuing: CertifiedKey
    evidence_cache: EvidenceCache = field(init=False)
    judge: AccessDecider = field(init=False)
    name: str = "clinic"
    terms: dict[str, Any] = field(default_factory=dict)
    count: int = 0
    number: int = 0

    def __post_init__(self) -> None:
        self.evidence_cache = EvidenceCache(self.work)
        self.judge = self.decider(self.evidence_cache)

    @property
    def partner(self) -> PartnerRecord:
        """The partner's current record."""
        with self.work.read() as stores:
            found = stores.partners.by_name(self.name)
        assert found is not None
        return found

    def bring_in(
        self,
        *,
        anchors: Sequence[CertifiedKey] | None = None,
        intermediates: Sequence[CertifiedKey] | None = None,
        replacing: bool = False,
        **terms: Any,
    ) -> ChangeResult[ImportResult]:
        """Import the partner; arguments replace its first authorities and terms."""
        return import_partner(
            self.services,
            self.name,
            Terms(**{**self.terms, **terms}),
            anchors=[one.der for one in ([self.root] if anchors is None else anchors)],
            intermediates=[one.der for one in ([self.issuing] if intermediates is None else intermediates)],
            replacing=find_replaced(self.services, self.name, replacing=replacing),
            actor=OPERATOR,
        )

    def leaf(self, email: str, **words: Any) -> CertifiedKey:
        """Return a certificate of the partner; arguments replace the good values."""
        self.count += 1
        given = {"names": [x509.RFC822Name(email)], "serial": 1000 + self.count, **words}
        return certify(email, given.pop("issuer", self.issuing), ca=given.pop("ca", False), **given)

    def publish(self, *revoked: CertifiedKey, lifetime: timedelta = DAY, load: bool = True) -> int:
        """Store newer CRLs of both authorities, and load them; return the change number."""
        self.number += 1
        now, partner = self.clock.now(), self.partner
        for issuer, listed in ((self.root, ()), (self.issuing, revoked)):
            serials = [one.certificate.serial_number for one in listed]
            der = crl_of(issuer, *serials, number=self.number, this_update=now, next_update=now + lifetime)
            source = f"http://crl.example/{issuer.parsed.sha256}"
            with self.work.change() as stores:
                stores.evidence.store(fetched_crl(partner.id, source, der, now))
                seq = stores.changes.note(ChangeKind.EVIDENCE, partner.id, now)
        if load:
            self.evidence_cache.load(partner.id)
        return seq

    def hear(self, *names: str) -> int:
        """Let `payments` trust these authorities; return the change number."""
        return policies.apply_document(self.services, hearing(*names), file="test.yaml", actor=OPERATOR).seq

    def decide(
        self, leaf: CertifiedKey | bytes | None, app: str = "payments", **changes: object
    ) -> AccessDecision:
        """Return a gateway's decision about a leaf; the decider lives as long as the site."""
        if not isinstance(leaf, CertifiedKey):
            return super().decide(leaf, app, **changes)
        return self.judge.decide(self.context(app, **changes), leaf.der)

    def reasons(self, leaf: CertifiedKey, app: str = "payments") -> list[str]:
        """The reasons of a decision, in words."""
        return [one.value for one in self.decide(leaf, app).verdict.reasons]

    def row(self, leaf: CertifiedKey) -> CertificateRecord | None:
        """Return the inventory's record of a certificate."""
        with self.work.read() as stores:
            return stores.certificates.by_sha256(leaf.parsed.sha256)


def partner_site(name: str = "clinic", *, publish: bool = True, **terms: Any) -> PartnerSite:
    """Return a founded world with one partner that `payments` trusts; `terms` are fields of `Terms`."""
    root = certify(f"{name} Root")
    site = found_world(
        PartnerSite,
        root=root,
        issuing=certify(f"{name} Issuing", root),
        name=name,
        terms={"groups": ("clinicians",), **terms},
    )
    site.bring_in()
    site.hear("own", name)
    if publish:
        site.publish()
    return site
