"""The door's own pages on the hosts of applications: back from the portal, and out.

    GET  /_doorward/callback      a one-use code becomes the application's session cookie
    POST /_doorward/sign-out      the sessions of this person at this application end; `everywhere` ends all
    GET  /_doorward/signed-out    whether that has taken effect
    POST /_doorward/choose        another certificate, also for who has no good one (web.certificate_choice)

The door passes on only what comes on a connection with a good certificate, and says in `Doorward-Application` which
application's door it is. That header is believed no further than the assertion: it must be for the same application.
Signing out answers first and acts then: it cuts the connections of the person, this one too, and the answer would be
lost. The page goes on by itself a second later, on a new connection, to one that looks whether it has taken effect.
Not here: opening and ending sessions (directory.sessions), pages for connections without a good certificate.
Standard: RFC 6265 (cookies), RFC 9110 section 15.4.4 (303).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from doorward.core.errors import NotFound, RequestRefused
from doorward.directory.callers import Caller
from doorward.directory.certificate_choices import CertificateChoiceRecorder
from doorward.directory.session_tokens import sign_session_token
from doorward.directory.sessions import LIFETIME, list_sessions, redeem_code, sign_out
from doorward.directory.step_ups import with_port
from doorward.policy.model import AppPolicy
from doorward.stores.policy_snapshot import PolicySnapshots
from doorward.stores.services import Services
from doorward.web.answers import CUT_DELAY_SECONDS, Pages, cookie_of, form_of, redirect, wants_page
from doorward.web.certificate_choice import CertificateChoiceRoute
from doorward.web.guard import Guard, GuardedRoute, OpenHandler, UnguardedRoute
from doorward.web.identity import Identities
from doorward.web.look.languages import language_of
from doorward.web.look.rendering import mark
from doorward.web.pages.message import Message, answer_message
from doorward.web.pages.surface import build_targets
from doorward.web.pool import UseCasePool
from doorward.web.portal.context import PortalOptions, port_of
from doorward.web.problems import incident_of
from doorward.wire.cookies import render_cookie

SESSION_COOKIE = "__Host-doorward-session"
BEGIN_COOKIE = "__Host-doorward-begin"
APPLICATION = "doorward-application"
SIGNED_OUT = "/_doorward/signed-out"

STATUS_CHECKS, STATUS_CHECK_SECONDS = 40, 0.05
"""The page after a sign-out checks so often, at this interval, whether it has taken effect: for two seconds."""


class SessionSurface:
    """The routes of the door on the hosts of applications.

    Args:
        services: of a process that may sign.
        pool: where use cases run.
        pages: how they look.
        options: what the settings say of the portal, for the door's port.
        snapshots: the policy in force.
        lifetime: of sessions.
        without_certificate: answers people without a good certificate.
        choice_recorder: notes who wants to show another certificate; shared with the portal.
        status_checks: how often the page after signing out looks whether it has taken effect.
    """

    def __init__(
        self,
        services: Services,
        pool: UseCasePool,
        pages: Pages,
        options: PortalOptions,
        snapshots: PolicySnapshots,
        *,
        lifetime: timedelta = LIFETIME,
        without_certificate: OpenHandler | None = None,
        choice_recorder: CertificateChoiceRecorder | None = None,
        status_checks: int = STATUS_CHECKS,
    ) -> None:
        self._services = services
        self._pool = pool
        self._pages = pages
        self._options = options
        self._snapshots = snapshots
        self._lifetime = lifetime
        self._status_checks = status_checks
        identities = Identities(services, pool)
        self._certificate_choice = CertificateChoiceRoute(
            choice_recorder or CertificateChoiceRecorder(services), pool, identities, self._audience
        )
        self._guard = Guard(
            identities,
            audience=self._audience,
            origin=self._origin,
            refusal=pages.refusal,
            without_certificate=without_certificate,
        )

    def route_table(self) -> Sequence[GuardedRoute | UnguardedRoute]:
        """Return what there is."""
        return (
            GuardedRoute(method="GET", path="/_doorward/callback", answer=self.callback),
            GuardedRoute(method="POST", path="/_doorward/sign-out", answer=self.sign_out),
            GuardedRoute(method="GET", path=SIGNED_OUT, answer=self.signed_out),
            self._certificate_choice.route(),
        )

    def routes(self) -> list[Route]:
        """Return the routes."""
        return self._guard.routes(self.route_table())

    async def callback(self, request: Request, caller: Caller) -> Response:
        """Exchange the code for a session cookie, and send the person back to the application."""
        app, application_id = await self._application(request)
        host, codes = await self._host(request, app), request.query_params.getlist("code")
        begin = cookie_of(request, BEGIN_COOKIE)

        def open_session() -> tuple[str, str]:
            opened = redeem_code(
                self._services,
                caller,
                code=codes[0] if len(codes) == 1 else "",
                application_id=application_id,
                host=host,
                begin=begin,
                lifetime=self._lifetime,
            )
            with self._services.work.read() as stores:
                domain = self._snapshots.current(stores)[0].trust_domain
            token = sign_session_token(
                self._services, caller, opened, trust_domain=domain, application=app.name
            )
            return token, opened.return_path

        try:
            token, path = await self._pool.run(open_session)
        except RequestRefused as refusal:
            if refusal.code != "session-code-refused" or not wants_page(request):
                raise
            if refusal.context.get("reason") == "code-of-other-certificate":
                return await self._two_certificates(request, app)
            return self._no_way_back(request)
        cookies = (render_cookie(SESSION_COOKIE, token), render_cookie(BEGIN_COOKIE, "", max_age_seconds=0))
        return redirect(f"https://{host}{path}", cookies)

    async def _two_certificates(self, request: Request, app: AppPolicy) -> Response:
        """Say that the browser uses different certificates for the portal and for this application."""
        origin, language = await self._pool.run(self._options.origin), language_of(request)
        message = Message(
            state="two-certificates",
            language=language,
            values={"application": app.name},
            incident=incident_of(request.headers.get("x-request-id", "")),
            at=self._services.clock.now(),
            targets=build_targets(origin),
        )
        return answer_message(self._pages.look, request, message)

    def _no_way_back(self, request: Request) -> Response:
        """Say that the code is not valid, and how to begin again."""
        return self._pages.message(
            request,
            title=mark("The link back to the application has expired"),
            text=mark("This link works once, within 30 seconds, in the window that you came from."),
            hint=mark("Nothing is lost. Open the application again."),
            action=("/", mark("Open again")),
            status=403,
        )

    async def sign_out(self, request: Request, caller: Caller) -> Response:
        """Answer, then end the sessions of the person at this application, or everywhere."""
        _, application_id = await self._application(request)
        everywhere = "everywhere" in (await form_of(request))

        async def end() -> None:
            await asyncio.sleep(CUT_DELAY_SECONDS)
            await self._pool.run(
                lambda: sign_out(
                    self._services,
                    caller.principal_id,
                    application_id="" if everywhere else application_id,
                    actor=caller.principal_id,
                )
            )

        answer = self._pages.page(
            request,
            "portal/signing_out.html",
            {"to": SIGNED_OUT},
            cookies=(render_cookie(SESSION_COOKIE, "", max_age_seconds=0),),
        )
        answer.background = BackgroundTask(end)
        return answer

    async def signed_out(self, request: Request, caller: Caller) -> Response:
        """Say whether the sign-out has taken effect: no session of the person is open at this application."""
        _, application_id = await self._application(request)

        def open_here() -> bool:
            listed = list_sessions(self._services, caller.principal_id)
            return any(one.application_id == application_id for one in listed)

        for _ in range(self._status_checks):
            if not await self._pool.run(open_here):
                return self._pages.message(
                    request,
                    title=mark("You are signed out"),
                    text=mark(
                        "This application asks for your second factor again. Your certificate still opens the door."
                    ),
                    action=("/", mark("Open again")),
                )
            await asyncio.sleep(STATUS_CHECK_SECONDS)
        return self._pages.message(
            request,
            title=mark("You are not signed out yet"),
            text=mark("A session of yours is still open at this application."),
            hint=mark("Sign out once more. If the session stays open, tell the help desk."),
            status=503,
        )

    async def _application(self, request: Request) -> tuple[AppPolicy, str]:
        """Return the application that the request was sent to, and its id.

        Raises:
            NotFound: `application-unknown`.
        """
        ids = request.headers.getlist(APPLICATION)

        def find() -> AppPolicy | None:
            with self._services.work.read() as stores:
                return self._snapshots.current(stores)[0].policies.get(ids[0])

        app = await self._pool.run(find) if len(ids) == 1 else None
        if app is None:
            raise NotFound("application-unknown", "there is no such application here")
        return app, ids[0]

    async def _audience(self, request: Request) -> str:
        return (await self._application(request))[0].name

    async def _host(self, request: Request, app: AppPolicy) -> str:
        """Return the requested host, with its port as browsers write it; it must belong to the application.

        Raises:
            RequestRefused: `host-wrong`.
        """
        port = port_of(await self._pool.run(self._options.origin))
        named = request.headers.get("host", "").lower()
        for host in app.hosts:
            if named in (with_port(host, port), f"{host}:{port}"):
                return with_port(host, port)
        raise RequestRefused("host-wrong", "this is not a host of this application")

    async def _origin(self, request: Request) -> str:
        app, _ = await self._application(request)
        return f"https://{await self._host(request, app)}"
