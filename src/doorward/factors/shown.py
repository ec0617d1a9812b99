"""Which factors a person has shown beside the certificate, and when: what a session says of it.

Standard: RFC 8176 (amr), RFC 9470 section 5 (acr and age), OpenID Connect Core section 2 (`auth_time`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from doorward.core.factor_kinds import SESSION_FACTORS, FactorKind, acr_of, amr_of, level_of


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFactors:
    """The moment of the last good check of each kind; kinds that were never checked are absent.

    A recovery code is no factor of a session (it only opens enrolment), and is refused here.
    """

    at: Mapping[FactorKind, datetime] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if FactorKind.RECOVERY in self.at:
            raise ValueError("a recovery code is no factor of a session")

    @property
    def level(self) -> int:
        """1 for the certificate alone, 2 with any factor, 3 with a passkey."""
        return level_of(self.at)

    @property
    def acr(self) -> str:
        """The authentication context class of the level."""
        return acr_of(self.level)

    @property
    def amr(self) -> tuple[str, ...]:
        """The methods that were used, sorted."""
        return amr_of(self.at)

    @property
    def latest(self) -> datetime | None:
        """When the last factor was shown; None where none was."""
        return max(self.at.values(), default=None)

    def with_shown(self, kind: FactorKind, at: datetime) -> SessionFactors:
        """Return these with one more; a moment never goes back."""
        before = self.at.get(kind, at)
        return SessionFactors(at={**self.at, kind: max(before, at)})

    def is_fresh(self, kinds: tuple[FactorKind, ...], within: timedelta | None, now: datetime) -> bool:
        """Return whether one of these kinds was shown within that time, or at all if it is None."""
        moments = [self.at[kind] for kind in kinds if kind in self.at]
        return any(within is None or now - moment <= within for moment in moments)

    def render_seconds(self) -> dict[str, int]:
        """Return the claim `factors`: kind to seconds since 1970, and `any` for the latest; empty for none."""
        seconds = {kind.value: int(self.at[kind].timestamp()) for kind in SESSION_FACTORS if kind in self.at}
        return {**seconds, "any": max(seconds.values())} if seconds else {}
