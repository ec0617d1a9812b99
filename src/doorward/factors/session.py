"""The session token of one person at one application: signed, in a cookie, bound to the certificate.

Envoy verifies it natively: signature, audience, age, `fp` against the certificate of the connection, and `epoch` against
the epoch of the connection. It is refused with another certificate. The application receives `assertion` instead of the
connection's assertion: it has the same claims, and the factors.

Not here: the one-use code that opens the session (directory), the cookie header (web), Envoy's checks (enforcement).
Standard: RFC 7519, RFC 8705 section 3.1 (`cnf` with `x5t#S256`), RFC 8725 section 3.11 (explicit type), RFC 9470
(`acr`, `auth_time`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from doorward.core.factor_kinds import FactorKind
from doorward.core.shown_factors import ShownFactors
from doorward.wire.base64url import render_base64url
from doorward.wire.jose import sign_token

SESSION_TYPE = "doorward-session+jwt"

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionClaims:
    """The claims of a session.

    Args:
        issuer: `https://TRUST_DOMAIN/portal`.
        application_id: the audience.
        principal_id: the person.
        session_id: `ses_…`.
        issued_at: aware, UTC; fractions of a second are dropped.
        ends_at: after `issued_at`.
        certificate_sha256: of the certificate that the session is bound to, 64 characters of lower-case hex.
        epoch: of principal and application; a session with an earlier epoch has ended.
        shown: at least one factor.
        assertion: the assertion for the application, compact JWS.
    """

    issuer: str
    application_id: str
    principal_id: str
    session_id: str
    issued_at: datetime
    ends_at: datetime
    certificate_sha256: str
    epoch: str
    shown: ShownFactors
    assertion: str = field(repr=False)

    def __post_init__(self) -> None:
        if not _SHA256.fullmatch(self.certificate_sha256):
            raise ValueError("a session is bound to a SHA-256 in lower-case hex")
        if FactorKind.RECOVERY in self.shown.kinds:
            raise ValueError("a recovery code is no factor of a session")
        if not self.shown.kinds:
            raise ValueError("a session has at least one factor")
        if self.ends_at <= self.issued_at:
            raise ValueError("a session ends after it begins")


def render_confirmation(certificate_sha256: str) -> dict[str, str]:
    """Return the claim `cnf` of a certificate by its SHA-256 in hex.

    Standard: RFC 8705 section 3.1.
    """
    return {"x5t#S256": render_base64url(bytes.fromhex(certificate_sha256))}


def render_authentication(shown: ShownFactors) -> dict[str, object]:
    """Return the claims `acr`, `amr` and `auth_time` for the factors that were shown, for sessions and assertions."""
    claims: dict[str, object] = {"acr": shown.acr, "amr": list(shown.amr)}
    latest = shown.latest()
    if latest is not None:
        claims["auth_time"] = int(latest.timestamp())
    return claims


def render_session(claims: SessionClaims) -> dict[str, object]:
    """Return the claims as JSON values."""
    return {
        "iss": claims.issuer,
        "aud": claims.application_id,
        "sub": claims.principal_id,
        "jti": claims.session_id,
        "iat": int(claims.issued_at.timestamp()),
        "exp": int(claims.ends_at.timestamp()),
        "cnf": render_confirmation(claims.certificate_sha256),
        "fp": claims.certificate_sha256,
        "epoch": claims.epoch,
        **render_authentication(claims.shown),
        "level": claims.shown.level,
        "factors": claims.shown.render_seconds(),
        "assertion": claims.assertion,
    }


def sign_session(key: EllipticCurvePrivateKey, claims: SessionClaims) -> str:
    """Return a session as compact JWS (ES256, `kid`, `typ`), at most 8192 characters.

    Raises:
        ValueError: a key of another curve, or a token that is too long.
    """
    return sign_token(key, render_session(claims), token_type=SESSION_TYPE)
