"""The signed session, and which factors it says were shown."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from doorward.core.errors import MalformedInput
from doorward.core.factor_kinds import FactorKind
from doorward.core.shown_factors import ShownFactors
from doorward.factors.session import (
    SESSION_TYPE,
    SessionClaims,
    render_authentication,
    render_session,
    sign_session,
)
from doorward.wire import jose
from tests.support.ports import NOON

KEY = ec.generate_private_key(ec.SECP256R1())
KEYS = jose.parse_jwks(json.dumps(jose.render_jwks([KEY.public_key()])))
MINUTE = timedelta(minutes=1)
SECONDS = int(NOON.timestamp())
SHOWN = ShownFactors.of({FactorKind.PASSWORD: NOON - MINUTE, FactorKind.WEBAUTHN: NOON})
DIGEST = "ab" * 32


def session(**change: Any) -> SessionClaims:
    """Return a sound session with changes."""
    values: dict[str, Any] = {
        "issuer": "https://corp.example/portal",
        "application_id": "app_bank",
        "principal_id": "per_alice",
        "session_id": "ses_1",
        "issued_at": NOON,
        "ends_at": NOON + 60 * MINUTE,
        "certificate_sha256": DIGEST,
        "epoch": "0.1.2",
        "shown": SHOWN,
        "assertion": "a.b.c",
    }
    return SessionClaims(**{**values, **change})


def test_the_claims_are_what_envoy_and_applications_read() -> None:
    """Each claim by its name; moments in whole seconds, the certificate in both spellings."""
    assert render_session(session()) == {
        "iss": "https://corp.example/portal",
        "aud": "app_bank",
        "sub": "per_alice",
        "jti": "ses_1",
        "iat": SECONDS,
        "exp": SECONDS + 3600,
        "cnf": {"x5t#S256": "q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s"},
        "fp": DIGEST,
        "epoch": "0.1.2",
        "acr": "urn:doorward:level:3",
        "amr": ["hwk", "pwd", "user"],
        "auth_time": SECONDS,
        "level": 3,
        "factors": {"webauthn": SECONDS, "password": SECONDS - 60, "any": SECONDS},
        "assertion": "a.b.c",
    }


def test_a_signed_session_comes_back() -> None:
    """What was signed is what is verified; the header has its type and the key's thumbprint."""
    token = sign_session(KEY, session())
    header = json.loads(jose.parse_base64url(token.split(".")[0], code="a-b", what="it"))
    assert header == {"alg": "ES256", "typ": SESSION_TYPE, "kid": jose.thumbprint(KEY.public_key())}
    assert jose.verify_token(token, KEYS, "app_bank", NOON, token_type=SESSION_TYPE) == render_session(
        session()
    )


def test_a_session_is_no_assertion() -> None:
    """An application that verifies assertions never takes it for one."""
    with pytest.raises(MalformedInput, match="assertion"):
        jose.verify_assertion(sign_session(KEY, session()), KEYS, "app_bank", NOON)


@pytest.mark.parametrize(
    "change",
    [
        {"certificate_sha256": DIGEST.upper()},
        {"shown": ShownFactors()},
        {"ends_at": NOON},
    ],
)
def test_an_impossible_session_is_not_made(change: dict[str, Any]) -> None:
    """No digest in lower case, no factor, or no time: no session."""
    with pytest.raises(ValueError, match="session"):
        session(**change)


def test_levels_and_words_of_the_factors() -> None:
    """Nothing is level 1, a password or a code level 2, a passkey level 3."""
    nothing = ShownFactors()
    assert (nothing.level, nothing.amr, nothing.latest(), nothing.render_seconds()) == (1, (), None, {})
    assert render_authentication(nothing) == {"acr": "urn:doorward:level:1", "amr": []}
    code = ShownFactors.of({FactorKind.TOTP: NOON})
    assert (code.level, code.acr, code.amr) == (2, "urn:doorward:level:2", ("otp",))
    assert ShownFactors.of({FactorKind.TOTP: NOON, FactorKind.WEBAUTHN: NOON}).level == 3


def test_a_factor_is_fresh_within_its_time() -> None:
    """The bound itself counts; a kind that was not shown is never fresh."""
    kinds = (FactorKind.PASSWORD,)
    assert SHOWN.is_fresh(kinds, MINUTE, NOON)
    assert not SHOWN.is_fresh(kinds, MINUTE, NOON + timedelta(seconds=1))
    assert SHOWN.is_fresh(kinds, None, NOON + 99 * MINUTE)
    assert not SHOWN.is_fresh((FactorKind.TOTP,), None, NOON)


def test_a_recovery_code_is_no_factor_of_a_session() -> None:
    """It opens enrolment and nothing else."""
    with pytest.raises(ValueError, match="recovery"):
        session(shown=ShownFactors.of({FactorKind.RECOVERY: NOON}))
