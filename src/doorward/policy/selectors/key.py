"""The interface of a selector key: how it is read, rendered, judged and compared.

To add a selector key, make a `SelectorKey` and put it into `table.KEYS`. Everything else follows from the table: reading
and rendering documents, the ids of grants, decisions, `explain`, the equivalence of subjects (`equivalence`), and the
analysis of rules (`coverage`).

Not here: the keys themselves.
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
"""At most so many facts are listed in an explanation."""


class SelectorKey(ABC, Generic[V]):
    """One selector key; its values are immutable, hashable, and equal if they have the same meaning.

    Attributes:
        word: the key in the document; `certificate.issuer` is `issuer` in the mapping `certificate`.
        needs_issuer: whether the key needs `certificate.issuer` if the application trusts several authorities.
        timed: whether its answer may change although no fact changes (`next_change`).
        of_connection: whether its answer may differ between two connections with the same certificate, because it depends
            on the source or the time. A new word counts as such until it says otherwise.
        has_matching: whether `matching` lists the alternatives that match a subject.
    """

    word: str
    needs_issuer: bool = False
    timed: bool = False
    of_connection: bool = True
    has_matching: bool = False

    @abstractmethod
    def read(self, reader: NodeReader, node: Node, key: str) -> V | None:
        """Return the value of a node; None, with faults, if it is malformed. `key` is its path."""

    @abstractmethod
    def render(self, value: V) -> str:
        """Return the value as YAML on one line; different values give different texts, because grant ids are made of them."""

    @abstractmethod
    def judge(self, value: V, subject: Subject) -> Truth:
        """Return whether the subject matches the value; undetermined if the fact is unknown."""

    @abstractmethod
    def explain(self, value: V, subject: Subject) -> str:
        """Return in words why `judge` is not true: the fact, and the wanted value."""

    def discriminator(self, values: Collection[V]) -> Callable[[Subject], Hashable]:
        """Return a function that tells subjects apart as far as these values do.

        It returns equal results only for subjects for which every value gives the same answer. A subclass may return a
        faster function, which may tell more subjects apart, but never fewer.
        """
        every = tuple(values)
        return lambda subject: tuple(self.judge(one, subject) for one in every)

    def next_change(self, _value: V, _now: datetime) -> datetime | None:
        """Return the first moment (UTC) after `now` at which the answer changes by time alone; None for never."""
        return None

    def possible_kinds(self, _value: V) -> frozenset[PrincipalKind]:
        """Return the kinds of principals that may match the value."""
        return EVERY_KIND

    def alternatives(self, value: V) -> frozenset[str]:
        """Return the alternatives of the value, which matches if one of them does. By default the value is the only one."""
        return frozenset({self.render(value)})

    def wider(self, alternative: str) -> frozenset[str]:
        """Return every alternative that matches whenever this one does; this one is among them."""
        return frozenset({alternative})

    def matching(self, _subject: Subject) -> Collection[str] | None:
        """Return every alternative that matches the subject; None if that is unknown.

        If `has_matching`, the answer is false for each value of which no alternative is among these, and only for those.
        """
        return None


class NamesKey(SelectorKey[frozenset[str]]):
    """A selector key with a list of names or patterns: one of them must match one of the subject's facts.

    The facts are those of the principal and its certificate, so `of_connection` is False.

    Args:
        word: see `SelectorKey`.
        parse: from the text in the document to its canonical spelling; raises `MalformedInput`.
        facts: the subject's facts in the same spelling; None if they are unknown.
        widen: from a fact or a pattern to itself and every pattern that covers it.
        needs_issuer: see `SelectorKey`.
    """

    of_connection = False
    has_matching = True

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
        matching = self.matching(subject)
        if matching is None:
            return UNDETERMINED
        return FALSE if value.isdisjoint(matching) else TRUE

    def explain(self, value: frozenset[str], subject: Subject) -> str:
        """Name the fact and the wanted values."""
        facts = self._facts(subject)
        if facts is None:
            return f"{self.word}: cannot be determined, the rule needs {either(value)}"
        return f"{self.word}: has {_shown(facts)}, the rule needs {either(value)}"

    def discriminator(self, values: Collection[frozenset[str]]) -> Callable[[Subject], Hashable]:
        """Return a function to the subject's facts that any of the values mentions."""
        mentioned = frozenset[str]().union(*values)

        def view(subject: Subject) -> Hashable:
            matching = self.matching(subject)
            return None if matching is None else mentioned.intersection(matching)

        return view

    def alternatives(self, value: frozenset[str]) -> frozenset[str]:
        """Each name."""
        return value

    def wider(self, alternative: str) -> frozenset[str]:
        """A name and every pattern that covers it."""
        return frozenset({alternative}) if self._widen is None else self._widen(alternative)

    def matching(self, subject: Subject) -> Collection[str] | None:
        """The facts, and every pattern that covers one of them."""
        facts = self._facts(subject)
        if facts is None or self._widen is None:
            return facts
        return frozenset[str]().union(*map(self._widen, facts))


def either(words: Collection[str]) -> str:
    """Return words joined by `or`, sorted."""
    return " or ".join(sorted(words))


def _shown(facts: Collection[str]) -> str:
    some = sorted(facts)
    more = f" and {len(some) - MOST_SHOWN} more" if len(some) > MOST_SHOWN else ""
    return ", ".join(some[:MOST_SHOWN]) + more if some else "none"
