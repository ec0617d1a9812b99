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


class RevocationStatus(Enum):
    """Whether a certificate is revoked; undetermined is never good."""

    GOOD = "good"
    REVOKED = "revoked"
    UNDETERMINED = "undetermined"


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusFinding:
    """One certificate's status.

    Args:
        status: see `RevocationStatus`.
        certificate: its SHA-256, hex.
        evidence: SHA-256 of each CRL or OCSP answer that it rests on, hex.
        reason: of the revocation, a kebab word; empty where none is given.
        this_update: as of when it is known; None where undetermined.
        fresh_until: when the evidence ends, or ended where the last word on somebody was revoked; None where
            undetermined.
        why: where undetermined, what was wrong with each piece of evidence.
        unusable: something came that is about it and cannot be used: if undetermined, it is not known what that would
            have said; if good, so it will be when the evidence ends. Nothing there, nothing to be had, and what has only
            ended, is not this.
    """

    status: RevocationStatus
    certificate: str
    evidence: tuple[str, ...] = ()
    reason: str = ""
    this_update: datetime | None = None
    fresh_until: datetime | None = None
    why: tuple[str, ...] = ()
    unusable: bool = False

    def __bool__(self) -> NoReturn:
        raise TypeError("a StatusFinding has no truth value; compare .status")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRevocation:
    """A revocation that good evidence told once, kept beyond it.

    Args:
        issuer_key: SHA-256 of the issuer's public key bits, hex.
        serial: of the certificate.
        certificate: its SHA-256, hex.
        held: whether it was a hold, which a newer good word ends; every other revocation is for good.
        reason: a kebab word; empty if none was given.
        this_update: of the evidence.
        evidence: its SHA-256, hex.
    """

    issuer_key: str
    serial: int
    certificate: str
    held: bool
    reason: str
    this_update: datetime
    evidence: str

    def find(self, certificate: str) -> StatusFinding:
        """Return it as a finding: a hold is a word that has ended, the rest never ends."""
        return StatusFinding(
            status=RevocationStatus.REVOKED,
            certificate=certificate,
            evidence=(self.evidence,),
            reason=self.reason,
            this_update=self.this_update,
            fresh_until=self.this_update if self.held else _FOREVER,
        )


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
