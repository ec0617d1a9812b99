"""The kinds of second factors, their strength, and the words by which applications learn of them.

    kind            RFC 8176 `amr`    raises the level to
    webauthn        hwk user          3
    totp            otp               2
    password        pwd               2
    recovery-code   (none)            1: it only permits to enrol a new factor

Level 1 is the certificate alone. Not here: checking a factor (`factors`), what a rule requires (`policy`).
Standard: RFC 8176 section 2 (amr), RFC 9470 section 5 (acr and levels).
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

ACR_PREFIX = "urn:doorward:level:"
"""The beginning of an `acr`; the number of the level follows."""

CERTIFICATE_ALONE = 1
"""The level without any second factor."""


class FactorKind(Enum):
    """A kind of factor that a person can show in addition to the certificate."""

    PASSWORD = "password"  # noqa: S105  the name of a kind
    TOTP = "totp"
    WEBAUTHN = "webauthn"
    RECOVERY = "recovery-code"

    @property
    def strength(self) -> int:
        """A number that is higher for a factor that is harder to steal; 0 for a recovery code."""
        return _STRENGTH[self]

    @property
    def level(self) -> int:
        """The level of this factor together with a certificate, 1 to 3."""
        return _LEVEL[self]

    @property
    def amr(self) -> tuple[str, ...]:
        """The authentication method references of RFC 8176 section 2."""
        return _AMR[self]


_STRENGTH = {FactorKind.RECOVERY: 0, FactorKind.PASSWORD: 1, FactorKind.TOTP: 2, FactorKind.WEBAUTHN: 3}
_LEVEL = {FactorKind.RECOVERY: 1, FactorKind.PASSWORD: 2, FactorKind.TOTP: 2, FactorKind.WEBAUTHN: 3}
_AMR = {
    FactorKind.RECOVERY: (),
    FactorKind.PASSWORD: ("pwd",),
    FactorKind.TOTP: ("otp",),
    FactorKind.WEBAUTHN: ("hwk", "user"),
}

SESSION_FACTORS = (FactorKind.WEBAUTHN, FactorKind.TOTP, FactorKind.PASSWORD)
"""The kinds that a session can contain, strongest first: all but the recovery code."""


def level_of(kinds: Iterable[FactorKind]) -> int:
    """Return the level of a certificate together with these factors: 1 for none, at most 3."""
    return max((kind.level for kind in kinds), default=CERTIFICATE_ALONE)


def strongest_of(kinds: Iterable[FactorKind]) -> FactorKind | None:
    """Return the strongest of these kinds; None for no kinds."""
    return max(kinds, key=lambda kind: kind.strength, default=None)


def is_as_strong(shown: FactorKind, needed: FactorKind) -> bool:
    """Return whether the factor that was shown is at least as strong as the one that is needed.

    A recovery code is only as strong as a recovery code.
    """
    return shown.strength >= needed.strength


def acr_of(level: int) -> str:
    """Return the authentication context class of a level."""
    return f"{ACR_PREFIX}{level}"


def amr_of(kinds: Iterable[FactorKind]) -> tuple[str, ...]:
    """Return the method references of these factors, sorted, each once."""
    return tuple(sorted({word for kind in kinds for word in kind.amr}))
