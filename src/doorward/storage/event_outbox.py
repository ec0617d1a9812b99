"""Recording events: leaves go to `log_outbox`, the openings of their commitments to `log_openings`; or a block at once.

Not here: moving leaves to the tree (`event_store`). Every change records an event, so these statements are text:
see `driver_statement`.
"""

from __future__ import annotations

from collections.abc import Sequence

from doorward.audit.block import MAX_BLOCK_EVENTS, SealedBlock
from doorward.audit.leaf import SealedEvent
from doorward.core.errors import IntegrityError
from doorward.storage import lazy
from doorward.storage.driver_statement import DriverStatement
from doorward.storage.transaction import Transaction
from doorward.storage.values import to_microseconds

# Affects no row if the event is in the outbox or in the tree already; the caller checks the count.
_ADD_PENDING = DriverStatement(
    """INSERT INTO log_outbox (tenant, event_id, leaf, events)
    SELECT :of, :event, :bytes, 0 WHERE NOT EXISTS (SELECT 1 FROM log_leaves WHERE event_id = :event)
    ON CONFLICT DO NOTHING"""
)
_ADD_BLOCK = DriverStatement(
    """INSERT INTO log_outbox (tenant, event_id, leaf, events)
    SELECT :of, :event, :bytes, :events WHERE NOT EXISTS (SELECT 1 FROM log_blocks WHERE block_id = :event)
    ON CONFLICT DO NOTHING"""
)
_ADD_OPENING = DriverStatement(
    """INSERT INTO log_openings (event_id, field, tenant, subject, retention, at, salt, value)
    VALUES (:event_id, :field, :tenant, :subject, :retention, :at, :salt, :value)"""
)
_ADD_BLOCK_OPENINGS = DriverStatement(
    """INSERT INTO log_block_openings (block_id, subject, tenant, retention, at, number, content)
    VALUES (:block_id, :subject, :tenant, :retention, :at, :number, :content)"""
)
_ANY_WAITS = DriverStatement("SELECT 1 FROM log_outbox WHERE tenant = :this_tenant LIMIT 1")
_WAITING = DriverStatement(
    "SELECT sum(CASE WHEN events = 0 THEN 1 ELSE events END) FROM log_outbox WHERE tenant = :this_tenant"
)


class SqlEventOutbox:
    """The outbox of one tenant inside one transaction."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def record(self, sealed: SealedEvent) -> None:
        """Store the leaf in the outbox and the openings in their final table."""
        self.record_all([sealed])

    def record_all(self, events: Sequence[SealedEvent]) -> None:
        """Record many events at once.

        Raises:
            IntegrityError: `event-duplicate`; the transaction must not be committed then.
        """
        for event in events:
            self._transaction.require_writable(event.tenant)
        tenant = self._transaction.tenant
        added = self._transaction.driver_write(
            _ADD_PENDING, [{"of": tenant, "event": event.id, "bytes": event.leaf} for event in events]
        )
        if added != len(events):
            raise duplicate_event()
        self._transaction.driver_write(
            _ADD_OPENING,
            [
                {
                    "tenant": tenant,
                    "event_id": event.id,
                    "field": opening.field,
                    "subject": opening.subject,
                    "retention": event.retention.value,
                    "at": at,
                    "salt": opening.salt,
                    "value": opening.value,
                }
                for event in events
                for at in (to_microseconds(event.at),)
                for opening in event.openings
            ],
        )

    def record_block(self, block: SealedBlock) -> None:
        """Record the events of a block.

        Raises:
            IntegrityError: `event-duplicate`; the transaction must not be committed then.
            ValueError: the block has no event, or too many.
        """
        self._transaction.require_writable(block.tenant)
        if not 0 < len(block.leaves) <= MAX_BLOCK_EVENTS:
            raise ValueError(f"a block has 1 to {MAX_BLOCK_EVENTS} events")
        tenant, block_id = self._transaction.tenant, block.ids[0]
        row = {
            "of": tenant,
            "event": block_id,
            "bytes": lazy.log_packing.pack_leaves(block.leaves),
            "events": len(block.leaves),
        }
        if self._transaction.driver_write(_ADD_BLOCK, [row]) != 1:
            raise duplicate_event()
        retention, at = block.retention.value, to_microseconds(block.at)
        self._transaction.driver_write(
            _ADD_BLOCK_OPENINGS,
            [
                {
                    "tenant": tenant,
                    "block_id": block_id,
                    "subject": one.subject,
                    "retention": retention,
                    "at": at,
                    "number": len(one.openings),
                    "content": lazy.log_packing.pack_openings(one),
                }
                for one in block.openings
            ],
        )

    def has_waiting(self) -> bool:
        """Return whether there is an event in the outbox: one row is read, while `waiting` reads every row."""
        return self._transaction.driver_value(_ANY_WAITS) is not None

    def waiting(self) -> int:
        """Return how many events are in the outbox."""
        return int(self._transaction.driver_value(_WAITING) or 0)


def duplicate_event() -> IntegrityError:
    """Return the error for an event that was recorded before."""
    return IntegrityError("event-duplicate", "an event with this id was recorded before")
