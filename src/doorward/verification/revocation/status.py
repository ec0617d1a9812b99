"""What is known of a certificate's status, in three values, with the evidence kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import NoReturn

CLOCK_SKEW = timedelta(minutes=5)
"""How far the clock of who signs evidence may be ahead of ours."""

_NEVER = datetime.min.replace(tzinfo=UTC)
_FOREVER = datetime.max.replace(tzinfo=UTC)


class Status(Enum):
    """Whether a certificate is revoked; undetermined is never good."""

    GOOD = "good"
    REVOKED = "revoked"
    UNDETERMINED = "undetermined"


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusFinding:
    """One certificate's status.

    Args:
        status: see `Status`.
        certificate: its SHA-256, hex.
        evidence: SHA-256 of each CRL or OCSP answer that it rests on, hex.
        reason: of the revocation, a kebab word; empty where none is given.
        this_update: as of when it is known; None where undetermined.
        fresh_until: when the evidence ends, or ended where the last word on somebody was revoked; None where
            undetermined.
        why: where undetermined, what was wrong with each piece of evidence.
    """

    status: Status
    certificate: str
    evidence: tuple[str, ...] = ()
    reason: str = ""
    this_update: datetime | None = None
    fresh_until: datetime | None = None
    why: tuple[str, ...] = ()

    def __bool__(self) -> NoReturn:
        raise TypeError("a StatusFinding has no truth value; compare .status")


def usable_until(next_update: datetime, grace: timedelta) -> datetime:
    """Return the last moment at which evidence may be used.

    A CA's last CRL ends with the year 9999 (99991231235959Z, the time that means no end: RFC 5280
    section 4.1.2.5): no grace lies beyond it.
    """
    try:
        return next_update + grace
    except OverflowError:
        return _FOREVER


def is_newer(finding: StatusFinding, other: StatusFinding) -> bool:
    """Return whether a finding is of a later time than another; undetermined ones are older than any."""
    return (finding.this_update or _NEVER) > (other.this_update or _NEVER)
