"""The fake of `audit.log.EventStore`, and events to fill it with."""
# the Protocol documents the methods

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from doorward.audit.block import BlockBuilder, SealedBlock, open_subject
from doorward.audit.events import Event, EventType, Retention, build_event
from doorward.audit.index import BUCKETS
from doorward.audit.leaf import CommitmentOpening, SealedEvent, check_personal, parse_leaf, seal_event
from doorward.audit.log import PendingBlock, PendingEvent, PlacedBlock, StoredLeaf, StoredNode
from doorward.audit.merkle import NodeRun
from doorward.core.entities import TENANT
from doorward.core.errors import IntegrityError
from tests.support.ports import NOON, FakeRandom

GATEWAY = "gtw_0123456789abcdefghij"
ALICE = "per_alice00000000000000"
BOB = "per_bob0000000000000000"


@dataclass(kw_only=True)
class KeptOpening:
    """One stored opening."""

    event_id: str
    tenant: str
    opening: CommitmentOpening
    retention: Retention
    at: datetime


@dataclass
class MemoryEventStore:
    """A store of lists and dicts, which a test can change as an attacker with the database does."""

    outbox: list[PendingEvent | PendingBlock] = field(default_factory=list)
    rows: list[StoredLeaf] = field(default_factory=list)
    inner: dict[tuple[int, int], bytes] = field(default_factory=dict)
    kept: list[KeptOpening] = field(default_factory=list)
    checkpoints: list[tuple[int, str, datetime]] = field(default_factory=list)
    recorded: set[str] = field(default_factory=set)
    index: dict[tuple[int, int], bytes] = field(default_factory=dict)
    size: int | None = None

    def record(self, sealed: SealedEvent) -> None:
        if sealed.id in self.recorded:
            raise IntegrityError("event-duplicate", f"event {sealed.id} was recorded before")
        self.recorded.add(sealed.id)
        self.outbox.append(PendingEvent(outbox_id=len(self.recorded), event_id=sealed.id, leaf=sealed.leaf))
        self.kept += [
            KeptOpening(
                event_id=sealed.id,
                tenant=sealed.tenant,
                opening=opening,
                retention=sealed.retention,
                at=sealed.at,
            )
            for opening in sealed.openings
        ]

    def record_block(self, block: SealedBlock) -> None:
        if block.ids[0] in self.recorded:
            raise IntegrityError("event-duplicate", f"block {block.ids[0]} was recorded before")
        self.recorded.update(block.ids)
        self.outbox.append(PendingBlock(len(self.recorded), block.ids[0], block.leaves))
        self.kept += [
            KeptOpening(
                event_id=block.ids[place],
                tenant=block.tenant,
                opening=opening,
                retention=block.retention,
                at=block.at,
            )
            for one in block.openings
            for place, opening in open_subject(one)
        ]

    def pending(self, limit: int) -> list[PendingEvent | PendingBlock]:
        found: list[PendingEvent | PendingBlock] = []
        for one in sorted(self.outbox, key=lambda event: event.outbox_id):
            if sum(len(getattr(other, "leaves", [0])) for other in found) < limit:
                found.append(one)
        return found

    def tree_size(self) -> int:
        return len(self.rows) if self.size is None else self.size

    def nodes(self, places: Sequence[tuple[int, int]]) -> list[bytes]:
        return [self._node(level, number) for level, number in places]

    def _node(self, level: int, number: int) -> bytes:
        if level == 0 and number < len(self.rows):
            return self.rows[number].hash
        if (level, number) not in self.inner:
            raise IntegrityError("node-missing", f"node {number} of level {level} is not there")
        return self.inner[level, number]

    def append(
        self, leaves: Sequence[StoredLeaf], nodes: Sequence[NodeRun], blocks: Sequence[PlacedBlock] = ()
    ) -> None:
        known = {row.event_id for row in self.rows}
        of_blocks = [
            StoredLeaf(number, parse_leaf(leaf).id, leaf, digest)
            for one in blocks
            for number, (leaf, digest) in enumerate(zip(one.leaves, one.hashes, strict=True), start=one.first)
        ]
        for leaf in sorted([*leaves, *of_blocks]):
            if leaf.number != len(self.rows):
                raise IntegrityError("leaf-out-of-order", f"leaf {leaf.number} is not the next one")
            if leaf.event_id in known:
                raise IntegrityError("event-duplicate", f"event {leaf.event_id} is a leaf already")
            known.add(leaf.event_id)
            self.rows.append(leaf)
        self.inner |= {
            (run.level, number): digest
            for run in nodes
            for number, digest in enumerate(run.hashes, start=run.start)
        }

    def forget_pending(self, outbox_ids: Sequence[int]) -> None:
        self.outbox = [event for event in self.outbox if event.outbox_id not in set(outbox_ids)]

    def latest_checkpoint(self) -> str | None:
        return max(self.checkpoints)[1] if self.checkpoints else None

    def latest_checkpoint_at(self) -> datetime | None:
        return max(self.checkpoints)[2] if self.checkpoints else None

    def stored_checkpoints(self, above: int | None, to: int | None) -> Iterator[tuple[int, str]]:
        for size, text, _ in sorted(self.checkpoints):
            if (above is None or above < size) and (to is None or size <= to):
                yield size, text

    def store_checkpoint(self, text: str, size: int, at: datetime) -> None:
        if any(size == kept for kept, _, _ in self.checkpoints):
            raise IntegrityError("checkpoint-duplicate", f"there is a checkpoint of {size} leaves already")
        self.checkpoints.append((size, text, at))

    def leaves(self, start: int, end: int) -> Iterator[StoredLeaf]:
        return (row for row in self.rows if start <= row.number < end)

    def node_range(self, level: int, start: int, end: int) -> Iterator[StoredNode]:
        for number in range(start, end):
            if (level, number) in self.inner:
                yield StoredNode(level, number, self.inner[level, number])

    def openings(self, start: int, end: int) -> Iterator[tuple[int, CommitmentOpening]]:
        numbers = {row.event_id: row.number for row in self.rows if start <= row.number < end}
        found = [(numbers[row.event_id], row.opening) for row in self.kept if row.event_id in numbers]
        return iter(sorted(found, key=lambda pair: (pair[0], pair[1].field)))

    def indexed_spans(self, below: int) -> int:
        return max((span for bucket, span in self.index if not bucket and span < below), default=-1) + 1

    def index_bucket(self, bucket: int, below: int) -> Iterator[tuple[int, bytes]]:
        for span in range(below - 1, -1, -1):
            if (bucket, span) in self.index:
                yield span, self.index[bucket, span]

    def index_span(self, span: int) -> dict[int, bytes]:
        return {bucket: content for (bucket, other), content in self.index.items() if other == span}

    def count_excess(self, spans: int) -> int:
        return sum(not (0 <= bucket < BUCKETS and 0 <= span < spans) for bucket, span in self.index)

    def store_index(self, span: int, buckets: Sequence[bytes]) -> None:
        self.index |= {(bucket, span): content for bucket, content in enumerate(buckets)}

    def drop_index(self, above: int) -> int:
        kept = {key: one for key, one in self.index.items() if 0 <= key[0] < BUCKETS and 0 <= key[1] < above}
        dropped, self.index = len(self.index) - len(kept), kept
        return dropped

    def erase_subject(self, tenant: str, subject: str) -> int:
        return self._erase(
            [row for row in self.kept if (row.tenant, row.opening.subject) == (tenant, subject)]
        )

    def erase_before(self, retention: Retention, before: datetime) -> int:
        return self._erase([row for row in self.kept if row.retention is retention and row.at < before])

    def _erase(self, rows: list[KeptOpening]) -> int:
        self.kept = [row for row in self.kept if row not in rows]
        return len(rows)


