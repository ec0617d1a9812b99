"""From an application to the portal and on: a factor that is fresh enough sends the person straight back.

    GET /step-up/{application}/{authority}/{request}?PATH   the door of an application sends a person here

The whole query, as it is, is the path to which the person returns. It is kept in the database, stands in no link, and
is never logged. Coming here costs a record of which a certificate has twenty at most.
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
"""How often a person is sent straight back within half a minute: a browser without cookies would go on for ever."""

_KEPT = 10_000


class StepUpRoute:
    """The route to which applications send people.

    Args:
        portal: the portal.
    """

    def __init__(self, portal: PortalContext) -> None:
        self._portal = portal
        self._sent: OrderedDict[tuple[str, str], list[float]] = OrderedDict()

    async def arrive(self, request: Request, caller: Caller) -> Response:
        """Keep where the person came from; ask for a factor, or send the person straight back."""
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
                title=mark("The check goes round in circles"),
                text=mark("You have shown what the application asks for, and it asks again."),
                hint=mark(
                    "Your browser may be set to keep no cookies. If it keeps them, tell the help desk."
                ),
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
        """Note that the person is sent straight back; say whether that has happened too often just now."""
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
    """Return the page that goes on to the application with a one-use code.

    It is a page and no redirect: a form may only lead where the page's policy (`form-action`) lets it, and that is
    our own origin. Its address is followed without a referrer (RFC 9110 section 10.1.3).
    """
    _, code = await portal.run(lambda: make_code(portal.services, caller, step_up.id, session))
    to = f"https://{step_up.host}{CALLBACK}?code={code}"
    answer = portal.page(request, caller, "continue", {"to": to, "host": step_up.host}, cookies=cookies)
    answer.headers["Referrer-Policy"] = "no-referrer"
    return answer
