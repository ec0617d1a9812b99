"""A new certificate by passkey, if a person's certificate has ended or the device is lost.

    GET  /renew                a page that uses a passkey and makes a key
    POST /renew/challenge      the options for the authenticator
    POST /renew/certificates   exchange its answer and a CSR for a certificate

The caller has no certificate: only the passkey identifies the person. The page is offered only if browsers trust the portal's
server certificate, because they use passkeys on no other page. Wrong answers are counted by address; they never cause a
correct one to be refused.
Not here: the checks, and who may renew (directory.passkey_renewal).
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from doorward.audit.counting import source_key
from doorward.core.errors import MalformedInput, NotFound, RequestRefused
from doorward.directory.passkey_renewal import PasskeyRenewer
from doorward.web.edge import read_body
from doorward.web.guard import UnguardedRoute
from doorward.web.identity import source_of
from doorward.web.look.languages import language_of
from doorward.web.portal.context import PortalContext
from doorward.web.portal.devices import list_devices
from doorward.web.portal.factors import PortalFactors
from doorward.web.throttle import AttemptThrottle
from doorward.web.token_exchange import render_issued
from doorward.wire.json_object import parse_json_object

MAX_BODY_BYTES = 64 * 1024
"""A WebAuthn answer may have 32 KiB, a CSR 16 KiB, and base64 adds a third."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewalBody:
    """The body of the page's request: the WebAuthn answer as JSON, the PKCS#10 request, and whether the old device is lost."""

    answer: str
    request: bytes
    lost: bool


class RenewalRoutes:
    """The routes of renewal by passkey.

    Args:
        portal: the portal.
        factors: has the relying party of WebAuthn.
    """

    def __init__(self, portal: PortalContext, factors: PortalFactors) -> None:
        self._portal = portal
        self._factors = factors
        self._renewer = PasskeyRenewer(portal.services, within=portal.options.renewal)
        self._throttle = AttemptThrottle()

    def route_table(self) -> Sequence[UnguardedRoute]:
        """Return the routes."""
        why = "the person has no valid certificate: the passkey identifies the person"
        return (
            UnguardedRoute(path="/renew", answer=self._page, why=why),
            UnguardedRoute(method="POST", path="/renew/challenge", answer=self._challenge, why=why),
            UnguardedRoute(method="POST", path="/renew/certificates", answer=self._certificates, why=why),
        )

    async def _page(self, request: Request) -> Response:
        context = {
            "offered": self._portal.options.is_trusted,
            "devices": list_devices(language_of(request)),
            "days": self._portal.options.renewal.days,
        }
        return self._portal.pages.page(request, "portal/renew.html", context)

    async def _challenge(self, request: Request) -> Response:
        self._require_offered()
        await read_body(request, MAX_BODY_BYTES)
        party = await self._factors.party()
        return JSONResponse(self._renewer.ask(party), headers={"Cache-Control": "no-store"})

    async def _certificates(self, request: Request) -> Response:
        self._require_offered()
        source, now = source_of(request), self._portal.services.clock.monotonic()
        too_many = self._throttle.refusal(source_key(source), now)
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise MalformedInput("media-type-wrong", "send the request as application/json")
        body = parse_renewal(await read_body(request, MAX_BODY_BYTES))
        party = await self._factors.party()
        try:
            issued = await self._portal.run(
                lambda: self._renewer.renew(
                    body.answer, body.request, party=party, lost=body.lost, source=source, if_wrong=too_many
                )
            )
        except RequestRefused as error:
            if error.code in {"passkey-refused", "too-many-attempts"}:
                self._throttle.note_failure(source_key(source), now)
            raise
        return render_issued(issued, wants_json=True)

    def _require_offered(self) -> None:
        if not self._portal.options.is_trusted:
            raise NotFound("path-unknown", "passkeys cannot be used here")


def parse_renewal(body: bytes) -> RenewalBody:
    """Return the parsed body.

    Args:
        body: JSON with `credential` (an object), `request` (base64) and perhaps `lost` (true or false).

    Raises:
        MalformedInput: `renewal-malformed`.
    """
    members = parse_json_object(body, code="renewal-malformed", what="the renewal")
    credential, request, lost = members.get("credential"), members.get("request"), members.get("lost", False)
    if not isinstance(credential, dict) or not isinstance(request, str) or not isinstance(lost, bool):
        raise MalformedInput(
            "renewal-malformed",
            "the body must have the members credential (an object), request (a text) and perhaps lost (true or false)",
        )
    try:
        decoded = base64.b64decode(request.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise MalformedInput("renewal-malformed", "the request is not base64") from None
    return RenewalBody(answer=json.dumps(credential), request=decoded, lost=lost)
