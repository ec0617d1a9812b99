"""The pages of the door on an application's own host, for connections that were not judged good.

    GET  /_doorward/static/<name>     style and script of these pages and of Envoy's own replies
    GET  /_doorward/problems/<state>  the explanation of a state: the `type` of a problem document
    any  anything else                the page about the refusal, if the door sent the request here

It is served on the sessions socket. The door passes refused requests on, with header fields of its own for the application,
the reason, and the certificate of the browser. They are used only for the texts of a page: the certificate is looked up to
say when and why it was withdrawn.

Not here: the states (`states`), rendering (`message`).
Standard: RFC 9110 section 15.5 (status codes), RFC 9457.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from doorward.core.certificate import RevocationReason
from doorward.core.errors import NotFound
from doorward.enforcement.envoy.names import APPLICATION, CLAIMED_CERTIFICATE, REFUSAL
from doorward.stores.records import CertificateRecord
from doorward.stores.services import Services
from doorward.web.look.assets import answer_asset
from doorward.web.look.dates import render_moment, render_moment_with_distance
from doorward.web.look.languages import language_of
from doorward.web.look.rendering import Look, mark, page_policy, translate
from doorward.web.pages.message import (
    PROBLEMS_PATH,
    Message,
    answer_message,
    build_context,
)
from doorward.web.pages.states import STATES, ActionTarget, state_of
from doorward.web.pages.unverified_certificate import UnverifiedCertificate, parse_unverified_certificate
from doorward.web.pool import UseCasePool
from doorward.web.problems import incident_of

STATIC_BASE = "/_doorward/static"
"""The path of style and script for pages on an application's host."""

RENEW_PATH = "/renew"
"""The portal's page for a new certificate by passkey, or for asking the help desk for one."""

