"""Finding the sources of evidence: one row for each CRL or OCSP responder that a verified certificate names.

Not here: fetching, and when (leasing, failures).
1. Only trusted partners with a revocation check.
2. Only certificates with a good path now: the partner's anchors, the intermediates that chain to them, and
   its leaves in the inventory, which contains every certificate that was admitted before.
3. CRLs: every http or https URL of a distribution point, and the CRLs that the operator added.
4. OCSP: for leaves and intermediates that name no such CRL, or only CRLs that cannot be fetched: the
   responders that they name, and those that the operator added.
After all certificates were read, rows that no certificate names any more are removed. A scan begins every ten
minutes, and later if the last one takes longer: every scan reads all certificates.

The work is limited: a number of certificates per step, and a number of rows per partner. Sources beyond the limit are
counted and not fetched, so the status of their certificates stays undetermined.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from doorward.core.certificate import CertificateState
from doorward.core.entities import TENANT
from doorward.partners.evidence.pieces import forget_pieces
from doorward.partners.evidence.recorded_revocations import update_from_row
from doorward.partners.trust import find_issuer, find_unread, parse_if_sound, trust_of
from doorward.stores.partner_records import (
    EvidenceKind,
    EvidenceRecord,
    PartnerAuthorityRecord,
    PartnerRecord,
)
from doorward.stores.protocols import Stores
from doorward.stores.records import CertificateFilter, CertificateRecord, ChangeKind
from doorward.stores.services import Services
from doorward.verification.partner import PartnerTrust, RevocationMode
from doorward.verification.path.certificate import PathCertificate
from doorward.verification.revocation.short_life import needs_no_status
from doorward.verification.revocation.sources import crl_urls, ocsp_urls
from doorward.verification.revocation.status import usable_until

SCAN_INTERVAL = timedelta(minutes=10)
CERTIFICATES_AT_ONCE = 200
CRL_LIMIT = 256
OCSP_LIMIT = 20_000
"""Rows of one partner."""
UNAVAILABLE_AFTER = 3
"""After this many failures in a row a CRL without usable evidence counts as unavailable."""

_ORPHANS_AT_ONCE = 1000

Key = tuple[EvidenceKind, str, str]
"""Kind, source and certificate of a row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _ScannedPartner:
    """One partner, as read in one step."""

    record: PartnerRecord
    authorities: tuple[PartnerAuthorityRecord, ...]
    trust: PartnerTrust | None
    rows: Mapping[Key, EvidenceRecord]


