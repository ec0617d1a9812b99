"""Making the index of one span from its leaves.

Not here: the form of the index (`index`), when it is made (`runtime.indexing`).
"""

from __future__ import annotations

from doorward.audit.index import GROUP_LEAVES, SPAN_GROUPS, SPAN_LEAVES, build_buckets, list_entries
from doorward.audit.searching import SearchedStore

_GROUPS_AT_ONCE = 4
"""Groups that are read at a time: a segment of leaves is decompressed once, and few leaves are in memory."""


def index_leaves(store: SearchedStore, span: int) -> list[bytes]:
    """Return the buckets of a complete span; a leaf that is missing is in none."""
    entries: list[int] = []
    for first in range(0, SPAN_GROUPS, _GROUPS_AT_ONCE):
        start = span * SPAN_LEAVES + first * GROUP_LEAVES
        groups: list[list[bytes]] = [[] for _ in range(_GROUPS_AT_ONCE)]
        for row in store.leaves(start, start + _GROUPS_AT_ONCE * GROUP_LEAVES):
            groups[(row.number - start) // GROUP_LEAVES].append(row.leaf)
        for group, leaves in enumerate(groups, start=first):
            entries += list_entries(leaves, group)
    return build_buckets(entries)
