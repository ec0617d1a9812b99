"""The help desk's page: explains an incident id as `doorward explain`, for the members of one group.

    GET  /help-desk    a form with one field
    POST /help-desk    the explanation of the id

For other people, and without the setting `help_desk_group`, it answers 404. It shows names of other people: so a member who
has a second factor must have shown it within 15 minutes, and each look-up is recorded.
Not here: who may look up ids and how often (directory.help_desk), the explanation (`doorward explain`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from http import HTTPStatus
from types import MappingProxyType

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from doorward.core.entities import Reason
from doorward.directory.callers import Caller
from doorward.directory.help_desk import Explained, HelpDesk
from doorward.web.answers import form_of
from doorward.web.guard import GuardedRoute
from doorward.web.look.languages import language_of
from doorward.web.look.rendering import mark, translate
from doorward.web.pages.states import STATES, UNKNOWN_CERTIFICATE, state_of
from doorward.web.portal.context import PortalContext
from doorward.web.portal.factors import PortalFactors

PATH = "/help-desk"
WITHIN = timedelta(minutes=15)
MAX_ID_CHARACTERS = 128

_FACTS: Mapping[str, str] = MappingProxyType(
    {
        "incident": mark("Incident"),
        "when": mark("When"),
        "who": mark("Who"),
        "what": mark("What"),
        "result": mark("Result"),
        "why": mark("Why"),
        "decided": mark("Decided"),
        "holder": mark("Holder"),
        "state": mark("State"),
        "reason": mark("Reason"),
        "valid from": mark("Valid from"),
        "valid until": mark("Valid until"),
        "event": mark("Event"),
    }
)
"""The facts that are shown first; the other facts have the names of the event reference."""

_DOOR: Mapping[str, str] = MappingProxyType(
    {
        "no-allow-rule": "not-allowed",
        "deny-rule": "not-allowed",
        "factor-missing": "one-more-step",
        "foreign-origin": "from-another-site",
    }
)
"""Reasons for refused requests; all other reasons are about certificates."""

_TO_DO: Mapping[str, str] = MappingProxyType(
    {
        "certificate-missing": mark(
            "Ask whether “Cancel” was pressed. If the device has no certificate, send the person an invitation."
        ),
        "certificate-ended": mark(
            "The person renews at the portal with a passkey. Otherwise send an invitation."
        ),
        "certificate-not-yet-valid": mark("Compare the clock of the device with the right time."),
        "certificate-withdrawn": mark(
            "Ask whether the device was reported lost. A new certificate needs an invitation."
        ),
        "certificate-on-hold": mark(
            "Ask an administrator why it is on hold, and whether it may be released."
        ),
        "certificate-purpose": mark("The person chooses another certificate when the browser asks."),
        "certificate-unchecked": mark(
            "Nothing is wrong with the person. Ask an administrator which source of revocation data does not answer."
        ),
        "access-paused": mark("The account is suspended or removed. Ask an administrator."),
        "not-allowed": mark(
            "The person is known, and no rule allows this. If the person should have access, ask an administrator."
        ),
        "one-more-step": mark(
            "Only a second factor was missing. The person shows it at the portal, or adds one first."
        ),
        "please-wait": mark("Too many requests came at once. The person waits a minute and tries again."),
        "door-starting": mark("The door was just starting. The person tries again."),
        UNKNOWN_CERTIFICATE: mark(
            "The door does not know this certificate. The person chooses another one; if there is none, tell an administrator."
        ),
    }
)


class HelpDeskRoutes:
    """The routes of the help desk.

    Args:
        portal: the portal.
        factors: knows the factors of a caller.
        desk: looks ids up and checks who may; None if there is no help desk.
    """

    def __init__(self, portal: PortalContext, factors: PortalFactors, desk: HelpDesk | None) -> None:
        self._portal = portal
        self._factors = factors
        self._desk = desk

    def route_table(self) -> Sequence[GuardedRoute]:
        """Return the routes; without a help desk they answer 404."""
        return (
            GuardedRoute(method="GET", path=PATH, answer=self._ask),
            GuardedRoute(method="POST", path=PATH, answer=self._tell),
        )

    async def _ask(self, request: Request, caller: Caller) -> Response:
        await self._admit(caller)
        if not await self._factors.has_shown(request, caller, within=WITHIN):
            return await self._portal.redirect_to_check(caller, PATH)
        return self._page(request, caller)

    async def _tell(self, request: Request, caller: Caller) -> Response:
        desk = await self._admit(caller)
        if not await self._factors.has_shown(request, caller, within=WITHIN):
            return await self._portal.redirect_to_check(caller, PATH)
        text = (await form_of(request)).get("id", "").strip()
        desk.count(caller)
        found = None
        if text and len(text) <= MAX_ID_CHARACTERS:
            found = await self._portal.run(lambda: desk.look_up(caller, text))
        return self._page(request, caller, asked=text[:MAX_ID_CHARACTERS], found=found)

    async def _admit(self, caller: Caller) -> HelpDesk:
        """Return the help desk if the caller belongs to it; otherwise answer 404."""
        desk = self._desk
        if desk is None or not await self._portal.run(lambda: desk.is_open_to(caller)):
            raise HTTPException(HTTPStatus.NOT_FOUND)
        return desk

    def _page(
        self, request: Request, caller: Caller, *, asked: str = "", found: Explained | None = None
    ) -> Response:
        explanation = show_explained(found, language_of(request)) if found is not None else None
        missing = request.method == "POST" and found is None
        context = {"asked": asked, "found": explanation, "missing": missing}
        return self._portal.page(
            request, caller, "help_desk", context, status=HTTPStatus.NOT_FOUND if missing else HTTPStatus.OK
        )


def show_explained(found: Explained, language: str) -> Mapping[str, object]:
    """Return the values for the page: a title, what to do, the first facts, and the rest as recorded."""
    state = _state(found.reasons)
    title, act = "", ""
    if state:
        application = found.application or "…"
        title = translate(STATES[state].title, language, application=application)
        act = translate(_TO_DO[state], language) if state in _TO_DO else ""
    return {
        "shown": bool(title),
        "title": title or found.title,
        "act": act,
        "facts": [
            (translate(_FACTS[name], language), value) for name, value in found.facts if name in _FACTS
        ],
        "rest": [(name, value) for name, value in found.facts if name not in _FACTS],
        "lines": found.lines,
        "hints": found.hints,
    }


def _state(reasons: Sequence[str]) -> str:
    """Return the state of the page that the person saw; empty if no reason has a state of its own."""
    for reason in reasons:
        if reason in _DOOR:
            return _DOOR[reason]
        if reason in {one.value for one in Reason} and (state := state_of(reason)) != UNKNOWN_CERTIFICATE:
            return state
    bad = {Reason.ISSUER_UNKNOWN.value, Reason.CERTIFICATE_UNKNOWN.value}
    return UNKNOWN_CERTIFICATE if bad.intersection(reasons) else ""
