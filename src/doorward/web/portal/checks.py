"""Checking a second factor on the portal's own origin.

    GET  /check/{id}          forms for the factors that this person has, strongest first
    POST /check/{id}/{kind}   check one of them: webauthn, totp, password

`id` is a step-up of the caller's certificate. A good factor is noted in the portal's session, under a new cookie. When all
requirements of the rule are met, the person continues to the page that asked for the check.
Not here: the beginning of a step-up (step_up), checking a factor (directory.factors, factors).
"""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from doorward.core.errors import NotFound, RequestRefused, Unavailable
from doorward.core.factor_kinds import SESSION_FACTORS, FactorKind
from doorward.core.names import PORTAL_APPLICATION
from doorward.core.shown_factors import ShownFactors
from doorward.directory.callers import Caller
from doorward.directory.portal_sessions import note_factor
from doorward.directory.step_ups import end_own_check, find_step_up
from doorward.policy.requirements import Requirement
from doorward.stores.factor_records import SessionRecord, StepUpRecord
from doorward.web.answers import cookie_of, form_of, redirect
from doorward.web.look.error_texts import render_error_line
from doorward.web.look.languages import language_of
from doorward.web.portal.context import PORTAL_COOKIE, PortalContext, portal_cookie
from doorward.web.portal.factors import PortalFactors
from doorward.web.portal.missing_requirements import find_missing_requirements
from doorward.web.portal.step_up import send_back

_KINDS = {kind.value: kind for kind in SESSION_FACTORS}


class CheckRoutes:
    """The routes of checking.

    Args:
        portal: the portal.
        factors: lists and checks factors.
    """

    def __init__(self, portal: PortalContext, factors: PortalFactors) -> None:
        self._portal = portal
        self._factors = factors

    async def ask(self, request: Request, caller: Caller) -> Response:
        """Show forms for the factors that this person has."""
        portal, step_up_id = self._portal, request.path_params["id"]
        step_up = await portal.run(lambda: find_step_up(portal.services, caller, step_up_id))
        return await self._form(request, caller, step_up)

    async def check(self, request: Request, caller: Caller) -> Response:
        """Check the factor that was shown, and continue."""
        portal, step_up_id = self._portal, request.path_params["id"]
        kind = _KINDS.get(request.path_params["kind"])
        if kind is None:
            raise NotFound("path-unknown", "there is no such page here")
        step_up = await portal.run(lambda: find_step_up(portal.services, caller, step_up_id))
        fields = await form_of(request)
        try:
            factor = await self._factors.check(caller, kind, fields)
        except RequestRefused as refusal:
            error_line = render_error_line(refusal, language_of(request))
            return await self._form(request, caller, step_up, fault=error_line, status=403)
        except Unavailable as away:
            if away.code != "factor-throttled":
                raise
            return await self._form(
                request, caller, step_up, fault=render_error_line(away, language_of(request)), status=429
            )
        former = cookie_of(request, PORTAL_COOKIE)
        session, token = await portal.run(
            lambda: note_factor(
                portal.services, caller, kind, former=former, idle=portal.options.idle, factor_id=factor.id
            )
        )
        return await self._go_on(request, caller, step_up, session, portal_cookie(token))

    async def _go_on(
        self, request: Request, caller: Caller, step_up: StepUpRecord, session: SessionRecord, cookie: str
    ) -> Response:
        """Lead to the page that asked for the check, or back to the check if a requirement is still missing."""
        portal = self._portal
        if step_up.application_id == PORTAL_APPLICATION:
            done = await portal.run(lambda: end_own_check(portal.services, caller, step_up.id))
            return redirect(done.return_path, (cookie,))
        shown = ShownFactors.of(session.factors)
        if await portal.run(
            lambda: find_missing_requirements(portal.services, portal.snapshots, caller, step_up, shown)
        ):
            return redirect(f"/check/{step_up.id}", (cookie,))
        return await send_back(portal, request, caller, step_up, session, cookies=(cookie,))

    async def _form(
        self, request: Request, caller: Caller, step_up: StepUpRecord, *, fault: str = "", status: int = 200
    ) -> Response:
        portal = self._portal
        session = await portal.session(request, caller)
        shown = ShownFactors.of(session.factors if session else {})
        missing = await portal.run(
            lambda: find_missing_requirements(portal.services, portal.snapshots, caller, step_up, shown)
        )
        kinds = await self._factors.kinds(caller)
        methods = [await self._build_method(caller, kind) for kind in _useful(kinds, missing or frozenset())]
        context = {
            "id": step_up.id,
            "application": await self._name(step_up),
            "methods": methods,
            "fault": fault,
            "usable": portal.options.is_trusted,
            "can_enrol": await self._factors.has_ticket(caller),
        }
        return portal.page(request, caller, "check", context, status=status)

    async def _build_method(self, caller: Caller, kind: FactorKind) -> dict[str, Any]:
        if kind is not FactorKind.WEBAUTHN:
            return {"kind": kind.value}
        question = await self._factors.ask_passkey(caller)
        return {"kind": kind.value, "options": json.dumps(question.options), "question": question.id}

    async def _name(self, step_up: StepUpRecord) -> str:
        """Return the name of the application; empty for the portal itself."""
        portal = self._portal

        def find() -> str:
            with portal.services.work.read() as stores:
                return portal.snapshots.current(stores)[0].names.get(step_up.application_id, "")

        return await portal.run(find)


def _useful(kinds: frozenset[FactorKind], missing: frozenset[Requirement]) -> list[FactorKind]:
    """Return the kinds that a person has, strongest first; if requirements are missing, only kinds that meet one of them."""
    taken = [kind for kind in SESSION_FACTORS if kind in kinds]
    return [kind for kind in taken if not missing or any(kind in one.kinds for one in missing)]
