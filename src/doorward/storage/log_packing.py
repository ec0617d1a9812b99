"""How blocks are stored: leaves compressed into one value, openings of one subject into another.

    leaves    Zstandard (RFC 8878) of the leaves with line feeds between them; a leaf contains none
    openings  the seed (32 bytes), then Zstandard of JSON: {"path":[[0,3],["/a","/b"]]}, for each field places and values

Reading is bounded: the frame must say its size, and the size is checked before anything is decompressed. Each function
raises `IntegrityError` (`block-damaged`) for bytes that were not written by this module.

Not here: the tables (`schema_log`).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from itertools import repeat
from typing import Any

import zstandard

from doorward.audit.block import MAX_BLOCK_EVENTS, SubjectOpenings
from doorward.audit.leaf import MAX_LEAF_BYTES, SALT_BYTES
from doorward.core.errors import IntegrityError

MAX_OPENINGS_BYTES = 64 * 1024 * 1024
"""Eight values of 2,048 characters, four bytes each, for 1,024 events."""
_LEVEL = 3
_thread = threading.local()
"""Compressors, which are dear to make and must not be shared by threads."""


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
        places, values = columns.setdefault(field, ([], []))
        places.append(place)
        values.append(value)
    return openings.seed + _compress(json.dumps(columns, ensure_ascii=False, separators=(",", ":")).encode())


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


def _compress(data: bytes) -> bytes:
    try:
        compressor = _thread.compressor
    except AttributeError:
        compressor = _thread.compressor = zstandard.ZstdCompressor(level=_LEVEL)
    packed: bytes = compressor.compress(data)
    return packed


def _decompress(data: bytes, limit: int) -> bytes:
    try:
        decompressor = _thread.decompressor
    except AttributeError:
        decompressor = _thread.decompressor = zstandard.ZstdDecompressor()
    try:
        # `max_output_size` is ignored if the frame names a size, so that size is checked first.
        if 0 <= zstandard.frame_content_size(data) <= limit:
            found: bytes = decompressor.decompress(data, allow_extra_data=False)
            return found
    except zstandard.ZstdError:
        pass
    raise _damaged()


def _damaged() -> IntegrityError:
    return IntegrityError("block-damaged", "a stored block of the log cannot be read")
