"""Blocks: many events of one moment and one retention class, sealed, recorded and stored together.

Not here: the leaf of an event (`leaf`), storing a block (`storage`). A leaf of a block has the same bytes as the leaf of
an event that is recorded alone, and a place of its own in the Merkle tree. The openings of a block are kept apart from
its leaves, one value for each subject, so that erasing a person deletes few rows:

    salts of a subject in a block = SHAKE-256("doorward field salts" || 0x00 || seed), 32 bytes for each opening,
                                    in the order of the places, then of the fields' names

The seed of a subject in a block is 32 random bytes that are kept with the values and erased with them. A salt reveals
neither the seed nor another salt, so disclosing one value discloses no other.

Standard: FIPS 202 (SHAKE).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from doorward.audit.catalogue import Retention
from doorward.audit.events import Event
from doorward.audit.leaf import SALT_BYTES, CommitmentOpening, derive_salts, render_leaf
from doorward.audit.values import render_moment

MAX_BLOCK_EVENTS = 4096
"""Events of one block: three megabytes of leaves."""
_FIRST_SALTS = 4
"""What one round of SHAKE-256 gives; most subjects have two values in a block."""


class SubjectOpenings(NamedTuple):
    """The openings of a block about one subject, by place, then by field; the salts follow from the seed (32 bytes)."""

    subject: str
    seed: bytes
    openings: Sequence[tuple[int, str, str]]
    """(place of the leaf in the block, from 0; field; value)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedBlock:
    """Sealed events in their order. `ids` and `leaves` have the same length; the first id names the block."""

    tenant: str
    retention: Retention
    at: datetime
    ids: Sequence[str]
    leaves: Sequence[bytes] = field(repr=False)
    openings: Sequence[SubjectOpenings] = field(repr=False)


@dataclass(slots=True)
class _Subject:
    seed: bytes
    stream: bytes
    used: int = 0
    openings: list[tuple[int, str, str]] = field(default_factory=list)


class BlockBuilder:
    """Collects the sealed events of a block.

    Args:
        tenant: the tenant of all events.
        retention: how long their personal data is kept.
        at: the time of all events, aware, UTC.
        seeds: new random values of 32 bytes, one for each subject.

    `at_text` is the time as it stands in the leaves.
    """

    def __init__(self, tenant: str, retention: Retention, at: datetime, seeds: Iterator[bytes]) -> None:
        self.ids: list[str] = []
        self.tenant, self.retention, self.at_text = tenant, retention, render_moment(at)
        self._at, self._seeds = at, seeds
        self._leaves: list[bytes] = []
        self._subjects: dict[str, _Subject] = {}

    def salts(self, subject: str, count: int) -> bytes:
        """Return the salts of the next `count` openings about a subject, which `append` must then get."""
        one = self._subjects.get(subject)
        if one is None:
            seed = next(self._seeds)
            one = self._subjects[subject] = _Subject(seed, derive_salts(seed, _FIRST_SALTS))
        start = one.used * SALT_BYTES
        one.used += count
        if one.used * SALT_BYTES > len(one.stream):  # a longer stream begins with the shorter one
            one.stream = derive_salts(one.seed, 4 * one.used)
        return one.stream[start : one.used * SALT_BYTES]

    def append(self, event_id: str, leaf: bytes, openings: Sequence[tuple[str, str, str]]) -> None:
        """Add an event that was rendered with the salts of `salts`; `openings` are (subject, field, value) by field."""
        place = len(self.ids)
        self.ids.append(event_id)
        self._leaves.append(leaf)
        for subject, name, value in openings:
            self._subjects[subject].openings.append((place, name, value))

    def seal(self, event: Event) -> None:
        """Add an event.

        Raises:
            ValueError: the event is of another tenant, retention class or time than the block: a fault of the caller.
        """
        if (event.tenant, event.retention, event.at) != (self.tenant, self.retention, self._at):
            raise ValueError("the event does not belong into this block")
        opened = []
        for name, value in event.personal.items():
            subject = event.subject_of(name)
            salt = self.salts(subject, 1)
            opened.append(CommitmentOpening(field=name, value=value, salt=salt, subject=subject))
        self.append(
            event.id, render_leaf(event, opened), [(one.subject, one.field, one.value) for one in opened]
        )

    def build(self) -> SealedBlock:
        """Return the block."""
        return SealedBlock(
            tenant=self.tenant,
            retention=self.retention,
            at=self._at,
            ids=self.ids,
            leaves=self._leaves,
            openings=[
                SubjectOpenings(subject, one.seed, one.openings) for subject, one in self._subjects.items()
            ],
        )


def fits_block(events: Sequence[Event]) -> bool:
    """Say whether these events can be one block: 2 to 4,096 of one tenant, moment and retention class."""
    if not 1 < len(events) <= MAX_BLOCK_EVENTS:
        return False
    first = events[0]
    alike = (first.tenant, first.retention, first.at)
    return all((one.tenant, one.retention, one.at) == alike for one in events)


def seal_block(events: Sequence[Event], seeds: Iterator[bytes]) -> SealedBlock:
    """Return a block of events for which `fits_block` holds; `seeds` as for `BlockBuilder`."""
    first = events[0]
    builder = BlockBuilder(first.tenant, first.retention, first.at, seeds)
    for event in events:
        builder.seal(event)
    return builder.build()


def open_subject(openings: SubjectOpenings, first: int = 0) -> list[tuple[int, CommitmentOpening]]:
    """Return (number of the leaf, opening) with the salts, in the order of the places; `first` is the block's number."""
    stream = derive_salts(openings.seed, len(openings.openings))
    subject, starts = openings.subject, range(0, len(stream), SALT_BYTES)
    return [
        (first + place, CommitmentOpening(name, value, stream[start : start + SALT_BYTES], subject))
        for start, (place, name, value) in zip(starts, openings.openings, strict=True)
    ]
