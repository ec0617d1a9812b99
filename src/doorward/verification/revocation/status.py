"""The revocation status of a certificate: good, revoked or undetermined, with the evidence for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import NoReturn

CLOCK_SKEW = timedelta(minutes=5)
"""How far the clock of a signer of evidence may be ahead of ours."""

_NEVER = datetime.min.replace(tzinfo=UTC)
_FOREVER = datetime.max.replace(tzinfo=UTC)


class RevocationStatus(Enum):
    """Whether a certificate is revoked; undetermined never counts as good."""

    GOOD = "good"
    REVOKED = "revoked"
    UNDETERMINED = "undetermined"


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusFinding:
    """The status of one certificate.

    Args:
        status: see `RevocationStatus`.
        certificate: SHA-256 of the certificate, hex.
        evidence: SHA-256 of each CRL or OCSP response that the finding is based on, hex.
        reason: of the revocation, a kebab word; empty if none is given.
        this_update: the time of the evidence; None if undetermined.
        fresh_until: when the evidence expires, or expired if it says revoked; None if undetermined.
        why: if undetermined, the fault of each piece of evidence.
        unusable: there is evidence about the certificate that cannot be used, and that might say revoked. A good finding
            with this mark becomes undetermined when its own evidence expires. Missing evidence, evidence that could not
            be fetched, and evidence that has merely expired do not set it.
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
    """A revocation that was once proved, recorded so that it outlives its evidence.

    Args:
        issuer_key: SHA-256 of the issuer's public key bits, hex.
        serial: the serial number of the certificate.
        certificate: SHA-256 of the certificate, hex.
        held: whether it was a hold, which a newer good finding ends; every other revocation is final.
        reason: a kebab word; empty if none was given.
        this_update: `thisUpdate` of the evidence.
        evidence: SHA-256 of the evidence, hex.
    """

    issuer_key: str
    serial: int
    certificate: str
    held: bool
    reason: str
    this_update: datetime
    evidence: str

    def build_finding(self, certificate: str) -> StatusFinding:
        """Return it as a finding: a hold counts as expired evidence, any other revocation never expires."""
        return StatusFinding(
            status=RevocationStatus.REVOKED,
            certificate=certificate,
            evidence=(self.evidence,),
            reason=self.reason,
            this_update=self.this_update,
            fresh_until=self.this_update if self.held else _FOREVER,
        )


def usable_until(next_update: datetime, grace: timedelta) -> datetime:
    """Return the last time at which evidence may be used.

    The last CRL of a CA ends with the year 9999 (99991231235959Z, which means no end: RFC 5280 section 4.1.2.5), and
    no grace time can be added to that.
    """
    try:
        return next_update + grace
    except OverflowError:
        return _FOREVER


def is_newer(finding: StatusFinding, other: StatusFinding) -> bool:
    """Return whether a finding has a later time than another; undetermined findings are older than all others."""
    return (finding.this_update or _NEVER) > (other.this_update or _NEVER)
