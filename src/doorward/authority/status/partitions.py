"""Partitions of a CRL: which of several CRLs covers which certificate.

The name of a partition defines it: `3-of-16` covers the serial numbers with the remainder 2 after a division by
16. So an address in a certificate always means the same CRL, also after the number of partitions has
changed. The last bits of serial numbers are random, so the CRLs grow evenly. The full CRL
has the empty name. A CRL and its delta have the same scope; the name of the delta is that of the scope with `delta`.

Not here: making and serving the CRLs (crls, web.status).
Standard: RFC 5280 sections 5, 5.2.4 and 5.2.5.
"""

from __future__ import annotations

import functools
import re

FULL = ""
"""The name of the CRL that covers every certificate of an authority."""

MOST_PARTITIONS = 256
"""With 1,000,000 revoked certificates each CRL then has about 4,000 entries in 200 KB."""

_DELTA, _OF_PARTITION = "delta", "-delta"
_NAME = re.compile(r"([1-9][0-9]{0,2})-of-([1-9][0-9]{0,2})", re.ASCII)


@functools.lru_cache(maxsize=16)
def partition_names(count: int) -> tuple[str, ...]:
    """Return the names of `count` partitions, 1 to 256; none for 1, because then there is only the full CRL."""
    return tuple(f"{number}-of-{count}" for number in range(1, count + 1) if count > 1)


def partition_of(serial: int, count: int) -> str:
    """Return the name of the partition, of `count`, that covers a serial number; `FULL` if `count` is 1."""
    return partition_names(count)[serial % count] if count > 1 else FULL


def division_of(name: str) -> int:
    """Return the number of partitions in a partition's name: 16 for `3-of-16`.

    1 for the full CRL; 0 for any other text.
    """
    if name == FULL:
        return 1
    found = _NAME.fullmatch(name)
    if found is None:
        return 0
    number, count = int(found.group(1)), int(found.group(2))
    return count if number <= count <= MOST_PARTITIONS and count > 1 else 0


def delta_of(scope: str) -> str:
    """Return the name of a scope's delta: `delta` for the full CRL, `3-of-16-delta` for a partition."""
    return f"{scope}{_OF_PARTITION}" if scope else _DELTA


def scope_of(name: str) -> str:
    """Return the scope of a CRL or delta: the name of the complete CRL that is about the same certificates."""
    return FULL if name == _DELTA else name.removesuffix(_OF_PARTITION)


def is_delta(name: str) -> bool:
    """Return whether this is the name of a delta."""
    return scope_of(name) != name
