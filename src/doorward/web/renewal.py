"""Renewal without people over HTTP, on the enrolment host.

    GET  /renew/nonce    a nonce, for five minutes
    POST /renew          exchange a proof by the old key and a new PKCS#10 request for a certificate
    POST /renew/report   what an agent says about itself; the answer says whether it should renew

Wrong proofs are counted by address: beyond the limit they get 429 and no event. A good proof is never refused because of them.
Requests with a good proof are counted by certificate, so that one client that asks again and again neither fills the record
nor keeps the database busy.
Not here: the proof and the rules (enrolment.renewal).
Standard: docs/design/0078; RFC 9457, RFC 8259, RFC 4648 section 4.
"""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from doorward.audit.counting import source_key
from doorward.core.errors import MalformedInput, RequestRefused
from doorward.enrolment.renewal import ProvenMessage, RenewalByProof
from doorward.pki.proof import ProofUse
from doorward.stores.records import CertificateRecord
from doorward.stores.services import Services
from doorward.web.edge import read_body
from doorward.web.identity import source_of
from doorward.web.pool import UseCasePool
from doorward.web.throttle import AttemptThrottle
from doorward.web.token_exchange import render_issued, wants_json
from doorward.wire.json_object import parse_json_object

MAX_BODY_BYTES = 32 * 1024
"""As the door allows for an open host. Certificate, request and signature with RSA keys of 8192 bits have 11 KiB in base64."""

PER_CERTIFICATE = 30
"""Requests of one certificate in ten minutes; an agent that tries again every minute stays below it."""

_NO_STORE = {"Cache-Control": "no-store"}


class RenewalExchange:
    """Answers the requests of renewal, and counts them.

    Args:
        services: the ports of a process that may sign.
        pool: the threads that run use cases.
    """

    def __init__(self, services: Services, pool: UseCasePool) -> None:
        self._services = services
        self._pool = pool
        self._renewals = RenewalByProof(services)
        self._wrong = AttemptThrottle(
            detail="too many wrong proofs came from your network address",
            hint="send the certificate exactly as it was issued, and sign with its key",
        )
        self._asked = AttemptThrottle(
            per_source=PER_CERTIFICATE,
            in_total=None,
            detail="too many requests came from the holder of this certificate",
            hint="wait, then try again",
        )

    async def nonce(self, _request: Request) -> Response:
        """Answer with a nonce and the time of the server."""
        nonce, now = self._renewals.make_nonce()
        return JSONResponse({"nonce": nonce, "time": render_moment(now)}, headers=_NO_STORE)

    async def renew(self, request: Request) -> Response:
        """Issue a certificate for a new request with a proof by the old key."""
        shown = parse_proven_message(await _read_json(request), "request")
        record = await self._require_proof(request, shown, ProofUse.RENEW)
        issued = await self._pool.run(lambda: self._renewals.renew(record, shown.message))
        return render_issued(issued, wants_json=wants_json(request))

    async def report(self, request: Request) -> Response:
        """Record facts with a proof by the key of the certificate."""
        shown = parse_proven_message(await _read_json(request), "facts")
        record = await self._require_proof(request, shown, ProofUse.REPORT)
        told = await self._pool.run(lambda: self._renewals.report(record, shown.message))
        value = {
            "renew": "now" if told.renew_now else "later",
            "renew_at": render_moment(told.renew_at),
            "check_again_seconds": int(told.check_again.total_seconds()),
            "time": render_moment(self._services.clock.now()),
            "reason": told.reason,
        }
        return JSONResponse(value, headers=_NO_STORE)

    async def _require_proof(
        self, request: Request, shown: ProvenMessage, use: ProofUse
    ) -> CertificateRecord:
        source, now = source_of(request), self._services.clock.monotonic()
        too_many = self._wrong.refusal(source_key(source), now)
        try:
            record = await self._pool.run(
                lambda: self._renewals.require_proof(shown, use, source=source, if_wrong=too_many)
            )
        except RequestRefused as error:
            if error.code == "proof-invalid":
                self._wrong.note_failure(source_key(source), now)
            raise
        if refusal := self._asked.refusal(record.id, now):
            raise refusal
        self._asked.note_failure(record.id, now)
        return record


def parse_proven_message(body: bytes, member: str) -> ProvenMessage:
    """Return the parsed body of a renewal or a report; the proof is not checked.

    Args:
        body: JSON with `certificate`, `nonce`, `signature` and the member that is signed; all but the nonce are base64.
        member: name of the signed member: `request` or `facts`.

    Raises:
        MalformedInput: `renewal-malformed`.
    """
    members = parse_json_object(body, code="renewal-malformed", what="the body")
    names = ("certificate", "nonce", member, "signature")
    texts = [members.get(name) for name in names]
    certificate, nonce, message, signature = (text if isinstance(text, str) else "" for text in texts)
    if not (certificate and nonce and message and signature):
        raise MalformedInput(
            "renewal-malformed", f"the body must have the members {', '.join(names)}, as texts"
        )
    return ProvenMessage(
        certificate=_decode(certificate, "the certificate"),
        nonce=nonce,
        message=_decode(message, f"the member {member}"),
        signature=_decode(signature, "the signature"),
    )


def render_moment(moment: datetime) -> str:
    """Return a moment in RFC 3339, UTC, whole seconds."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _decode(text: str, what: str) -> bytes:
    """Return the octets of base64 (RFC 4648 section 4); line breaks are removed, because tools write them."""
    try:
        return base64.b64decode("".join(text.split()).encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise MalformedInput("renewal-malformed", f"{what} is not base64") from None


async def _read_json(request: Request) -> bytes:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise MalformedInput("media-type-wrong", "send the request as application/json")
    return await read_body(request, MAX_BODY_BYTES)
