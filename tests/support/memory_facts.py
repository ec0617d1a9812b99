"""The fake of the store of facts about certificates."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from doorward.core.certificate import CertificateState
from doorward.core.entities import PrincipalState
from doorward.stores.fact_protocols import (
    CertificateFacts,
    InventoryFilter,
    InventoryRow,
    ReportedFacts,
    Sighting,
)
from tests.support.memory_fleets import MemoryFleetStores
from tests.support.memory_inventory import State, Store


class MemoryFacts(Store):
    """The fake of `FactStore`."""

    def report(self, certificate_id: str, facts: ReportedFacts, at: datetime) -> bool:
        kept = self._find(certificate_id)
        if kept is None:
            return False
        self.state.facts[certificate_id] = replace(kept, reported=facts, reported_at=at)
        return True

    def see(self, sightings: Sequence[Sighting], *, again_after: timedelta) -> int:
        count = 0
        for one in sightings:
            kept = self._find(one.certificate_id)
            if kept is None or (kept.seen_at is not None and one.at - kept.seen_at < again_after):
                continue
            seen = replace(kept, seen_at=one.at, seen_application=one.application_id)
            self.state.facts[one.certificate_id] = seen
            count += 1
        return count

    def of(self, certificate_ids: Collection[str]) -> dict[str, CertificateFacts]:
        return {one: self.state.facts[one] for one in certificate_ids if one in self.state.facts}

    def forget(self, principal_id: str) -> int:
        kept = self.writable().facts
        gone = [one.certificate_id for one in kept.values() if one.principal_id == principal_id]
        for certificate_id in gone:
            del kept[certificate_id]
        return len(gone)

    def forget_partner(self, partner_id: str) -> int:
        of_partner = [one.id for one in self.state.principals.values() if one.partner == partner_id]
        return sum(self.forget(principal_id) for principal_id in of_partner)

    def inventory(self, wanted: InventoryFilter) -> list[InventoryRow]:
        principals = [
            one
            for one in self.state.principals.values()
            if one.kind is wanted.kind
            and one.state is not PrincipalState.REMOVED
            and one.name > wanted.after_name
        ]
        rows = [self._row(one.id) for one in sorted(principals, key=lambda one: one.name)]
        since = wanted.unseen_since
        if since is not None:
            rows = [one for one in rows if not (one.seen and one.seen.seen_at and one.seen.seen_at >= since)]
        if wanted.not_reported:
            rows = [one for one in rows if one.reported is None]
        return rows[: wanted.limit]

    def _find(self, certificate_id: str) -> CertificateFacts | None:
        """Return what is known about a certificate, perhaps nothing; None if nothing may be kept."""
        certificate = self.writable().certificates.get(certificate_id)
        principal = self.state.principals.get(certificate.principal_id) if certificate else None
        if principal is None or principal.state is PrincipalState.REMOVED:
            return None
        known = self.state.facts.get(certificate_id)
        return known or CertificateFacts(certificate_id=certificate_id, principal_id=principal.id)

    def _row(self, principal_id: str) -> InventoryRow:
        facts = [one for one in self.state.facts.values() if one.principal_id == principal_id]
        ends = [
            one.not_after
            for one in self.state.certificates.values()
            if one.principal_id == principal_id and one.state is CertificateState.VALID
        ]
        seen = sorted((one.seen_at, one.certificate_id) for one in facts if one.seen_at)
        reported = sorted((one.reported_at, one.certificate_id) for one in facts if one.reported_at)
        return InventoryRow(
            principal_id=principal_id,
            seen=self.state.facts[seen[-1][1]] if seen else None,
            reported=self.state.facts[reported[-1][1]] if reported else None,
            valid_until=max(ends, default=None),
        )


class MemoryFactStores(MemoryFleetStores):
    """The store of facts, and those of fleets, over the state of one transaction."""

    def __init__(self, state: State, tenant: str, *, write: bool) -> None:
        super().__init__(state, tenant, write=write)
        self.facts = MemoryFacts(state, tenant, write=write)
