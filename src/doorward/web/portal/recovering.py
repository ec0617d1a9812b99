"""Using a recovery code if the factors are lost: it allows the person to add a new factor, and nothing else.

    GET  /recover    the form
    POST /recover    check a code; then /factors, where one factor may be added

Not here: the effect of a code (directory.factors).
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from doorward.core.errors import RequestRefused, Unavailable
from doorward.core.factor_kinds import FactorKind
from doorward.directory.callers import Caller
from doorward.web.answers import form_of, redirect
from doorward.web.look.error_texts import render_error_line
from doorward.web.look.languages import language_of
from doorward.web.portal.context import PortalContext, removed_portal_cookie
from doorward.web.portal.factors import PortalFactors


class RecoveryRoutes:
    """The routes of recovery codes.

    Args:
        portal: the portal.
        factors: checks the codes.
    """

    def __init__(self, portal: PortalContext, factors: PortalFactors) -> None:
        self._portal = portal
        self._factors = factors

    async def form(self, request: Request, caller: Caller) -> Response:
        """Ask for a code."""
        return self._portal.page(request, caller, "recover", {"fault": ""})

    async def recover(self, request: Request, caller: Caller) -> Response:
        """Check a code."""
        fields = await form_of(request)
        try:
            await self._factors.check(caller, FactorKind.RECOVERY, fields)
        except (RequestRefused, Unavailable) as error:
            known = {"factor-refused": 403, "factor-locked": 403, "factor-throttled": 429}
            if error.code not in known:
                raise
            error_line = render_error_line(error, language_of(request))
            return self._portal.page(
                request, caller, "recover", {"fault": error_line}, status=known[error.code]
            )
        return redirect("/factors", (removed_portal_cookie(),))
