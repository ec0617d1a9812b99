"""A quota of connections of one kind: a limit for all of them, and a limit for each source.

Not here: the definition of a source (`registry.source_of`). Not safe between threads: the caller holds the registry's
lock.
"""

from __future__ import annotations

from collections import Counter

from doorward.enforcement.plan import ANONYMOUS_CONNECTIONS, ANONYMOUS_PER_SOURCE


class ConnectionQuota:
    """Counts the connections of one kind, by source and in all."""

    def __init__(
        self, most: int = ANONYMOUS_CONNECTIONS, most_per_source: int = ANONYMOUS_PER_SOURCE
    ) -> None:
        self._most = most
        self._most_per_source = most_per_source
        self._held: Counter[bytes] = Counter()
        self._total = 0

    def has_room(self, source: bytes) -> bool:
        """Return whether this source may have one more connection."""
        return self._total < self._most and self._held[source] < self._most_per_source

    def take(self, source: bytes) -> None:
        """Count one connection, also beyond the limit: adopted connections exist already."""
        self._held[source] += 1
        self._total += 1

    def give_back(self, source: bytes) -> None:
        """Count one connection less."""
        self._held[source] -= 1
        self._total -= 1
        if not self._held[source]:
            del self._held[source]