class SourceScan:
    """Reads all certificates, one page per step; starts again if terms change, or every ten minutes.

    Its state is in memory only; another process, or this one after a restart, finds the same sources.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._terms: Mapping[str, object] = {}
        self._began: datetime | None = None
        self._cursor = ""
        self._complete = False
        self._seen: dict[str, set[Key]] = {}
        self._unused_pieces: frozenset[str] = frozenset()
        self.left_out: Mapping[str, int] = {}
        self.unread: Mapping[str, tuple[str, ...]] = {}
        """Name of a partner to the SHA-256 of its authorities that cannot be parsed any more."""

    def step(self) -> bool:
        """Read the authorities, or the next page of leaves; return whether another page follows at once."""
        now = self._services.clock.now()
        with self._services.work.read() as stores:
            every = [(one, stores.partners.authorities(one.id)) for one in stores.partners.list()]
            trusted = [(one, authorities) for one, authorities in every if _checks_revocation(one)]
            terms = {one.id: (one, tuple(authorities)) for one, authorities in trusted}
            begins = terms != self._terms or self._began is None or self._begins_again(now)
            leaves = stores.certificates.list(self._next_page()) if trusted and not begins else []
            if not begins and not leaves and self._complete:
                return False
            partners = [_load(stores, one, authorities) for one, authorities in trusted]
            # The partner of each leaf, also if its authority's certificate was renewed, so that it has another row.
            owners = {one: stores.partners.issuer(one) for one in {leaf.authority_id for leaf in leaves}}
        unread = {one.name: find_unread(authorities) for one, authorities in every}
        self.unread = {name: found for name, found in unread.items() if found}
        wanted = _of_leaves(partners, leaves, owners, now)
        if begins:
            wanted = {one.record.id: set(_of_authorities(one, now)) for one in partners}
        self.left_out = self._add_rows(partners, wanted, now)
        if begins:
            self._make_due(
                [one for one in partners if terms[one.record.id] != self._terms.get(one.record.id)], now
            )
        seen = {one.record.id: set() if begins else self._seen[one.record.id] for one in partners}
        for partner_id, keys in wanted.items():
            seen[partner_id] |= keys
        ends = not begins and len(leaves) < CERTIFICATES_AT_ONCE
        if ends and not self._complete:
            self._remove_rows(partners, seen, now)
            self._forget_pieces()
        if begins:
            self._terms, self._began, self._cursor = terms, now, ""
        elif leaves:
            self._cursor = leaves[-1].id
        self._seen, self._complete = seen, not begins and (self._complete or ends)
        return not ends

    def _begins_again(self, now: datetime) -> bool:
        """Return whether the scan should start again; a scan that did not reach the last page always continues."""
        return self._complete and self._began is not None and now >= self._began + SCAN_INTERVAL

    def _next_page(self) -> CertificateFilter:
        return CertificateFilter(
            of_partners=True,
            state=CertificateState.VALID,
            after_id=self._cursor,
            limit=CERTIFICATES_AT_ONCE,
        )

    def _add_rows(
        self, partners: Iterable[_ScannedPartner], wanted: Mapping[str, set[Key]], now: datetime
    ) -> Mapping[str, int]:
        """Add the missing rows; return for each partner how many are left out because of its limits."""
        left_out = {one.record.id: self.left_out.get(one.record.id, 0) for one in partners}
        missing: list[EvidenceRecord] = []
        for one in partners:
            if one.record.id in wanted:
                new = wanted[one.record.id] - one.rows.keys()
                taken = _within_limits(new, one.rows)
                left_out[one.record.id] = len(new) - len(taken)
                missing += [_row(one.record, key, now) for key in taken]
        if missing:
            with self._services.work.change() as stores:
                for row in missing:
                    if stores.evidence.digest(row.partner_id, row.kind, row.source, row.about) is None:
                        stores.evidence.store(row)
        return {partner_id: count for partner_id, count in left_out.items() if count}

    def _make_due(self, partners: Iterable[_ScannedPartner], now: datetime) -> None:
        """After a change of terms: make rows due that the new terms want sooner, and rows that failed under the old."""
        terms_changed = self._began is not None  # a start is no change of terms: failed rows keep their time
        due = [
            row
            for one in partners
            for row in one.rows.values()
            if row.try_at > now + one.record.refresh or (row.failures and terms_changed)
        ]
        if due:
            with self._services.work.change() as stores:
                for row in due:
                    stores.evidence.lease(row, now)

    def _remove_rows(
        self, partners: Iterable[_ScannedPartner], seen: Mapping[str, set[Key]], now: datetime
    ) -> None:
        """Remove the rows that no certificate names any more, and those of partners that were removed."""
        with self._services.work.read() as stores:
            overdue = stores.evidence.due(now, _ORPHANS_AT_ONCE)
        active = {one.record.id for one in partners}
        gone = [row for row in overdue if row.partner_id not in active]
        for one in partners:  # a partner with unreadable terms keeps its rows: its sources are unknown
            rows = one.rows.items() if one.trust is not None else ()
            gone += [row for key, row in rows if key not in seen[one.record.id]]
        if gone:
            records = {one.record.id: one.record for one in partners}
            updates = [
                (row.partner_id, update_from_row(self._services, records[row.partner_id], row, now))
                for row in gone
                if row.sha256 and row.partner_id in records
            ]
            with self._services.work.change() as stores:
                for partner_id, update in updates:
                    update.apply(stores, partner_id)
                for row in gone:
                    stores.evidence.forget(row.partner_id, row.kind, row.source, row.about)
                for partner_id in sorted({row.partner_id for row in gone if row.sha256}):
                    stores.changes.note(ChangeKind.EVIDENCE, partner_id, now)

    def _forget_pieces(self) -> None:
        """Remove the pieces of long CRLs that were in no row at the end of this scan and of the one before.

        At the end of one scan such a CRL may be about to be stored.
        """
        with self._services.work.read() as stores:
            unused = frozenset(stores.evidence.unused_pieces())
        for sha256 in sorted(unused & self._unused_pieces):
            forget_pieces(self._services, sha256)
        self._unused_pieces = unused


def _checks_revocation(partner: PartnerRecord) -> bool:
    """Step 1."""
    return partner.revocation is not RevocationMode.OFF


def _load(
    stores: Stores, partner: PartnerRecord, authorities: Iterable[PartnerAuthorityRecord]
) -> _ScannedPartner:
    rows = {(row.kind, row.source, row.about): row for row in stores.evidence.list(partner.id)}
    kept = tuple(authorities)
    return _ScannedPartner(record=partner, authorities=kept, trust=trust_of(partner, kept), rows=rows)


def _within_limits(new: set[Key], rows: Iterable[Key]) -> list[Key]:
    """Return those of the new rows that fit into the partner's limits beside its present rows."""
    room = {EvidenceKind.CRL: CRL_LIMIT, EvidenceKind.OCSP: OCSP_LIMIT}
    for kind, _, _ in rows:
        room[kind] -= 1
    taken = []
    for key in sorted(new, key=lambda one: (one[0].value, *one[1:])):
        room[key[0]] -= 1
        if room[key[0]] >= 0:
            taken.append(key)
    return taken


