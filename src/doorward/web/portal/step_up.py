"""Step-up from an application: if a factor was shown recently enough, the person returns at once.

    GET /step-up/{application}/{authority}/{request}?PATH   the door of an application redirects a person here

The whole query string is the return path. It is stored in the database, is in no link, and is not logged. Each visit
stores a record; a certificate has at most twenty.
Not here: checking a factor (checks).
"""

from __future__ import annotations

from collections import OrderedDict

from starlette.requests import Request
from starlette.responses import Response

from doorward.core.shown_factors import ShownFactors
from doorward.directory.callers import Caller
from doorward.directory.step_ups import begin_step_up, make_code
from doorward.stores.factor_records import SessionRecord, StepUpRecord
from doorward.web.answers import redirect
from doorward.web.look.rendering import mark
from doorward.web.portal.context import PortalContext
from doorward.web.portal.missing_requirements import find_missing_requirements

CALLBACK = "/_doorward/callback"

LOOPS_SECONDS = 30.0
LOOPS_MOST = 3
"""How often a person is sent back at once within half a minute: a browser without cookies would loop for ever."""

_KEPT = 10_000


class StepUpRoute:
    """The route to which applications redirect people.

    Args:
        portal: the portal.
    """

    def __init__(self, portal: PortalContext) -> None:
        self._portal = portal
        self._sent: OrderedDict[tuple[str, str], list[float]] = OrderedDict()

    async def arrive(self, request: Request, caller: Caller) -> Response:
        """Store where the person came from; ask for a factor, or send the person back at once."""
        portal, path = self._portal, request.scope["query_string"].decode("latin-1")
        names, port = request.path_params, await self._portal.port()
        step_up = await portal.run(
            lambda: begin_step_up(
                portal.services,
                portal.snapshots,
                caller,
                application_id=names["application"],
                authority=names["authority"],
                request=names["request"],
                return_path=path,
                port=port,
            )
        )
        session = await portal.session(request, caller)
        if session is None or not await self._is_enough(step_up, caller, session):
            return redirect(f"/check/{step_up.id}")
        if self._is_loop(caller, step_up):
            return portal.pages.message(
                request,
                title=mark("The check is asked for again and again"),
                text=mark(
                    "You have shown the factor that the application asks for, and the application asks again."
                ),
                hint=mark("Your browser may block cookies. If it does not, tell the help desk."),
                action=(f"/check/{step_up.id}", mark("Try once more")),
                status=409,
            )
        return await send_back(portal, request, caller, step_up, session)

    async def _is_enough(self, step_up: StepUpRecord, caller: Caller, session: SessionRecord) -> bool:
        portal = self._portal
        shown = ShownFactors.of(session.factors)
        needs = await portal.run(
            lambda: find_missing_requirements(portal.services, portal.snapshots, caller, step_up, shown)
        )
        return needs is not None and not needs

    def _is_loop(self, caller: Caller, step_up: StepUpRecord) -> bool:
        """Note that the person is sent back at once; say whether that happened too often in the last seconds."""
        key, now = (
            (caller.certificate_sha256, step_up.application_id),
            self._portal.services.clock.monotonic(),
        )
        recent = [at for at in self._sent.get(key, []) if now - at < LOOPS_SECONDS]
        self._sent[key] = [*recent, now][-LOOPS_MOST:]
        self._sent.move_to_end(key)
        if len(self._sent) > _KEPT:
            self._sent.popitem(last=False)
        return len(recent) >= LOOPS_MOST


async def send_back(
    portal: PortalContext,
    request: Request,
    caller: Caller,
    step_up: StepUpRecord,
    session: SessionRecord,
    *,
    cookies: tuple[str, ...] = (),
) -> Response:
    """Return the page that continues to the application with a one-use code.

    It is a page and not a redirect, because the policy of the page before (`form-action`) allows a form to lead only to our
    own origin, redirects included. The browser sends no referrer to the application (RFC 9110 section 10.1.3).
    """
    _, code = await portal.run(lambda: make_code(portal.services, caller, step_up.id, session))
    to = f"https://{step_up.host}{CALLBACK}?code={code}"
    answer = portal.page(request, caller, "continue", {"to": to, "host": step_up.host}, cookies=cookies)
    answer.headers["Referrer-Policy"] = "no-referrer"
    return answer
