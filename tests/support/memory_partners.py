"""The fakes of `PartnerStore` and `EvidenceStore`."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from doorward.core.errors import NotFound, RequestRefused
from doorward.stores.crl_pieces import PIECE_BYTES, CrlPiece, split_crl
from doorward.stores.partner_records import (
    EvidenceKind,
    EvidenceRecord,
    PartnerAuthorityRecord,
    PartnerRecord,
)
from doorward.verification.revocation.status import RecordedRevocation
from tests.support.memory_inventory import Store


class MemoryPartners(Store):
    """The fake of `PartnerStore`."""

    def add(self, partner: PartnerRecord) -> None:
        kept = self.writable(partner.tenant).partners
        if self.by_name(partner.name) is not None:
            raise RequestRefused("name-taken", f"a partner named {partner.name} is trusted already")
        kept[partner.id] = partner

    def save(self, partner: PartnerRecord) -> None:
        kept = self.writable(partner.tenant).partners
        known = self._trusted(partner.id)
        kept[partner.id] = replace(partner, name=known.name, created_at=known.created_at, removed_at=None)

    def get(self, partner_id: str) -> PartnerRecord | None:
        return self.state.partners.get(partner_id)

    def by_name(self, name: str) -> PartnerRecord | None:
        return next((one for one in self.list() if one.name == name), None)

    def list(self) -> list[PartnerRecord]:
        trusted = [one for one in self.state.partners.values() if one.removed_at is None]
        return sorted(trusted, key=lambda one: one.name)

    def remove(self, partner_id: str, removed_at: datetime) -> None:
        self.writable().partners[partner_id] = replace(self._trusted(partner_id), removed_at=removed_at)

    def set_authorities(self, partner_id: str, authorities: Sequence[PartnerAuthorityRecord]) -> None:
        kept = self.writable().partner_authorities
        for key, (one, _) in list(kept.items()):
            if one.partner_id == partner_id:
                kept[key] = (one, False)
        for one in authorities:
            self.writable(one.tenant)
            if one.partner_id != partner_id:
                raise ValueError("an authority of another partner")
            known = kept.get((partner_id, one.sha256))
            kept[partner_id, one.sha256] = (
                (replace(known[0], anchor=one.anchor), True) if known else (one, True)
            )

    def authorities(self, partner_id: str) -> builtins.list[PartnerAuthorityRecord]:
        found = [
            one
            for one, trusted in self.state.partner_authorities.values()
            if trusted and one.partner_id == partner_id
        ]
        return sorted(found, key=lambda one: (not one.anchor, one.sha256))

    def every_authority(self) -> builtins.list[PartnerAuthorityRecord]:
        return sorted((one for one, _ in self.state.partner_authorities.values()), key=lambda one: one.id)

    def issuer(self, authority_id: str) -> str | None:
        every = self.state.partner_authorities.values()
        return next((one.partner_id for one, _ in every if one.id == authority_id), None)

    def _trusted(self, partner_id: str) -> PartnerRecord:
        known = self.writable().partners.get(partner_id)
        if known is None or known.removed_at is not None:
            raise NotFound("partner-unknown", "there is no such partner")
        return known


class MemoryEvidence(Store):
    """The fake of `EvidenceStore`."""

    def get(self, partner_id: str, kind: EvidenceKind, source: str, about: str) -> EvidenceRecord | None:
        return self.state.evidence.get((partner_id, kind.value, source, about))

    def digest(self, partner_id: str, kind: EvidenceKind, source: str, about: str) -> str | None:
        found = self.get(partner_id, kind, source, about)
        return None if found is None else found.sha256

    def list(self, partner_id: str) -> list[EvidenceRecord]:
        kept = sorted(self.state.evidence.items())
        return [replace(one, der=b"") for _, one in kept if one.partner_id == partner_id]

    def size(self, partner_id: str, kind: EvidenceKind) -> int:
        kept = self.state.evidence.values()
        return sum(len(one.der) for one in kept if (one.partner_id, one.kind) == (partner_id, kind))

    def due(
        self,
        by: datetime,
        limit: int,
        partner_id: str | None = None,
        kind: EvidenceKind | None = None,
        without: Sequence[str] = (),
    ) -> builtins.list[EvidenceRecord]:
        kept = sorted(self.state.evidence.items(), key=lambda item: (item[1].try_at, item[0]))
        due = [one for _, one in kept if one.try_at <= by and partner_id in (None, one.partner_id)]
        due = [one for one in due if kind in (None, one.kind)]
        due = [one for one in due if not f"{one.source.lower()}/".startswith(tuple(without))]
        return [replace(one, der=b"") for one in due][:limit]

    def lease(self, evidence: EvidenceRecord, until: datetime) -> bool:
        kept = self.get(evidence.partner_id, evidence.kind, evidence.source, evidence.about)
        if kept is None or kept.try_at != evidence.try_at:
            return False
        self.store(replace(kept, try_at=until))
        return True

    def reschedule(self, evidence: EvidenceRecord) -> None:
        kept = self.get(evidence.partner_id, evidence.kind, evidence.source, evidence.about)
        if kept is not None:
            found = {name: getattr(kept, name) for name in ("der", "sha256", "this_update", "next_update")}
            self.store(replace(evidence, **found))

    def store(self, evidence: EvidenceRecord) -> None:
        key = (evidence.partner_id, evidence.kind.value, evidence.source, evidence.about)
        self.writable(evidence.tenant).evidence[key] = evidence
        if len(evidence.der) > PIECE_BYTES:
            self.add_pieces(split_crl(evidence.der))

    def add_pieces(self, pieces: Sequence[CrlPiece]) -> None:
        self.writable().evidence_pieces.update({(one.sha256, one.number): one.content for one in pieces})

    def forget_pieces(self, sha256: str, most: int) -> int:
        kept = self.writable().evidence_pieces
        gone = sorted(one for one in kept if one[0] == sha256 and sha256 in self.unused_pieces())[:most]
        for one in gone:
            del kept[one]
        return len(gone)

    def unused_pieces(self) -> builtins.list[str]:
        used = {one.sha256 for one in self.state.evidence.values()}
        return sorted({sha256 for sha256, _ in self.state.evidence_pieces} - used)

    def forget(self, partner_id: str, kind: EvidenceKind, source: str, about: str) -> None:
        self.writable().evidence.pop((partner_id, kind.value, source, about), None)

    def record_revocation(self, partner_id: str, seen: RecordedRevocation) -> None:
        self.writable().seen[(partner_id, seen.issuer_key, f"{seen.serial:x}")] = seen

    def recorded_revocations(self, partner_id: str) -> builtins.list[RecordedRevocation]:
        return [one for key, one in sorted(self.state.seen.items()) if key[0] == partner_id]

    def forget_revocation(self, partner_id: str, seen: RecordedRevocation) -> None:
        self.writable().seen.pop((partner_id, seen.issuer_key, f"{seen.serial:x}"), None)
