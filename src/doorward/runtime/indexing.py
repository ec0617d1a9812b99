"""Writing the search index of the log: the next span behind the sequencer, or all of it again.

Not here: the index itself (`audit.index`). A span is read in one transaction and written in another one of 128 short rows, so
no withdrawal waits for the reading. If the process is killed, a span is stored or it is not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from doorward.audit.index import SPAN_LEAVES
from doorward.audit.indexing import index_leaves
from doorward.storage.event_store import SqlEventLog


class Rebuilt(NamedTuple):
    """What `rebuild` did: events of the log, events that are indexed now, spans that were written, rows that were removed."""

    events: int
    indexed: int
    written: int
    removed: int


def index_next(log: SqlEventLog) -> bool:
    """Index the next complete span, if there is one; return whether there are more."""
    with log.read() as store:
        complete = store.tree_size() // SPAN_LEAVES
        span = store.indexed_spans(complete)
        if span >= complete:
            return False
        buckets = index_leaves(store, span)
    with log.change() as store:
        store.store_index(span, buckets)
    return span + 1 < complete


def rebuild(log: SqlEventLog, start: int, progress: Callable[[int, int], None]) -> Rebuilt:
    """Make the index again from the leaves, and write every span that differs from what is stored.

    Args:
        log: the log.
        start: the first event; the spans before it stay as they are.
        progress: called with (events done, all events to index) after each span. If it raises, the index stays usable.
    """
    with log.change() as store:
        size = store.tree_size()
        complete = size // SPAN_LEAVES
        removed = store.drop_index(complete)
    written = 0
    for span in range(start // SPAN_LEAVES, complete):
        with log.read() as store:
            buckets = index_leaves(store, span)
            differs = store.index_span(span) != dict(enumerate(buckets))
        if differs:
            with log.change() as store:
                store.store_index(span, buckets)
            written += 1
        progress((span + 1) * SPAN_LEAVES, complete * SPAN_LEAVES)
    return Rebuilt(size, complete * SPAN_LEAVES, written, removed)
