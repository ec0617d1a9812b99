"""The EST surface: five operations below `/.well-known/est`.

    GET  cacerts         the authority's certificates
    GET  csrattrs        which key is wanted
    POST simpleenroll    a certificate, by one-time token (Basic) or by the shown certificate
    POST simplereenroll  a certificate, by the shown certificate
    POST serverkeygen    a key and its certificate, by one-time token; off by default

It is served on a unix socket. Its only peer is the gateway's EST door, which asks for a client certificate and verifies
nothing: `X-Forwarded-Client-Cert` is what the client showed, set by Envoy on every request, and the use case judges it.
Answers are what old clients read: base64 in one line, errors as text (RFC 7030 section 4.2.3).
Not here: who may get a certificate (enrolment.est), the bytes (wire.est).
Standard: RFC 7030 section 4, RFC 8951 section 3, RFC 7617 section 2.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from doorward.audit.counting import source_key
from doorward.core.errors import DoorwardError, MalformedInput, NotFound, RequestRefused
from doorward.directory.fleets.admission import EnrolmentPending
from doorward.enforcement.envoy.names import SHOWN_CHAIN
from doorward.enforcement.open_routes import EST_ROUTES
from doorward.enrolment.est.enrolling import (
    EstPeer,
    Recognised,
    authority_certificates,
    enrol,
    generate,
    recognise,
    reenrol,
)
from doorward.pki.certs_only import CSR_ATTRIBUTES, render_certs_only
from doorward.stores.services import Services
from doorward.web.edge import read_body
from doorward.web.identity import source_of
from doorward.web.pool import UseCasePool
from doorward.web.problems import choose_status, incident_of, retry_after_of
from doorward.web.throttle import AttemptThrottle
from doorward.wire.est import (
    BODY_LIMIT,
    needs_short_lines,
    parse_basic,
    parse_body,
    render_body,
    render_key_and_certificate,
)
from doorward.wire.forwarded_chain import parse_forwarded_chain

CERTIFICATES_TYPE = "application/pkcs7-mime"
ISSUED_TYPE = "application/pkcs7-mime; smime-type=certs-only"
ATTRIBUTES_TYPE = "application/csrattrs"
REQUEST_TYPE = "application/pkcs10"
_NOT_STORED = {"Cache-Control": "no-store"}
_BASE64 = {"Content-Transfer-Encoding": "base64", **_NOT_STORED}
_CHALLENGE = 'Basic realm="doorward est", charset="UTF-8"'
_UNAUTHORIZED = 401

PER_CERTIFICATE = 60
"""Requests with one certificate in ten minutes; a device that waits for its approval asks every 30 s at most."""

Answer = Callable[[Request], Awaitable[Response]]
T = TypeVar("T")
UseCase = Callable[[Services, EstPeer, bytes, RequestRefused | None], T]


class EstSurface:
    """The routes of the EST host over one set of services.

    Args:
        services: the ports of a process that may sign.
        pool: the threads that run use cases.
        makes_keys: whether serverkeygen is allowed.
    """

    def __init__(self, services: Services, pool: UseCasePool, *, makes_keys: bool = False) -> None:
        self._services = services
        self._pool = pool
        self._makes_keys = makes_keys
        self._wrong_tokens = AttemptThrottle()
        self._asked = {one: _count_by_certificate() for one in (Recognised.OURS, Recognised.FACTORY)}

    def routes(self) -> list[Route]:
        """Return the routes."""
        answers: dict[str, Answer] = {
            "cacerts": self.authorities,
            "csrattrs": self.attributes,
            "serverkeygen": self.generate,
            "simpleenroll": self.enrol,
            "simplereenroll": self.reenrol,
        }
        return [
            Route(one.path, _in_words(answers[one.path.rpartition("/")[2]]), methods=[one.method])
            for one in EST_ROUTES
        ]

    async def authorities(self, request: Request) -> Response:
        """Answer with the certificates of the authority; the client must check the root against a known digest."""
        found = await self._pool.run(lambda: render_certs_only(authority_certificates(self._services)))
        return _answer(request, found, CERTIFICATES_TYPE)

    async def attributes(self, request: Request) -> Response:
        """Answer with the key that is wanted."""
        return _answer(request, CSR_ATTRIBUTES, ATTRIBUTES_TYPE)

    async def enrol(self, request: Request) -> Response:
        """Issue a certificate by a token or by the shown certificate."""
        issued = await self._issue(request, enrol)
        return _answer(request, render_certs_only(issued.chain_der[:1]), ISSUED_TYPE)

    async def reenrol(self, request: Request) -> Response:
        """Issue a certificate by the shown certificate."""
        issued = await self._issue(request, reenrol)
        return _answer(request, render_certs_only(issued.chain_der[:1]), ISSUED_TYPE)

    async def generate(self, request: Request) -> Response:
        """Make a key and issue its certificate by a token, if the setting allows it."""
        if not self._makes_keys:
            raise NotFound(
                "key-generation-off",
                "no keys are made here",
                hint="make the key on the device, and send a request for it to simpleenroll",
            )
        made = await self._issue(request, generate)
        media_type, body = render_key_and_certificate(
            made.pkcs8, render_certs_only(made.issued.chain_der[:1]), short_lines=_short_lines(request)
        )
        return Response(body, media_type=media_type, headers=_NOT_STORED)

    async def _issue(self, request: Request, use_case: UseCase[T]) -> T:
        """Run a use case, within the limits of the client.

        1. Read what the client showed; 2. refuse a certificate that asks too often; choose the error for a wrong token, by
        the number of earlier ones from this address; 3. read the body, within its limits; 4. run the use case.
        """
        # 1. what was shown
        peer = _peer_of(request)
        # 2. the limits
        source, now = source_key(peer.source), self._services.clock.monotonic()
        await self._count(peer, now)
        too_many = self._wrong_tokens.refusal(source, now)
        # 3. the body
        csr = await _read_request(request)
        # 4. the use case
        try:
            return await self._pool.run(lambda: use_case(self._services, peer, csr, too_many))
        except RequestRefused as error:
            if error.code == "invitation-invalid":
                self._wrong_tokens.note_failure(source, now)
            raise

    async def _count(self, peer: EstPeer, now: float) -> None:
        """Count a request with a certificate; raise `RequestRefused` (`too-many-attempts`) for too many of one certificate.

        Each refused renewal is an event: a device that asks in a loop must not fill the record. Only certificates of ours and
        of manufacturers are counted, each in a table of its own. A stranger can make certificates without end, and would
        push the others out of a table; it leaves no trace, and costs little (`directory.fleets.judging`).
        """
        if not peer.chain:
            return
        counted = self._asked.get(await self._pool.run(lambda: recognise(self._services, peer)))
        if counted is not None:
            leaf = hashlib.sha256(peer.chain[0]).hexdigest()
            if refusal := counted.refusal(leaf, now):
                raise refusal
            counted.note_failure(leaf, now)


def _count_by_certificate() -> AttemptThrottle:
    return AttemptThrottle(
        per_source=PER_CERTIFICATE,
        in_total=None,
        detail="too many requests came from the holder of this certificate",
        hint="wait, then try again",
    )


def _peer_of(request: Request) -> EstPeer:
    """Return what the client showed; raises as `parse_basic` and `parse_forwarded_chain`."""
    fields = request.headers.getlist("authorization")
    shown = request.headers.getlist(SHOWN_CHAIN)
    return EstPeer(
        credentials=parse_basic(",".join(fields)) if fields else None,
        chain=parse_forwarded_chain(",".join(shown)) if shown else (),
        source=source_of(request),
    )


async def _read_request(request: Request) -> bytes:
    """Return the PKCS#10 request of a body; raises `MalformedInput` and as `read_body`."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != REQUEST_TYPE:
        raise MalformedInput("media-type-wrong", f"send the request as {REQUEST_TYPE}")
    return parse_body(await read_body(request, BODY_LIMIT))


