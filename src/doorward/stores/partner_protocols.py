"""The store Protocols of partners: their authorities, and the evidence of revocation.

Not here: SQL, and the unit of work that binds these to one transaction (`stores`).
"""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
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
        """Add one; raise `RequestRefused` (`name-taken`) where a partner of that name is trusted."""
        ...

    def save(self, partner: PartnerRecord) -> None:
        """Replace the terms of a partner; its name and `created_at` stay. `NotFound` for an unknown one."""
        ...

    def get(self, partner_id: str) -> PartnerRecord | None:
        """Return it, removed ones included."""
        ...

    def by_name(self, name: str) -> PartnerRecord | None:
        """Return the partner of that name that is not removed."""
        ...

    def list(self) -> list[PartnerRecord]:
        """Return all that are not removed, sorted by name."""
        ...

    def remove(self, partner_id: str, removed_at: datetime) -> None:
        """Trust it no more; `NotFound` where it is not trusted."""
        ...

    def set_authorities(self, partner_id: str, authorities: Sequence[PartnerAuthorityRecord]) -> None:
        """Put these in the place of its authorities; one that was there already keeps its id."""
        ...

    def authorities(self, partner_id: str) -> builtins.list[PartnerAuthorityRecord]:
        """Return its authorities, anchors first, then by digest."""
        ...

    def every_authority(self) -> builtins.list[PartnerAuthorityRecord]:
        """Return the authorities of all partners, also those that are trusted no more, by id."""
        ...

    def issuer(self, authority_id: str) -> str | None:
        """Return the partner of an authority's id, also of one that is there no more."""
        ...


class EvidenceStore(Protocol):
    """CRLs and OCSP answers of partners, by partner, kind, source and certificate."""

    def get(self, partner_id: str, kind: EvidenceKind, source: str, about: str) -> EvidenceRecord | None:
        """Return it."""
        ...

    def list(self, partner_id: str) -> list[EvidenceRecord]:
        """Return a partner's without their `der`, sorted by kind, source and certificate."""
        ...

    def size(self, partner_id: str, kind: EvidenceKind) -> int:
        """Return the bytes of all that a partner has of one kind."""
        ...

    def due(
        self,
        by: datetime,
        limit: int,
        partner_id: str | None = None,
        kind: EvidenceKind | None = None,
        without: Sequence[str] = (),
    ) -> builtins.list[EvidenceRecord]:
        """Return at most `limit`, of one partner or all, of one kind or both, that are to be looked for by then.

        The longest due come first, without their `der`. Left out are sources that begin with one of `without`,
        `http://host/` in small letters; capital letters of a source and a `/` that it lacks make no difference.
        """
        ...

    def lease(self, evidence: EvidenceRecord, until: datetime) -> bool:
        """Move `try_at` from what it is here to `until`; True for exactly one caller (compare and set)."""
        ...

    def reschedule(self, evidence: EvidenceRecord) -> None:
        """Keep how the looking goes (`try_at`, `failures`, `problem`, `unusable`, `etag`, `fetched_at`), if it is there.

        What was found, `der` and what is told of it, stays as it is.
        """
        ...

    def store(self, evidence: EvidenceRecord) -> None:
        """Insert or replace."""
        ...

    def forget(self, partner_id: str, kind: EvidenceKind, source: str, about: str) -> None:
        """Drop it."""
        ...

    def remember(self, partner_id: str, seen: RecordedRevocation) -> None:
        """Keep a revocation beyond the evidence that told it; one of the same certificate is replaced."""
        ...

    def seen(self, partner_id: str) -> builtins.list[RecordedRevocation]:
        """Return what is remembered of a partner, by issuer and serial number."""
        ...

    def release(self, partner_id: str, seen: RecordedRevocation) -> None:
        """Forget one: a hold that has ended, or what was seen of a partner that is removed."""
        ...
