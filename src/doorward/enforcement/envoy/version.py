"""Versions of resources, and the value of the gauge by which Envoy shows its current version.

Envoy's statistics do not have the version as text, only as a gauge: the xxHash64 of the text. If the gauge has our value,
Envoy has loaded exactly these resources.
Standard: xxHash fast digest algorithm, XXH64, for inputs shorter than 32 bytes; seed 0.
"""

from __future__ import annotations

import hashlib

VERSION_LENGTH = 24
"""Hex digits of a version: 96 bits, and short enough for the short form of XXH64."""

_P1 = 0x9E3779B185EBCA87
_P2 = 0xC2B2AE3D27D4EB4F
_P3 = 0x165667B19E3779F9
_P4 = 0x85EBCA77C2B2AE63
_P5 = 0x27D4EB2F165667C5
_MASK = (1 << 64) - 1
_SHORTER_THAN = 32


def version_of(content: bytes) -> str:
    """Return the version of a content: its SHA-256, shortened."""
    return hashlib.sha256(content).hexdigest()[:VERSION_LENGTH]


def version_gauge(version: str) -> int:
    """Return the value of Envoy's `version` gauge while this version is in force.

    Args:
        version: ASCII, shorter than 32 characters.

    Raises:
        ValueError: the version is longer.
    """
    data = version.encode("ascii")
    if len(data) >= _SHORTER_THAN:
        raise ValueError(
            f"the version has {len(data)} characters, and at most {_SHORTER_THAN - 1} are allowed"
        )
    mixed = _P5 + len(data)
    while len(data) >= 8:  # noqa: PLR2004 - lanes of the algorithm
        lane = _rotated(int.from_bytes(data[:8], "little") * _P2, 31) * _P1
        mixed, data = _rotated(mixed ^ (lane & _MASK), 27) * _P1 + _P4, data[8:]
    if len(data) >= 4:  # noqa: PLR2004
        lane = int.from_bytes(data[:4], "little") * _P1
        mixed, data = _rotated(mixed ^ (lane & _MASK), 23) * _P2 + _P3, data[4:]
    for byte in data:
        mixed = _rotated(mixed ^ (byte * _P5 & _MASK), 11) * _P1
    mixed &= _MASK
    mixed = (mixed ^ mixed >> 33) * _P2 & _MASK
    mixed = (mixed ^ mixed >> 29) * _P3 & _MASK
    return mixed ^ mixed >> 32


def _rotated(value: int, left: int) -> int:
    value &= _MASK
    return (value << left | value >> (64 - left)) & _MASK
