"""Sessions in the plan: the issuer and the keys of their tokens, and the portal where a factor is checked.

Not here: making sessions (directory.sessions), and how Envoy verifies their tokens (`enforcement.envoy.sessions`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta

from doorward.core.errors import MalformedInput
from doorward.enforcement.plan.limits import check_socket_path, require
from doorward.wire.jose import parse_jwk

SESSION_LIFETIME = timedelta(hours=8)
"""The longest lifetime of a session; streams on routes that require a factor end with the session."""

_ORIGIN = re.compile(r"https://[a-z0-9.-]{1,253}(:[0-9]{1,5})?")
_ISSUER = re.compile(r"https://[a-z0-9.-]{1,253}/portal")


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPlan:
    """Sessions of all applications of a gateway.

    Args:
        issuer: `iss` of the tokens.
        jwks: the public keys as JWK (RFC 7517) in JSON, newest first; without a key no request has a session.
        portal_origin: the origin where a person shows a factor; a constant in every redirect.
        sessions_socket: the socket that answers the callback and the sign-out of each application.
        lifetime: the longest lifetime of a session.
    """

    issuer: str
    jwks: tuple[str, ...]
    portal_origin: str
    sessions_socket: str
    lifetime: timedelta = SESSION_LIFETIME

    def __post_init__(self) -> None:
        check_socket_path(self.sessions_socket)
        require(
            _ORIGIN.fullmatch(self.portal_origin), "the portal's origin is https://HOST or https://HOST:PORT"
        )
        require(_ISSUER.fullmatch(self.issuer), "the issuer of sessions is https://TRUST_DOMAIN/portal")
        require(self.lifetime > timedelta(), "the lifetime of a session is positive")

    @property
    def good_jwks(self) -> tuple[str, ...]:
        """The keys that Envoy accepts: with one bad key it would refuse the whole set, and keep the former keys."""
        return tuple(one for one in self.jwks if _is_good(one))


def _is_good(jwk: str) -> bool:
    try:
        parse_jwk(jwk)
    except MalformedInput:
        return False
    return True
