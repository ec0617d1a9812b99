"""Adding a device: a link for a certificate on another device of the same person, shown once.

    GET  /certificates/add                  an explanation, and the button that makes the link
    POST /certificates/add                  the link, as text and as a QR code
    POST /certificates/add/{id}/withdraw    void a link

The person must first show the strongest factor; the check leads back to the page with the button. The link is only in the
answer to the POST: in no URL, no log and no database. It leads to the portal's join page, so a device can be added only if
browsers trust the portal's server certificate.
Not here: who may add a device, and the invitation (directory.added_devices), the join page (joining).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from doorward.core.errors import NotFound, RequestRefused
from doorward.core.shown_factors import ShownFactors
from doorward.directory.added_devices import (
    LIFETIME,
    invite_own_device,
    require_may_add,
    withdraw_own_invitation,
)
from doorward.directory.callers import Caller
from doorward.web.answers import redirect
from doorward.web.guard import GuardedRoute
from doorward.web.look.dates import render_moment_with_distance
from doorward.web.look.languages import language_of
from doorward.web.portal.context import PortalContext
from doorward.web.portal.enrolling import render_qr_code
from doorward.web.portal.joining import JOIN_PATH

PATH = "/certificates/add"


class AddDeviceRoutes:
    """The routes of adding a device.

    Args:
        portal: the portal.
    """

    def __init__(self, portal: PortalContext) -> None:
        self._portal = portal

    def route_table(self) -> Sequence[GuardedRoute]:
        """Return the routes."""
        return (
            GuardedRoute(method="GET", path=PATH, answer=self._ask),
            GuardedRoute(method="POST", path=PATH, answer=self._make),
            GuardedRoute(method="POST", path=f"{PATH}/{{id}}/withdraw", answer=self._withdraw),
        )

    async def _ask(self, request: Request, caller: Caller) -> Response:
        portal, services = self._portal, self._portal.services
        if not portal.options.is_trusted:
            return self._page(request, caller, "untrusted")
        shown = await self._shown(request, caller)

        def require() -> None:
            with services.work.read() as stores:
                require_may_add(stores, caller, shown=shown, now=services.clock.now())

        try:
            await portal.run(require)
        except RequestRefused as refusal:
            return await self._answer_refusal(request, caller, refusal)
        return self._page(request, caller, "ask")

    async def _make(self, request: Request, caller: Caller) -> Response:
        portal, services = self._portal, self._portal.services
        if not portal.options.is_trusted:
            raise NotFound("path-unknown", "joining in the browser is not offered here")
        shown = await self._shown(request, caller)
        try:
            made = await portal.run(lambda: invite_own_device(services, caller, shown=shown))
        except RequestRefused as refusal:
            return await self._answer_refusal(request, caller, refusal)
        link = f"{await portal.origin()}{JOIN_PATH}#{made.token}"
        ends = render_moment_with_distance(made.record.expires_at, services.clock.now(), language_of(request))
        return self._page(
            request, caller, "link", link=link, qr=render_qr_code(link), ends=ends, id=made.record.id
        )

    async def _withdraw(self, request: Request, caller: Caller) -> Response:
        portal, invitation = self._portal, request.path_params["id"]
        await portal.run(lambda: withdraw_own_invitation(portal.services, caller, invitation))
        return redirect("/#lately")

    async def _answer_refusal(self, request: Request, caller: Caller, refusal: RequestRefused) -> Response:
        """Lead to the required check, or say that a factor is needed first; raise any other refusal."""
        if refusal.code == "factor-check-needed":
            return await self._portal.redirect_to_check(caller, PATH)
        if refusal.code == "device-needs-factor":
            return self._page(request, caller, "no-factor")
        raise refusal

    def _page(self, request: Request, caller: Caller, state: str, **more: Any) -> Response:
        minutes = LIFETIME.seconds // 60
        return self._portal.page(request, caller, "add_device", {"state": state, "minutes": minutes, **more})

    async def _shown(self, request: Request, caller: Caller) -> ShownFactors:
        session = await self._portal.session(request, caller)
        return ShownFactors.of(session.factors if session else {})
