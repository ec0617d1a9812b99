"""The stored form of blocks."""

from __future__ import annotations

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from doorward.audit.block import SubjectOpenings
from doorward.core.errors import IntegrityError
from doorward.storage.log_packing import pack_leaves, pack_openings, unpack_leaves, unpack_openings
from tests.support.events import sealed_block
from tests.support.refusals import refused

SEED = bytes(range(32))
BLOCK = sealed_block(1, 2, 3)


def test_leaves_and_openings_come_back() -> None:
    """What was packed is unpacked as it was, in its order."""
    assert unpack_leaves(pack_leaves(BLOCK.leaves), 3) == BLOCK.leaves
    (openings,) = BLOCK.openings
    assert unpack_openings(openings.subject, pack_openings(openings)) == openings


def test_a_segment_of_any_size_comes_back() -> None:
    """Large values are compressed with other parameters than small ones, and read in the same way."""
    for count in (100, 4000):
        leaves = [b'{"number":%d,"text":"%b"}' % (one, b"ab" * 50) for one in range(count)]
        assert unpack_leaves(pack_leaves(leaves), count) == leaves


def test_no_personal_value_is_beside_the_leaves() -> None:
    """The packed leaves contain commitments only."""
    leaves = b"".join(unpack_leaves(pack_leaves(BLOCK.leaves), 3))
    assert all(value.encode() not in leaves for _, _, value in BLOCK.openings[0].openings)


@given(st.lists(st.tuples(st.integers(0, 9), st.text(st.characters(codec="utf-8"))), max_size=9))
def test_any_value_comes_back(values: list[tuple[int, str]]) -> None:
    """Values of every script come back character for character."""
    found = [(place, "path", value) for place, value in sorted(values)]
    openings = SubjectOpenings("per_a", SEED, found)
    assert unpack_openings("per_a", pack_openings(openings)) == openings


@pytest.mark.parametrize("length", range(80))
def test_zstandard_itself_reads_openings_of_any_length(length: int) -> None:
    """Short ones are kept as they are and long ones compressed; the library reads both, and each frame names its size."""
    value = "ä" + "x" * length
    packed = pack_openings(SubjectOpenings("per_a", SEED, [(0, "path", value)]))
    text = f'{{"path":[[0],["{value}"]]}}'.encode()
    assert packed[:32] == SEED
    assert zstandard.frame_content_size(packed[32:]) == len(text)
    assert zstandard.ZstdDecompressor().decompress(packed[32:], allow_extra_data=False) == text
    assert len(packed) <= 32 + len(text) + 16


@pytest.mark.parametrize("count", [2, 4, 0])
def test_another_number_of_leaves_is_damage(count: int) -> None:
    """A block with fewer or more leaves than its row says is not used."""
    with refused(IntegrityError, "block-damaged"):
        unpack_leaves(pack_leaves(BLOCK.leaves), count)


@given(st.binary(max_size=60))
def test_other_bytes_are_damage(data: bytes) -> None:
    """Bytes of any other kind raise that one error."""
    for damaged in (data, pack_leaves(BLOCK.leaves)[:-1] + data[:1], pack_leaves(BLOCK.leaves) + b"x" + data):
        with refused(IntegrityError, "block-damaged"):
            unpack_leaves(damaged, 4)
    with refused(IntegrityError, "block-damaged"):
        unpack_openings("per_a", SEED + data)


@pytest.mark.parametrize(
    "text",
    [
        b"[]",
        b"{",
        b'{"a":1}',
        b'{"a":[[1],[]]}',
        b'{"a":[["1"],["v"]]}',
        b'{"a":[[true],["v"]]}',
        b'{"a":[[1],[2]]}',
    ],
)
def test_other_json_is_damage(text: bytes) -> None:
    """Openings of another form are damage and no other error."""
    with refused(IntegrityError, "block-damaged"):
        unpack_openings("per_a", SEED + zstandard.ZstdCompressor().compress(text))


def test_a_value_that_would_grow_beyond_its_limit_is_not_decompressed() -> None:
    """A small value that says it is large, or does not say its size, is refused before memory is used."""
    large = zstandard.ZstdCompressor().compress(bytes(70_000_000))
    unsized = zstandard.ZstdCompressor(write_content_size=False).compress(b"x")
    for data in (large, unsized):
        with refused(IntegrityError, "block-damaged"):
            unpack_leaves(data, 1)
        with refused(IntegrityError, "block-damaged"):
            unpack_openings("per_a", SEED + data)
