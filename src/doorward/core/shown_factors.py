"""The factors that a person has shown in addition to the certificate, and when. Sessions state them, rules require them.

Standard: RFC 8176 (amr), RFC 9470 section 5 (acr and age), OpenID Connect Core section 2 (`auth_time`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from doorward.core.factor_kinds import SESSION_FACTORS, FactorKind, acr_of, amr_of, level_of


@dataclass(frozen=True, slots=True)
class ShownFactors:
    """When each kind of factor was last shown: pairs of kind and time (aware, UTC), sorted by the word of the kind."""

    times: tuple[tuple[FactorKind, datetime], ...] = ()

    def __post_init__(self) -> None:
        words = [kind.value for kind, _ in self.times]
        if words != sorted(set(words)):
            raise ValueError("the shown factors are sorted, each once")
        if any(at.tzinfo is None for _, at in self.times):
            raise ValueError("the moment at which a factor was shown has a time zone")

    @classmethod
    def of(cls, times: Mapping[FactorKind, datetime]) -> ShownFactors:
        """Return the value for a mapping of kind to time."""
        return cls(tuple(sorted(times.items(), key=lambda item: item[0].value)))

    @property
    def kinds(self) -> tuple[FactorKind, ...]:
        """The kinds that were shown."""
        return tuple(kind for kind, _ in self.times)

    @property
    def level(self) -> int:
        """The level, without regard to the age of the factors: 1, 2 or 3."""
        return level_of(self.kinds)

    @property
    def acr(self) -> str:
        """The authentication context class of the level."""
        return acr_of(self.level)

    @property
    def amr(self) -> tuple[str, ...]:
        """The methods that were used, sorted."""
        return amr_of(self.kinds)

    def latest(self, kinds: Collection[FactorKind] = SESSION_FACTORS) -> datetime | None:
        """Return when one of these kinds was last shown; None if never."""
        return max((at for kind, at in self.times if kind in kinds), default=None)

    def is_fresh(self, kinds: Collection[FactorKind], within: timedelta | None, now: datetime) -> bool:
        """Return whether one of these kinds was shown within that time; if it is None, whether it was ever shown."""
        latest = self.latest(kinds)
        return latest is not None and (within is None or now - latest <= within)

    def render_seconds(self) -> dict[str, int]:
        """Return the claim `factors`: kind to seconds since 1970, and `any` for the latest; empty for no factors."""
        at = dict(self.times)
        seconds = {kind.value: int(at[kind].timestamp()) for kind in SESSION_FACTORS if kind in at}
        return {**seconds, "any": max(seconds.values())} if seconds else {}


NOTHING_SHOWN = ShownFactors()
