"""A cache that keeps the most recently used values, in bounded memory.

It is for results that depend on bytes alone and take time to compute. Verdicts depend on the time and are not cached.
Not here: the cached values (certificate_cache, path.store).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class LruCache(Generic[K, V]):
    """The most recently used values, limited by count and weight; safe to share between threads.

    Args:
        count: maximum number of values.
        weight: maximum sum of weights, in the unit of `put`.
    """

    def __init__(self, *, count: int, weight: int = 0) -> None:
        self._count, self._weight, self._room = count, weight, weight
        self._kept: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        with self._lock:
            return len(self._kept)

    def get(self, key: K) -> V | None:
        """Return a value that is in the cache, and mark it as just used; None if it is not in the cache."""
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                return None
            self._kept.move_to_end(key)
            return found[0]

    def put(self, key: K, value: V, weight: int = 0) -> None:
        """Store a value; the least recently used ones are removed. A value heavier than the whole cache is not stored."""
        with self._lock:
            old = self._kept.pop(key, None)
            self._room += old[1] if old is not None else 0
            if weight > self._weight:
                return
            self._kept[key] = (value, weight)
            self._room -= weight
            while self._room < 0 or len(self._kept) > self._count:
                _, (_, gone) = self._kept.popitem(last=False)
                self._room += gone
