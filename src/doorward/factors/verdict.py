"""The verdict of a factor check: good, with the value that was found, or every fault.

Not here: who learns the fault. A person reads the same sentence for all faults (docs/design/0066); the event has the fault.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Generic, NoReturn, TypeVar

from doorward.core.errors import AccessDenied

T = TypeVar("T")


class FactorFault(Enum):
    """Why a check failed: a closed catalogue, in events."""

    WRONG = "factor-wrong"
    """A password, a TOTP code or a recovery code is wrong."""

    REPLAYED = "factor-replayed"
    """A TOTP code of this step, or of a later one, was used before."""

    NOT_ENROLLED = "factor-not-enrolled"
    """The person has no factor of this kind."""

    THROTTLED = "factor-throttled"
    """Not judged, because of too many earlier tries; a later try will be judged."""

    LOCKED = "factor-locked"
    """Not judged: a hundred tries in a row failed with this certificate."""

    TYPE = "client-data-type-wrong"
    CHALLENGE = "challenge-wrong"
    ORIGIN = "origin-wrong"
    NOT_TOP_LEVEL = "not-top-level"
    RELYING_PARTY = "relying-party-wrong"
    NOT_PRESENT = "user-not-present"
    NOT_VERIFIED = "user-not-verified"
    BACKUP_STATE = "backup-state-wrong"
    ATTESTATION = "attestation-refused"
    KEY = "passkey-algorithm-refused"
    NOT_RESIDENT = "passkey-not-resident"
    CREDENTIAL = "passkey-unknown"
    USER = "user-handle-wrong"
    SIGNATURE = "passkey-signature-wrong"
    COUNTER = "passkey-counter-not-grown"
    """The signature counter did not grow: there may be a copy of the key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorVerdict(Generic[T]):
    """Good if there are no faults; then `found` is the result of the check, otherwise it is None."""

    faults: tuple[FactorFault, ...]
    found: T | None = None

    def __post_init__(self) -> None:
        if bool(self.faults) == (self.found is not None):
            raise ValueError("a verdict has either faults or a result")

    @property
    def good(self) -> bool:
        """Whether the factor was shown."""
        return not self.faults

    def __bool__(self) -> NoReturn:
        raise TypeError("use .good or .require() of a verdict, not its truth value")

    def require(self) -> T:
        """Return the result; raise `AccessDenied` with every fault if it is not good."""
        if self.found is None:
            raise AccessDenied(
                "the factor was not shown", reasons=[fault.value for fault in self.faults], hint="try again"
            )
        return self.found


def judge(faults: list[FactorFault], found: T) -> FactorVerdict[T]:
    """Return a verdict with these faults, or with the result if there are none."""
    return FactorVerdict(faults=tuple(faults), found=None if faults else found)
