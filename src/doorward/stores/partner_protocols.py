"""The store Protocols of partners: their authorities, and the evidence of revocation.

Not here: SQL, and the unit of work that binds these to one transaction (`stores`).
"""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from doorward.stores.crl_pieces import CrlPiece
    from doorward.stores.partner_records import (
        EvidenceKind,
        EvidenceRecord,
        PartnerAuthorityRecord,
        PartnerRecord,
    )
    from doorward.verification.revocation.status import RecordedRevocation


class PartnerStore(Protocol):
    """Partners and the certificates of their authorities."""

    def add(self, partner: PartnerRecord) -> None:
        """Add one; raise `RequestRefused` (`name-taken`) if a partner with this name is trusted."""
        ...

    def save(self, partner: PartnerRecord) -> None:
        """Replace the terms of a partner; its name and `created_at` stay. Raise `NotFound` for an unknown one."""
        ...

    def get(self, partner_id: str) -> PartnerRecord | None:
        """Return the partner with this id, also if it was removed."""
        ...

    def by_name(self, name: str) -> PartnerRecord | None:
        """Return the trusted partner with this name."""
        ...

    def list(self) -> list[PartnerRecord]:
        """Return all that are not removed, sorted by name."""
        ...

    def remove(self, partner_id: str, removed_at: datetime) -> None:
        """Mark it as removed; raise `NotFound` if it is not trusted."""
        ...

    def set_authorities(self, partner_id: str, authorities: Sequence[PartnerAuthorityRecord]) -> None:
        """Replace its authorities by these; a certificate that was there already keeps its id."""
        ...

    def authorities(self, partner_id: str) -> builtins.list[PartnerAuthorityRecord]:
        """Return its authorities, anchors first, then by digest."""
        ...

    def every_authority(self) -> builtins.list[PartnerAuthorityRecord]:
        """Return the authorities of all partners, removed ones included, sorted by id."""
        ...

    def issuer(self, authority_id: str) -> str | None:
        """Return the id of the partner that an authority belongs to, also if the authority was removed."""
        ...


class EvidenceStore(Protocol):
    """CRLs and OCSP responses of partners. The key of a row is partner, kind, source and certificate."""

    def get(self, partner_id: str, kind: EvidenceKind, source: str, about: str) -> EvidenceRecord | None:
        """Return the row with this key; with an empty `der` if it is long, and is not stored as it was."""
        ...

    def digest(self, partner_id: str, kind: EvidenceKind, source: str, about: str) -> str | None:
        """Return the SHA-256 of the row with this key, without reading the evidence; None if there is no row."""
        ...

    def list(self, partner_id: str) -> list[EvidenceRecord]:
        """Return the rows of a partner with an empty `der`, sorted by kind, source and certificate."""
        ...

    def size(self, partner_id: str, kind: EvidenceKind) -> int:
        """Return the total size in bytes of a partner's evidence of one kind."""
        ...

    def due(
        self,
        by: datetime,
        limit: int,
        partner_id: str | None = None,
        kind: EvidenceKind | None = None,
        without: Sequence[str] = (),
    ) -> builtins.list[EvidenceRecord]:
        """Return at most `limit` rows with `try_at` not after `by`: of one partner or all, of one kind or both.

        The rows that have been due for the longest time come first, with an empty `der`. Sources that begin with one
        of `without` are left out. Each of `without` is written `http://host/` in lower case. The comparison ignores
        case, and a source `http://host` counts as `http://host/`.
        """
        ...

    def lease(self, evidence: EvidenceRecord, until: datetime) -> bool:
        """Set `try_at` to `until` if it is still as in `evidence`; True for exactly one caller (compare and set)."""
        ...

    def reschedule(self, evidence: EvidenceRecord) -> None:
        """Store `try_at`, `failures`, `problem`, `unusable`, `etag` and `fetched_at` of a row, if the row exists.

        `der` and the fields that describe it stay unchanged.
        """
        ...

    def store(self, evidence: EvidenceRecord) -> None:
        """Insert or replace. The pieces of a long CRL are stored too, unless they were added before."""
        ...

    def add_pieces(self, pieces: Sequence[CrlPiece]) -> None:
        """Add pieces of a CRL that is stored later; those that are there already are replaced, as they may be damaged."""
        ...

    def forget_pieces(self, sha256: str, most: int) -> int:
        """Remove pieces of a CRL that is in no row, at most so many; return how many."""
        ...

    def unused_pieces(self) -> builtins.list[str]:
        """Return the SHA-256 of every CRL that has pieces and is in no row."""
        ...

    def forget(self, partner_id: str, kind: EvidenceKind, source: str, about: str) -> None:
        """Remove the row."""
        ...

    def record_revocation(self, partner_id: str, seen: RecordedRevocation) -> None:
        """Store a revocation, so that it outlives its evidence; replace an earlier one of the same certificate."""
        ...

    def recorded_revocations(self, partner_id: str) -> builtins.list[RecordedRevocation]:
        """Return the recorded revocations of a partner, sorted by issuer and serial number."""
        ...

    def forget_revocation(self, partner_id: str, seen: RecordedRevocation) -> None:
        """Remove a recorded revocation, because its hold was released or its partner was removed."""
        ...
