"""What a gateway says about a connection, for surfaces of ours that take their caller from it.

door = AssertedDoor(world)                   # registers a gateway with a key of its own
headers = door.headers(alice, "portal")      # of a request on alice's connection
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from doorward.authority.gateways import register_gateway
from doorward.wire.jose import render_jwk, sign_assertion
from tests.support.world import Held, World


@dataclass(kw_only=True)
class AssertedDoor:
    """A registered gateway: it signs assertions as the real one does, with mistakes on request."""

    world: World
    name: str = "gateway-1"
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def __post_init__(self) -> None:
        jwk = json.dumps(render_jwk(self.key.public_key()))
        register_gateway(self.world.services, name=self.name, assertion_jwk=jwk)

    def sign(self, held: Held, audience: str, **claims: Any) -> str:
        """Return the assertion of a connection with this certificate; `claims` replace or, as None, take away."""
        now = self.world.clock.now()
        principal = self.world.principal(held.record.subject_name)
        said: dict[str, Any] = {
            "iss": f"https://corp.example/{self.name}",
            "sub": principal.name,
            "aud": audience,
            "iat": int(now.timestamp()),
            "exp": int((now + timedelta(hours=12)).timestamp()),
            "cnf": {"x5t#S256": _thumbprint(held)},
            "kind": principal.kind.value,
            "principal_id": principal.id,
            **claims,
        }
        return sign_assertion(self.key, {name: value for name, value in said.items() if value is not None})

    def headers(self, held: Held, audience: str, **claims: Any) -> dict[str, str]:
        """Return the header fields that the door adds to a request of this connection."""
        return {
            "Doorward-Assertion": self.sign(held, audience, **claims),
            "Doorward-Source": "192.0.2.7",
            "X-Forwarded-For": "203.0.113.9, 127.0.0.1",
        }


def _thumbprint(held: Held) -> str:
    return base64.urlsafe_b64encode(bytes.fromhex(held.record.sha256)).rstrip(b"=").decode()
