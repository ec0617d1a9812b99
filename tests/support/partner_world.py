"""A founded authority with a partner, and a fake network that serves the partner's evidence.

    west = partner_world()
    alice = west.let_in("alice", crl="http://pki.partner.example/issuing.crl")
    west.pages["http://pki.partner.example/issuing.crl"] = crl_of(west.issuing)
    west.run()                                   # scan, lease, fetch, process: what `serve` does in threads

The partner's own chain is `root` (anchor), `issuing`; `issuing` names `ROOT_CRL`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509

from doorward.core.certificate import CertificateState
from doorward.core.entities import TENANT
from doorward.core.errors import DoorwardError
from doorward.core.ports import FetchResponse
from doorward.partners.evidence import FetchSlots, SourceScan, lease_due, process_fetch_result
from doorward.stores.partner_records import (
    EvidenceKind,
    EvidenceRecord,
    PartnerAuthorityRecord,
    PartnerRecord,
)
from doorward.stores.records import CertificateRecord
from tests.support import records
from tests.support.certificates.issuing import CertifiedKey, certify, crl_at
from tests.support.ports import NOON, FakeFetcher
from tests.support.world import World, empty_world

ROOT_CRL = "http://pki.partner.example/root.crl"
ISSUING_CRL = "http://pki.partner.example/issuing.crl"
RESPONDER = "http://ocsp.partner.example/"


@dataclass(kw_only=True)
class PartnerWorld(World):
    """The stores, the clock, a network of a few pages, and one partner with the name `west`."""

    fetcher: FakeFetcher = field(default_factory=FakeFetcher)
    root: CertifiedKey
    issuing: CertifiedKey
    scan: SourceScan = field(init=False)
    slots: FetchSlots = field(default_factory=FetchSlots)
    partner: PartnerRecord = field(default_factory=lambda: records.partner("west"))
    count: int = 0

    @property
    def pages(self) -> dict[str, Any]:
        """The pages that are served, by address."""
        return self.fetcher.pages

    def trust(
        self, anchors: Sequence[CertifiedKey], intermediates: Sequence[CertifiedKey] = (), **terms: Any
    ) -> None:
        """Import these authorities of the partner, on these terms."""
        made = [authority(self.partner, one, anchor=True) for one in anchors]
        made += [authority(self.partner, one, anchor=False) for one in intermediates]
        with self.work.change() as stores:
            if stores.partners.get(self.partner.id) is None:
                stores.partners.add(self.partner)
            self.partner = records.partner("west", **terms)
            stores.partners.save(self.partner)
            stores.partners.set_authorities(self.partner.id, made)

    def let_in(self, name: str, *extra: tuple[x509.ExtensionType, bool], **options: Any) -> CertifiedKey:
        """Return a leaf that was admitted before, so that it is in the inventory."""
        issuer = options.pop("issuer", self.issuing)
        leaf: CertifiedKey = options.pop("leaf", None) or certify(
            name, issuer, ca=False, extra=extra, **options
        )
        self.count += 1
        with self.work.change() as stores:
            assert stores.certificates.add_seen(inventory_row(self.partner, issuer, leaf, self.count))
        return leaf

    def look(self) -> None:
        """Scan for sources until no page is left."""
        while self.scan.step():
            pass

    def run(self) -> int:
        """Scan, lease the due fetches, fetch, process the results; return how many were fetched."""
        self.look()
        tasks = lease_due(self.services, self.slots)
        for task in tasks:
            outcome: FetchResponse | DoorwardError
            try:
                outcome = self.fetcher.fetch(task.request)
            except DoorwardError as error:
                outcome = error
            process_fetch_result(self.services, task, outcome)
            self.slots.release(task.evidence.partner_id, task.host, task.evidence.kind)
        return len(tasks)

    def rows(self) -> list[EvidenceRecord]:
        """Return the rows of evidence, without their bytes."""
        with self.work.read() as stores:
            return stores.evidence.list(self.partner.id)

    def row(self, source: str, about: CertifiedKey | None = None) -> EvidenceRecord:
        """Return one row with its bytes."""
        kind = EvidenceKind.OCSP if about else EvidenceKind.CRL
        with self.work.read() as stores:
            found = stores.evidence.get(self.partner.id, kind, source, about.parsed.sha256 if about else "")
        assert found is not None
        return found


def authority(partner: PartnerRecord, node: CertifiedKey, *, anchor: bool) -> PartnerAuthorityRecord:
    """Return the record of one authority."""
    return PartnerAuthorityRecord(
        id=records.opaque("aut", node.parsed.sha256),
        tenant=TENANT,
        partner_id=partner.id,
        sha256=node.parsed.sha256,
        anchor=anchor,
        der=node.der,
        not_after=node.parsed.not_after,
        created_at=NOON,
    )


def inventory_row(
    partner: PartnerRecord, issuer: CertifiedKey, leaf: CertifiedKey, number: int
) -> CertificateRecord:
    """Return the record of a leaf; each gets its own serial, because test certificates share theirs."""
    return CertificateRecord(
        id=f"crt_{number:020d}",
        tenant=TENANT,
        authority_id=authority(partner, issuer, anchor=False).id,
        serial=number,
        sha256=leaf.parsed.sha256,
        profile="partner",
        state=CertificateState.VALID,
        not_before=leaf.parsed.not_before,
        not_after=leaf.parsed.not_after,
        der=leaf.der,
        created_at=NOON,
    )


def partner_world(*, work: Any = None, root_crl: str = ROOT_CRL, **terms: Any) -> PartnerWorld:
    """A partner that is trusted on these terms; nothing is served yet.

    `work` is another store than memory; with an empty `root_crl` the issuing authority names no list.
    """
    root = certify("West Root", not_after=NOON + timedelta(days=3650))
    issuing = certify(
        "West Issuing",
        root,
        extra=[crl_at(root_crl)] if root_crl else [],
        not_after=NOON + timedelta(days=1825),
    )
    made = empty_world(PartnerWorld, root=root, issuing=issuing)
    if work is not None:
        made.work, made.services = work, replace(made.services, work=work)
    made.scan = SourceScan(made.services)
    made.trust([root], [issuing], **terms)
    return made


def later(moment: datetime, **by: float) -> datetime:
    """Return a moment plus this time."""
    return moment + timedelta(**by)
