"""Comparing the index of the log with the leaves: what it lacks, what it has in excess, and what cannot be read.

Spans after the last indexed one are no fault: they are indexed later, and until then a search reads their leaves.

Not here: the form of the index (`index`), the other checks of the log (`range_check`, `verifying`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from doorward.audit.index import (
    GROUP_LEAVES,
    SPAN_GROUPS,
    SPAN_LEAVES,
    IndexStore,
    build_buckets,
    list_entries,
    read_bucket,
)


class IndexCheck:
    """Takes leaves in order, and compares each complete span with the stored index.

    Args:
        store: the index, in the same snapshot as the leaves.
        spans: the number of spans that must be indexed.
        first: the span that the first leaf begins.
        report: called with a sentence for each fault.
    """

    def __init__(self, store: IndexStore, spans: int, first: int, report: Callable[[str], None]) -> None:
        self._store, self._report = store, report
        self._spans = spans
        self._groups = first * SPAN_GROUPS
        self._entries: list[int] = []

    def add(self, leaves: Sequence[bytes]) -> None:
        """Take the next leaves, a multiple of 256 unless they are the last ones; a missing one is empty."""
        for start in range(0, len(leaves), GROUP_LEAVES):
            span, group = divmod(self._groups, SPAN_GROUPS)
            if span >= self._spans:
                return
            self._entries += list_entries(leaves[start : start + GROUP_LEAVES], group)
            self._groups += 1
            if group == SPAN_GROUPS - 1:
                self._compare(span, build_buckets(self._entries))
                self._entries = []

    def _compare(self, span: int, expected: Sequence[bytes]) -> None:
        found = list(_differences(self._store.index_span(span), expected))
        if found:
            first = span * SPAN_LEAVES
            lacking, excess, damaged = (sum(column) for column in zip(*found, strict=True))
            self._report(
                f"the index of events {first} to {first + SPAN_LEAVES - 1} lacks {lacking} entries, "
                f"has {excess} in excess and {damaged} damaged buckets"
            )


def describe_excess(store: IndexStore, spans: int) -> str:
    """Return a sentence about stored buckets that belong to none of the first spans; empty if there are none."""
    excess = store.count_excess(spans)
    return f"the index has {excess} buckets in excess, which belong to no part of the log" if excess else ""


def _differences(stored: dict[int, bytes], expected: Sequence[bytes]) -> Iterator[tuple[int, int, int]]:
    """Yield (missing entries, entries in excess, damaged buckets) of each bucket that differs."""
    for bucket, content in enumerate(expected):
        kept = stored.get(bucket)
        if kept == content:
            continue
        wanted, found = set(read_bucket(content) or ()), read_bucket(kept or b"")
        entries = set(found or ())
        wrong_form = kept is None or found is None or list(found) != sorted(entries)
        yield len(wanted - entries), len(entries - wanted), wrong_form
