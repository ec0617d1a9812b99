"""Revocation evidence of partners, and the revocations that it has shown.

A long CRL is in pieces, and its row has an empty `der`: so its row is short to update too (docs/design/0123).

Not here: the partners (`partners`), verifying evidence (`verification`), fetching it (`runtime.fetching`).
"""

from __future__ import annotations

import builtins
import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Integer, bindparam, delete, func, not_, select, update

from doorward.storage.core_statements import CURRENT_TENANT, AnyRow, insert_or_replace
from doorward.storage.driver_statement import DriverStatement
from doorward.storage.schema import evidence, evidence_pieces, revocations_seen
from doorward.storage.transaction import Transaction
from doorward.stores.crl_pieces import PIECE_BYTES, CrlPiece, count_pieces, split_crl
from doorward.stores.partner_records import EvidenceKind, EvidenceRecord
from doorward.verification.revocation.status import RecordedRevocation

_E, _P, _S = evidence.c, evidence_pieces.c, revocations_seen.c

_EVIDENCE = select(evidence).where(_E.tenant == CURRENT_TENANT)
_KEY = ("partner_id", "kind", "source", "about")
_BY_KEY = _EVIDENCE.where(*(_E[name] == bindparam(name) for name in _KEY))
_WITHOUT_DER = select(*(column for column in _E if column.name != "der")).where(_E.tenant == CURRENT_TENANT)
_OF_PARTNER = _WITHOUT_DER.where(_E.partner_id == bindparam("partner_id")).order_by(
    _E.kind, _E.source, _E.about
)
_SIZE = select(func.coalesce(func.sum(func.length(_E.der)), 0)).where(
    _E.tenant == CURRENT_TENANT, _E.partner_id == bindparam("partner_id"), _E.kind == bindparam("kind")
)
_SIZE_OF_PIECES = (
    select(func.coalesce(func.sum(func.length(_P.content)), 0))
    .select_from(evidence.join(evidence_pieces, (_P.tenant == _E.tenant) & (_P.sha256 == _E.sha256)))
    .where(
        _E.tenant == CURRENT_TENANT,
        _E.partner_id == bindparam("partner_id"),
        _E.kind == bindparam("kind"),
        func.length(_E.der) == 0,
    )
)
_DIGEST = select(_E.sha256).where(
    _E.tenant == CURRENT_TENANT, *(_E[name] == bindparam(name) for name in _KEY)
)
_OF_DIGEST = (_P.tenant == CURRENT_TENANT, _P.sha256 == bindparam("sha256"))
_PIECES = select(_P.content).where(*_OF_DIGEST).order_by(_P.number)
_COUNT_PIECES = select(func.count()).where(*_OF_DIGEST)
_ADD_PIECE = insert_or_replace(evidence_pieces, ("tenant", "sha256", "number"))
_FORGET_PIECES = DriverStatement(
    """DELETE FROM evidence_pieces WHERE tenant = :this_tenant AND sha256 = :sha256 AND number IN (
        SELECT number FROM evidence_pieces WHERE tenant = :this_tenant AND sha256 = :sha256 ORDER BY number LIMIT :most)
    AND NOT EXISTS (SELECT 1 FROM evidence WHERE tenant = :this_tenant AND sha256 = :sha256)"""
)
_UNUSED_PIECES = DriverStatement(
    """SELECT DISTINCT p.sha256 FROM evidence_pieces p WHERE p.tenant = :this_tenant AND NOT EXISTS (
        SELECT 1 FROM evidence e WHERE e.tenant = p.tenant AND e.sha256 = p.sha256)"""
)
_DUE = (
    _WITHOUT_DER.where(_E.try_at <= bindparam("by"))
    .order_by(_E.try_at, _E.partner_id, _E.kind, _E.source, _E.about)
    .limit(bindparam("limit", type_=Integer))
)
_DUE_OF = {"partner_id": _E.partner_id == bindparam("partner_id"), "kind": _E.kind == bindparam("kind")}
_STORE = insert_or_replace(evidence, _KEY)
_OF_KEY = (_E.tenant == CURRENT_TENANT, *(_E[name] == bindparam(f"of_{name}") for name in _KEY))
_FORGET = delete(evidence).where(*_OF_KEY)
_CLAIM = (
    update(evidence)
    .where(*_OF_KEY, _E.try_at == bindparam("expected", type_=_E.try_at.type))
    .values(try_at=bindparam("until"))
)
_COURSE = ("try_at", "failures", "problem", "unusable", "etag", "fetched_at")
_RESCHEDULE = update(evidence).where(*_OF_KEY).values({name: bindparam(name) for name in _COURSE})

_SEEN_KEY = ("partner_id", "issuer_key", "serial")
_SEEN = (
    select(revocations_seen)
    .where(_S.tenant == CURRENT_TENANT, _S.partner_id == bindparam("partner_id"))
    .order_by(_S.issuer_key, _S.serial)
)
_REMEMBER = insert_or_replace(revocations_seen, _SEEN_KEY)
_RELEASE = delete(revocations_seen).where(
    _S.tenant == CURRENT_TENANT,
    *(_S[name] == bindparam(f"of_{name}", type_=_S[name].type) for name in _SEEN_KEY),
)


