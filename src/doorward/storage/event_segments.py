"""Joining small segments of the audit log: in a quiet installation a block has one or two leaves, which compress badly.

A joined segment covers the numbers of its parts and those between them; the leaves of single events, which are stored
elsewhere, are empty in it. Only rows with leaves change: numbers, hashes and openings stay where they are.

Not here: reading segments (`event_blocks`).
"""

from __future__ import annotations

from typing import NamedTuple

from doorward.core.errors import IntegrityError
from doorward.storage.driver_statement import DriverStatement
from doorward.storage.event_blocks import SEGMENT_EVENTS
from doorward.storage.log_packing import pack_leaves, unpack_leaves
from doorward.storage.transaction import Transaction

_MOST_ROWS = 2048
"""Segments that one look reads; their leaves are not read."""

_SIZES = DriverStatement(
    f"""SELECT first, events FROM log_segments WHERE tenant = :this_tenant AND first >= :start
    ORDER BY first LIMIT {_MOST_ROWS}"""  # noqa: S608  a constant of this file
)
_CONTENT = DriverStatement(
    """SELECT first, events, leaves FROM log_segments
    WHERE tenant = :this_tenant AND first >= :start AND first < :end ORDER BY first"""
)
_REMOVE = DriverStatement(
    "DELETE FROM log_segments WHERE tenant = :this_tenant AND first >= :start AND first < :end"
)
_ADD = DriverStatement(
    "INSERT INTO log_segments (tenant, first, events, leaves) VALUES (:this_tenant, :start, :events, :leaves)"
)


class SegmentGroup(NamedTuple):
    """Segments that fit into one: the first number, the number after the last leaf, and how many segments there are."""

    start: int
    end: int
    segments: int


def find_group(transaction: Transaction, start: int) -> tuple[SegmentGroup | None, int]:
    """Return the first segments from a number on that can be joined; and where the next look begins.

    Returns:
        None if there are none. The next look begins at the last segment, which may get neighbours.
    """
    group: SegmentGroup | None = None
    for first, events in transaction.driver_rows(_SIZES, start=start):
        end = first + events
        if group is not None and end - group.start <= SEGMENT_EVENTS:
            group = SegmentGroup(group.start, end, group.segments + 1)
        elif group is not None and group.segments > 1:
            break
        else:
            group = SegmentGroup(first, end, 1)
    if group is None:
        return None, start
    return (group if group.segments > 1 else None), group.start


def join_group(transaction: Transaction, group: SegmentGroup) -> None:
    """Write the segments of a group as one.

    Raises:
        IntegrityError: `block-damaged`: one of them cannot be read, or they changed meanwhile; nothing was changed.
    """
    leaves = [b""] * (group.end - group.start)
    rows = list(transaction.driver_rows(_CONTENT, start=group.start, end=group.end))
    for first, events, data in rows:
        place = first - group.start
        leaves[place : place + events] = unpack_leaves(data, events)
    if len(rows) != group.segments or len(leaves) != group.end - group.start:
        raise IntegrityError("block-damaged", "segments of the log changed while they were joined")
    transaction.driver_change(_REMOVE, start=group.start, end=group.end)
    transaction.driver_change(_ADD, start=group.start, events=len(leaves), leaves=pack_leaves(leaves))
