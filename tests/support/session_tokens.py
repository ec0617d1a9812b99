"""Session tokens signed by hand, for doors with keys that the test holds: good ones, and good ones with one fault.

mint = Mint()
plan = site.plan(apps, sessions=mint.plan(site.folder))
token = mint.token(fingerprint(site, "p256"), webauthn=10)     # a passkey was shown ten seconds ago
site.ask("GET", "/", headers=[cookie(token)])
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jwt
from joserfc.jwk import ECKey

from doorward.enforcement.envoy.names import SESSION_COOKIE
from doorward.enforcement.plan import SessionPlan
from doorward.wire.jose import render_jwk, thumbprint

ISSUER = "https://corp.example/portal"
PORTAL = "https://portal.test:8443"
ASSERTION = "session.assertion.signed"
EPOCH = "0.0.0"


@dataclass
class Mint:
    """Keys of sessions; tokens are signed with the first unless a test says another."""

    keys: list[ec.EllipticCurvePrivateKey] = field(
        default_factory=lambda: [ec.generate_private_key(ec.SECP256R1())]
    )

    def plan(
        self, folder: Path, *, keys: Sequence[ec.EllipticCurvePrivateKey] | None = None, **more: Any
    ) -> SessionPlan:
        """Return what a door knows of these sessions; `keys` are those that it trusts."""
        trusted = self.keys if keys is None else keys
        jwks = tuple(json.dumps(render_jwk(one.public_key())) for one in trusted)
        values = {
            "issuer": ISSUER,
            "jwks": jwks,
            "portal_origin": PORTAL,
            "sessions_socket": str(folder / "sessions.sock"),
        }
        return SessionPlan(**{**values, **more})

    def token(
        self,
        sha256: str,
        *,
        key: ec.EllipticCurvePrivateKey | None = None,
        lasts: int = 3600,
        claims: Mapping[str, Any] | None = None,
        **ages: int,
    ) -> str:
        """Return a token for a certificate; `ages` say how many seconds ago each factor was shown."""
        now, used = int(time.time()), key or self.keys[0]
        factors = {kind: now - age for kind, age in ages.items()}
        kinds = [kind for kind in ages if kind != "any"]
        if kinds:
            factors["any"] = max(factors[kind] for kind in kinds)
        payload = {
            "iss": ISSUER,
            "aud": "app_pay",
            "sub": "per_alice",
            "jti": "ses_1",
            "iat": now,
            "exp": now + lasts,
            "fp": sha256,
            "epoch": EPOCH,
            "level": 3 if "webauthn" in factors else 2,
            "factors": factors,
            "assertion": ASSERTION,
            **(claims or {}),
        }
        header = {"alg": "ES256", "kid": thumbprint(used.public_key()), "typ": "doorward-session+jwt"}
        return jwt.encode(header, payload, ECKey.import_key(used))


def fingerprint(folder: Path, certificate: str) -> str:
    """Return the SHA-256 of a site's certificate, in lower-case hexadecimal."""
    leaf = x509.load_pem_x509_certificates((folder / f"{certificate}.pem").read_bytes())[0]
    return leaf.fingerprint(hashes.SHA256()).hex()


def cookie(token: str, *others: str) -> tuple[str, str]:
    """Return the Cookie field with a token and other cookies."""
    return "Cookie", "; ".join([*others, f"{SESSION_COOKIE}={token}"])
