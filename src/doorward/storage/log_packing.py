"""How blocks are stored: leaves compressed into one value, openings of one subject into another.

    leaves    Zstandard (RFC 8878) of the leaves with line feeds between them; a leaf contains none
    openings  the seed (32 bytes), then Zstandard of JSON: {"path":[[0,3],["/a","/b"]]}, for each field places and values

Most subjects have a few values in a block. Such short JSON does not get smaller, so its frame has it as it is (a raw block, RFC
8878 section 3.1.1.2.2): making such a frame takes a sixth of the time of compressing.

Reading is bounded: the frame must say its size, and the size is checked before anything is decompressed. Each function
raises `IntegrityError` (`block-damaged`) for bytes that were not written by this module.

Not here: the tables (`schema_log`).
"""

from __future__ import annotations

import json
import struct
import threading
from collections.abc import Sequence
from itertools import repeat
from json.encoder import encode_basestring
from typing import Any

import zstandard

from doorward.audit.block import MAX_BLOCK_EVENTS, SubjectOpenings
from doorward.audit.leaf import MAX_LEAF_BYTES, SALT_BYTES
from doorward.core.errors import IntegrityError

MAX_OPENINGS_BYTES = 64 * 1024 * 1024
"""Eight values of 2,048 characters, four bytes each, for 1,024 events."""
_LEVEL = 1
"""Leaves are so much alike that this level gives 5 % smaller values than Zstandard's default of 3, in two thirds of its time."""
_SMALL_BYTES = 256 * 1024
_SMALL_TABLE = 12
"""The compressor's table has 2 to the power of this entries for values up to `_SMALL_BYTES`: 16 KiB. A larger one makes none of them
smaller, and a round that compresses a few leaves between much else would find it in no cache of the processor each time."""
_SHORT_BYTES = 96
"""JSON up to this length is kept as it is."""
_RAW_FRAME = struct.Struct("<IBBHB")
_MAGIC, _ONE_SEGMENT, _LAST_RAW_BLOCK = 0xFD2FB528, 0x20, 1


class _Tools(threading.local):
    """What is dear to make and must not be shared by threads."""

    def __init__(self) -> None:
        parameters = zstandard.ZstdCompressionParameters.from_level(_LEVEL, hash_log=_SMALL_TABLE)
        self.small = zstandard.ZstdCompressor(compression_params=parameters)
        self.large = zstandard.ZstdCompressor(level=_LEVEL)
        self.decompressor = zstandard.ZstdDecompressor()


_tools = _Tools()


def pack_leaves(leaves: Sequence[bytes]) -> bytes:
    """Return the stored form of leaves."""
    return _compress(b"\n".join(leaves))


def unpack_leaves(data: bytes, count: int) -> list[bytes]:
    """Return the leaves of a stored block; there must be `count`."""
    leaves = _decompress(data, min(count, MAX_BLOCK_EVENTS) * (MAX_LEAF_BYTES + 1)).split(b"\n")
    if len(leaves) != count:
        raise _damaged()
    return leaves


def pack_openings(openings: SubjectOpenings) -> bytes:
    """Return the stored form of the openings of one subject."""
    columns: dict[str, tuple[list[int], list[str]]] = {}
    for place, field, value in openings.openings:
        column = columns.get(field)
        if column is None:  # `setdefault` would make two lists for each value
            column = columns[field] = ([], [])
        column[0].append(place)
        column[1].append(value)
    # Written out, because an encoder of `json` is made for each call, which takes longer than all of this.
    content = ",".join(
        [
            f"{encode_basestring(field)}:[[{','.join(map(str, places))}],[{','.join(map(encode_basestring, values))}]]"
            for field, (places, values) in columns.items()
        ]
    )
    data = f"{{{content}}}".encode()
    return openings.seed + (_compress(data) if len(data) > _SHORT_BYTES else _frame(data))


def unpack_openings(subject: str, data: bytes) -> SubjectOpenings:
    """Return the openings of one subject, in their order."""
    seed = data[:SALT_BYTES]
    try:
        columns: dict[str, Any] = json.loads(_decompress(data[SALT_BYTES:], MAX_OPENINGS_BYTES))
        found: list[tuple[int, str, str]] = []
        for field, (places, values) in columns.items():
            if not (set(map(type, places)) <= {int} and set(map(type, values)) <= {str}):
                raise _damaged()
            found += zip(places, repeat(field, len(places)), values, strict=True)
        if len(seed) == SALT_BYTES:
            return SubjectOpenings(subject, seed, sorted(found))
    except (ValueError, TypeError, AttributeError, RecursionError):
        pass  # other JSON than ours
    raise _damaged()


def _frame(data: bytes) -> bytes:
    """Return a Zstandard frame that has at most 255 bytes as they are: magic number, sizes, one raw block."""
    size = len(data)
    block = size << 3 | _LAST_RAW_BLOCK
    return _RAW_FRAME.pack(_MAGIC, _ONE_SEGMENT, size, block & 0xFFFF, block >> 16) + data


def _compress(data: bytes) -> bytes:
    compressor = _tools.small if len(data) <= _SMALL_BYTES else _tools.large
    packed: bytes = compressor.compress(data)
    return packed


def _decompress(data: bytes, limit: int) -> bytes:
    try:
        # `max_output_size` is ignored if the frame names a size, so that size is checked first.
        if 0 <= zstandard.frame_content_size(data) <= limit:
            found: bytes = _tools.decompressor.decompress(data, allow_extra_data=False)
            return found
    except zstandard.ZstdError:
        pass
    raise _damaged()


def _damaged() -> IntegrityError:
    return IntegrityError("block-damaged", "a stored block of the log cannot be read")
