"""A share of the registry's places: so many in all, so many for one source.

Not here: what a source is (`registry.source_of`). Not safe between threads: the registry's lock guards it.
"""

from __future__ import annotations

from collections import Counter

from doorward.enforcement.plan import ANONYMOUS_CONNECTIONS, ANONYMOUS_PER_SOURCE


class ConnectionQuota:
    """Counts who holds places of one kind."""

    def __init__(
        self, most: int = ANONYMOUS_CONNECTIONS, most_per_source: int = ANONYMOUS_PER_SOURCE
    ) -> None:
        self._most = most
        self._most_per_source = most_per_source
        self._held: Counter[bytes] = Counter()
        self._total = 0

    def has_room(self, source: bytes) -> bool:
        """Say whether this source may take one more place."""
        return self._total < self._most and self._held[source] < self._most_per_source

    def take(self, source: bytes) -> None:
        """Count one place, also if there is no room: adopted connections exist already."""
        self._held[source] += 1
        self._total += 1

    def give_back(self, source: bytes) -> None:
        """Count one place less."""
        self._held[source] -= 1
        self._total -= 1
        if not self._held[source]:
            del self._held[source]