class SqlEvidence:
    """`stores.partner_protocols.EvidenceStore`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def get(self, partner_id: str, kind: EvidenceKind, source: str, about: str) -> EvidenceRecord | None:
        """Return the evidence."""
        row = self._transaction.row(_BY_KEY, partner_id=partner_id, kind=kind, source=source, about=about)
        if row is None:
            return None
        if not row.sha256:
            return _evidence(row)
        der = row.der or self._join(row.sha256)
        return _evidence(row, der if hashlib.sha256(der).hexdigest() == row.sha256 else b"")

    def digest(self, partner_id: str, kind: EvidenceKind, source: str, about: str) -> str | None:
        """Return the SHA-256 of a row."""
        found: str | None = self._transaction.value(
            _DIGEST, partner_id=partner_id, kind=kind, source=source, about=about
        )
        return found

    def _join(self, sha256: str) -> bytes:
        return b"".join(row.content for row in self._transaction.rows(_PIECES, sha256=sha256))

    def list(self, partner_id: str) -> list[EvidenceRecord]:
        """Return the evidence of a partner, without `der`."""
        return [_evidence(row) for row in self._transaction.rows(_OF_PARTNER, partner_id=partner_id)]

    def size(self, partner_id: str, kind: EvidenceKind) -> int:
        """Return the size in bytes of all evidence of one kind."""
        of = {"partner_id": partner_id, "kind": kind}
        return sum(int(self._transaction.value(one, **of)) for one in (_SIZE, _SIZE_OF_PIECES))

    def due(
        self,
        by: datetime,
        limit: int,
        partner_id: str | None = None,
        kind: EvidenceKind | None = None,
        without: Sequence[str] = (),
    ) -> builtins.list[EvidenceRecord]:
        """Return the evidence that must be fetched by then, without `der`."""
        of = {name: word for name, word in (("partner_id", partner_id), ("kind", kind)) if word is not None}
        source = func.lower(_E.source).concat("/")
        left_out = [source.startswith(beginning, autoescape=True) for beginning in without]
        wanted = _DUE.where(*(_DUE_OF[name] for name in of), *map(not_, left_out))
        return [_evidence(row) for row in self._transaction.rows(wanted, by=by, limit=limit, **of)]

    def lease(self, evidence: EvidenceRecord, until: datetime) -> bool:
        """Move `try_at`; compare and set."""
        return self._transaction.write(_CLAIM, expected=evidence.try_at, until=until, **_key(evidence)) == 1

    def reschedule(self, evidence: EvidenceRecord) -> None:
        """Store the result of a fetch without new evidence."""
        course = {name: getattr(evidence, name) for name in _COURSE}
        self._transaction.write(_RESCHEDULE, **course, **_key(evidence))

    def store(self, evidence: EvidenceRecord) -> None:
        """Insert or replace."""
        self._transaction.require_writable(evidence.tenant)
        values = _values(evidence)
        if len(evidence.der) > PIECE_BYTES:
            values["der"] = b""
            if self._transaction.value(_COUNT_PIECES, sha256=evidence.sha256) < count_pieces(evidence.der):
                self.add_pieces(split_crl(evidence.der))
        self._transaction.add(_STORE, **values)

    def add_pieces(self, pieces: Sequence[CrlPiece]) -> None:
        """Add pieces of a CRL that is stored later; those that are there already are replaced, as they may be damaged."""
        tenant = self._transaction.tenant
        self._transaction.write_many(_ADD_PIECE, [one._asdict() | {"tenant": tenant} for one in pieces])

    def forget_pieces(self, sha256: str, most: int) -> int:
        """Remove pieces of a CRL that is in no row, at most so many; return how many."""
        return self._transaction.driver_change(_FORGET_PIECES, sha256=sha256, most=most)

    def unused_pieces(self) -> builtins.list[str]:
        """Return the SHA-256 of every CRL that has pieces and is in no row."""
        return [sha256 for (sha256,) in self._transaction.driver_rows(_UNUSED_PIECES)]

    def forget(self, partner_id: str, kind: EvidenceKind, source: str, about: str) -> None:
        """Delete the evidence."""
        self._transaction.write(
            _FORGET, of_partner_id=partner_id, of_kind=kind, of_source=source, of_about=about
        )

    def record_revocation(self, partner_id: str, seen: RecordedRevocation) -> None:
        """Store a revocation, so that it outlives its evidence."""
        values = {name: getattr(seen, name) for name in RecordedRevocation.__slots__}
        self._transaction.add(_REMEMBER, partner_id=partner_id, **values)

    def recorded_revocations(self, partner_id: str) -> builtins.list[RecordedRevocation]:
        """Return the stored revocations of a partner."""
        rows = self._transaction.rows(_SEEN, partner_id=partner_id)
        return [
            RecordedRevocation(**{name: getattr(row, name) for name in RecordedRevocation.__slots__})
            for row in rows
        ]

    def forget_revocation(self, partner_id: str, seen: RecordedRevocation) -> None:
        """Delete a hold that has ended."""
        self._transaction.write(
            _RELEASE, of_partner_id=partner_id, of_issuer_key=seen.issuer_key, of_serial=seen.serial
        )


def _values(record: EvidenceRecord) -> dict[str, Any]:
    return {name: getattr(record, name) for name in type(record).__slots__ if name != "tenant"}


def _key(record: EvidenceRecord) -> dict[str, Any]:
    return {f"of_{name}": getattr(record, name) for name in _KEY}


def _evidence(row: AnyRow, der: bytes = b"") -> EvidenceRecord:
    names = [name for name in EvidenceRecord.__slots__ if name != "der"]
    return EvidenceRecord(der=der, **{name: getattr(row, name) for name in names})
