"""The index hides no id, in whatever leaf and wherever in it."""

from __future__ import annotations

import json
import string
from zlib import crc32

from hypothesis import given
from hypothesis import strategies as st

from doorward.audit.index import (
    BUCKETS,
    bucket_of,
    build_buckets,
    groups_of,
    list_entries,
    read_bucket,
    term_of,
)

_PREFIX = st.sampled_from(["per", "evt", "x_y", "", "_", "a\\b", '"', "ü"])
_ids = st.builds(
    "{}_{}".format, _PREFIX, st.text(string.digits + string.ascii_lowercase, min_size=16, max_size=24)
)
_requests = st.uuids().map(str)
_noise = st.text(max_size=30) | st.sampled_from(['"request":"', "_", '\\"', "personal", "_0000000000000000"])


@given(st.lists(st.tuples(_noise, _ids, _noise, _requests), min_size=1, max_size=20), st.integers(0, 63))
def test_every_id_is_in_the_index(leaves: list[tuple[str, str, str, str]], group: int) -> None:
    """Each id and each request of a group leads to it, beside hostile texts."""
    rendered = [
        json.dumps({"a": before, "list": [found, after], before: found, "request": request}).replace(
            ": ", ":"
        )
        for before, found, after, request in leaves
    ]
    buckets = build_buckets(list(list_entries([one.encode() for one in rendered], group)))
    for _, found, _, request in leaves:
        for text in (found, request):
            term = term_of(text)
            assert term is not None
            assert groups_of(term, buckets[bucket_of(term)]) == {group}


@given(st.lists(st.integers(0, (1 << 38) - 1), unique=True, max_size=50))
def test_buckets_have_every_entry_once(entries: list[int]) -> None:
    """The buckets of any entries hold exactly these, in order."""
    buckets = build_buckets(list(entries))
    assert len(buckets) == BUCKETS
    found = [
        bucket << 31 | entry for bucket, content in enumerate(buckets) for entry in read_bucket(content) or ()
    ]
    assert found == sorted(entries)


@given(st.binary(max_size=40), st.binary(max_size=16))
def test_any_bytes_can_be_read_as_a_bucket(content: bytes, term: bytes) -> None:
    """Bytes that are no entries are refused; the others name groups of a span."""
    groups = groups_of(term, content)
    assert (groups is None) == bool(len(content) % 4)
    assert (groups or set()) <= set(range(64))
    assert 0 <= bucket_of(term) < BUCKETS
    assert bucket_of(term) == crc32(term) >> 25


@given(st.text(max_size=80))
def test_any_text_has_a_term_or_none(text: str) -> None:
    """A term is 16 characters of an id, or 8 digits of a request."""
    term = term_of(text)
    assert term is None or len(term) in (8, 16)