def request_answered(number: int, *, principal: str = ALICE, **personal: str) -> Event:
    """An access event; `number` makes its id and its time."""
    return build_event(
        id=f"evt_{number:020d}",
        type=EventType.REQUEST_ANSWERED,
        at=NOON + timedelta(seconds=number),
        tenant=TENANT,
        actor=principal,
        data={"gateway": GATEWAY, "method": "GET", "status": 200, "principal": principal},
        personal=personal or {"source": "203.0.113.9", "path": f"/accounts/{number}"},
    )


def principal_suspended(number: int, *, actor: str = ALICE, principal: str = BOB) -> Event:
    """Return an event in which one person changes another; its personal data is about two people."""
    return build_event(
        id=f"evt_{number:020d}",
        type=EventType.PRINCIPAL_SUSPENDED,
        at=NOON + timedelta(seconds=number),
        tenant=TENANT,
        actor=actor,
        data={"principal": principal, "reason": "left"},
        personal={"source": "203.0.113.7", "name": "bob"},
    )


def seal(event: Event) -> SealedEvent:
    """Seal an event with a salt that is made from its id, so that tests are repeatable."""
    return seal_event(event, FakeRandom(event.id).token(32))


def sealed_block(*numbers: int, principal: str = ALICE) -> SealedBlock:
    """Seal access events of one moment as a block."""
    events = [replace(request_answered(number, principal=principal), at=NOON) for number in numbers]
    builder = BlockBuilder(TENANT, Retention.ACCESS, NOON, seeds())
    for event in events:
        builder.seal(event)
    return builder.build()


def seeds() -> Iterator[bytes]:
    """Yield seeds of subjects, the same in every run."""
    source = FakeRandom("seeds")
    while True:
        yield source.token(32)


def open_block(block: SealedBlock) -> list[Event]:
    """Return the events of a block again; every opening must open its commitment, and name its subject."""
    events = []
    every = [one for openings in block.openings for one in open_subject(openings)]
    for place, (event_id, data) in enumerate(zip(block.ids, block.leaves, strict=True)):
        leaf = parse_leaf(data)
        openings = [opening for of, opening in every if of == place]
        event = build_event(
            id=event_id,
            type=EventType(leaf.type),
            at=leaf.at,
            tenant=leaf.tenant,
            actor=leaf.actor,
            data=leaf.data,
            personal={one.field: one.value for one in openings},
        )
        assert leaf.id == event_id
        assert all(check_personal(leaf, one.field, one.value, one.salt) for one in openings)
        assert (event.at, event.tenant, event.retention) == (block.at, block.tenant, block.retention)
        assert [event.subject_of(one.field) for one in openings] == [one.subject for one in openings]
        events.append(event)
    return events
