"""The records of the stores, as frozen values: one class per table, no behaviour.

Not here: SQL (storage), the rules about these values (the use cases).
All moments are aware and UTC; `der` is DER; `sha256` is lower-case hex; serial numbers are
integers of at most 20 octets, and ours are positive (RFC 5280 section 4.1.2.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import NamedTuple

from doorward.core.certificate import CertificateState, RevocationReason


class AuthorityKind(Enum):
    """The kinds of our own authority certificates."""

    ROOT = "root"
    ISSUING = "issuing"
    OCSP_RESPONDER = "ocsp-responder"


class ChangeKind(Enum):
    """The kind of a change in the change sequence; `subject` is an id of that kind.

    When a group is created or removed, it has no members to judge again: a PRINCIPAL change has its id, which matches no
    connection. A GROUP change means that the members of a group, nested groups included, are judged again. A SESSION_KEY
    change with the tenant's id means that the epoch of every principal was raised (`stores.epochs`).
    """

    AUTHORITY = "authority"
    CERTIFICATE = "certificate"
    PRINCIPAL = "principal"
    APPLICATION = "application"
    POLICY = "policy"
    ORDER = "order"
    PARTNER = "partner"
    EVIDENCE = "evidence"
    GROUP = "group"  # its members, nested groups included, are judged again
    SESSION_KEY = "session-key"
    CHOICE = "choice"  # the subject is that of `stores.certificate_choice.CertificateChoice`


class OrderState(Enum):
    """The states of a gateway's order for a server certificate."""

    OPEN = "open"
    FILLED = "filled"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantRecord:
    """The tenant, with the values that all of its certificates contain.

    `status_url` is the public address of CRL, OCSP and AIA, without a trailing slash.
    """

    id: str
    trust_domain: str
    status_url: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorityRecord:
    """One own authority certificate and the name of its key in the key store.

    Args:
        current: whether new certificates are issued by it; of responders, each issuing authority has a current one.
        issuer_id: the authority that signed it; empty for a root. A root with an issuer is a cross-certificate
            (`stores.roots`).
        retired_at: since when no door trusts it and it signs nothing; None while it is trusted.
        retired_reason: why, as the root's CRL says it; None while it is trusted.
    """

    id: str
    tenant: str
    kind: AuthorityKind
    der: bytes
    key_name: str
    created_at: datetime
    not_after: datetime
    current: bool
    issuer_id: str = ""
    retired_at: datetime | None = None
    retired_reason: RevocationReason | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateRecord:
    """One certificate of the inventory; while its state is `intended`, `der` is the TBSCertificate to be signed.

    `spki_sha256` is the SHA-256 of its SubjectPublicKeyInfo in lower-case hex; empty if the key could not be read.
    """

    id: str
    tenant: str
    authority_id: str
    serial: int
    sha256: str
    profile: str
    state: CertificateState
    not_before: datetime
    not_after: datetime
    der: bytes
    created_at: datetime
    principal_id: str = ""
    subject_name: str = ""
    reason: RevocationReason | None = None
    revoked_at: datetime | None = None
    replaces: str = ""
    spki_sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class InvitationRecord:
    """A one-time invitation; only the SHA-256 of its token is stored.

    At most one of `used_at` and `voided_at` is ever set: a link that was used cannot be withdrawn. `made_from` is the
    certificate of the device that its holder used to make the invitation, and empty if an operator made it.
    `certificate_id` is the certificate that was issued for it, and empty before its use (docs/design/0074).
    """

    id: str
    tenant: str
    principal_id: str
    token_sha256: str
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None = None
    certificate_id: str = ""
    voided_at: datetime | None = None
    made_from: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionRecord:
    """One numbered revision of the policy document, as text; numbers start at 1 and have no holes."""

    number: int
    tenant: str
    document: str
    sha256: str
    actor: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRecord:
    """One number of the change sequence."""

    seq: int
    tenant: str
    kind: ChangeKind
    subject: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayRecord:
    """One gateway: the last change that it confirmed, its status, and its public assertion key (JWK JSON)."""

    id: str
    tenant: str
    name: str
    confirmed_seq: int
    seen_at: datetime
    status: str
    assertion_jwk: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRecord:
    """A gateway's order for a server certificate for some hosts; `serve` fills it."""

    id: str
    tenant: str
    gateway_id: str
    purpose: str
    hosts: tuple[str, ...]
    csr: bytes
    state: OrderState
    created_at: datetime
    certificate_id: str = ""
    refusal: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrlRecord:
    """The newest CRL of one authority and one partition; `partition` is empty for the full CRL.

    A delta is a CRL too, with a name of its own (`authority.status.partitions`).
    """

    authority_id: str
    partition: str = ""
    tenant: str
    number: int
    der: bytes
    this_update: datetime
    next_update: datetime
    through_seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CrlBase:
    """A complete CRL that names a delta: relying parties may extend it by the delta until `next_update`."""

    authority_id: str
    partition: str = ""
    tenant: str
    number: int
    this_update: datetime
    next_update: datetime
    through_seq: int
    entries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OcspRecord:
    """A pre-signed OCSP response for one certificate and one CertID hash algorithm."""

    certificate_id: str
    hash_name: str
    der: bytes
    next_update: datetime


RevokedRow = tuple[int, int, int, RevocationReason]
"""What a CRL needs of a certificate: serial number, end, time of the revocation (whole seconds since 1970), reason."""


class StatusChange(NamedTuple):
    """A revocation, hold or release: the number of the change, and the certificate as it is now.

    If a CRL lists it: its end and the time of the revocation, in whole seconds since 1970, and the reason. Otherwise they are empty.
    """

    seq: int
    serial: int
    is_listed: bool
    end: int = 0
    at: int = 0
    reason: RevocationReason = RevocationReason.UNSPECIFIED


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFilter:
    """Which certificates are listed; None means any.

    Args:
        of_partners: True for the certificates of every partner.
        partner_id: the partner that issued the certificate, also through an authority that was removed.
        after_id: the last id of the previous page; empty for the first page.
    """

    principal_id: str | None = None
    of_partners: bool = False
    partner_id: str | None = None
    state: CertificateState | None = None
    after_id: str = ""
    limit: int = 100
