"""Requirements of a rule: a second factor, and how long ago it may have been shown.

    require: {factor: webauthn, within: 5m}
    require: {factor: any}
    require: {level: 2}

A *level* is the strength of the authentication: 1 is the certificate alone, 2 is the certificate and any second factor,
3 is the certificate and a passkey. A recovery code does not count as a second factor: it only opens a new enrolment.

Not here: reading and rendering (`requirement_text`), how a factor is checked (factors), how Envoy enforces it (enforcement).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType

from doorward.core.factor_kinds import SESSION_FACTORS, FactorKind
from doorward.core.shown_factors import ShownFactors

SECOND_FACTORS = frozenset(SESSION_FACTORS)

KINDS_OF_LEVEL: Mapping[int, frozenset[FactorKind]] = MappingProxyType(
    {level: frozenset(kind for kind in SESSION_FACTORS if kind.level >= level) for level in (2, 3)}
)
"""For each level the factors of which one must have been shown. Level 1 needs no factor, so no rule requires it."""

LEAST_WITHIN, LONGEST_WITHIN = timedelta(seconds=30), timedelta(hours=24)
"""A person needs some seconds to return from the portal; no session lasts longer than a day."""

ANY_FACTOR = "any"


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One of these factors must have been shown, not longer ago than `within`.

    Args:
        factor: the kind; None for any of `SECOND_FACTORS`, or for the kinds of `level`.
        level: 2 or 3; 0 if the rule names no level.
        within: `LEAST_WITHIN` to `LONGEST_WITHIN`, whole seconds; None if the age does not matter.
    """

    factor: FactorKind | None = None
    level: int = 0
    within: timedelta | None = None
    kinds: frozenset[FactorKind] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.level and (self.factor is not None or self.level not in KINDS_OF_LEVEL):
            raise ValueError("a requirement names either a factor or level 2 or 3")
        if self.factor is not None and self.factor not in SECOND_FACTORS:
            raise ValueError("a rule cannot require a recovery code")
        if self.within is not None and not is_good_age(self.within):
            raise ValueError("`within` is 30 seconds to 24 hours")
        kinds = SECOND_FACTORS if self.factor is None else frozenset({self.factor})
        object.__setattr__(self, "kinds", KINDS_OF_LEVEL[self.level] if self.level else kinds)

    @property
    def claim(self) -> str:
        """The claim of the session's token that shows the required factors: the kind's word, or `any`."""
        (kind, *others) = self.kinds
        return ANY_FACTOR if others else kind.value

    def is_met_with(self, other: Requirement) -> bool:
        """Return whether every request that meets the other requirement meets this one, too."""
        fresh = self.within is None or (other.within is not None and other.within <= self.within)
        return other.kinds <= self.kinds and fresh

    def is_met(self, shown: ShownFactors, time: datetime | None) -> bool:
        """Return whether the shown factors meet this at a time; an unknown time never meets a requirement with an age."""
        if time is None:
            return self.within is None and shown.latest(self.kinds) is not None
        return shown.is_fresh(self.kinds, self.within, time)

    def __str__(self) -> str:
        what = f"level {self.level}" if self.level else self.factor.value if self.factor else "any factor"
        return what if self.within is None else f"{what} within {render_age(self.within)}"


def find_missing(
    requirements: Iterable[Requirement], shown: ShownFactors, time: datetime | None
) -> frozenset[Requirement]:
    """Return the requirements of a rule that are not met; a rule needs all of them."""
    return frozenset(one for one in requirements if not one.is_met(shown, time))


def all_met_with(asked: Collection[Requirement], others: Collection[Requirement]) -> bool:
    """Return whether every request that meets all of the other requirements meets all of these."""
    return all(any(one.is_met_with(other) for other in others) for one in asked)


def describe_missing(missing: Collection[Requirement], shown: ShownFactors, time: datetime | None) -> str:
    """Return a text such as `it needs webauthn within 5 min; shown 12 min ago`; empty if nothing is missing."""
    told = []
    for one in sorted(missing, key=str):
        latest = shown.latest(one.kinds)
        if latest is None:
            told.append(f"{one}; not shown")
        elif time is None:
            told.append(f"{one}; shown at an unknown time")
        else:
            told.append(f"{one}; shown {_tell_ago(time - latest)} ago")
    return f"it needs {', and '.join(told)}" if told else ""


def effort(missing: Collection[Requirement]) -> tuple[int, list[tuple[int, timedelta]]]:
    """Return a sort key for missing requirements: their number, their strength, and how fresh they must be."""
    strength = [
        (min(kind.strength for kind in one.kinds) - len(one.kinds), -(one.within or LONGEST_WITHIN))
        for one in missing
    ]
    return len(missing), sorted(strength)


def is_good_age(span: timedelta) -> bool:
    """Return whether this is a valid value of `within`."""
    return LEAST_WITHIN <= span <= LONGEST_WITHIN and not span.microseconds


def render_age(span: timedelta) -> str:
    """Return a time span in the largest unit that makes it a whole number, such as `5 min`."""
    seconds = span // timedelta(seconds=1)
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _tell_ago(span: timedelta) -> str:
    seconds = max(0, span // timedelta(seconds=1))
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
