"""Spreading what many would do at once: a fraction that belongs to a text, the same in every process and on every machine."""

from __future__ import annotations

import hashlib

_BYTES = 8


def fraction_of(text: str) -> float:
    """Return a number from 0 to 1 for a text; over many texts the numbers are evenly spread."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:_BYTES]) / (1 << 8 * _BYTES)
