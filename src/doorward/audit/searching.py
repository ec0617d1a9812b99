"""Finding the newest leaves that mention an id, by the index where there is one, and by reading every leaf elsewhere.

The index only says where to look. Each leaf that is found was read, holds the text, and has the hash that the tree has at
its place. So a wrong entry of the index shows nothing that is not true; what a wrong index hides, `doorward audit verify` finds.

Not here: the form of the index (`index`), what is shown of an event (`runtime.reading`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import NamedTuple, Protocol

from doorward.audit.index import (
    GROUP_LEAVES,
    SPAN_GROUPS,
    SPAN_LEAVES,
    IndexStore,
    bucket_of,
    groups_of,
    is_request_id,
    term_of,
)
from doorward.audit.log import StoredLeaf
from doorward.audit.merkle import leaf_hash
from doorward.core.errors import IntegrityError

Groups = set[int] | None
"""Groups of one span; None if the index does not know, so that every group must be read."""


class SearchedStore(IndexStore, Protocol):
    """What a search reads."""

    def tree_size(self) -> int:
        """Return the number of leaves."""
        ...

    def leaves(self, start: int, end: int) -> Iterator[StoredLeaf]:
        """Yield the existing leaves with start <= number < end, by number."""
        ...


class Found(NamedTuple):
    """The numbers of the newest leaves, newest first; and how many groups the index named without reason."""

    numbers: list[int]
    misled: int = 0


class Place(NamedTuple):
    """Leaves to read, from `start` to before `end`; `named` says that the index names them."""

    start: int
    end: int
    named: bool


def find_mentions(store: SearchedStore, text: str, most: int) -> Found:
    """Return the newest leaves that have this text as a whole JSON string, a request's id only as that of a request.

    Texts that are not indexed (`index.term_of`) are looked for in every leaf, which takes seconds for a million.

    Raises:
        IntegrityError: `leaf-altered`: a leaf that mentions the text does not have the hash that the tree has.
    """
    field = '"request":' if is_request_id(text) else ""
    return _find(store, term_of(text), f"{field}{json.dumps(text)}".encode(), most)


def find_requests(store: SearchedStore, digits: str, most: int) -> Found:
    """Return the newest leaves of requests with an id that begins with these eight digits; raises as `find_mentions`."""
    return _find(store, digits.encode(), f'"request":"{digits}-'.encode(), most)


def list_places(store: SearchedStore, terms: Sequence[bytes], end: int) -> Iterator[Place]:
    """Yield where leaves before number `end` can be that mention every one of these terms, the newest first."""
    spans = min(end, store.tree_size()) // SPAN_LEAVES if terms else 0
    yield from _pieces(spans * SPAN_LEAVES, end)
    rows = [_known_groups(store, term, spans) for term in terms]
    for span, found in zip(range(spans - 1, -1, -1), zip(*rows, strict=True), strict=True):
        known = [groups for groups in found if groups is not None]
        begin = span * SPAN_LEAVES
        if not known:
            yield from _pieces(begin, begin + SPAN_LEAVES)
            continue
        for group in sorted(set.intersection(*known), reverse=True):
            start = begin + group * GROUP_LEAVES
            yield Place(start, start + GROUP_LEAVES, named=True)


def _find(store: SearchedStore, term: bytes | None, needle: bytes, most: int) -> Found:
    numbers: list[int] = []
    misled = 0
    for place in list_places(store, [] if term is None else [term], store.tree_size()):
        found = [row for row in store.leaves(place.start, place.end) if needle in row.leaf]
        for row in found:
            if leaf_hash(row.leaf) != row.hash:
                raise IntegrityError(
                    "leaf-altered",
                    f"leaf {row.number} mentions this, and was altered",
                    hint="do not change the database; run `doorward audit verify`",
                )
        misled += place.named and not found
        numbers += [row.number for row in reversed(found)]
        if len(numbers) >= most:
            break
    return Found(numbers[:most], misled)


def _known_groups(store: SearchedStore, term: bytes, spans: int) -> Iterator[Groups]:
    """Yield the groups of each span, the newest first; None for a span without a readable bucket."""
    expected = spans
    for span, content in store.index_bucket(bucket_of(term), spans):
        yield from repeat(None, expected - 1 - span)
        yield groups_of(term, content)
        expected = span
    yield from repeat(None, expected)


def _pieces(start: int, end: int) -> Iterator[Place]:
    """Yield all leaves of a range, the newest first, in pieces that fit into memory."""
    size = SPAN_GROUPS * GROUP_LEAVES // 16
    for begin in range(start + (max(0, end - 1 - start) // size) * size, start - 1, -size):
        if begin < end:
            yield Place(begin, min(begin + size, end), named=False)
