"""The signed token of a session at an application, with the assertion that the application receives.

Not here: opening the session (sessions), the keys (session_keys), the format of the token (`factors.session`).
Standard: RFC 7519, RFC 8705 section 3.1 (`cnf`), RFC 9470 (`acr`, `auth_time`).
"""

from __future__ import annotations

from doorward.core.shown_factors import ShownFactors
from doorward.directory.callers import Caller
from doorward.directory.session_keys import current_session_key
from doorward.directory.sessions import OpenedSession
from doorward.factors.session import SessionClaims, render_authentication, render_confirmation, sign_session
from doorward.stores.services import Services
from doorward.wire.jose import sign_assertion


def session_issuer(trust_domain: str) -> str:
    """Return the `iss` of sessions and of their assertions."""
    return f"https://{trust_domain}/portal"


def sign_session_token(
    services: Services, caller: Caller, opened: OpenedSession, *, trust_domain: str, application: str
) -> str:
    """Return the token of a session that was just opened.

    Args:
        services: with keys.
        caller: the person and the certificate that it was opened for.
        opened: the session.
        trust_domain: of the tenant.
        application: the name of the application; it is the audience of the assertion in the token.

    Raises:
        Unavailable: `keys-locked`.
    """
    _, key = current_session_key(services)
    session, issuer, shown = (
        opened.session,
        session_issuer(trust_domain),
        ShownFactors.of(opened.session.factors),
    )
    assertion = {
        "iss": issuer,
        "sub": caller.name,
        "aud": application,
        "iat": int(session.seen_at.timestamp()),
        "exp": int(session.ends_at.timestamp()),
        "cnf": render_confirmation(session.certificate_sha256),
        "kind": caller.kind.value,
        "principal_id": caller.principal_id,
        **render_authentication(shown),
    }
    claims = SessionClaims(
        issuer=issuer,
        application_id=session.application_id,
        principal_id=session.principal_id,
        session_id=session.id,
        issued_at=session.seen_at,
        ends_at=session.ends_at,
        certificate_sha256=session.certificate_sha256,
        epoch=opened.epoch,
        shown=shown,
        assertion=sign_assertion(key, assertion),
    )
    return sign_session(key, claims)
