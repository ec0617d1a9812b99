"""The table of selector keys, and a selector: a conjunction of them.

`KEYS` is the only list of all selector keys. Its order is the order in rendered documents and in the text from which
grant ids are made (`groups=[tellers];kind=[person]`), so a new key must be the last one.

Not here: the meaning of each key (the other modules of this folder).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from doorward.core.entities import PrincipalKind
from doorward.policy.node_reader import NodeReader
from doorward.policy.selectors.certificates import CERTIFICATE, ISSUER, PROFILE
from doorward.policy.selectors.key import EVERY_KIND, SelectorKey, either
from doorward.policy.selectors.principals import GROUPS, KIND, NAMED
from doorward.policy.selectors.sources import SOURCE
from doorward.policy.selectors.times import TIME
from doorward.policy.subject import FALSE, TRUE, UNDETERMINED, Subject, Truth
from doorward.policy.yaml_tree import Mapping, Node

KEYS: tuple[SelectorKey[Any], ...] = (KIND, *NAMED, GROUPS, *CERTIFICATE, SOURCE, TIME)
BY_WORD: dict[str, SelectorKey[Any]] = {key.word: key for key in KEYS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """The connection part of a rule: AND between the keys, OR between the values of one key.

    Args:
        conditions: each key once, with its value; `select` puts them into the order of the table.

    `text` is the same for equal selectors and for no others; `timed` says whether a key depends on the time, and
    `of_connection` whether one depends on more than the principal and its certificate.

    Raises:
        ValueError: there is no condition, or no principal could ever match.
    """

    conditions: tuple[tuple[str, Hashable], ...]
    text: str = field(init=False, compare=False, repr=False)
    timed: bool = field(init=False, compare=False, repr=False)
    of_connection: bool = field(init=False, compare=False, repr=False)
    _judges: tuple[tuple[SelectorKey[Any], Any], ...] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        given = dict(self.conditions)
        judges = tuple((key, given[key.word]) for key in KEYS if key.word in given)
        if self.conditions != tuple((key.word, value) for key, value in judges):
            raise ValueError("a selector key is unknown, repeated or out of order")
        if not judges:
            raise ValueError("a selector without a key would select everybody")
        text = ";".join(f"{key.word}={key.render(value)}" for key, value in judges)
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "timed", any(key.timed for key, _ in judges))
        object.__setattr__(self, "of_connection", any(key.of_connection for key, _ in judges))
        object.__setattr__(self, "_judges", judges)
        self._check_possible()

    def _check_possible(self) -> None:
        kinds = {kind.value for kind in self.possible_kinds}
        if not kinds:
            raise ValueError("no principal is of two kinds (person, device, service) at once")
        profiles = self.value(PROFILE.word)
        if profiles is None:
            return
        # Not part of `possible_kinds`: a deny rule also matches a principal with an unknown profile.
        if kinds.isdisjoint(profiles):
            raise ValueError(f"a {either(kinds)} has no certificate with the profile {either(profiles)}")
        names = frozenset[str]().union(*(names for _, names in self.named))
        if names and all("/" in name for name in names):
            raise ValueError(
                "only certificates of our own authority have a profile, and the rule names a partner's principals"
            )

    def judge(self, subject: Subject) -> Truth:
        """Return whether the subject matches: false if one key is false, else undetermined if one key is undetermined."""
        found = TRUE
        for key, value in self._judges:
            truth = key.judge(value, subject)
            if truth is FALSE:
                return truth
            if truth is UNDETERMINED:
                found = truth
        return found

    def explain(self, subject: Subject) -> str:
        """Return in words why the subject does not certainly match; an empty text if it does."""
        truth = self.judge(subject)
        if truth is TRUE:
            return ""
        failed = ((key, value) for key, value in self._judges if key.judge(value, subject) is truth)
        key, value = next(failed)
        return key.explain(value, subject)

    def next_change(self, subject: Subject) -> datetime | None:
        """Return the first moment after the subject's time at which the answer may change by time alone.

        None if there is none: no key depends on the time, or another key is false at any time.
        """
        if not self.timed or subject.time is None:
            return None
        changes = [(key, value, key.next_change(value, subject.time)) for key, value in self._judges]
        moments = [moment for _, _, moment in changes if moment is not None]
        fixed = ((key, value) for key, value, moment in changes if moment is None)
        if not moments or any(key.judge(value, subject) is Truth.FALSE for key, value in fixed):
            return None
        return min(moments)

    def value(self, word: str) -> Any:
        """Return the value of a key, None if the selector does not have it."""
        return next((value for key, value in self._judges if key.word == word), None)

    @property
    def unissued(self) -> tuple[str, ...]:
        """The keys that need an issuer, if the selector names no issuer."""
        named = self.value(ISSUER.word) is not None
        return () if named else tuple(key.word for key, _ in self._judges if key.needs_issuer)

    @property
    def groups(self) -> frozenset[str]:
        """The groups that the selector names."""
        return self.value(GROUPS.word) or frozenset()

    @property
    def named(self) -> tuple[tuple[PrincipalKind, frozenset[str]], ...]:
        """The names of single principals, by kind."""
        return tuple((key.kind, self.value(key.word) or frozenset()) for key in NAMED)

    @property
    def possible_kinds(self) -> frozenset[PrincipalKind]:
        """The kinds of principals that may match."""
        kinds = EVERY_KIND
        for key, value in self._judges:
            kinds &= key.possible_kinds(value)
        return kinds


def select(words: dict[str, Hashable]) -> Selector:
    """Return the selector of these keys and values; raises as `Selector`."""
    unknown = words.keys() - BY_WORD.keys()
    if unknown:
        raise ValueError(f"there is no selector key {', '.join(sorted(unknown))}")
    return Selector(conditions=tuple((key.word, words[key.word]) for key in KEYS if key.word in words))


def read_selector(reader: NodeReader, node: Node, key: str) -> Selector | None:
    """Return the selector of a mapping; None if it has faults.

    Args:
        reader: reads nodes, and notes faults.
        node: the value of `allow` or `deny`.
        key: its path in the document.
    """
    found = _entries(reader, node, key)
    values = {word: BY_WORD[word].read(reader, value, f"{key}.{word}") for word, value in found.items()}
    if not found:
        hint = f"{_hint(_top_words())}; for everybody write `kind: [person, device, service]`"
        reader.add_fault(node, "selector-empty", "the rule has no selector key", key=key, hint=hint)
    good = {word: value for word, value in values.items() if value is not None}
    if not good or len(good) < len(values):
        return None
    try:
        return select(good)
    except ValueError as error:
        hint = "make a rule for each kind: all keys of a rule must match one principal at once"
        reader.add_fault(
            node, "selector-impossible", f"the rule can never match: {error}", key=key, hint=hint
        )
        return None


def _entries(reader: NodeReader, node: Node, key: str) -> dict[str, Node]:
    """Return the node of each key; `certificate.issuer` is `issuer` in the mapping `certificate`."""
    folders = {word.partition(".")[0] for word in BY_WORD if "." in word}
    found = {}
    for word, value in reader.mapping(node, key, _top_words()).items():
        if word not in folders:
            found[word] = value
            continue
        inner = [one.removeprefix(f"{word}.") for one in BY_WORD if one.startswith(f"{word}.")]
        entries = reader.mapping(value, f"{key}.{word}", inner)
        if isinstance(value, Mapping) and not value.entries:
            reader.add_fault(
                value, "selector-empty", f"`{word}` has no key", key=f"{key}.{word}", hint=_hint(inner)
            )
        found |= {f"{word}.{one}": below for one, below in entries.items()}
    return found


def _top_words() -> list[str]:
    return list(dict.fromkeys(word.partition(".")[0] for word in BY_WORD))


def render_selector(selector: Selector) -> str:
    """Return a selector as YAML on one line."""
    parts: dict[str, str] = {}
    folders: dict[str, dict[str, str]] = {}
    for word, value in selector.conditions:
        text = BY_WORD[word].render(value)
        folder, dot, inner = word.partition(".")
        if dot:
            folders.setdefault(folder, {})[inner] = text
            parts[folder] = _mapping(folders[folder])
        else:
            parts[word] = text
    return _mapping(parts)


def _mapping(parts: dict[str, str]) -> str:
    return "{" + ", ".join(f"{word}: {text}" for word, text in parts.items()) + "}"


def _hint(words: Iterable[str]) -> str:
    *first, last = words
    return f"write {', '.join(first)} or {last}"
