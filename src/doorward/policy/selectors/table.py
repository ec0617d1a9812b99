"""The table of words, and a selector as a conjunction of them.

`KEYS` is the one place that knows which words there are. Its order is that of rendered documents and of the text
behind the ids of grants (`groups=[tellers];kind=[person]`), so a new word goes to the end.

Not here: what each word means (the other modules of this folder).
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
    """The connection part of a rule: AND across the words, OR inside each; a word that is not there says nothing.

    Args:
        conditions: each word, once, with its value; `select` puts them into the order of the table.

    `text` is the same for equal selectors and for no others; `timed` says whether a word depends on the time.

    Raises:
        ValueError: nothing is selected, or no principal could ever be selected.
    """

    conditions: tuple[tuple[str, Hashable], ...]
    text: str = field(init=False, compare=False, repr=False)
    timed: bool = field(init=False, compare=False, repr=False)
    _judges: tuple[tuple[SelectorKey[Any], Any], ...] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        given = dict(self.conditions)
        judges = tuple((key, given[key.word]) for key in KEYS if key.word in given)
        if self.conditions != tuple((key.word, value) for key, value in judges):
            raise ValueError("a word is not known, stands twice or not in its place")
        if not judges:
            raise ValueError("a selector that names nobody would select everybody")
        text = ";".join(f"{key.word}={key.render(value)}" for key, value in judges)
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "timed", any(key.timed for key, _ in judges))
        object.__setattr__(self, "_judges", judges)
        self._check_possible()

    def _check_possible(self) -> None:
        kinds = {kind.value for kind in self.possible_kinds}
        if not kinds:
            raise ValueError("nobody is a person, a device and a service at once")
        profiles = self.value(PROFILE.word)
        if profiles is None:
            return
        # Not part of `possible_kinds`: a deny rule also meets principals with a profile that is not known.
        if kinds.isdisjoint(profiles):
            raise ValueError(f"a certificate with the profile {either(profiles)} is of no {either(kinds)}")
        names = frozenset[str]().union(*(names for _, names in self.named))
        if names and all("/" in name for name in names):
            raise ValueError("a profile is of our own certificates, and partners have others")

    def judge(self, subject: Subject) -> Truth:
        """Say whether this subject is selected: one word that is false decides, then one that is undetermined."""
        found = TRUE
        for key, value in self._judges:
            truth = key.judge(value, subject)
            if truth is FALSE:
                return truth
            if truth is UNDETERMINED:
                found = truth
        return found

    def explain(self, subject: Subject) -> str:
        """Return in words why this subject is not selected for certain, or nothing where it is."""
        truth = self.judge(subject)
        if truth is TRUE:
            return ""
        failed = ((key, value) for key, value in self._judges if key.judge(value, subject) is truth)
        key, value = next(failed)
        return key.explain(value, subject)

    def next_change(self, subject: Subject) -> datetime | None:
        """Return the first moment after the subject's at which it may be selected otherwise though no fact of it changed.

        None if there is none: no word depends on the time, or another word is false whatever time it is.
        """
        if not self.timed or subject.time is None:
            return None
        turns = [(key, value, key.next_change(value, subject.time)) for key, value in self._judges]
        moments = [turn for _, _, turn in turns if turn is not None]
        fixed = ((key, value) for key, value, turn in turns if turn is None)
        if not moments or any(key.judge(value, subject) is Truth.FALSE for key, value in fixed):
            return None
        return min(moments)

    def value(self, word: str) -> Any:
        """Return the value of a word, None where the selector does not say it."""
        return next((value for key, value in self._judges if key.word == word), None)

    @property
    def unissued(self) -> tuple[str, ...]:
        """The words that mean a different thing under each authority, where the selector names no issuer."""
        named = self.value(ISSUER.word) is not None
        return () if named else tuple(key.word for key, _ in self._judges if key.needs_issuer)

    @property
    def groups(self) -> frozenset[str]:
        """The groups that it names."""
        return self.value(GROUPS.word) or frozenset()

    @property
    def named(self) -> tuple[tuple[PrincipalKind, frozenset[str]], ...]:
        """The words that name single principals, each with the kind that it implies."""
        return tuple((key.kind, self.value(key.word) or frozenset()) for key in NAMED)

    @property
    def possible_kinds(self) -> frozenset[PrincipalKind]:
        """The kinds of principal that this selector can select at all."""
        kinds = EVERY_KIND
        for key, value in self._judges:
            kinds &= key.possible_kinds(value)
        return kinds


def select(words: dict[str, Hashable]) -> Selector:
    """Return the selector of these words and values; raises as `Selector`."""
    unknown = words.keys() - BY_WORD.keys()
    if unknown:
        raise ValueError(f"there is no word {', '.join(sorted(unknown))}")
    return Selector(conditions=tuple((key.word, words[key.word]) for key in KEYS if key.word in words))


def read_selector(reader: NodeReader, node: Node, key: str) -> Selector | None:
    """Return the selector of a mapping; None where there are faults.

    Args:
        reader: reads nodes, and notes faults.
        node: what `allow` or `deny` says.
        key: its path in the document.
    """
    found = _entries(reader, node, key)
    values = {word: BY_WORD[word].read(reader, value, f"{key}.{word}") for word, value in found.items()}
    if not found:
        hint = f"{_hint(_top_words())}; everybody is `kind: [person, device, service]`"
        reader.add_fault(node, "selector-empty", "this rule selects nobody in particular", key=key, hint=hint)
    good = {word: value for word, value in values.items() if value is not None}
    if not good or len(good) < len(values):
        return None
    try:
        return select(good)
    except ValueError as error:
        hint = "all keys of a rule must hold for one principal at once: make a rule for each kind"
        reader.add_fault(node, "selector-impossible", f"this can never hold: {error}", key=key, hint=hint)
        return None


def _entries(reader: NodeReader, node: Node, key: str) -> dict[str, Node]:
    """Return the node of each word; `certificate.issuer` stands in a mapping of its own."""
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
                value, "selector-empty", f"`{word}` asks for nothing", key=f"{key}.{word}", hint=_hint(inner)
            )
        found |= {f"{word}.{one}": below for one, below in entries.items()}
    return found


def _top_words() -> list[str]:
    return list(dict.fromkeys(word.partition(".")[0] for word in BY_WORD))


def render_selector(selector: Selector) -> str:
    """Return a selector as the document writes it, on one line."""
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
    return f"name {', '.join(first)} or {last}"
