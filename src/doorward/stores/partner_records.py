"""The records of partners: terms, authorities and evidence of revocation.

Not here: judging by them (`verification.partner`), the rules about these values (the use cases).
All moments are aware and UTC; `der` is DER; `sha256` is lower-case hex.
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
    from doorward.stores.directory_protocols import DirectoryStore

PARTNER_PROFILE = "partner"
"""The profile, in the inventory, of certificates that a partner's authority issued."""


class EvidenceKind(Enum):
    """The kinds of evidence of revocation."""

    CRL = "crl"
    OCSP = "ocsp"


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerRecord:
    """One partner, and the operator's terms for it.

    Args:
        id: `ptn_…`.
        name: as in the policy document; the names of its principals begin with it and a slash.
        revocation: the required revocation check.
        max_staleness: how long after its next update evidence may still be used.
        short_lived: the longest life of a certificate that needs no evidence if it has noRevAvail (RFC 9608); zero: none.
        refresh: the longest time between two fetches of evidence.
        allow_private: private networks, such as `10.1.0.0/16`, that evidence may be fetched from.
        crl_urls: addresses of CRLs that the operator added to those in the certificates.
        ocsp_urls: OCSP responders that the operator added; they answer about all of the partner's certificates.
        source: the kind of name in a certificate that identifies the principal.
        kind: of its principals.
        domain: the domain of its e-mail, DNS and URI names; empty if any domain is allowed.
        groups: names of groups that all of its principals are in.
        everyone: True adds every certified principal to the directory; False admits only listed ones.
        permitted: name subtrees that its certificates must lie in, such as `dns:clinic.example`.
        excluded: name subtrees that they must not lie in.
        removed_at: when it was removed; None while it is trusted.
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
    short_lived: timedelta = timedelta(0)


def in_partners_groups(directory: DirectoryStore, principal: Principal, groups: Sequence[str]) -> Principal:
    """Return a principal of a partner with the partner's groups, and the groups that contain them, added."""
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
    """One CRL or OCSP response of a partner: the last good one, and the state of its fetches.

    Args:
        source: the URL that it is fetched from.
        about: SHA-256 of the certificate that an OCSP response is about; empty for a CRL.
        der: the last good one; empty if there was none yet.
        sha256: of `der`; empty if `der` is.
        etag: the server's ETag (RFC 9110 section 8.8.3); empty if it sent none.
        this_update: from the evidence; None if `der` is empty.
        next_update: from the evidence; None if it has none.
        fetched_at: when it was last fetched and found good.
        try_at: when to fetch it next.
        failures: failed fetches in a row.
        problem: the last failure, as a sentence with its code; empty if the last fetch was good.
        unusable: True if the last response could not be used, so that its content is unknown. A response that is
            genuine but expired does not count.
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
