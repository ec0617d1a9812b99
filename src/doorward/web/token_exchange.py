"""Exchanging a one-time token and a CSR for a certificate, on the enrolment host and on the portal.

The token is accepted in `Authorization: Bearer` only, not in a path or query, which proxies and logs store. Neither token
nor CSR is logged. The gateway is the only peer.
Not here: checking the token, and the content of the certificate (enrolment.invitation, authority).
Standard: RFC 6750 section 2.1, RFC 5967 (application/pkcs10), RFC 8555 section 9.1 (PEM chain), RFC 9457.
"""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from doorward.audit.counting import source_key
from doorward.authority.issuing import Issued
from doorward.core.errors import MalformedInput, RequestRefused
from doorward.enrolment.invitation import redeem
from doorward.stores.services import Services
from doorward.web.edge import read_body
from doorward.web.identity import source_of
from doorward.web.pool import UseCasePool
from doorward.web.throttle import AttemptThrottle
from doorward.wire.pem import render_pem

MAX_BODY_BYTES = 32 * 1024
"""Twice the limit for a CSR (pki.csr), so that the client gets the parser's more exact message."""

CHAIN_TYPE = "application/pem-certificate-chain"
_CSR_TYPES = ("application/pkcs10", "application/x-pem-file")
_BEARER = re.compile(r"Bearer ([A-Za-z0-9_-]{22,128})", re.ASCII)


class TokenExchange:
    """Answers requests for certificates by token, and counts wrong tokens.

    Args:
        services: the ports of a process that may sign.
        pool: the threads that run use cases.
    """

    def __init__(self, services: Services, pool: UseCasePool) -> None:
        self._services = services
        self._pool = pool
        self._throttle = AttemptThrottle()

    async def answer(self, request: Request) -> Response:
        """Issue a certificate for a CSR and a one-time token.

        1. Read the token; 2. choose the error for a wrong token, by the number of wrong ones from this address; 3. read the
        body, within its limits; 4. run the use case; 5. answer with the chain, leaf first.
        """
        # 1. the token
        found = _BEARER.fullmatch(request.headers.get("authorization", ""))
        if found is None:
            hint = "send the token of the link in the header `Authorization: Bearer TOKEN`"
            raise RequestRefused("token-missing", "this needs the token of a one-time link", hint=hint)
        # 2. the address
        source, now = source_of(request), self._services.clock.monotonic()
        too_many = self._throttle.refusal(source_key(source), now)
        # 3. the body
        csr = await read_request(request)
        # 4. the use case
        try:
            issued = await self._pool.run(
                lambda: redeem(self._services, found[1], csr, source_address=source, bad_token_error=too_many)
            )
        except RequestRefused as error:
            if error.code == "invitation-invalid":
                self._throttle.note_failure(source_key(source), now)
            raise
        # 5. the chain
        return render_issued(issued, wants_json=wants_json(request))


async def read_request(request: Request) -> bytes:
    """Return the body, a PKCS#10 request, PEM or DER; raises `MalformedInput` (`media-type-wrong`), and as `read_body`."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() not in _CSR_TYPES:
        raise MalformedInput("media-type-wrong", f"send the request as {_CSR_TYPES[0]}, PEM or DER")
    return await read_body(request, MAX_BODY_BYTES)


def render_issued(issued: Issued, *, wants_json: bool) -> Response:
    """Return a new certificate with its chain: PEM, leaf first, or JSON."""
    pem = list(map(render_pem, issued.chain_der))
    headers = {"Cache-Control": "no-store", "Vary": "Accept"}
    if not wants_json:
        return Response("".join(pem), status_code=201, media_type=CHAIN_TYPE, headers=headers)
    record = issued.record
    value = {
        "id": record.id,
        "name": record.subject_name,
        "profile": record.profile,
        "serial": f"{record.serial:x}",
        "sha256": record.sha256,
        "not_before": record.not_before.isoformat().replace("+00:00", "Z"),
        "not_after": record.not_after.isoformat().replace("+00:00", "Z"),
        "certificate": pem[0],
        "chain": pem[1:],
    }
    return JSONResponse(value, status_code=201, headers=headers)


def wants_json(request: Request) -> bool:
    """Say whether Accept lists JSON and not the PEM chain; `*/*` or no Accept field means the chain."""
    accepted = [
        part.partition(";")[0].strip().lower() for part in request.headers.get("accept", "").split(",")
    ]
    return "application/json" in accepted and CHAIN_TYPE not in accepted
