"""What came of checking a factor: good with what the check found, or every fault.

Not here: who is told which fault. A person reads one sentence for all of them (docs/design/0066), the record has
the fault.
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
    """A password, a code of TOTP or a recovery code is not the right one."""

    REPLAYED = "factor-replayed"
    """A code of TOTP of that step, or of a later one, was used before."""

    NOT_ENROLLED = "factor-not-enrolled"
    """The person has no factor of this kind."""

    THROTTLED = "factor-throttled"
    """Not judged: too many tries came before it; a later one will be."""

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
    """Good if there is no fault; then `found` is what the check found, and it is None otherwise."""

    faults: tuple[FactorFault, ...]
    found: T | None = None

    def __post_init__(self) -> None:
        if bool(self.faults) == (self.found is not None):
            raise ValueError("a verdict has faults or what was found, and not both")

    @property
    def good(self) -> bool:
        """Whether the factor was shown."""
        return not self.faults

    def __bool__(self) -> NoReturn:
        raise TypeError("ask a verdict for .good, or .require() it")

    def require(self) -> T:
        """Return what was found; raise `AccessDenied` with every fault if it is not good."""
        if self.found is None:
            raise AccessDenied(
                "the factor was not shown", reasons=[fault.value for fault in self.faults], hint="try again"
            )
        return self.found


def judge(faults: list[FactorFault], found: T) -> FactorVerdict[T]:
    """Return a verdict of those faults, or of what was found if there are none."""
    return FactorVerdict(faults=tuple(faults), found=None if faults else found)
