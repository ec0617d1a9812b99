"""What is kept of second factors and of the sessions that they open, as frozen values: one class a table.

Not here: SQL (storage), the store Protocols (`factor_protocols`), and the rules about these values (`factors`,
`directory`). All moments are aware and UTC; a `sha256` is lower-case hex. No secret lies here in the clear: tokens
and codes as SHA-256, TOTP secrets and private keys sealed (`directory.sealing`), passwords as argon2id text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from doorward.core.factor_kinds import FactorKind

LONGEST_SESSION = timedelta(days=7)
"""No session of an application lives longer; the setting can only be shorter."""

MAX_CLIENT_CHARACTERS = 200
"""Of what a browser says about itself, kept to show a session to its person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorRecord:
    """One second factor of a principal; a recovery code is one row.

    Args:
        id: `fct_…`.
        name: what the person calls it; empty for a password and for recovery codes.
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
class EnrolmentRight:
    """The right to enrol a first factor, once.

    Args:
        id: `enr_…`.
        certificate_id: the only certificate that may use it; empty for any of the principal.
        token_sha256: of the token that must be shown; empty where none is needed.
        strongest: no stronger kind may be enrolled by it.
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
    """One session, bound to the certificate that it was opened with; of the portal or of an application.

    Args:
        id: `ses_…`; the `jti` of an application's cookie.
        application_id: the portal's own id for a session of the portal.
        token_sha256: of the portal's cookie; empty for an application's, which is a signed token.
        source: the address that opened it, as text.
        client: what the browser says about itself, at most `MAX_CLIENT_CHARACTERS`.
        factors: when each kind of factor was shown last.
        ends_at: it ends then by itself.
        ended_at: when it was ended before that.
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
    """A person was sent to the portal by an application and is to come back to where it was.

    Args:
        id: `stp_…`.
        host: with the port where it is not 443, as the browser named it.
        request: the id of the request that began it (the `__Host-doorward-begin` cookie).
        return_path: path and query on that host; it is kept here and never in a link.
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
    """A one-use code that an application's callback trades for a session, with all that it is bound to."""

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
    """Failed tries under one key: an account with a certificate, an address, or all."""

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
        retired_at: since then another key signs; this one verifies until its last session has ended.
    """

    id: str
    tenant: str
    public_jwk: str
    sealed: bytes = field(repr=False)
    created_at: datetime
    retired_at: datetime | None = None
