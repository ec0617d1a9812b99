"""Recording an event: its leaf goes to `log_outbox`, the openings of its commitments to `log_openings`.

Not here: moving leaves to the tree (`event_store`). Every change records an event, so these statements are text:
see `driver_statement`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from doorward.audit.block import SealedBlock
from doorward.audit.leaf import SealedEvent
from doorward.core.errors import IntegrityError
from doorward.storage.driver_statement import DriverStatement
from doorward.storage.transaction import Transaction
from doorward.storage.values import to_microseconds

# Affects no row if the event is in the outbox or in the tree already; the caller checks the count.
_ADD_PENDING = DriverStatement(
    """INSERT INTO log_outbox (tenant, event_id, leaf)
    SELECT :of, :event, :bytes WHERE NOT EXISTS (SELECT 1 FROM log_leaves WHERE event_id = :event)
    ON CONFLICT DO NOTHING"""
)
_ADD_OPENING = DriverStatement(
    """INSERT INTO log_openings (event_id, field, tenant, subject, retention, at, salt, value)
    VALUES (:event_id, :field, :tenant, :subject, :retention, :at, :salt, :value)"""
)
_WAITING = DriverStatement("SELECT count(*) FROM log_outbox WHERE tenant = :this_tenant")


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
        self._add(
            [event.tenant for event in events],
            [(event.id, event.leaf) for event in events],
            (
                {
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
            ),
        )

    def record_block(self, block: SealedBlock) -> None:
        """Record the events of a block.

        Raises:
            IntegrityError: `event-duplicate`; the transaction must not be committed then.
        """
        retention, at = block.retention.value, to_microseconds(block.at)
        self._add(
            [block.tenant],
            list(zip(block.ids, block.leaves, strict=True)),
            (
                {
                    "event_id": block.ids[place],
                    "field": field,
                    "subject": subject,
                    "retention": retention,
                    "at": at,
                    "salt": salt,
                    "value": value,
                }
                for place, field, value, salt, subject in block.openings
            ),
        )

    def _add(
        self,
        tenants: Iterable[str],
        leaves: Sequence[tuple[str, bytes]],
        openings: Iterable[Mapping[str, Any]],
    ) -> None:
        for one in tenants:
            self._transaction.require_writable(one)
        tenant = self._transaction.tenant
        added = self._transaction.driver_write(
            _ADD_PENDING, [{"of": tenant, "event": event_id, "bytes": leaf} for event_id, leaf in leaves]
        )
        if added != len(leaves):
            raise duplicate_event()
        self._transaction.driver_write(_ADD_OPENING, [{"tenant": tenant, **one} for one in openings])

    def waiting(self) -> int:
        """Return how many events are in the outbox."""
        return int(self._transaction.driver_value(_WAITING))


def duplicate_event() -> IntegrityError:
    """Return the error for an event that was recorded before."""
    return IntegrityError("event-duplicate", "an event with this id was recorded before")
