"""Facts about one certificate, as frozen values, and its states.

Not here: parsing (pki, verification) and the transitions between states (pki.lifecycle).
Standard: RFC 5280 sections 4.1 and 5.3.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

NAMES_LIMIT = 64
"""Subject alternative names of one kind that rules can look at. Honest clients have a handful."""


class CertificateState(Enum):
    """The state of a certificate in the inventory. Expiry is not a state: it follows from the dates."""

    INTENDED = "intended"
    VALID = "valid"
    ON_HOLD = "on-hold"
    REVOKED = "revoked"


class RevocationReason(Enum):
    """CRLReason of RFC 5280 section 5.3.1, as a kebab word; `.code` is the number in a CRL."""

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
        """The CRLReason number. The standard does not use 7; 8 is no reason, it ends a hold in a delta CRL."""
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
    """What one certificate states about itself; nothing in it is verified.

    `sha256` is the lower-case hex digest of the DER; names are RFC 4514 text; `san` holds general names with
    their type, such as `URI:spiffe://corp.example/person/alice`; dates are UTC.
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
    """What rules may ask about a certificate. None means that it cannot be determined; an empty value means none.

    Names are spelled as `core.alternative_names` does. If one name of a kind has no canonical spelling, or if there are
    more than `NAMES_LIMIT` names of a kind, all names of that kind are undetermined: a rule must not overlook one.

    Args:
        dns, mailboxes, uris: the subject alternative names of these kinds.
        policies: dotted certificate policies; if there is a path, as the trust anchor's authority names them.
        key: kind and size of the public key: `ec-p256`, `ed25519`, `rsa-3072` and so on.
    """

    dns: tuple[str, ...] | None = None
    mailboxes: tuple[str, ...] | None = None
    uris: tuple[str, ...] | None = None
    policies: frozenset[str] | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedCertificate:
    """A certificate that was judged good, as rules see it.

    Args:
        issuers: ids of the issuing authority (`aut_...`). A renewed or cross-signed authority has several
            certificates with one name and key, and so several ids.
        profile: of a certificate of our own; empty for a partner's.
        content: what rules may ask about it.
    """

    issuers: frozenset[str]
    profile: str
    content: CertificateContent
