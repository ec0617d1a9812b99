"""Identifying the caller of a web surface, from the door's assertion only.

1. There is exactly one `Doorward-Assertion`; the key of a registered gateway signed it, for this audience. 2. Its issuer is
the gateway of that key, its time claims are valid, and it names a certificate. 3. The certificate is valid in the inventory
and belongs to the principal of the assertion, who is active. No other header field is trusted.

For a request that may change something, `check_origin` also checks which page sent it.
Not here: which route needs a caller (guard), and second factors (directory).
Standard: RFC 7519; RFC 8705 section 3.1 (`cnf`); RFC 6454 section 7.3 (Origin); W3C Fetch Metadata (Sec-Fetch-Site).
"""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request

from doorward.core.certificate import CertificateState
from doorward.core.entities import PrincipalState
from doorward.core.errors import MalformedInput, RequestRefused
from doorward.directory.callers import MAX_CLIENT_CHARACTERS, Caller
from doorward.enforcement.envoy.names import SOURCE
from doorward.stores.prerequisites import require_tenant
from doorward.stores.services import Services
from doorward.web.pool import UseCasePool
from doorward.wire.jose import KeySet, parse_jwk, thumbprint, verify_assertion

ASSERTION = "doorward-assertion"
SAFE_METHODS = frozenset({"GET", "HEAD"})

KEYS_KEPT_SECONDS = 5.0
"""How long the keys of the gateways are cached; for an unknown key they are read again, once a second at most."""

_LOOK_AGAIN_SECONDS = 1.0
_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class _Gateways:
    keys: KeySet
    by_issuer: Mapping[str, KeySet]
    read_at: float


class Identities:
    """Identifies the callers of requests; safe between threads.

    Args:
        services: the ports of this process.
        pool: where use cases run.
    """

    def __init__(self, services: Services, pool: UseCasePool) -> None:
        self._services = services
        self._pool = pool
        self._lock = threading.Lock()
        self._known = _Gateways(KeySet(keys={}), {}, float("-inf"))

    async def identify(self, request: Request, audience: str) -> Caller:
        """Return the caller.

        Args:
            request: as the door passed it on.
            audience: the required audience of the assertion.

        Raises:
            RequestRefused: `certificate-needed` if there is no assertion; `identity-refused` if it is not valid, with the
                same text for every reason.
        """
        fields = request.headers.getlist(ASSERTION)
        if not fields:
            raise RequestRefused(
                "certificate-needed",
                "this needs your certificate",
                hint="open it in the browser or program that has the certificate",
            )
        caller = await self._pool.run(lambda: self._identify(fields, audience))
        return replace(caller, source=source_of(request), client=client_of(request))

    def _identify(self, fields: list[str], audience: str) -> Caller:
        try:
            return self._read(",".join(fields), audience)  # two fields joined are not a valid token
        except (MalformedInput, RequestRefused):
            raise RequestRefused(
                "identity-refused",
                "the door's assertion about you is not valid",
                hint="load the page again; if the error stays, tell your administrator",
            ) from None

    def _read(self, token: str, audience: str) -> Caller:
        services, now = self._services, self._services.clock.now()
        # 1. signature and audience
        gateways = self._gateways(older_than=KEYS_KEPT_SECONDS)
        try:
            claims = verify_assertion(token, gateways.keys, audience, now)
        except RequestRefused as refusal:
            if refusal.code != "assertion-key-unknown":
                raise
            gateways = self._gateways(
                older_than=_LOOK_AGAIN_SECONDS
            )  # the gateway may have been registered just now
            claims = verify_assertion(token, gateways.keys, audience, now)
        # 2. issuer and certificate
        own = gateways.by_issuer.get(str(claims.get("iss")), KeySet(keys={}))
        verify_assertion(token, own, audience, now)
        sha256 = _certificate(claims)
        # 3. inventory and directory
        with services.work.read() as stores:
            certificate = stores.certificates.by_sha256(sha256)
            principal = stores.directory.get(certificate.principal_id) if certificate else None
        if (
            certificate is None
            or certificate.state is not CertificateState.VALID
            or not certificate.not_before <= now < certificate.not_after
            or principal is None
            or principal.state is not PrincipalState.ACTIVE
            or principal.id != claims.get("principal_id")
        ):
            raise RequestRefused("identity-refused", "the certificate or the account is no longer valid")
        return Caller(
            principal_id=principal.id,
            name=principal.name,
            kind=principal.kind,
            certificate_id=certificate.id,
            certificate_sha256=sha256,
            not_after=certificate.not_after,
            expires_at=datetime.fromtimestamp(claims["exp"], UTC),
        )

    def _gateways(self, *, older_than: float) -> _Gateways:
        """Return the gateways' keys; read them again if the cached ones are older than that many seconds."""
        now = self._services.clock.monotonic()
        with self._lock:
            if now - self._known.read_at < older_than:
                return self._known
        with self._services.work.read() as stores:
            domain = require_tenant(stores).trust_domain
            listed = stores.gateways.list()
        by_issuer = {}
        for gateway in listed:
            try:
                key = parse_jwk(gateway.assertion_jwk)
            except MalformedInput:
                continue  # the status listener logs it
            by_issuer[f"https://{domain}/{gateway.name}"] = KeySet(keys={thumbprint(key): key})
        every = KeySet(keys={kid: key for one in by_issuer.values() for kid, key in one.keys.items()})
        known = _Gateways(every, by_issuer, now)
        with self._lock:
            self._known = known
        return known


def check_origin(request: Request, origin: str) -> None:
    """Check that a page of this origin sent the request; requests with safe methods pass.

    Args:
        request: any request.
        origin: our origin as browsers write it: `https://portal.corp.example`, with the port if it is not 443.

    Raises:
        RequestRefused: `origin-wrong`, also if `Origin` is missing or `null`.

    Standard: RFC 6454 section 7.3; RFC 9110 section 9.2.1 (safe methods).
    """
    if request.method in SAFE_METHODS:
        return
    same_site = request.headers.getlist("sec-fetch-site") in ([], ["same-origin"])
    if request.headers.getlist("origin") != [origin] or not same_site:
        raise RequestRefused(
            "origin-wrong",
            "this request came from a page of another website and was refused",
            hint="open our page itself, and repeat it there",
        )


def source_of(request: Request) -> str:
    """Return the caller's address from the door's header: the door removes this header from clients' requests."""
    return request.headers.get(SOURCE, "")[:64]


def client_of(request: Request) -> str:
    """Return the User-Agent, shortened; it is only shown to people."""
    return request.headers.get("user-agent", "")[:MAX_CLIENT_CHARACTERS]


def _certificate(claims: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the certificate that the assertion is bound to, in hex."""
    bound = claims.get("cnf")
    found = bound.get("x5t#S256") if isinstance(bound, dict) else None
    if not isinstance(found, str) or not _THUMBPRINT.fullmatch(found):
        raise RequestRefused("identity-refused", "the assertion is bound to no certificate")
    return base64.urlsafe_b64decode(found + "=").hex()
