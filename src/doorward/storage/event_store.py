"""The stored audit log: `audit.log.EventStore` over SQL, and its transactions.

Not here: the tree and its checkpoints (`audit`), adding events to the outbox (`event_outbox`). Leaves move from
`log_outbox` to `log_leaves`. The openings of their commitments are in `log_openings` from the beginning; erasure
deletes rows of that table only. The write transaction is the lock that allows one sequencer at a time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from sqlalchemy import LargeBinary, bindparam, delete, func, insert, select, tuple_

from doorward.audit.events import Retention
from doorward.audit.leaf import CommitmentOpening
from doorward.audit.log import PendingEvent, StoredLeaf, StoredNode
from doorward.core.entities import TENANT
from doorward.core.errors import IntegrityError
from doorward.storage.backend import Database
from doorward.storage.core_statements import CURRENT_TENANT, SqlPosition, insert_new
from doorward.storage.driver_statement import DriverStatement
from doorward.storage.event_outbox import SqlEventOutbox, duplicate_event
from doorward.storage.schema import log_checkpoints, log_leaves, log_nodes, log_openings, log_outbox
from doorward.storage.transaction import Transaction

_CHUNK = 400
"""Values in one IN list. Databases accept thousands, but planning a short list is faster."""

_ADD_LEAF = DriverStatement(insert_new(log_leaves))
_ADD_NODE = DriverStatement(insert(log_nodes), log_nodes.columns.keys())
_ADD_CHECKPOINT = insert_new(log_checkpoints)

_PENDING = DriverStatement(
    select(log_outbox.c.id, log_outbox.c.event_id, log_outbox.c.leaf)
    .where(log_outbox.c.tenant == CURRENT_TENANT)
    .order_by(log_outbox.c.id)
    .limit(bindparam("at_most"))
)
_FORGET = DriverStatement(delete(log_outbox).where(log_outbox.c.id == bindparam("of")))

_HIGHEST = select(func.max(log_leaves.c.number)).where(log_leaves.c.tenant == CURRENT_TENANT)
_HASHES = select(log_leaves.c.number, log_leaves.c.hash).where(
    log_leaves.c.tenant == CURRENT_TENANT, log_leaves.c.number.in_(bindparam("numbers", expanding=True))
)
_NODES = select(log_nodes.c.level, log_nodes.c.number, log_nodes.c.hash).where(
    log_nodes.c.tenant == CURRENT_TENANT,
    tuple_(log_nodes.c.level, log_nodes.c.number).in_(bindparam("places", expanding=True)),
)
_LEAVES = DriverStatement(
    select(log_leaves.c.number, log_leaves.c.event_id, log_leaves.c.leaf, log_leaves.c.hash)
    .where(
        log_leaves.c.tenant == CURRENT_TENANT,
        log_leaves.c.number >= bindparam("start"),
        log_leaves.c.number < bindparam("end"),
    )
    .order_by(log_leaves.c.number),
    large=True,
)
_MENTIONS = DriverStatement(
    select(log_leaves.c.number)
    .where(
        log_leaves.c.tenant == CURRENT_TENANT,
        SqlPosition(bindparam("needle", type_=LargeBinary), log_leaves.c.leaf) > 0,
    )
    .order_by(log_leaves.c.number.desc())
    .limit(bindparam("most"))
)
_NODE_RANGE = DriverStatement(
    select(log_nodes.c.level, log_nodes.c.number, log_nodes.c.hash)
    .where(
        log_nodes.c.tenant == CURRENT_TENANT,
        log_nodes.c.level == bindparam("level"),
        log_nodes.c.number >= bindparam("start"),
        log_nodes.c.number < bindparam("end"),
    )
    .order_by(log_nodes.c.number),
    large=True,
)
_LATEST_CHECKPOINT = (
    select(log_checkpoints.c.text)
    .where(log_checkpoints.c.tenant == CURRENT_TENANT)
    .order_by(log_checkpoints.c.size.desc())
    .limit(1)
)
_LATEST_CHECKPOINT_AT = (
    select(log_checkpoints.c.at)
    .where(log_checkpoints.c.tenant == CURRENT_TENANT)
    .order_by(log_checkpoints.c.size.desc())
    .limit(1)
)
_CHECKPOINTS = DriverStatement(
    select(log_checkpoints.c.size, log_checkpoints.c.text)
    .where(
        log_checkpoints.c.tenant == CURRENT_TENANT,
        log_checkpoints.c.size > bindparam("above"),
        log_checkpoints.c.size <= bindparam("up_to"),
    )
    .order_by(log_checkpoints.c.size),
    large=True,
)
_LOWEST, _HIGHEST_SIZE = -(1 << 63), (1 << 63) - 1

_O = log_openings.c
_OPENINGS = DriverStatement(
    select(log_leaves.c.number, _O.field, _O.value, _O.salt, _O.subject)
    .select_from(log_leaves.join(log_openings, log_leaves.c.event_id == _O.event_id))
    .where(
        log_leaves.c.tenant == CURRENT_TENANT,
        log_leaves.c.number >= bindparam("start"),
        log_leaves.c.number < bindparam("end"),
    )
    .order_by(log_leaves.c.number, _O.field),
    large=True,
)
_ERASE_SUBJECT = delete(log_openings).where(_O.tenant == bindparam("of"), _O.subject == bindparam("about"))
_ERASE_BEFORE = delete(log_openings).where(
    _O.tenant == CURRENT_TENANT, _O.retention == bindparam("kept_for"), _O.at < bindparam("before")
)


class SqlEventStore(SqlEventOutbox):
    """`audit.log.EventStore` of one tenant inside one transaction."""

    def pending(self, limit: int) -> list[PendingEvent]:
        """Return at most `limit` events of the outbox, oldest first."""
        return [
            PendingEvent(outbox_id=number, event_id=event_id, leaf=leaf)
            for number, event_id, leaf in self._transaction.driver_rows(_PENDING, at_most=limit)
        ]

    def tree_size(self) -> int:
        """Return the number of leaves; they are numbered from 0 without gaps."""
        highest = self._transaction.value(_HIGHEST)
        return 0 if highest is None else int(highest) + 1

    def nodes(self, places: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the hashes at (level, number) places, in the order of the argument."""
        found: dict[tuple[int, int], bytes] = {}
        leaves = [number for level, number in places if level == 0]
        inner = [place for place in places if place[0] > 0]
        for start in range(0, len(leaves), _CHUNK):
            rows = self._transaction.rows(_HASHES, numbers=leaves[start : start + _CHUNK])
            found.update({(0, row[0]): row[1] for row in rows})
        for start in range(0, len(inner), _CHUNK):
            rows = self._transaction.rows(_NODES, places=inner[start : start + _CHUNK])
            found.update({(row[0], row[1]): row[2] for row in rows})
        missing = [place for place in places if place not in found]
        if missing:
            level, number = missing[0]
            raise IntegrityError("node-missing", f"node {number} of level {level} is missing in the log")
        return [found[place] for place in places]

    def append(self, leaves: Sequence[StoredLeaf], nodes: Sequence[StoredNode]) -> None:
        """Add leaves and the inner nodes that they complete."""
        size = self.tree_size()
        if [leaf.number for leaf in leaves] != list(range(size, size + len(leaves))):
            raise IntegrityError("leaf-out-of-order", f"the next leaf of the log must have the number {size}")
        tenant = self._transaction.tenant
        added = self._transaction.driver_write(
            _ADD_LEAF,
            [
                {"tenant": tenant, "number": number, "event_id": event_id, "leaf": leaf, "hash": digest}
                for number, event_id, leaf, digest in leaves
            ],
        )
        if added != len(leaves):
            raise duplicate_event()
        self._transaction.driver_write(
            _ADD_NODE,
            [
                {"tenant": tenant, "level": level, "number": number, "hash": digest}
                for level, number, digest in nodes
            ],
        )

    def forget_pending(self, outbox_ids: Sequence[int]) -> None:
        """Remove these events from the outbox; the openings stay."""
        self._transaction.driver_write(_FORGET, [{"of": number} for number in outbox_ids])

    def latest_checkpoint(self) -> str | None:
        """Return the text of the checkpoint with the largest size."""
        text: str | None = self._transaction.value(_LATEST_CHECKPOINT)
        return text

    def latest_checkpoint_at(self) -> datetime | None:
        """Return when the checkpoint with the largest size was stored."""
        at: datetime | None = self._transaction.value(_LATEST_CHECKPOINT_AT)
        return at

    def stored_checkpoints(self, above: int | None, to: int | None) -> Iterator[tuple[int, str]]:
        """Yield (stored size, text) of the checkpoints with above < size <= to, ordered by size."""
        low, high = _LOWEST if above is None else above, _HIGHEST_SIZE if to is None else to
        yield from self._transaction.driver_rows(_CHECKPOINTS, above=low, up_to=high)

    def store_checkpoint(self, text: str, size: int, at: datetime) -> None:
        """Store a signed checkpoint; refuse a second one of the same size, which may contradict the first."""
        if not self._transaction.add(_ADD_CHECKPOINT, size=size, text=text, at=at):
            raise IntegrityError("checkpoint-duplicate", f"the log already has a checkpoint of size {size}")

    def leaves(self, start: int, end: int) -> Iterator[StoredLeaf]:
        """Yield the leaves of the range by number; they are not loaded as a whole."""
        for row in self._transaction.driver_rows(_LEAVES, start=start, end=end):
            yield StoredLeaf(*row)

    def find_mentions(self, text: str, most: int) -> list[int]:
        """Return the numbers of the newest leaves that contain this text as a whole JSON string, newest first.

        It reads every leaf (a gigabyte takes some seconds), so it is for requests of a person only.
        """
        needle = json.dumps(text).encode()
        return [int(row[0]) for row in self._transaction.driver_rows(_MENTIONS, needle=needle, most=most)]

    def find_beginning(self, name: str, text: str, most: int) -> list[int]:
        """Return the numbers of the newest leaves with a field of this name that begins with `text`, newest first.

        It reads every leaf, as `find_mentions` does.
        """
        needle = f"{json.dumps(name)}:{json.dumps(text)[:-1]}".encode()
        return [int(row[0]) for row in self._transaction.driver_rows(_MENTIONS, needle=needle, most=most)]

    def node_range(self, level: int, start: int, end: int) -> Iterator[StoredNode]:
        """Yield the stored nodes of one level by number."""
        for row in self._transaction.driver_rows(_NODE_RANGE, level=level, start=start, end=end):
            yield StoredNode(*row)

    def openings(self, start: int, end: int) -> Iterator[tuple[int, CommitmentOpening]]:
        """Yield (leaf number, opening) by number, then by field name."""
        for number, name, value, salt, subject in self._transaction.driver_rows(
            _OPENINGS, start=start, end=end
        ):
            yield number, CommitmentOpening(field=name, value=value, salt=salt, subject=subject)

    def erase_subject(self, tenant: str, subject: str) -> int:
        """Delete every opening with this subject id."""
        return self._transaction.write(_ERASE_SUBJECT, of=tenant, about=subject)

    def erase_before(self, retention: Retention, before: datetime) -> int:
        """Delete the openings of a retention class with events before that time."""
        return self._transaction.write(_ERASE_BEFORE, kept_for=retention, before=before)


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
