"""The unit tests of `audit.index_check`: what an index hides, adds or has lost is found from the leaves."""

from __future__ import annotations

import pytest

from doorward.audit.index import GROUP_LEAVES, SPAN_LEAVES
from doorward.audit.index_check import IndexCheck, describe_excess
from tests.support.events import MemoryEventStore
from tests.support.indexed_logs import SIZE, large_log, write_index


@pytest.fixture(scope="module")
def log() -> MemoryEventStore:
    """A log with its index, which no test changes."""
    store = large_log()
    write_index(store)
    return store


@pytest.fixture
def store(log: MemoryEventStore) -> MemoryEventStore:
    """A log with its index, for one test."""
    return MemoryEventStore(rows=log.rows, index=dict(log.index))


def check(store: MemoryEventStore) -> list[str]:
    """Return the faults."""
    found: list[str] = []
    spans = store.indexed_spans(SIZE // SPAN_LEAVES)
    judge = IndexCheck(store, spans, 0, found.append)
    for start in range(0, SIZE, 4 * GROUP_LEAVES):
        judge.add([row.leaf for row in store.rows[start : start + 4 * GROUP_LEAVES]])
    excess = describe_excess(store, spans)
    return [*found, excess] if excess else found


def test_a_true_index_has_no_fault(store: MemoryEventStore) -> None:
    """Neither a complete one, nor one that lags, nor none."""
    assert check(store) == []
    store.index = {key: content for key, content in store.index.items() if not key[1]}
    assert check(store) == []
    store.index = {}
    assert check(store) == []


def test_what_the_index_hides_is_found(store: MemoryEventStore) -> None:
    """One entry is missing."""
    store.index[9, 1] = store.index[9, 1][:-4]
    assert check(store) == [
        "the index of events 16384 to 32767 lacks 1 entries, has 0 in excess and 0 damaged buckets"
    ]


def test_an_entry_in_excess_is_found(store: MemoryEventStore) -> None:
    """One entry is there that no leaf has."""
    store.index[9, 0] += b"\xff\xff\xff\x7f"
    assert check(store) == [
        "the index of events 0 to 16383 lacks 0 entries, has 1 in excess and 0 damaged buckets"
    ]


@pytest.mark.parametrize("how", ["short", "twice", "order"])
def test_a_damaged_bucket_is_found(store: MemoryEventStore, how: str) -> None:
    """Bytes that are no entries, an entry that is there twice, entries in another order."""
    content = store.index[9, 0]
    store.index[9, 0] = {
        "short": content[:-1],
        "twice": content + content[-4:],
        "order": content[4:8] + content[:4] + content[8:],
    }[how]
    (fault,) = check(store)
    assert fault.endswith("0 in excess and 1 damaged buckets")


def test_a_missing_row_is_found(store: MemoryEventStore) -> None:
    """A row of a span that is indexed."""
    del store.index[9, 0]
    (fault,) = check(store)
    assert "lacks" in fault
    assert fault.endswith("1 damaged buckets")


@pytest.mark.parametrize("place", [(0, 2), (128, 0), (-1, 0), (3, -1), (3, 99)])
def test_rows_that_no_log_has_are_found(store: MemoryEventStore, place: tuple[int, int]) -> None:
    """Of a span that is not complete, or with a number that no bucket has."""
    store.index[place] = b""
    assert check(store) == ["the index has 1 buckets in excess, which belong to no part of the log"]
    assert store.drop_index(2) == 1
    assert check(store) == []
