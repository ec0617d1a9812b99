"""Frozen facts about one certificate, and the words for its states.

Not here: parsing (pki, verification) and the transitions between states (pki.lifecycle).
Standard: RFC 5280 sections 4.1 and 5.3.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

NAMES_LIMIT = 64
"""Subject alternative names of one kind that rules are asked about; honest clients have a handful."""


class CertificateState(Enum):
    """Where a certificate stands in its life. Expiry is not a state: it follows from the dates."""

    INTENDED = "intended"
    VALID = "valid"
    ON_HOLD = "on-hold"
    REVOKED = "revoked"


class RevocationReason(Enum):
    """RFC 5280 section 5.3.1 CRLReason, by kebab word; `.code` is the number on the wire."""

    UNSPECIFIED = "unspecified"
    KEY_COMPROMISE = "key-compromise"
    CA_COMPROMISE = "ca-compromise"
    AFFILIATION_CHANGED = "affiliation-changed"
    SUPERSEDED = "superseded"
    CESSATION_OF_OPERATION = "cessation-of-operation"
    CERTIFICATE_HOLD = "certificate-hold"
    PRIVILEGE_WITHDRAWN = "privilege-withdrawn"
    AA_COMPROMISE = "aa-compromise"

    @property
    def code(self) -> int:
        """The CRLReason number; 7 is unused by the standard and 8 belongs to delta CRLs."""
        return _REASON_CODES[self]


_REASON_CODES = {
    RevocationReason.UNSPECIFIED: 0,
    RevocationReason.KEY_COMPROMISE: 1,
    RevocationReason.CA_COMPROMISE: 2,
    RevocationReason.AFFILIATION_CHANGED: 3,
    RevocationReason.SUPERSEDED: 4,
    RevocationReason.CESSATION_OF_OPERATION: 5,
    RevocationReason.CERTIFICATE_HOLD: 6,
    RevocationReason.PRIVILEGE_WITHDRAWN: 9,
    RevocationReason.AA_COMPROMISE: 10,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFacts:
    """What one certificate says of itself; nothing here is verified.

    `sha256` is the lower-case hex digest of the DER; names are in RFC 4514 text; `san` holds
    typed general names such as `URI:spiffe://corp.example/person/alice`; dates are UTC.
    """

    sha256: str
    serial: int
    issuer: str
    subject: str
    san: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    key_kind: str
    der: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateContent:
    """What rules may ask of a certificate; None stands for what cannot be determined, and an empty value for none.

    Names are spelled as `core.alternative_names` does. A single name of a kind that has no plain spelling leaves all
    of that kind undetermined: a rule must not pass over it. The same with more than `NAMES_LIMIT` of a kind.

    Args:
        dns, mailboxes, uris: the subject alternative names of these kinds.
        policies: dotted policies that are valid for it, in the terms of the anchor's authority where there is a path.
        key: kind and size of its public key: `ec-p256`, `ed25519`, `rsa-3072` and so on.
    """

    dns: tuple[str, ...] | None = None
    mailboxes: tuple[str, ...] | None = None
    uris: tuple[str, ...] | None = None
    policies: frozenset[str] | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedCertificate:
    """A certificate that was found good, as rules see it.

    Args:
        issuers: ids of the authority that issued it (`aut_...`): with a renewed or cross-signed authority there are
            several certificates of one name and key.
        profile: of our own; empty for a certificate of a partner.
        content: what it says.
    """

    issuers: frozenset[str]
    profile: str
    content: CertificateContent
