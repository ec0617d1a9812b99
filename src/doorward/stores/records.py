"""What the stores keep, as frozen values: one class a table, no behaviour.

Not here: SQL (storage) and the rules about these values (the use cases beside this file).
All moments are aware and UTC; `der` is DER; `sha256` is lower-case hex; serial numbers are
integers of at most 20 octets, ours positive (RFC 5280 section 4.1.2.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from doorward.core.certificate import CertificateState, RevocationReason


class AuthorityKind(Enum):
    """The certificates of an own authority."""

    ROOT = "root"
    ISSUING = "issuing"
    OCSP_RESPONDER = "ocsp-responder"


class ChangeKind(Enum):
    """What a number of the change sequence is about; `subject` is an id of that kind.

    A group that is created or removed has no members to judge again: its id stands in a PRINCIPAL change that
    fits no connection. GROUP means that the members of a group, nested ones too, are judged again.
    """

    AUTHORITY = "authority"
    CERTIFICATE = "certificate"
    PRINCIPAL = "principal"
    APPLICATION = "application"
    POLICY = "policy"
    ORDER = "order"
    PARTNER = "partner"
    EVIDENCE = "evidence"
    GROUP = "group"  # what it lies in; everybody in it is concerned
    SESSION_KEY = "session-key"
    CHOICE = "choice"  # the subject is that of `stores.certificate_choice.CertificateChoice`


class OrderState(Enum):
    """Where a gateway's request for a server certificate stands."""

    OPEN = "open"
    FILLED = "filled"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantRecord:
    """The tenant and what is baked into its certificates.

    `status_url` is the public address of CRL, OCSP and AIA, without a trailing slash.
    """

    id: str
    trust_domain: str
    status_url: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorityRecord:
    """One own authority certificate and the name of its key in the key store."""

    id: str
    tenant: str
    kind: AuthorityKind
    der: bytes
    key_name: str
    created_at: datetime
    not_after: datetime
    current: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateRecord:
    """One certificate of the inventory; `intended` rows have no DER of ours yet (the linted one stands in)."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class InvitationRecord:
    """A one-time invitation; only the SHA-256 of its token is kept.

    At most one of `used_at` and `voided_at` is set, for good: a link that was used cannot be withdrawn. `certificate_id`
    is, once it was used, the certificate that came of it; before that, the certificate of the device from which its
    holder made it, and empty if an operator made it (docs/design/0074).
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
    """What one gateway said last: how far it has followed the changes, and its assertion key (JWK JSON)."""

    id: str
    tenant: str
    name: str
    confirmed_seq: int
    seen_at: datetime
    status: str
    assertion_jwk: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRecord:
    """A gateway asks for a server certificate for hosts; the issuing side fills it."""

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
    """The newest revocation list of one authority, and of one partition: empty for the full list."""

    authority_id: str
    partition: str = ""
    tenant: str
    number: int
    der: bytes
    this_update: datetime
    next_update: datetime
    through_seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OcspRecord:
    """A pre-signed OCSP answer for one certificate and one CertID hash algorithm."""

    certificate_id: str
    hash_name: str
    der: bytes
    next_update: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFilter:
    """Which certificates are listed; None means any.

    Args:
        partner_id: whose authority issued it, also one that is trusted no more.
        expires_before: selects by not_after.
        after_id: the last of the page before; empty for the first page.
    """

    principal_id: str | None = None
    partner_id: str | None = None
    state: CertificateState | None = None
    profile: str | None = None
    expires_before: datetime | None = None
    after_id: str = ""
    limit: int = 100
