"""The page after a certificate was installed: does the browser send it?

    GET /welcome   says whether a good certificate came, and what comes next

It is open, so that it can say what to do if none came.
Standard: none; browsers look for new certificates when they open a connection, some only when they start.
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from doorward.core.errors import RequestRefused
from doorward.core.names import PORTAL_AUDIENCE
from doorward.directory.callers import Caller
from doorward.web.guard import OpenWay
from doorward.web.identity import Identities
from doorward.web.portal.desk import FactorDesk
from doorward.web.portal.place import PortalPlace


class Welcome:
    """The route that tests a certificate.

    Args:
        place: the portal.
        desk: knows the factors of a caller.
        identities: reads the caller out of a request.
    """

    def __init__(self, place: PortalPlace, desk: FactorDesk, identities: Identities) -> None:
        self._place = place
        self._desk = desk
        self._identities = identities

    def ways(self) -> Sequence[OpenWay]:
        """Return the route."""
        return (
            OpenWay(path="/welcome", answer=self._welcome, why="it says what to do if no certificate came"),
        )

    async def _welcome(self, request: Request) -> Response:
        caller = await self._caller(request)
        if caller is None:
            return self._place.pages.page(request, "portal/welcome.html", {"who": "", "first": False})
        first = await self._desk.has_right(caller) and not await self._desk.factors(caller)
        return self._place.page(request, caller, "welcome", {"first": first})

    async def _caller(self, request: Request) -> Caller | None:
        try:
            return await self._identities.identify(request, PORTAL_AUDIENCE)
        except RequestRefused:
            return None
