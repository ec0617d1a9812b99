"""Logs that are large enough for an index: two spans and a part of a third one."""

from __future__ import annotations

from doorward.audit.index import SPAN_LEAVES
from doorward.audit.indexing import index_leaves
from doorward.audit.log import StoredLeaf
from doorward.audit.merkle import leaf_hash
from tests.support.events import MemoryEventStore

SIZE = 2 * SPAN_LEAVES + 700
RARE = "per_rare0000000000000000"
RARE_AT = (3, 255, 256, SPAN_LEAVES - 1, SPAN_LEAVES, SPAN_LEAVES + 9000, 2 * SPAN_LEAVES + 650)
"""Where the leaves are that mention `RARE`: at the edges of groups and spans, and after the last span."""


def event_id(number: int) -> str:
    """Return the id of an event; each has another term."""
    return f"evt_{number:016d}aaaa"


def request_id(number: int) -> str:
    """Return the id of a request; each has other first digits."""
    return f"{number:08x}-0000-4000-8000-000000000000"


def small_leaf(number: int) -> bytes:
    """Return a leaf with the parts that a search looks at."""
    who = RARE if number in RARE_AT else "per_often000000000000000"
    return f'{{"actor":"{who}","id":"{event_id(number)}","request":"{request_id(number)}"}}'.encode()


def large_log() -> MemoryEventStore:
    """Return a log without an index."""
    store = MemoryEventStore()
    leaves = [small_leaf(number) for number in range(SIZE)]
    store.rows = [StoredLeaf(number, "", leaf, leaf_hash(leaf)) for number, leaf in enumerate(leaves)]
    return store


def write_index(store: MemoryEventStore) -> None:
    """Index the complete spans of a log."""
    for span in range(2):
        store.store_index(span, index_leaves(store, span))
