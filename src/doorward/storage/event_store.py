"""The stored audit log: `audit.log.EventStore` over SQL, and its transactions.

Not here: the tree and its checkpoints (`audit`), adding events to the outbox (`event_outbox`), leaves and openings of
blocks (`event_blocks`), the index (`event_index`). Leaves move from `log_outbox` to `log_leaves` or, those of blocks, to `log_segments`. The openings of their commitments are in `log_openings` from the beginning; erasure
deletes rows of that table only. The write transaction is the lock that allows one sequencer at a time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from heapq import merge
from itertools import groupby

from doorward.audit.events import Retention
from doorward.audit.leaf import CommitmentOpening
from doorward.audit.log import PendingBlock, PendingEvent, PlacedBlock, StoredLeaf, StoredNode
from doorward.audit.merkle import HASH_BYTES, NodeRun
from doorward.audit.tiles import TILE_HASHES, TILE_LEVELS, extend_tiles, node_row, resolve_nodes
from doorward.core.entities import TENANT
from doorward.core.errors import IntegrityError
from doorward.storage.backend import Database
from doorward.storage.driver_statement import DriverStatement
from doorward.storage.event_blocks import SqlEventBlocks
from doorward.storage.event_index import SqlEventIndex
from doorward.storage.event_outbox import SqlEventOutbox, duplicate_event
from doorward.storage.event_segments import find_group, join_group
from doorward.storage.log_packing import unpack_leaves
from doorward.storage.transaction import Transaction
from doorward.storage.values import from_microseconds, to_microseconds

_ADD_LEAF = DriverStatement(
    """INSERT INTO log_leaves (tenant, number, event_id, leaf, hash) VALUES (:tenant, :number, :event_id, :leaf, :hash)
    ON CONFLICT DO NOTHING"""
)
_STORE_TILE = DriverStatement(
    """INSERT INTO log_tiles (tenant, level, number, hashes) VALUES (:tenant, :level, :number, :hashes)
    ON CONFLICT (tenant, level, number) DO UPDATE SET hashes = excluded.hashes"""
)
_ADD_CHECKPOINT = DriverStatement(
    """INSERT INTO log_checkpoints (tenant, size, text, at) VALUES (:this_tenant, :size, :text, :at)
    ON CONFLICT DO NOTHING"""
)

_PENDING = DriverStatement(
    """SELECT id, event_id, leaf, events FROM log_outbox WHERE tenant = :this_tenant
    ORDER BY id LIMIT :at_most"""
)
_FORGET = DriverStatement("DELETE FROM log_outbox WHERE id = :of")

_LAST_TILE = DriverStatement(
    """SELECT number, length(hashes) FROM log_tiles WHERE tenant = :this_tenant AND level = 0
    ORDER BY number DESC LIMIT 1"""
)
_TILE = DriverStatement(
    "SELECT hashes FROM log_tiles WHERE tenant = :this_tenant AND level = :level AND number = :number"
)
_LEAVES = DriverStatement(
    """SELECT number, event_id, leaf, hash FROM log_leaves
    WHERE tenant = :this_tenant AND number >= :start AND number < :end ORDER BY number""",
    large=True,
)
_LATEST_CHECKPOINT = DriverStatement(
    "SELECT text, at FROM log_checkpoints WHERE tenant = :this_tenant ORDER BY size DESC LIMIT 1"
)
_CHECKPOINTS = DriverStatement(
    """SELECT size, text FROM log_checkpoints
    WHERE tenant = :this_tenant AND size > :above AND size <= :up_to ORDER BY size""",
    large=True,
)
_LOWEST, _HIGHEST_SIZE = -(1 << 63), (1 << 63) - 1

_OPENINGS = DriverStatement(
    """SELECT l.number, o.field, o.value, o.salt, o.subject
    FROM log_leaves l JOIN log_openings o ON o.event_id = l.event_id
    WHERE l.tenant = :this_tenant AND l.number >= :start AND l.number < :end ORDER BY l.number, o.field""",
    large=True,
)
_ERASE_SUBJECT = DriverStatement(
    """DELETE FROM log_openings WHERE (event_id, field) IN (
        SELECT event_id, field FROM log_openings WHERE tenant = :of AND subject = :about LIMIT 1000)"""
)
_ERASE_BEFORE = DriverStatement(
    """DELETE FROM log_openings WHERE (event_id, field) IN (
        SELECT event_id, field FROM log_openings
        WHERE tenant = :this_tenant AND retention = :kept_for AND at < :before LIMIT 1000)"""
)


class SqlEventStore(SqlEventOutbox, SqlEventIndex):
    """`audit.log.EventStore` of one tenant inside one transaction."""

    def __init__(self, transaction: Transaction) -> None:
        super().__init__(transaction)
        self._blocks = SqlEventBlocks(transaction)

    def pending(self, limit: int) -> list[PendingEvent | PendingBlock]:
        """Return events and blocks of the outbox, oldest first, until there are `limit` events or more."""
        found: list[PendingEvent | PendingBlock] = []
        left = limit
        for number, event_id, leaf, events in self._transaction.driver_rows(_PENDING, at_most=limit):
            if left <= 0:
                break
            left -= events or 1
            found.append(
                PendingBlock(number, event_id, unpack_leaves(leaf, events), leaf)
                if events
                else PendingEvent(outbox_id=number, event_id=event_id, leaf=leaf)
            )
        return found

    def tree_size(self) -> int:
        """Return the number of leaves; they are numbered from 0 without gaps."""
        last = self._transaction.driver_row(_LAST_TILE)
        return 0 if last is None else last[0] * TILE_HASHES + last[1] // HASH_BYTES

    def nodes(self, places: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the hashes at (level, number) places, in the order of the argument."""
        return resolve_nodes(places, self._tiles)

    def _tiles(self, places: Collection[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
        found = {}
        for level, number in places:
            row = self._transaction.driver_row(_TILE, level=level, number=number)
            if row is not None:
                found[level, number] = row[0]
        return found

    def append(
        self, leaves: Sequence[StoredLeaf], nodes: Sequence[NodeRun], blocks: Sequence[PlacedBlock] = ()
    ) -> None:
        """Add leaves of single events and of blocks, and the inner nodes that they complete."""
        size = self.tree_size()
        hashes: list[bytes] = []
        parts = [(leaf.number, [leaf.hash]) for leaf in leaves]
        parts += [(block.first, list(block.hashes)) for block in blocks]
        for number, added in sorted(parts):
            if number != size + len(hashes):
                raise IntegrityError(
                    "leaf-out-of-order", f"the next leaf of the log must have the number {size + len(hashes)}"
                )
            hashes += added
        tenant = self._transaction.tenant
        stored = self._transaction.driver_write(
            _ADD_LEAF,
            [
                {"tenant": tenant, "number": number, "event_id": event_id, "leaf": leaf, "hash": digest}
                for number, event_id, leaf, digest in leaves
            ],
        )
        if stored != len(leaves) or not self._blocks.add(blocks):
            raise duplicate_event()
        self._add_hashes(0, size, hashes)
        for run in nodes:
            if run.level % TILE_LEVELS == 0:
                self._add_hashes(run.level // TILE_LEVELS, run.start, run.hashes)

    def _add_hashes(self, tile_level: int, start: int, hashes: Sequence[bytes]) -> None:
        """Add hashes to a level of tiles; the first has the number `start` in its level of the tree."""
        place = (tile_level, start // TILE_HASHES)
        last = self._tiles([place]).get(place, b"")
        self._transaction.driver_write(
            _STORE_TILE,
            [
                {
                    "tenant": self._transaction.tenant,
                    "level": tile_level,
                    "number": number,
                    "hashes": content,
                }
                for number, content in extend_tiles(tile_level, start, hashes, last)
            ],
        )

    def forget_pending(self, outbox_ids: Sequence[int]) -> None:
        """Remove these events from the outbox; the openings stay."""
        self._transaction.driver_write(_FORGET, [{"of": number} for number in outbox_ids])

    def latest_checkpoint(self) -> str | None:
        """Return the text of the checkpoint with the largest size."""
        text: str | None = self._transaction.driver_value(_LATEST_CHECKPOINT)
        return text

    def latest_checkpoint_at(self) -> datetime | None:
        """Return when the checkpoint with the largest size was stored."""
        row = self._transaction.driver_row(_LATEST_CHECKPOINT)
        return None if row is None else from_microseconds(row[1])

    def stored_checkpoints(self, above: int | None, to: int | None) -> Iterator[tuple[int, str]]:
        """Yield (stored size, text) of the checkpoints with above < size <= to, ordered by size."""
        low, high = _LOWEST if above is None else above, _HIGHEST_SIZE if to is None else to
        yield from self._transaction.driver_rows(_CHECKPOINTS, above=low, up_to=high)

    def store_checkpoint(self, text: str, size: int, at: datetime) -> None:
        """Store a signed checkpoint; refuse a second one of the same size, which may contradict the first."""
        if not self._transaction.driver_change(_ADD_CHECKPOINT, size=size, text=text, at=to_microseconds(at)):
            raise IntegrityError("checkpoint-duplicate", f"the log already has a checkpoint of size {size}")

    def leaves(self, start: int, end: int) -> Iterator[StoredLeaf]:
        """Yield the leaves of the range by number; they are not loaded as a whole."""
        singles = (StoredLeaf(*row) for row in self._transaction.driver_rows(_LEAVES, start=start, end=end))
        yield from merge(singles, self._block_leaves(start, end))  # tuples: by number

    def _block_leaves(self, start: int, end: int) -> Iterator[StoredLeaf]:
        for base, group in groupby(self._blocks.leaves(start, end), key=lambda one: one[0] // TILE_HASHES):
            hashes = self._tiles([(0, base)]).get((0, base), b"")
            for number, leaf in group:
                begin = number % TILE_HASHES * HASH_BYTES
                yield StoredLeaf(number, "", leaf, hashes[begin : begin + HASH_BYTES])

    def join_segments(self, start: int) -> tuple[bool, int]:
        """Join the first small segments from a number on into one, at most 1,024 leaves.

        Returns:
            Whether some were joined, and the number from which the next call begins.

        Raises:
            IntegrityError: `block-damaged`.
        """
        group, start = find_group(self._transaction, start)
        if group is not None:
            join_group(self._transaction, group)
        return group is not None, start

    def node_range(self, level: int, start: int, end: int) -> Iterator[StoredNode]:
        """Yield the stored nodes of one level by number."""
        for number, digest in node_row(level, start, end, self._tiles):
            yield StoredNode(level, number, digest)

    def openings(self, start: int, end: int) -> Iterator[tuple[int, CommitmentOpening]]:
        """Yield (leaf number, opening) by number, then by field name."""
        singles = [
            (number, CommitmentOpening(name, value, salt, subject))
            for number, name, value, salt, subject in self._transaction.driver_rows(
                _OPENINGS, start=start, end=end
            )
        ]
        yield from sorted(singles + self._blocks.openings(start, end))  # tuples: by number, then by field

    def erase_subject(self, tenant: str, subject: str) -> int:
        """Delete the next openings with this subject id: rows of at most 1,000 single events and 100 blocks."""
        singles = self._transaction.driver_change(_ERASE_SUBJECT, of=tenant, about=subject)
        return singles + self._blocks.erase_subject(tenant, subject)

    def erase_before(self, retention: Retention, before: datetime) -> int:
        """Delete the next openings of a retention class with events before that time, as many as `erase_subject`."""
        until = to_microseconds(before)
        singles = self._transaction.driver_change(_ERASE_BEFORE, kept_for=retention.value, before=until)
        return singles + self._blocks.erase_before(retention.value, until)


class SqlEventLog:
    """Opens transactions on the audit log of one tenant, for the sequencer, the verifier and erasure."""

    def __init__(self, database: Database, *, tenant: str = TENANT) -> None:
        self._database = database
        self._tenant = tenant

    @contextmanager
    def read(self) -> Iterator[SqlEventStore]:
        """Open a snapshot of the log; writing through it raises."""
        with self._database.read() as connection:
            yield SqlEventStore(Transaction(connection, self._tenant, writable=False))

    @contextmanager
    def change(self) -> Iterator[SqlEventStore]:
        """Open the write transaction: committed durably at the end, rolled back on any exception."""
        with self._database.write(traffic=True) as connection:  # if the disk is full, sequencing can wait
            yield SqlEventStore(Transaction(connection, self._tenant, writable=True))
