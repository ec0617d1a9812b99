"""Which selectors of an application may match a subject, found without judging all of them.

Most rules name groups or principals, and a subject has few of them. So each selector is listed under the alternatives of one of
its keys (`SelectorKey.alternatives`): the key with the alternatives that the fewest other selectors have. A selector is left out
only if that key is certainly false for the subject; then the whole selector is false. If the facts are unknown, or if no key
of a selector has a list of alternatives (a source, a time), the selector is never left out.

Not here: the judgement of the selectors that are found (`table`), and what follows from it (`policy.decision`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from doorward.policy.selectors.key import SelectorKey
from doorward.policy.selectors.table import BY_WORD, Selector
from doorward.policy.subject import Subject


class _Listing(NamedTuple):
    """The selectors that are listed under one key: all of them, the alternatives, and the selectors of each."""

    key: SelectorKey[Any]
    every: frozenset[int]
    mentioned: frozenset[str]
    of: Mapping[str, tuple[int, ...]]


class SelectorIndex:
    """Finds the selectors that may match; immutable.

    Args:
        selectors: of the rules of one application, in the order of the rules.
    """

    __slots__ = ("_always", "_listings")

    def __init__(self, selectors: Sequence[Selector]) -> None:
        usage = Counter(listed for one in selectors for listed in _all_alternatives(one))
        always: list[int] = []
        places: dict[str, dict[str, list[int]]] = {}
        for place, selector in enumerate(selectors):
            choices = _alternatives(selector)
            if not choices:
                always.append(place)
                continue
            word = _find_rarest(choices, usage)
            listed = places.setdefault(word, defaultdict(list))
            for one in choices[word]:
                listed[one].append(place)
        self._always = frozenset(always)
        self._listings = tuple(
            _Listing(
                key=BY_WORD[word],
                every=frozenset(place for some in listed.values() for place in some),
                mentioned=frozenset(listed),
                of={one: tuple(some) for one, some in listed.items()},
            )
            for word, listed in places.items()
        )

    def candidates(self, subject: Subject) -> list[int]:
        """Return the places of the selectors that may match or be undetermined, ascending; each other one is false."""
        found = set(self._always)
        for listing in self._listings:
            matching = listing.key.matching(subject)
            if matching is None:
                found |= listing.every
            else:
                for one in listing.mentioned.intersection(matching):
                    found.update(listing.of[one])
        return sorted(found)


def _alternatives(selector: Selector) -> dict[str, frozenset[str]]:
    """Return the alternatives of each key that compares them with a list of facts."""
    return {
        word: BY_WORD[word].alternatives(value)
        for word, value in selector.conditions
        if BY_WORD[word].has_matching
    }


def _find_rarest(choices: Mapping[str, frozenset[str]], usage: Mapping[tuple[str, str], int]) -> str:
    """Return the key with the alternatives that the fewest selectors of the application have."""
    return min(choices, key=lambda word: sum(usage[word, one] for one in choices[word]))


def _all_alternatives(selector: Selector) -> list[tuple[str, str]]:
    return [(word, one) for word, some in _alternatives(selector).items() for one in some]
