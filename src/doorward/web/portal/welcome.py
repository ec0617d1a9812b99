"""The page that tests a newly installed certificate.

    GET /welcome   says whether the browser sent a good certificate, and what to do next

The route is not guarded, so that it can say what to do if the browser sent none.
Standard: none; browsers look for new certificates when they open a connection, some only when they start.
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from doorward.core.errors import RequestRefused
from doorward.core.names import PORTAL_AUDIENCE
from doorward.directory.callers import Caller
from doorward.web.guard import UnguardedRoute
from doorward.web.identity import Identities
from doorward.web.portal.context import PortalContext
from doorward.web.portal.factors import PortalFactors


class WelcomeRoute:
    """The route that tests a certificate.

    Args:
        portal: the portal.
        factors: knows the factors of a caller.
        identities: reads the caller out of a request.
    """

    def __init__(self, portal: PortalContext, factors: PortalFactors, identities: Identities) -> None:
        self._portal = portal
        self._factors = factors
        self._identities = identities

    def route_table(self) -> Sequence[UnguardedRoute]:
        """Return the route."""
        return (
            UnguardedRoute(
                path="/welcome",
                answer=self._welcome,
                why="it says what to do if the browser sent no certificate",
            ),
        )

    async def _welcome(self, request: Request) -> Response:
        caller = await self._caller(request)
        if caller is None:
            return self._portal.pages.page(request, "portal/welcome.html", {"who": "", "first": False})
        first = await self._factors.has_ticket(caller) and not await self._factors.own(caller)
        return self._portal.page(request, caller, "welcome", {"first": first})

    async def _caller(self, request: Request) -> Caller | None:
        try:
            return await self._identities.identify(request, PORTAL_AUDIENCE)
        except RequestRefused:
            return None
