"""What is kept of partners: whose authorities are trusted, on which terms, and the evidence of revocation.

Not here: judging by it (`verification.partner`), and the rules about these values (the use cases).
Moments are aware and UTC; `der` is DER; `sha256` is lower-case hex.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING

from doorward.core.entities import Principal, PrincipalKind
from doorward.verification.identity import SanSource
from doorward.verification.partner import RevocationMode

if TYPE_CHECKING:
    from doorward.stores.protocols import DirectoryStore

PARTNER_PROFILE = "partner"
"""What the inventory calls the profile of certificates that are not of our own making."""


class EvidenceKind(Enum):
    """What revocation is known by."""

    CRL = "crl"
    OCSP = "ocsp"


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerRecord:
    """One partner whose authorities vouch for principals, and the operator's terms.

    Args:
        id: `ptn_…`.
        name: as in the policy document; the names of its principals begin with it and a slash.
        revocation: what is asked of evidence.
        max_staleness: how long after its next update evidence may still be used.
        refresh: how often evidence is looked for anew at least.
        allow_private: private networks, as `10.1.0.0/16`, that evidence may be fetched from.
        crl_urls: where CRLs of its authorities lie besides what certificates name, by the operator's word.
        ocsp_urls: OCSP responders that answer about all of its certificates, likewise.
        source: which of a certificate's names says who it is for.
        kind: of its principals.
        domain: that its e-mail, DNS and URI names lie in; empty where any may.
        groups: names of groups that all of its principals are in.
        everyone: whether everybody whom it certifies is let in to the directory, or only those listed.
        permitted: subtrees of names that its certificates must lie in, as `dns:clinic.example`.
        excluded: subtrees that they must not lie in.
        removed_at: None while it is trusted.
    """

    id: str
    tenant: str
    name: str
    revocation: RevocationMode
    max_staleness: timedelta
    refresh: timedelta
    allow_private: tuple[str, ...]
    source: SanSource
    kind: PrincipalKind
    domain: str
    groups: tuple[str, ...]
    everyone: bool
    permitted: tuple[str, ...]
    excluded: tuple[str, ...]
    created_at: datetime
    removed_at: datetime | None = None
    crl_urls: tuple[str, ...] = ()
    ocsp_urls: tuple[str, ...] = ()


def in_partners_groups(directory: DirectoryStore, principal: Principal, groups: Sequence[str]) -> Principal:
    """Return a principal of a partner with the partner's groups, and what these lie in, besides its own."""
    if not groups:
        return principal
    every = {*principal.groups, *directory.enclosing(groups)}
    inherited = every.difference(principal.direct_groups, groups)
    return replace(principal, groups=tuple(sorted(every)), inherited=tuple(sorted(inherited)))


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerAuthorityRecord:
    """One certificate of a partner's authorities: a trust anchor, or an intermediate that may sign."""

    id: str
    tenant: str
    partner_id: str
    sha256: str
    anchor: bool
    der: bytes
    not_after: datetime
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceRecord:
    """One CRL or OCSP answer of a partner: the last good one, and how the looking for it goes.

    Args:
        source: the URL it is fetched from.
        about: SHA-256 of the certificate that an OCSP answer is about; empty for a CRL.
        der: the last that was good; empty where there was none yet.
        sha256: of `der`; empty with it.
        etag: the server's name for it (RFC 9110 section 8.8.3); empty where it gave none.
        this_update: as the evidence says; None with an empty `der`.
        next_update: as the evidence says; None where it says nothing.
        fetched_at: when it was last found good.
        try_at: when to look for it next.
        failures: tries in a row that gave nothing good.
        problem: what was wrong with the last, as a sentence with its code; empty where nothing was.
        unusable: whether what came last cannot be used, and so might say anything; what only ended is not this.
    """

    partner_id: str
    tenant: str
    kind: EvidenceKind
    source: str
    about: str
    try_at: datetime
    der: bytes = b""
    sha256: str = ""
    etag: str = ""
    this_update: datetime | None = None
    next_update: datetime | None = None
    fetched_at: datetime | None = None
    failures: int = 0
    problem: str = ""
    unusable: bool = False
