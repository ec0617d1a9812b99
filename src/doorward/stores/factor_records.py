"""The records of second factors and sessions, as frozen values: one class per table.

Not here: SQL (storage), the store Protocols (`factor_protocols`), the rules about these values (`factors`,
`directory`). All moments are aware and UTC; a `sha256` is lower-case hex. No secret is stored in the clear: tokens
and codes are stored as SHA-256, TOTP secrets and private keys sealed (`directory.sealing`), passwords as argon2id text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from doorward.core.factor_kinds import FactorKind

LONGEST_SESSION = timedelta(days=7)
"""No session of an application lasts longer; the setting can only shorten it."""

MAX_CLIENT_CHARACTERS = 200
"""Of the browser's User-Agent; the portal shows it in a person's list of sessions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorRecord:
    """One second factor of a principal; a recovery code is one row.

    Args:
        id: `fct_…`.
        name: given by the person; empty for a password and for recovery codes.
        secret: argon2id text (UTF-8), a sealed TOTP secret, attested credential data (WebAuthn section 6.5.1), or
            the SHA-256 of a recovery code (32 bytes).
        credential_id: of a passkey, base64url without padding; empty for the others. No two factors share one.
        counter: the last signature counter of a passkey, the last time step of TOTP, 0 for the others.
        rp_id: the relying party that a passkey was made for; empty for the others.
    """

    id: str
    tenant: str
    principal_id: str
    kind: FactorKind
    name: str = ""
    secret: bytes = field(repr=False)
    credential_id: str = ""
    counter: int = 0
    rp_id: str = ""
    created_at: datetime
    last_used_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolmentTicket:
    """A ticket to enrol one factor, once.

    Args:
        id: `enr_…`.
        certificate_id: the only certificate that may use it; empty if any certificate of the principal may.
        token_sha256: of the token that must be shown; empty if none is needed.
        strongest: the strongest kind of factor that may be enrolled with it.
    """

    id: str
    tenant: str
    principal_id: str
    certificate_id: str = ""
    token_sha256: str = ""
    strongest: FactorKind = FactorKind.WEBAUTHN
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRecord:
    """One session of the portal or of an application, bound to the certificate that it was opened with.

    Args:
        id: `ses_…`; the `jti` of an application's cookie.
        application_id: the portal's own id for a session of the portal.
        token_sha256: of the portal's cookie; empty for an application's, which is a signed token.
        source: the address that opened it, as text.
        client: the browser's User-Agent, at most `MAX_CLIENT_CHARACTERS`.
        factors: when each kind of factor was checked last.
        ends_at: when it ends by itself.
        ended_at: when it was ended before `ends_at`.
    """

    id: str
    tenant: str
    principal_id: str
    certificate_id: str
    certificate_sha256: str
    application_id: str
    token_sha256: str = ""
    source: str = ""
    client: str = ""
    factors: Mapping[FactorKind, datetime]
    created_at: datetime
    seen_at: datetime
    ends_at: datetime
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepUpRecord:
    """An application sent a person to the portal for a second factor; the record holds where the person returns to.

    Args:
        id: `stp_…`.
        host: as the browser named it, with the port if it is not 443.
        request: the id of the request that began it (the `__Host-doorward-begin` cookie).
        return_path: path and query on that host; it is stored here and never in a link.
    """

    id: str
    tenant: str
    principal_id: str
    certificate_sha256: str
    application_id: str
    host: str
    request: str
    return_path: str
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionCodeRecord:
    """A one-use code that an application's callback exchanges for a session, and the values that it is bound to."""

    code_sha256: str
    tenant: str
    session_id: str
    principal_id: str
    certificate_sha256: str
    application_id: str
    host: str
    request: str
    return_path: str
    factors: Mapping[FactorKind, datetime]
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ThrottleRecord:
    """Failed tries under one key: an account with a certificate, a network address, or the total."""

    key: str
    tenant: str
    failures: int
    last_at: datetime
    blocked_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionKeyRecord:
    """A key that signs sessions of applications.

    Args:
        id: its `kid`.
        public_jwk: JSON (RFC 7517).
        sealed: the private key, sealed.
        retired_at: when another key began to sign; this one verifies until its last session has ended.
    """

    id: str
    tenant: str
    public_jwk: str
    sealed: bytes = field(repr=False)
    created_at: datetime
    retired_at: datetime | None = None
