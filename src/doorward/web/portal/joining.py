"""Joining in the browser: the page of an invitation link on the portal.

    GET  /join                a page that makes a key and requests its certificate
    POST /join/certificates   exchange a CSR and a token for a certificate

The caller has no certificate yet: the token authorises the request. The page is offered only if browsers trust the portal's
server certificate: otherwise people would learn to click warnings away, and the root's digest in the link does not protect
a browser. In that case the page shows the command. The token is after the `#`, which browsers do not send (docs/design/0003).
Not here: the exchange (web.token_exchange), the key (static/keys.js).
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from doorward.core.errors import NotFound
from doorward.web.guard import UnguardedRoute
from doorward.web.look.languages import language_of
from doorward.web.pool import UseCasePool
from doorward.web.portal.context import PortalContext
from doorward.web.portal.devices import list_devices
from doorward.web.token_exchange import TokenExchange

JOIN_PATH = "/join"
"""The path of an invitation link on the portal; the token follows after the `#`."""


class JoinRoutes:
    """The routes of joining.

    Args:
        portal: the portal.
        pool: where the exchange runs.
    """

    def __init__(self, portal: PortalContext, pool: UseCasePool) -> None:
        self._portal = portal
        self._exchange = TokenExchange(portal.services, pool)

    def route_table(self) -> Sequence[UnguardedRoute]:
        """Return the routes."""
        why = "a person who joins has no certificate yet: the token of the link authorises the request"
        return (
            UnguardedRoute(path=JOIN_PATH, answer=self._page, why=why),
            UnguardedRoute(
                method="POST", path=f"{JOIN_PATH}/certificates", answer=self._certificates, why=why
            ),
        )

    async def _page(self, request: Request) -> Response:
        context = {"offered": self._portal.options.is_trusted, "devices": list_devices(language_of(request))}
        return self._portal.pages.page(request, "portal/join.html", context)

    async def _certificates(self, request: Request) -> Response:
        if not self._portal.options.is_trusted:
            raise NotFound("path-unknown", "joining in the browser is not offered here")
        return await self._exchange.answer(request)
