"""The signed assertion that an application receives: the principal of the connection, bound to its certificate.

Not here: the JWS itself (wire.jose) and the header (enforcement). An assertion is valid as long as its connection may
last: it is sent with each request of that connection. Applications verify it offline with the keys at
`/jwks.json` of the status listener.

Standard: RFC 7519; RFC 8705 section 3.1 (`cnf` with `x5t#S256`).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from doorward.core.entities import Principal
from doorward.gateway.connections.connection import LiveConnection
from doorward.wire.base64url import render_base64url
from doorward.wire.jose import ASSERTION_TYPE, TokenSigner

CACHED = 10_000
"""Assertions kept: about 10 MB; a miss costs one signature (22 us)."""


class AssertionSigner:
    """Signs assertions with the gateway's ES256 key; equal ones come from a bounded cache."""

    def __init__(self, key: EllipticCurvePrivateKey, *, issuer: str) -> None:
        self._signer = TokenSigner(key, token_type=ASSERTION_TYPE)
        self._issuer = issuer
        self._lock = threading.Lock()
        self._cache: OrderedDict[tuple[str, str, str, datetime], str] = OrderedDict()

    def sign(self, connection: LiveConnection, principal: Principal, audience: str) -> str:
        """Return a compact JWS, issued when the connection was opened; it never outlives the connection.

        Args:
            connection: the connection; its application receives the assertion.
            principal: who holds the connection.
            audience: name of the application; no other application may accept the assertion.
        """
        place = (principal.id, connection.sha256, audience, connection.ends_at)
        with self._lock:
            found = self._cache.get(place)
            if found is not None:
                self._cache.move_to_end(place)
                return found
        thumbprint = render_base64url(bytes.fromhex(connection.sha256))
        token = self._signer.sign(
            {
                "iss": self._issuer,
                "sub": principal.name,
                "aud": audience,
                "iat": int(connection.opened_at.timestamp()),
                "exp": int(connection.ends_at.timestamp()),
                "cnf": {"x5t#S256": thumbprint},
                "kind": principal.kind.value,
                "principal_id": principal.id,
            }
        )
        with self._lock:
            self._cache[place] = token
            while len(self._cache) > CACHED:
                self._cache.popitem(last=False)
        return token
