"""Which rules of one application cover a rule, or may overlap with it; for thousands of rules at once.

Comparing each rule with each other rule took 84 seconds for 4,000 rules. Here a set of rules is one integer with one
bit for each rule, so a question about a rule needs only a few ANDs and ORs: one set for each name in a selector, each
method and each pattern. Patterns are kept in a tree of their segments, and a question visits only the branches that its
segments allow.

The answers are exact: the same as comparing all pairs (property test). Not here: what follows from them (analysis).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import reduce
from typing import Any

from doorward.core.entities import PrincipalKind
from doorward.policy.model import ECHOING_METHODS, Effect, Rule
from doorward.policy.paths import OWNED, PathPattern
from doorward.policy.requirements import Requirement, all_met_with
from doorward.policy.selectors.key import SelectorKey
from doorward.policy.selectors.principals import KIND, NAMED
from doorward.policy.selectors.table import KEYS, Selector


class _Names:
    """The rules by the names that their selectors have under one key (or by their methods)."""

    def __init__(self, named: Sequence[Iterable[str] | None]) -> None:
        self._with: dict[str, int] = {}
        self.without = 0
        for at, names in enumerate(named):
            if not names:
                self.without |= 1 << at
            for name in names or ():
                self._with[name] = self._with.get(name, 0) | 1 << at

    def of(self, name: str) -> int:
        """The rules that have this name, and those that have no name."""
        return self.without | self._with.get(name, 0)

    def with_all(
        self, names: Iterable[str], wider: Callable[[str], Iterable[str]] = lambda name: (name,)
    ) -> int:
        """The rules that have no name, or names that cover each of these names."""
        found = [reduce(int.__or__, (self._with.get(one, 0) for one in wider(name))) for name in names]
        return self.without | (reduce(int.__and__, found) if found else 0)

    def with_any(self, names: Iterable[str]) -> int:
        """The rules that have no name, or one of these names."""
        return reduce(int.__or__, map(self.of, names), self.without)


class _Node:
    """One node in the tree of patterns: the rules with a pattern that ends here, and the next segments."""

    __slots__ = ("ends", "next", "tails")

    def __init__(self) -> None:
        self.ends = 0  # rules with a pattern that is exactly these segments
        self.tails = 0  # the same with `**` after them
        self.next: dict[str | None, _Node] = {}  # None is `*`

    def below(self) -> Iterator[_Node]:
        """This node and all nodes below, without recursion: patterns have up to 256 segments."""
        waiting = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting += node.next.values()


class Coverage:
    """The rules of one application; a set of rules is an integer, and the lowest bit is the first rule."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules
        self.all = (1 << len(rules)) - 1
        self._effects = {
            effect: sum(1 << at for at, rule in enumerate(rules) if rule.effect is effect)
            for effect in Effect
        }
        selectors = [rule.selector for rule in rules]
        self._words = {key.word: _Names([_alternatives(key, one) for one in selectors]) for key in KEYS}
        self._possible = {
            kind: sum(1 << at for at, one in enumerate(selectors) if kind in one.possible_kinds)
            for kind in PrincipalKind
        }
        self._methods = _Names([rule.residual.methods for rule in rules])
        self._requiring: dict[frozenset[Requirement], int] = {}
        for at, rule in enumerate(rules):
            asked = rule.residual.requirements
            self._requiring[asked] = self._requiring.get(asked, 0) | 1 << at
        self._root = _Node()
        for at, rule in enumerate(rules):
            for pattern in rule.residual.paths:
                self._plant(pattern, 1 << at)
        self._covering: dict[str, int] = {}
        self._meeting: dict[str, int] = {}

    def of_effect(self, effect: Effect) -> int:
        """The rules with an effect."""
        return self._effects[effect]

    def covering(self, rule: Rule) -> int:
        """The rules that match every request and principal that a rule matches; the rule itself is among them."""
        selector, residual = rule.selector, rule.residual
        found = self._words[KIND.word].with_all([kind.value for kind in selector.possible_kinds])
        for key in KEYS:
            if key is not KIND:
                found &= self._words[key.word].with_all(_alternatives(key, selector) or (), key.wider)
        found &= self._asking_no_more(residual.requirements)
        for method in residual.methods or ():
            found &= self._methods.of(method) & ~self._leaving_out(method)
        if residual.methods is None:
            found &= self._methods.without
        for pattern in residual.paths:
            found &= self._ask(pattern, self._covering, self._nodes_covering)
        return found

    def meeting(self, rule: Rule) -> int:
        """The rules that may match a request of a principal that this rule matches, too."""
        selector, residual = rule.selector, rule.residual
        found = reduce(int.__or__, (self._possible[kind] for kind in selector.possible_kinds))
        for key in NAMED:  # a principal has one name, but may have many groups, networks and other facts
            names = selector.value(key.word)
            found &= self._words[key.word].with_any(names) if names else self.all
        if residual.methods is not None:
            found &= self._methods.with_any(residual.methods)
        paths = (self._ask(pattern, self._meeting, self._nodes_meeting) for pattern in residual.paths)
        return found & reduce(int.__or__, paths)

    def _asking_no_more(self, requirements: frozenset[Requirement]) -> int:
        """The rules that have all their requirements met if these requirements are met."""
        sets = (found for asked, found in self._requiring.items() if all_met_with(asked, requirements))
        return reduce(int.__or__, sets, 0)

    def _leaving_out(self, method: str) -> int:
        """The rules that name no method and do not match this one (`Residual.matches_method`)."""
        if method not in ECHOING_METHODS:
            return 0
        return self._methods.without & self._effects[Effect.ALLOW]

    def _plant(self, pattern: PathPattern, bit: int) -> None:
        node = self._root
        for segment in pattern.segments:
            node = node.next.setdefault(segment, _Node())
        if pattern.tail:
            node.tails |= bit
        else:
            node.ends |= bit

    def _ask(
        self, pattern: PathPattern, known: dict[str, int], walk: Callable[[PathPattern], Iterator[int]]
    ) -> int:
        found = known.get(pattern.text)
        if found is None:
            found = known[pattern.text] = reduce(int.__or__, walk(pattern), 0)
        return found

    def _nodes_covering(self, pattern: PathPattern) -> Iterator[int]:
        here = [self._root]
        for segment in pattern.segments:
            yield from (node.tails for node in here)
            here = [node.next[one] for node in here for one in {segment, None} if one in node.next]
        for node in here:
            yield node.tails if pattern.tail else node.tails | node.ends

    def _nodes_meeting(self, pattern: PathPattern) -> Iterator[int]:
        here = [self._root]
        for segment in pattern.segments:
            yield from (node.tails for node in here)
            if segment in (None, OWNED):  # a principal's name may be any word
                here = [one for node in here for one in node.next.values()]
            else:
                here = [node.next[one] for node in here for one in (segment, None, OWNED) if one in node.next]
        for node in here:
            if pattern.tail:
                yield from (one.tails | one.ends for one in node.below())
            else:
                yield node.tails | node.ends


def _alternatives(key: SelectorKey[Any], selector: Selector) -> frozenset[str] | None:
    value = selector.value(key.word)
    return None if value is None else key.alternatives(value)


def rules_in(rules: Sequence[Rule], found: int) -> Iterator[Rule]:
    """Yield the rules of a set, in their order."""
    while found:
        lowest = found & -found
        yield rules[lowest.bit_length() - 1]
        found ^= lowest
