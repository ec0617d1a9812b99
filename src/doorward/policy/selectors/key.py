"""What each word of a selector can do: be read, be written, be judged, be compared.

To add a word: make a `SelectorKey`, and put it into `table.KEYS`. Everything else follows from the table:
reading and writing documents, the ids of grants, decisions, `explain`, what may share an authority
(`equivalence`), and the analysis of rules (`coverage`).

Not here: the words themselves.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Hashable
from datetime import datetime
from typing import Generic, TypeVar

from doorward.core.entities import PrincipalKind
from doorward.core.errors import MalformedInput
from doorward.policy.node_reader import NodeReader
from doorward.policy.scalars import render_list
from doorward.policy.subject import FALSE, TRUE, UNDETERMINED, Subject, Truth
from doorward.policy.yaml_tree import Node

V = TypeVar("V", bound=Hashable)

EVERY_KIND = frozenset(PrincipalKind)
MOST_SHOWN = 5
"""Facts that an explanation lists."""


class SelectorKey(ABC, Generic[V]):
    """One word; its values are immutable, hashable, and equal if they mean the same.

    Attributes:
        word: as in the document; `certificate.issuer` is `issuer` in the mapping `certificate`.
        needs_issuer: whether it says nothing without `certificate.issuer` where several authorities are trusted.
        timed: whether its answer may change though no fact changes (`next_change`).
    """

    word: str
    needs_issuer: bool = False
    timed: bool = False

    @abstractmethod
    def read(self, reader: NodeReader, node: Node, key: str) -> V | None:
        """Return the value of a node; None, with faults at their places, if it has none. `key` is its path."""

    @abstractmethod
    def render(self, value: V) -> str:
        """Return the value as YAML on one line; different for different values, because ids of grants are made of it."""

    @abstractmethod
    def judge(self, value: V, subject: Subject) -> Truth:
        """Say whether the subject is as the value says; undetermined if the fact is not known."""

    @abstractmethod
    def explain(self, value: V, subject: Subject) -> str:
        """Return in words why `judge` does not say true: the fact, and what is wanted."""

    def discriminator(self, values: Collection[V]) -> Callable[[Subject], Hashable]:
        """Return what tells subjects apart as far as these values do.

        The returned function gives equal results only for subjects that each value judges alike. A faster one may
        replace this; it may tell more apart, and never less.
        """
        every = tuple(values)
        return lambda subject: tuple(self.judge(one, subject) for one in every)

    def next_change(self, _value: V, _now: datetime) -> datetime | None:
        """Return the first moment (UTC) after `now` at which the answer is another though no fact changed; None for never."""
        return None

    def possible_kinds(self, _value: V) -> frozenset[PrincipalKind]:
        """Return the kinds of principals that may be as the value says."""
        return EVERY_KIND

    def alternatives(self, value: V) -> frozenset[str]:
        """Return the value as alternatives: it holds if one of them does. By default it is its own single one."""
        return frozenset({self.render(value)})

    def wider(self, alternative: str) -> frozenset[str]:
        """Return alternatives that hold wherever this one does, itself included."""
        return frozenset({alternative})


class NamesKey(SelectorKey[frozenset[str]]):
    """A word with a list of names or patterns: one of them must be among the subject's facts.

    Args:
        word: see `SelectorKey`.
        parse: the text of the document -> its one spelling; raises `MalformedInput`.
        facts: what the subject has, in the same spelling; None if that is not known.
        widen: a fact or a pattern -> itself and every pattern that covers it.
        needs_issuer: see `SelectorKey`.
    """

    def __init__(
        self,
        word: str,
        parse: Callable[[str], str],
        facts: Callable[[Subject], Collection[str] | None],
        *,
        widen: Callable[[str], frozenset[str]] | None = None,
        needs_issuer: bool = False,
    ) -> None:
        self.word = word
        self.needs_issuer = needs_issuer
        self._parse = parse
        self._facts = facts
        self._widen = widen

    def read(self, reader: NodeReader, node: Node, key: str) -> frozenset[str] | None:
        """Read a list of texts, or a single one."""
        names = set()
        for text in reader.texts(node, key):
            try:
                names.add(self._parse(text.value))
            except MalformedInput as error:
                reader.add_malformed(text, error, key=key)
        return frozenset(names) or None

    def render(self, value: frozenset[str]) -> str:
        """Write a list, sorted."""
        return render_list(sorted(value))

    def judge(self, value: frozenset[str], subject: Subject) -> Truth:
        """Compare the names with the facts."""
        facts = self._facts(subject)
        if facts is None:
            return UNDETERMINED
        if self._widen is None:
            return FALSE if value.isdisjoint(facts) else TRUE
        return TRUE if any(not value.isdisjoint(self._widen(one)) for one in facts) else FALSE

    def explain(self, value: frozenset[str], subject: Subject) -> str:
        """Name the fact and what is wanted."""
        facts = self._facts(subject)
        if facts is None:
            return f"{self.word}: cannot be determined, wants {either(value)}"
        return f"{self.word}: has {_shown(facts)}, wants {either(value)}"

    def discriminator(self, values: Collection[frozenset[str]]) -> Callable[[Subject], Hashable]:
        """What of the subject any of the values mentions."""
        mentioned = frozenset[str]().union(*values)

        def view(subject: Subject) -> Hashable:
            facts = self._facts(subject)
            if facts is None:
                return None
            return mentioned.intersection(one for fact in facts for one in self.wider(fact))

        return view

    def alternatives(self, value: frozenset[str]) -> frozenset[str]:
        """Each name."""
        return value

    def wider(self, alternative: str) -> frozenset[str]:
        """A name, and the patterns that cover it."""
        return frozenset({alternative}) if self._widen is None else self._widen(alternative)


def either(words: Collection[str]) -> str:
    """Return words joined by `or`, sorted."""
    return " or ".join(sorted(words))


def _shown(facts: Collection[str]) -> str:
    some = sorted(facts)
    more = f" and {len(some) - MOST_SHOWN} more" if len(some) > MOST_SHOWN else ""
    return ", ".join(some[:MOST_SHOWN]) + more if some else "none"
