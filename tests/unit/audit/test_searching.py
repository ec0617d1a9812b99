"""The unit tests of `audit.searching` and `audit.indexing`."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from zlib import crc32

import pytest

from doorward.audit.index import GROUP_LEAVES, SPAN_LEAVES, bucket_of, term_of
from doorward.audit.indexing import index_leaves
from doorward.audit.searching import Found, find_mentions, find_requests, list_places
from doorward.core.errors import IntegrityError
from tests.support.events import MemoryEventStore
from tests.support.indexed_logs import RARE, RARE_AT, SIZE, event_id, large_log, request_id, write_index
from tests.support.refusals import refused

NEWEST_FIRST = sorted(RARE_AT, reverse=True)


class CountingStore(MemoryEventStore):
    """Counts the leaves that are read."""

    read = 0

    def leaves(self, start: int, end: int) -> Iterator:  # type: ignore[type-arg]
        self.read += end - start
        return iter(self.rows[start:end])


@pytest.fixture(scope="module")
def log() -> CountingStore:
    """A log with its index, which no test changes."""
    store = CountingStore(rows=large_log().rows)
    write_index(store)
    return store


@pytest.fixture
def store(log: CountingStore) -> CountingStore:
    """A log with its index, for one test."""
    return CountingStore(rows=list(log.rows), index=dict(log.index))


def test_an_id_is_found_wherever_it_is(store: CountingStore) -> None:
    """At both ends of groups and spans, and after the last span; the newest first, and no more than asked for."""
    assert find_mentions(store, RARE, 99) == Found(NEWEST_FIRST)
    assert find_mentions(store, RARE, 3) == Found(NEWEST_FIRST[:3])


def test_few_leaves_are_read(store: CountingStore) -> None:
    """Of the spans, only groups with the id are read."""
    find_mentions(store, RARE, 99)
    assert store.read == SIZE - 2 * SPAN_LEAVES + 5 * GROUP_LEAVES


@pytest.mark.parametrize("number", [0, 12_345, SPAN_LEAVES, SIZE - 1])
def test_an_event_and_a_request_are_found(store: CountingStore, number: int) -> None:
    """By the whole id, and a request by its first digits."""
    assert find_mentions(store, event_id(number), 9) == Found([number])
    assert find_mentions(store, request_id(number), 9) == Found([number])
    assert find_requests(store, request_id(number)[:8], 9) == Found([number])


def test_what_is_not_there_is_not_found(store: CountingStore) -> None:
    """Ids, and texts that are not indexed."""
    assert find_mentions(store, "per_nobody00000000000000", 9) == Found([])
    assert find_mentions(store, "ffffffff-0000-4000-8000-000000000000", 9) == Found([])


def test_a_text_without_an_index_is_looked_for_everywhere(store: CountingStore) -> None:
    """Such as the name of a field: every leaf has it."""
    assert find_mentions(store, "actor", 2) == Found([SIZE - 1, SIZE - 2])
    assert find_mentions(store, "no-such-text", 2) == Found([])
    assert store.read == SIZE + 700


@pytest.mark.parametrize("kept", [{}, {0}, {1}], ids=["no span", "the first one", "the second one"])
def test_a_span_without_an_index_is_read(store: CountingStore, kept: set[int]) -> None:
    """So an index that lags, or of which rows were removed, hides nothing."""
    store.index = {key: content for key, content in store.index.items() if key[1] in kept}
    assert find_mentions(store, RARE, 99) == Found(NEWEST_FIRST)


def test_a_damaged_bucket_is_not_believed(store: CountingStore) -> None:
    """Its span is read leaf by leaf."""
    term = term_of(RARE)
    assert term is not None
    store.index[bucket_of(term), 0] = b"x"
    assert find_mentions(store, RARE, 99) == Found(NEWEST_FIRST)


def test_a_false_hit_shows_nothing_and_is_counted(store: CountingStore) -> None:
    """An entry that names a group without the id."""
    term = term_of(RARE)
    assert term is not None
    entry = (crc32(term) & 0x1FFFFFF) << 6 | 7
    store.index[bucket_of(term), 1] += struct.pack("<I", entry)
    assert find_mentions(store, RARE, 99) == Found(NEWEST_FIRST, misled=1)


def test_an_altered_leaf_is_never_shown(store: CountingStore) -> None:
    """A leaf that got the id later does not have the hash of the tree."""
    leaf = store.rows[5].leaf.replace(b"per_often000000000000000", RARE.encode())
    store.rows[5] = store.rows[5]._replace(leaf=leaf)
    with refused(IntegrityError, "leaf-altered"):
        find_mentions(store, RARE, 99)


def test_several_ids_narrow_the_places(store: CountingStore) -> None:
    """Only groups with all of them, before the last number that is wanted."""
    terms = [term_of(RARE), term_of(event_id(SPAN_LEAVES + 9000))]
    places = list(list_places(store, [one for one in terms if one], SIZE))
    (named,) = [place for place in places if place.named]
    assert named.start <= SPAN_LEAVES + 9000 < named.end
    assert [place.end - place.start for place in places if not place.named] == [700]
    assert list(list_places(store, [], 0)) == []
    assert next(list_places(store, [], 10)) == (0, 10, False)


def test_missing_leaves_are_in_no_bucket(store: CountingStore) -> None:
    """A span with a damaged segment is indexed without its leaves."""
    whole = index_leaves(store, 0)
    store.rows = store.rows[1024:]
    store.leaves = lambda start, end: (one for one in store.rows if start <= one.number < end)  # type: ignore[method-assign]
    assert sum(map(len, whole)) > sum(map(len, index_leaves(store, 0))) > 0
