"""Notes that holders make about their certificates.

Not here: who may write a note (`directory.own_certificates`).
"""

from __future__ import annotations

from collections.abc import Collection

from doorward.storage.driver_statement import DriverStatement
from doorward.storage.transaction import Transaction
from doorward.storage.values import from_optional_microseconds, to_optional_microseconds
from doorward.stores.holder_notes import HolderNote

_OF = DriverStatement(
    """SELECT certificate_id, tenant, name, lost_at FROM holder_notes
    WHERE tenant = :this_tenant AND certificate_id = :of"""
)
_SAVE = DriverStatement(
    """INSERT INTO holder_notes (certificate_id, tenant, name, lost_at)
    VALUES (:certificate_id, :this_tenant, :name, :lost_at)
    ON CONFLICT (certificate_id) DO UPDATE SET name = excluded.name, lost_at = excluded.lost_at"""
)


class SqlHolderNotes:
    """`stores.holder_notes.HolderNoteStore`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def of(self, certificate_ids: Collection[str]) -> dict[str, HolderNote]:
        """Return the notes of those certificates that have one; a person has only a few certificates."""
        rows = [self._transaction.driver_row(_OF, of=one) for one in certificate_ids]
        notes = [
            HolderNote(
                certificate_id=id_, tenant=tenant, name=name, lost_at=from_optional_microseconds(lost_at)
            )
            for id_, tenant, name, lost_at in filter(None, rows)
        ]
        return {note.certificate_id: note for note in notes}

    def save(self, note: HolderNote) -> None:
        """Replace the note of a certificate."""
        self._transaction.require_writable(note.tenant)
        self._transaction.driver_change(
            _SAVE,
            certificate_id=note.certificate_id,
            name=note.name,
            lost_at=to_optional_microseconds(note.lost_at),
        )
