"""The index of the log: which groups of leaves mention an id.

It is made of the leaves alone, later than they are, and can be made again at any time. It says where to look, never what is
there: a search reads the leaves (`searching`). It has no personal data, because the leaves have none.

    term     16 characters of an id after its `_` (`per_b75uf3jzutxi2ry2inlc`), or the first 8 digits of a request's id.
             Ids of one block differ in their last characters only, so they share a term.
    group    256 leaves, as in a tile; a span has 64 groups, 16,384 leaves. Only complete spans are indexed.
    entry    CRC-32 of a term, and the number of the group within its span
    bucket   the entries of a span with the same first 7 bits of the CRC: one stored value, sorted, 4 bytes each:

             bits 6 to 30: the other 25 bits of the CRC; bits 0 to 5: the group. Little-endian.

Two terms can have one entry, so a group may be named that does not hold the id: about once in 100,000 looks at a span.

Not here: storing it (`storage`), comparing it with the leaves (`index_check`).
"""

from __future__ import annotations

import re
import struct
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Protocol
from zlib import crc32

GROUP_LEAVES = 256
SPAN_GROUPS = 64
SPAN_LEAVES = GROUP_LEAVES * SPAN_GROUPS
BUCKETS = 128

_ENTRY_BYTES = 4
_GROUP_BITS, _CRC_BITS = 6, 25
_BUCKET_SHIFT = _GROUP_BITS + _CRC_BITS
_IDS = re.compile(rb"_([0-9a-z]{16})")
_REQUEST = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)
_REQUEST_FIELD = b'"request":"'
_DIGITS = 8


class IndexStore(Protocol):
    """The stored index. Every method works in the transaction of the caller."""

    def indexed_spans(self, below: int) -> int:
        """Return how many spans before the span `below` are indexed: the number of the last one, plus one."""
        ...

    def index_bucket(self, bucket: int, below: int) -> Iterator[tuple[int, bytes]]:
        """Yield (span, content) of one bucket for the spans from 0 to before `below`, the newest first."""
        ...

    def index_span(self, span: int) -> dict[int, bytes]:
        """Return the stored buckets of a span, by number."""
        ...

    def count_excess(self, spans: int) -> int:
        """Return the number of stored buckets that belong to none of the first spans, or have a number that none has."""
        ...

    def store_index(self, span: int, buckets: Sequence[bytes]) -> None:
        """Store the buckets of a span, in place of what is stored."""
        ...

    def drop_index(self, above: int) -> int:
        """Remove buckets that no log has: of spans from `above` on, and with wrong numbers; return how many."""
        ...


def term_of(text: str) -> bytes | None:
    """Return the term under which a leaf with this id is indexed; None if texts of this form are not indexed."""
    if found := _IDS.search(text.encode("utf-8", "replace")):
        return found[1]
    return text[:_DIGITS].encode() if is_request_id(text) else None


def is_request_id(text: str) -> bool:
    """Say whether this has the form of a request's id (a UUID)."""
    return _REQUEST.fullmatch(text) is not None


def list_entries(leaves: Sequence[bytes], group: int) -> set[int]:
    """Return the entries of a group of leaves; `group` is its number within the span."""
    text = b"\n".join(leaves)
    terms = set(_IDS.findall(text))
    terms.update([part[:_DIGITS] for part in text.split(_REQUEST_FIELD)[1:]])
    return {crc << _GROUP_BITS | group for crc in map(crc32, terms)}


def build_buckets(entries: list[int]) -> list[bytes]:
    """Return the buckets of a span from the entries of its groups, in any order."""
    entries.sort()
    buckets, begin = [], 0
    for bucket in range(BUCKETS):
        base = bucket << _BUCKET_SHIFT
        end = bisect_left(entries, base + (1 << _BUCKET_SHIFT), begin)
        part = [entry - base for entry in entries[begin:end]]
        buckets.append(struct.pack(f"<{len(part)}I", *part))
        begin = end
    return buckets


def bucket_of(term: bytes) -> int:
    """Return the number of the bucket that has the entries of a term."""
    return crc32(term) >> _CRC_BITS


def groups_of(term: bytes, content: bytes) -> set[int] | None:
    """Return the groups that a bucket names for a term; None if the bucket is not in the form of this module."""
    entries = read_bucket(content)
    if entries is None:
        return None
    wanted = crc32(term) & ((1 << _CRC_BITS) - 1)
    return {entry & (SPAN_GROUPS - 1) for entry in entries if entry >> _GROUP_BITS == wanted}


def read_bucket(content: bytes) -> tuple[int, ...] | None:
    """Return the entries of a bucket; None if it is damaged: each entry is larger than the one before."""
    if len(content) % _ENTRY_BYTES:
        return None
    return struct.unpack(f"<{len(content) // _ENTRY_BYTES}I", content)