_APPLICATION = re.compile(r"[a-z0-9_]{1,64}")
_WITHDRAWN_BECAUSE = {
    RevocationReason.KEY_COMPROMISE: mark(
        "It was reported lost on %(at)s and gives no access any more. If you did not report it, tell the help desk now."
    ),
    RevocationReason.SUPERSEDED: mark(
        "Another certificate replaced it on %(at)s. If you did not replace it, tell the help desk now."
    ),
    RevocationReason.CESSATION_OF_OPERATION: mark(
        "It was withdrawn on %(at)s because it was no longer needed. If you still need a certificate, get a new one."
    ),
}
_WITHDRAWN = mark(
    "It was withdrawn on %(at)s and gives no access any more. If you did not withdraw it, tell the help desk now."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _StoredFacts:
    """What is stored: the name of the application, and the certificate if it is one of ours.

    `is_lost`: whether its holder reported it lost; after a revocation, a passkey gives a new certificate only then.
    """

    application: str
    certificate: CertificateRecord | None
    is_lost: bool


class PagesSurface:
    """The routes of the pages of the door.

    Args:
        services: the ports of this process.
        pool: where use cases run.
        look: with `STATIC_BASE`.
        portal_origin: origin of the portal; empty if pages have no links to it.
        renews_here: whether this is the portal itself, where people get new certificates.
    """

    def __init__(
        self,
        services: Services,
        pool: UseCasePool,
        look: Look,
        *,
        portal_origin: str = "",
        renews_here: bool = False,
    ) -> None:
        self._services = services
        self._pool = pool
        self._look = look
        self._targets = build_targets(portal_origin)
        if renews_here:
            self._targets[ActionTarget.RENEW] = RENEW_PATH

    def routes(self) -> list[Route]:
        """Return the routes; the last one takes every path and method."""
        return [
            Route(f"{STATIC_BASE}/{{name}}", self.static, methods=["GET"]),
            Route(f"{PROBLEMS_PATH}{{name}}", self.problem, methods=["GET"]),
            Route("/{path:path}", _CatchAllRoute(self)),
        ]

    async def static(self, request: Request) -> Response:
        """Answer with a static file."""
        return answer_asset(self._look.assets, request.path_params["name"])

    async def problem(self, request: Request) -> Response:
        """Answer with the explanation of a state."""
        name, language = request.path_params["name"], language_of(request)
        if name not in STATES:
            raise NotFound("path-unknown", "there is no such page here")
        values = {"application": translate(mark("the application"), language), "who": "…", "issuer": "…"}
        values |= {"organisation": self._look.brand.name, "since": "…", "until": "…", "now": "…"}
        context = build_context(self._look, Message(state=name, language=language, values=values))
        page = self._look.render("door.html", context | {"reloads": ""}, language)
        headers = {"Content-Security-Policy": page_policy(), "Cache-Control": "public, max-age=300"}
        return HTMLResponse(page, headers=headers | {"Vary": "Accept-Language, Cookie"})

    async def refused(self, request: Request) -> Response:
        """Answer with the page about a refusal."""
        claimed = parse_unverified_certificate(request.headers.get(CLAIMED_CERTIFICATE, ""))
        application = request.headers.get(APPLICATION, "")
        known = await self._pool.run(lambda: self._load_facts(application, claimed))
        refusal = request.headers.get(REFUSAL)
        state = "nothing-here" if refusal is None else state_of(refusal)
        return answer_message(self._look, request, self._message(request, state, claimed, known))

    def _load_facts(self, application: str, claimed: UnverifiedCertificate | None) -> _StoredFacts:
        with self._services.work.read() as stores:
            found = stores.certificates.by_sha256(claimed.sha256) if claimed else None
            named = [one.name for one in stores.applications.list() if one.id == application]
            note = stores.holder_notes.of([found.id]).get(found.id) if found else None
        is_lost = note is not None and note.lost_at is not None
        return _StoredFacts(application=named[0] if named else "", certificate=found, is_lost=is_lost)

    def _message(
        self, request: Request, state: str, claimed: UnverifiedCertificate | None, known: _StoredFacts
    ) -> Message:
        language, now = language_of(request), self._services.clock.now()
        record = known.certificate
        values: dict[str, object] = {
            "application": known.application or translate(mark("this application"), language),
            "organisation": self._look.brand.name,
            "who": record.subject_name if record else "?",
            "now": render_moment(now, language),
        }
        if claimed:
            values["issuer"] = claimed.issuer_name
            values["since"] = render_moment_with_distance(claimed.not_before, now, language)
            values["until"] = render_moment_with_distance(claimed.not_after, now, language)
        elif state not in _WITHOUT_CERTIFICATE:
            state = "certificate-missing"  # the texts of this state need values from the certificate
        why = ""
        if state == "certificate-withdrawn" and record and record.revoked_at:
            values["at"] = render_moment_with_distance(record.revoked_at, now, language)
            why = _WITHDRAWN_BECAUSE.get(record.reason or RevocationReason.UNSPECIFIED, _WITHDRAWN)
        targets = dict(self._targets)
        if state == "certificate-withdrawn" and not known.is_lost:
            targets.pop(ActionTarget.RENEW, None)  # an administrator withdrew it and decides about a new one
        return Message(
            state=state,
            language=language,
            values=values,
            why=why,
            incident=incident_of(request.headers.get("x-request-id", "")),
            at=now,
            facts=_facts(language, known, claimed),
            targets=targets,
            until=claimed.not_before if claimed and state == "certificate-not-yet-valid" else None,
        )


_WITHOUT_CERTIFICATE = frozenset(STATES) - {
    "certificate-ended",
    "certificate-not-yet-valid",
    "certificate-from-elsewhere",
}


class _CatchAllRoute:
    """The route of every path and method."""

    def __init__(self, surface: PagesSurface) -> None:
        self._surface = surface

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._surface.refused(Request(scope, receive))
        await response(scope, receive, send)


def build_targets(portal_origin: str) -> dict[ActionTarget, str]:
    """Return the targets of buttons and links on a page on an application's host."""
    targets = {ActionTarget.AGAIN: "", ActionTarget.ROOT: "/", ActionTarget.ANOTHER: "#another"}
    if portal_origin:
        targets |= {
            ActionTarget.RENEW: f"{portal_origin}{RENEW_PATH}",
            ActionTarget.PORTAL: f"{portal_origin}/",
        }
    return targets


def _facts(
    language: str, known: _StoredFacts, claimed: UnverifiedCertificate | None
) -> list[tuple[str, object]]:
    facts: list[tuple[str, object]] = []
    if known.application:
        facts.append((translate(mark("Application"), language), known.application))
    if claimed:
        facts += [
            (translate(mark("Certificate of"), language), claimed.subject),
            (translate(mark("Issued by"), language), claimed.issuer),
            (translate(mark("Serial number ends in"), language), claimed.serial_end),
            (translate(mark("Valid from"), language), render_moment(claimed.not_before, language)),
            (translate(mark("Valid until"), language), render_moment(claimed.not_after, language)),
        ]
    return facts
