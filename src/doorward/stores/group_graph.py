"""Which groups lie in which: the ways from one to another.

Pure. Not here: changing them (`directory.nesting`), keeping them (`protocols.DirectoryStore`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence


class GroupGraph:
    """Which group lies directly in which, as the store has it; free of circles.

    Args:
        pairs: (inner, outer), by name.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._outer: dict[str, list[str]] = defaultdict(list)
        self._inner: dict[str, list[str]] = defaultdict(list)
        self.count = 0
        for inner, outer in sorted(pairs):
            self._outer[inner].append(outer)
            self._inner[outer].append(inner)
            self.count += 1

    def children(self, group: str) -> tuple[str, ...]:
        """Return the groups that were put into a group, sorted."""
        return tuple(self._inner.get(group, ()))

    def parents(self, group: str) -> tuple[str, ...]:
        """Return the groups that a group was put into, sorted."""
        return tuple(self._outer.get(group, ()))

    def path(self, inner: str, outer: str) -> tuple[str, ...]:
        """Return a shortest way from a group outwards to another, both included; empty if there is none."""
        came: dict[str, str] = {inner: ""}
        for here in (waiting := [inner]):
            if here == outer:
                way = [here]
                while came[way[-1]]:
                    way.append(came[way[-1]])
                return tuple(reversed(way))
            for after in self._outer.get(here, ()):
                if after not in came:
                    came[after] = here
                    waiting.append(after)
        return ()

    def with_descendants(self, group: str) -> frozenset[str]:
        """Return a group and all that lie in it."""
        return _reach(self._inner, group)

    def with_ancestors(self, group: str) -> frozenset[str]:
        """Return a group and all that it lies in."""
        return _reach(self._outer, group)

    def depth_below(self, group: str) -> int:
        """Return how many groups the longest chain has that ends at a group, itself included."""
        return _longest(self._inner, group, {})

    def depth_above(self, group: str) -> int:
        """Return how many groups the longest chain has that begins at a group, itself included."""
        return _longest(self._outer, group, {})


def _reach(steps: Mapping[str, Sequence[str]], start: str) -> frozenset[str]:
    found = {start}
    for here in (waiting := [start]):
        new = [one for one in steps.get(here, ()) if one not in found]
        found.update(new)
        waiting += new
    return frozenset(found)


def _longest(steps: Mapping[str, Sequence[str]], start: str, known: dict[str, int]) -> int:
    if start not in known:
        known[start] = 1 + max((_longest(steps, one, known) for one in steps.get(start, ())), default=0)
    return known[start]
