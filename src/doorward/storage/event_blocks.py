"""The stored blocks of the audit log: their leaves, their openings, and erasing openings.

Not here: single events and the tree (`event_store`), the form of the stored values (`log_packing`), adding a block to the
outbox (`event_outbox`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from doorward.audit.block import MAX_BLOCK_EVENTS, open_subject
from doorward.audit.leaf import CommitmentOpening
from doorward.audit.log import PlacedBlock
from doorward.core.errors import IntegrityError
from doorward.storage.driver_statement import DriverStatement
from doorward.storage.log_packing import pack_leaves, unpack_leaves, unpack_openings
from doorward.storage.transaction import Transaction

SEGMENT_EVENTS = 1024
"""Leaves of one segment. A proof reads one segment: some milliseconds."""

_ADD_BLOCK = DriverStatement(
    """INSERT INTO log_blocks (tenant, first, events, block_id) VALUES (:tenant, :first, :events, :block_id)
    ON CONFLICT DO NOTHING"""
)
_ADD_SEGMENT = DriverStatement(
    "INSERT INTO log_segments (tenant, first, events, leaves) VALUES (:tenant, :first, :events, :leaves)"
)
_SEGMENTS = DriverStatement(
    """SELECT first, events, leaves FROM log_segments
    WHERE tenant = :this_tenant AND first > :above AND first < :end ORDER BY first""",
    large=True,
)
_OPENINGS = DriverStatement(
    """SELECT b.first, b.events, o.subject, o.content
    FROM log_blocks b JOIN log_block_openings o ON o.block_id = b.block_id
    WHERE b.tenant = :this_tenant AND b.first > :above AND b.first < :end"""
)
_OF_SUBJECT = """FROM log_block_openings
        WHERE tenant = :tenant AND subject = :subject ORDER BY block_id LIMIT 100"""
_BEFORE = """FROM log_block_openings
        WHERE tenant = :this_tenant AND retention = :retention AND at < :before ORDER BY at, block_id, subject LIMIT 100"""
_ERASE = "DELETE FROM log_block_openings WHERE (block_id, subject) IN (SELECT block_id, subject "
_NUMBERS_OF_SUBJECT = DriverStatement(f"SELECT number {_OF_SUBJECT}")
_ERASE_SUBJECT = DriverStatement(f"{_ERASE}{_OF_SUBJECT})")
_NUMBERS_BEFORE = DriverStatement(f"SELECT number {_BEFORE}")
_ERASE_BEFORE = DriverStatement(f"{_ERASE}{_BEFORE})")


class SqlEventBlocks:
    """The blocks of one tenant inside one transaction."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def add(self, blocks: Sequence[PlacedBlock]) -> bool:
        """Store placed blocks; neighbours share segments. Return whether all of them are new."""
        tenant = self._transaction.tenant
        added = self._transaction.driver_write(
            _ADD_BLOCK,
            [
                {"tenant": tenant, "first": one.first, "events": len(one.leaves), "block_id": one.block_id}
                for one in blocks
            ],
        )
        self._transaction.driver_write(
            _ADD_SEGMENT,
            [
                {
                    "tenant": tenant,
                    "first": first,
                    "events": len(leaves),
                    "leaves": packed or pack_leaves(leaves),
                }
                for first, leaves, packed in _group(blocks)
            ],
        )
        return added == len(blocks)

    def leaves(self, start: int, end: int) -> Iterator[tuple[int, bytes]]:
        """Yield (number, leaf) of the range by number; the leaves of a damaged segment are missing."""
        for first, events, data in self._transaction.driver_rows(
            _SEGMENTS, above=start - MAX_BLOCK_EVENTS, end=end
        ):
            if first + events > start:
                for number, leaf in enumerate(_unpacked(data, events), start=first):
                    if (
                        leaf and start <= number < end
                    ):  # in a joined segment, single events between blocks are empty
                        yield number, leaf

    def openings(self, start: int, end: int) -> list[tuple[int, CommitmentOpening]]:
        """Return (leaf number, opening) of the range, in no order.

        Openings that cannot be read come as one that opens nothing, so that verifying the log reports them.
        """
        found: list[tuple[int, CommitmentOpening]] = []
        rows = self._transaction.driver_rows(_OPENINGS, above=start - MAX_BLOCK_EVENTS, end=end)
        for first, events, subject, content in rows:
            if first >= start and first + events <= end:
                found += _opened(subject, content, first, events)
            elif first + events > start:
                opened = _opened(subject, content, first, events)
                found += [one for one in opened if start <= one[0] < end]
        return found

    def erase_subject(self, tenant: str, subject: str) -> int:
        """Delete the openings about this id of the next 100 blocks; return how many."""
        return self._erase(_NUMBERS_OF_SUBJECT, _ERASE_SUBJECT, {"tenant": tenant, "subject": subject})

    def erase_before(self, retention: str, before: int) -> int:
        """Delete the next 100 rows of openings of a retention class before that time (microseconds); return how many."""
        return self._erase(_NUMBERS_BEFORE, _ERASE_BEFORE, {"retention": retention, "before": before})

    def _erase(self, numbers: DriverStatement, erase: DriverStatement, values: dict[str, Any]) -> int:
        total = sum(row[0] for row in self._transaction.driver_rows(numbers, **values))
        self._transaction.driver_change(erase, **values)
        return int(total)


def _group(blocks: Sequence[PlacedBlock]) -> list[tuple[int, list[bytes], bytes]]:
    """Return (first number, leaves, their stored form) of segments: neighbours together, up to the size of a segment.

    A segment that is one block has the block's stored form; the other ones have none yet.
    """
    groups: list[tuple[int, list[bytes], bytes]] = []
    for block in blocks:
        first, leaves, _ = groups[-1] if groups else (0, [], b"")
        if (
            leaves
            and first + len(leaves) == block.first
            and len(leaves) + len(block.leaves) <= SEGMENT_EVENTS
        ):
            groups[-1] = first, leaves + list(block.leaves), b""
        else:
            groups.append((block.first, list(block.leaves), block.packed))
    return groups


def _unpacked(data: bytes, events: int) -> list[bytes]:
    try:
        return unpack_leaves(data, events)
    except IntegrityError:
        return []


def _opened(subject: str, content: bytes, first: int, events: int) -> list[tuple[int, CommitmentOpening]]:
    try:
        found = open_subject(unpack_openings(subject, content), first)
        if not found or first <= found[0][0] <= found[-1][0] < first + events:
            return found
    except IntegrityError:
        pass
    return [(first, CommitmentOpening("openings", "", b"", subject))]
