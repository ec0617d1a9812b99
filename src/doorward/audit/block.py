"""Blocks: many events of one moment and one retention class, sealed and recorded together.

Not here: the leaf of an event (`leaf`), storing a block (`storage`). A leaf of a block has the same bytes as the leaf of
an event that is recorded alone, and a place of its own in the Merkle tree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from doorward.audit.catalogue import Retention
from doorward.audit.leaf import SealedEvent


class BlockOpening(NamedTuple):
    """The opening of one commitment in a block: `place` is the number of its leaf in the block, from 0.

    It is a tuple for speed; the other fields are those of `leaf.CommitmentOpening`.
    """

    place: int
    field: str
    value: str
    salt: bytes
    subject: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedBlock:
    """Sealed events in their order: `ids` and `leaves` have the same length, `openings` go by place, then by field."""

    tenant: str
    retention: Retention
    at: datetime
    ids: Sequence[str]
    leaves: Sequence[bytes] = field(repr=False)
    openings: Sequence[BlockOpening] = field(repr=False)


class BlockBuilder:
    """Collects the sealed events of a block.

    Args:
        tenant: the tenant of all events.
        retention: how long their personal data is kept.
        at: the time of all events, aware, UTC.
    """

    def __init__(self, tenant: str, retention: Retention, at: datetime) -> None:
        self.ids: list[str] = []
        self._tenant, self._retention, self._at = tenant, retention, at
        self._leaves: list[bytes] = []
        self._openings: list[BlockOpening] = []

    def append(self, sealed: SealedEvent) -> None:
        """Add an event.

        Raises:
            ValueError: the event is of another tenant, retention class or time than the block: a fault of the caller.
        """
        if (sealed.tenant, sealed.retention, sealed.at) != (self._tenant, self._retention, self._at):
            raise ValueError("the event does not belong into this block")
        openings = [(one.field, one.value, one.salt, one.subject) for one in sealed.openings]
        self.append_leaf(sealed.id, sealed.leaf, openings)

    def append_leaf(
        self, event_id: str, leaf: bytes, openings: Sequence[tuple[str, str, bytes, str]]
    ) -> None:
        """Add an event that was rendered already; `openings` are (field, value, salt, subject), sorted by field."""
        place = len(self.ids)
        self.ids.append(event_id)
        self._leaves.append(leaf)
        self._openings += [BlockOpening(place, *one) for one in openings]

    def build(self) -> SealedBlock:
        """Return the block."""
        return SealedBlock(
            tenant=self._tenant,
            retention=self._retention,
            at=self._at,
            ids=self.ids,
            leaves=self._leaves,
            openings=self._openings,
        )
