"""The graph of nested groups: children, parents, paths and depths.

Pure. Not here: changing it (`directory.nesting`), storing it (`directory_protocols.DirectoryStore`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence


class GroupGraph:
    """The nesting of all groups. It has no circles.

    Args:
        pairs: (inner, outer) names: the group `inner` is a direct member of the group `outer`.
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
        """Return the groups that are direct members of a group, sorted."""
        return tuple(self._inner.get(group, ()))

    def parents(self, group: str) -> tuple[str, ...]:
        """Return the groups of which a group is a direct member, sorted."""
        return tuple(self._outer.get(group, ()))

    def path(self, inner: str, outer: str) -> tuple[str, ...]:
        """Return a shortest path from a group to one that contains it, both included; empty if there is none."""
        previous: dict[str, str] = {inner: ""}
        for here in (waiting := [inner]):
            if here == outer:
                path = [here]
                while previous[path[-1]]:
                    path.append(previous[path[-1]])
                return tuple(reversed(path))
            for after in self._outer.get(here, ()):
                if after not in previous:
                    previous[after] = here
                    waiting.append(after)
        return ()

    def with_descendants(self, group: str) -> frozenset[str]:
        """Return a group and all groups in it, directly or not."""
        return _reach(self._inner, group)

    def with_ancestors(self, group: str) -> frozenset[str]:
        """Return a group and all groups that contain it, directly or not."""
        return _reach(self._outer, group)

    def depth_below(self, group: str) -> int:
        """Return the length of the longest chain of groups in a group, the group itself included."""
        return _longest(self._inner, group, {})

    def depth_above(self, group: str) -> int:
        """Return the length of the longest chain of groups that contain a group, the group itself included."""
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