def _row(partner: PartnerRecord, key: Key, now: datetime) -> EvidenceRecord:
    kind, source, about = key
    return EvidenceRecord(
        partner_id=partner.id, tenant=TENANT, kind=kind, source=source, about=about, try_at=now
    )


def _of_authorities(partner: _ScannedPartner, now: datetime) -> Iterator[Key]:
    """Steps 2 to 4 for anchors and intermediates; an anchor's own revocation is not checked."""
    yield from ((EvidenceKind.CRL, url, "") for url in partner.record.crl_urls)
    for record in partner.authorities:
        certificate = parse_if_sound(record.der)
        if certificate is None or partner.trust is None:
            continue
        if partner.trust.store.is_anchor(certificate):
            yield from ((EvidenceKind.CRL, url, "") for url in crl_urls(certificate))
        elif find_issuer(partner.trust, certificate, now) is not None:
            yield from _find_sources(certificate, partner, now)


def _of_leaves(
    partners: Iterable[_ScannedPartner],
    leaves: Iterable[CertificateRecord],
    owners: Mapping[str, str | None],
    now: datetime,
) -> dict[str, set[Key]]:
    """Steps 2 to 4 for leaves."""
    by_id = {partner.record.id: partner for partner in partners}
    wanted: dict[str, set[Key]] = defaultdict(set)
    for record in leaves:
        partner = by_id.get(owners[record.authority_id] or "")
        certificate = parse_if_sound(record.der) if partner else None
        if partner is None or partner.trust is None or certificate is None:
            continue
        if find_issuer(partner.trust, certificate, now) is not None:
            wanted[partner.record.id].update(_find_sources(certificate, partner, now))
    return wanted


def _find_sources(certificate: PathCertificate, partner: _ScannedPartner, now: datetime) -> Iterator[Key]:
    """Steps 3 and 4; nothing is asked about a certificate that needs no proof of its status."""
    if needs_no_status(certificate, partner.record.short_lived):
        return
    lists: list[Key] = [(EvidenceKind.CRL, url, "") for url in crl_urls(certificate)]
    yield from lists
    if all(_is_unavailable(partner.rows.get(key), partner.record, now) for key in lists):
        yield from (
            (EvidenceKind.OCSP, url, certificate.sha256)
            for url in (*ocsp_urls(certificate), *partner.record.ocsp_urls)
        )


def _is_unavailable(row: EvidenceRecord | None, partner: PartnerRecord, now: datetime) -> bool:
    """Return whether a CRL is unavailable: several fetches failed, and no stored one may be used."""
    if row is None or row.failures < UNAVAILABLE_AFTER:
        return False
    return (
        not row.sha256
        or row.next_update is None
        or now > usable_until(row.next_update, partner.max_staleness)
    )
