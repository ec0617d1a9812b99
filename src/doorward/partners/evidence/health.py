"""The health of each partner's evidence, for `doorward status`: missing, stale, failing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from doorward.stores.partner_records import EvidenceRecord, PartnerRecord
from doorward.stores.protocols import Stores
from doorward.stores.services import Services
from doorward.verification.partner import RevocationMode
from doorward.verification.revocation.status import usable_until


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceHealth:
    """The sources of one partner's evidence, counted by their state.

    Args:
        partner: its name.
        demanded: True if its certificates are refused while their status is unknown.
        sources: all sources.
        missing: sources without any good evidence yet.
        stale: sources with evidence that is too old to be used.
        failing: sources with usable evidence and a failed last fetch.
        damaged: failing sources with stored evidence that is not what was stored.
        unusable: missing or stale sources with a last response that could not be used.
        tolerated: True if certificates are admitted even with unusable evidence (`unsafe-prefer`).
        problems: the failures of the missing, stale and failing sources: each sentence once, with one of its URLs,
            at most five.
    """

    partner: str
    demanded: bool
    sources: int
    missing: int
    stale: int
    failing: int
    unusable: int
    damaged: int
    tolerated: bool
    problems: tuple[str, ...]


MOST_PROBLEMS = 5


def list_evidence_health(services: Services, now: datetime) -> list[EvidenceHealth]:
    """Return the health of the evidence of every partner with a revocation check, sorted by name."""
    with services.work.read() as stores:
        partners = [one for one in stores.partners.list() if one.revocation is not RevocationMode.OFF]
        return [_describe(stores, one, stores.evidence.list(one.id), now) for one in partners]


def _describe(
    stores: Stores, partner: PartnerRecord, rows: list[EvidenceRecord], now: datetime
) -> EvidenceHealth:
    missing = [row for row in rows if not row.sha256]
    stale = [row for row in rows if row.sha256 and _is_stale(row, partner, now)]
    failing = [row for row in rows if row.failures and row.sha256 and not _is_stale(row, partner, now)]
    problems = {
        row.problem: f"{row.source}: {row.problem}" for row in (*missing, *stale, *failing) if row.problem
    }
    return EvidenceHealth(
        partner=partner.name,
        demanded=partner.revocation is RevocationMode.REQUIRE,
        sources=len(rows),
        missing=len(missing),
        stale=len(stale),
        failing=len(failing),
        unusable=sum(row.unusable for row in (*missing, *stale)),
        damaged=sum(_is_damaged(stores, row) for row in failing),
        tolerated=partner.revocation is RevocationMode.UNSAFE_PREFER,
        problems=tuple(problems.values())[:MOST_PROBLEMS],
    )


def _is_stale(row: EvidenceRecord, partner: PartnerRecord, now: datetime) -> bool:
    return row.next_update is not None and now > usable_until(row.next_update, partner.max_staleness)


def _is_damaged(stores: Stores, row: EvidenceRecord) -> bool:
    kept = stores.evidence.get(row.partner_id, row.kind, row.source, row.about)
    return kept is not None and not kept.der
