"""The values used last, in bounded memory: for what follows from bytes alone and costs time to find out.

A verdict is no such thing, and nobody keeps one: dates, state and revocation are judged each time.
Not here: what is kept (leaves, path.store), and who owns a memory: it is its owner's value.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class LruCache(Generic[K, V]):
    """The values used last, bounded by count and weight; safe to share between threads.

    Args:
        count: values at most.
        weight: of all values together at most, in the unit of `put`.
    """

    def __init__(self, *, count: int, weight: int = 0) -> None:
        self._count, self._weight, self._room = count, weight, weight
        self._kept: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        with self._lock:
            return len(self._kept)

    def get(self, key: K) -> V | None:
        """Return a value that was put and not pushed out, and remember that it was used."""
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                return None
            self._kept.move_to_end(key)
            return found[0]

    def put(self, key: K, value: V, weight: int = 0) -> None:
        """Keep a value; what was used longest ago makes room. One heavier than all may be is not kept."""
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