def _short_lines(request: Request) -> bool:
    return needs_short_lines(request.headers.get("user-agent", ""))


def _answer(request: Request, der: bytes, media_type: str) -> Response:
    body = render_body(der, short_lines=_short_lines(request))
    return Response(body, media_type=media_type, headers={**_BASE64, "Cache-Control": "no-store"})


def _in_words(answer: Answer) -> Answer:
    """Return a handler that answers our own errors with text, and 401 with a challenge for Basic."""

    async def handle(request: Request) -> Response:
        try:
            return await answer(request)
        except EnrolmentPending as pending:
            headers = {**_NOT_STORED, "Retry-After": str(int(pending.retry_after.total_seconds()))}
            text = f"an operator has to approve this device first ({pending.enrolment_id}): ask again later\n"
            return Response(text, status_code=202, media_type="text/plain", headers=headers)
        except DoorwardError as error:
            status = choose_status(error)
            if status >= 500 and status != 503:  # noqa: PLR2004 - an incident, which the middleware logs
                raise
            incident = incident_of(request.headers.get("x-request-id", ""))
            lines = [f"{error.detail} ({error.code})", error.hint, f"incident {incident}" if incident else ""]
            headers = {**_NOT_STORED, **retry_after_of(error)}
            if status == _UNAUTHORIZED:
                headers["WWW-Authenticate"] = _CHALLENGE
            text = "".join(f"{line}\n" for line in lines if line)
            if error.code == "credentials-missing":
                text = ""  # Bouncy Castle 1.72 gives up if the answer that asks for its password has a body
            return Response(text, status_code=status, media_type="text/plain", headers=headers)

    return handle
