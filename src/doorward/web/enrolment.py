"""The enrolment surface: where a one-time link leads, and where it becomes a certificate.

    GET  /, /join            a page in plain words
    GET  /root.pem           the root certificate
    GET  /static/<name>.css  the page's style
    POST /v1/certificates    a CSR and a token become a certificate

It is served on a unix socket; the gateway's open chain (no client certificate asked) stands before it
and is the only peer. The token comes in `Authorization: Bearer` and only there: not in a path or query,
which proxies and logs keep. Neither token nor CSR is ever logged.
Not here: whether the token is good and what the certificate says (enrolment.invitation, authority).
Standard: RFC 6750 section 2.1, RFC 5967 (application/pkcs10), RFC 8555 section 9.1 (PEM chain), RFC 9457.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from doorward.audit.counting import source_key
from doorward.authority.issuing import Issued
from doorward.core.errors import MalformedInput, RequestRefused
from doorward.enforcement.open_routes import ENROLMENT_ROUTES
from doorward.enrolment.invitation import redeem
from doorward.stores.services import Services
from doorward.web.edge import read_body
from doorward.web.look.assets import answer_asset
from doorward.web.look.languages import language_of
from doorward.web.look.rendering import Look
from doorward.web.pool import UseCasePool
from doorward.web.status import root_pem
from doorward.web.throttle import AttemptThrottle

MAX_BODY_BYTES = 32 * 1024
"""Twice what a CSR may have (pki.csr), so that the parser's own message is the one that is seen."""

CHAIN_TYPE = "application/pem-certificate-chain"
_CSR_TYPES = ("application/pkcs10", "application/x-pem-file")
_BEARER = re.compile(r"Bearer ([A-Za-z0-9_-]{22,128})", re.ASCII)

_PAGE_POLICY = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_NO_STORE = {"Cache-Control": "no-store"}


class EnrolmentSurface:
    """The routes of the enrolment host over one set of services.

    Args:
        services: of a process that may sign.
        pool: where use cases run.
        origin: the public address, `https://enroll.corp.example:8443`; the page shows it. It is not
            taken from the Host field, which the visitor of the link does not control but somebody
            else may.
        look: of its page.
    """

    def __init__(
        self, services: Services, pool: UseCasePool, *, origin: str, look: Look | None = None
    ) -> None:
        self._services = services
        self._pool = pool
        self._throttle = AttemptThrottle()
        self._origin = origin
        self._look = look or Look()

    def routes(self) -> list[Route]:
        """Return the routes; every GET answers HEAD too."""
        answers = {
            "/": self.page,
            "/join": self.page,
            "/static/{name}": self.static,
            "/root.pem": self.root,
            "/v1/certificates": self.certificates,
        }
        return [Route(one.path, answers[one.path], methods=[one.method]) for one in ENROLMENT_ROUTES]

    async def page(self, request: Request) -> Response:
        """Answer with the page for a person who opened the link; it knows nothing of the link."""
        page = self._look.render("join.html", {"origin": self._origin}, language_of(request))
        headers = {"Content-Security-Policy": _PAGE_POLICY, "Cache-Control": "public, max-age=300"}
        return HTMLResponse(page, headers=headers | {"Vary": "Accept-Language, Cookie"})

    async def static(self, request: Request) -> Response:
        """Answer with a static file; all of them were read at the start, so no path is ever opened."""
        return answer_asset(self._look.assets, request.path_params["name"])

    async def root(self, _request: Request) -> Response:
        """Answer with the root certificate; whoever fetches it must compare it with the link's SHA-256."""
        pem = await self._pool.run(lambda: root_pem(self._services))
        return Response(
            pem, media_type="application/x-pem-file", headers={"Cache-Control": "public, max-age=300"}
        )

    async def certificates(self, request: Request) -> Response:
        """Turn a CSR and a one-time token into a certificate.

        1. the token is there; 2. what a wrong one is answered with, which depends on how many came from
        this address; 3. type, size and time of the body; 4. the use case; 5. the chain, leaf first.
        """
        # 1. the token
        found = _BEARER.fullmatch(request.headers.get("authorization", ""))
        if found is None:
            hint = "send the link's token as: Authorization: Bearer TOKEN"
            raise RequestRefused("token-missing", "this needs the token of a one-time link", hint=hint)
        # 2. the address
        source, now = _source(request), self._services.clock.monotonic()
        too_many = self._throttle.refusal(source_key(source), now)
        # 3. the body
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() not in _CSR_TYPES:
            raise MalformedInput("media-type-wrong", f"send the request as {_CSR_TYPES[0]}, PEM or DER")
        csr = await read_body(request, MAX_BODY_BYTES)
        # 4. the use case
        try:
            issued = await self._pool.run(
                lambda: redeem(self._services, found[1], csr, source_address=source, if_wrong=too_many)
            )
        except RequestRefused as error:
            if error.code == "invitation-invalid":
                self._throttle.note_failure(source_key(source), now)
            raise
        # 5. the chain
        return render_issued(issued, wants_json=_wants_json(request))


def render_issued(issued: Issued, *, wants_json: bool) -> Response:
    """Return a fresh certificate with its chain: PEM, leaf first, or JSON."""
    pem = _to_pem(issued.chain_der)
    headers = _NO_STORE | {"Vary": "Accept"}
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


def _to_pem(chain: Sequence[bytes]) -> list[str]:
    return [x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM).decode("ascii") for der in chain]


def _wants_json(request: Request) -> bool:
    """Say whether JSON is asked for by name; anything else gets the chain, as `*/*` and no field do."""
    accepted = [
        part.partition(";")[0].strip().lower() for part in request.headers.get("accept", "").split(",")
    ]
    return "application/json" in accepted and CHAIN_TYPE not in accepted


def _source(request: Request) -> str:
    """Return the visitor's address: the last entry of X-Forwarded-For.

    Only the gateway reaches this socket, and it appends the address of the peer as the kernel sees
    it; whatever stands before the last comma was sent by the visitor.
    """
    return request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()[:64]
