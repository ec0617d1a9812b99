"""Partitions of a revocation list: which of several lists speaks of which certificate.

A partition's name says all: `3-of-16` holds the serial numbers that leave the remainder 2 when divided by
16, so an address in a certificate means the same list for as long as anybody may ask for it, whatever the
division is today. Serial numbers are random in their last bits, so the lists grow evenly. The full list
has the empty name.

Not here: making and serving the lists (crls, web.status).
Standard: RFC 5280 sections 5 and 5.2.5.
"""

from __future__ import annotations

import functools
import re

FULL = ""
"""The name of the list that speaks of every certificate of an authority."""

MOST_PARTITIONS = 256
"""Of 1,000,000 revoked certificates each list then has some 4,000, which have 200 KB."""

_NAME = re.compile(r"([1-9][0-9]{0,2})-of-([1-9][0-9]{0,2})", re.ASCII)


@functools.lru_cache(maxsize=16)
def partition_names(count: int) -> tuple[str, ...]:
    """Return the names of a division into `count` lists, 1 to 256; none for 1: the full list is alone then."""
    return tuple(f"{number}-of-{count}" for number in range(1, count + 1) if count > 1)


def partition_of(serial: int, count: int) -> str:
    """Return the name of the list, of `count`, that speaks of a serial number; `FULL` where `count` is 1."""
    return partition_names(count)[serial % count] if count > 1 else FULL


def division_of(name: str) -> int:
    """Return how many lists the division has that a list of that name belongs to.

    1 for the full list; 0 for what is no list's name, whatever it is.
    """
    if name == FULL:
        return 1
    found = _NAME.fullmatch(name)
    if found is None:
        return 0
    number, count = int(found.group(1)), int(found.group(2))
    return count if number <= count <= MOST_PARTITIONS and count > 1 else 0
