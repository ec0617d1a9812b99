"""The listener for http-01: it answers the tokens of open orders, and nothing else.

    GET /.well-known/acme-challenge/<token>   the key authorization of a challenge

An authority asks over plain HTTP, so the answer must have no secret: a key authorization is the token and a digest of the
account's public key. Any other path gets 404; nothing of an application is reachable here.
Standard: RFC 8555 section 8.3.
"""

from __future__ import annotations

import re
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from doorward.authority.acme.showing import find_authorization
from doorward.stores.services import Services
from doorward.web.pool import UseCasePool

PATH = "/.well-known/acme-challenge/{token}"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,256}")


class ChallengeSurface:
    """The one route of the listener.

    Args:
        services: the ports of this process.
        pool: the threads that run use cases.
    """

    def __init__(self, services: Services, pool: UseCasePool) -> None:
        self._services = services
        self._pool = pool

    def routes(self) -> list[Route]:
        """Return the route; GET answers HEAD too."""
        return [Route(PATH, self.answer)]

    async def answer(self, request: Request) -> Response:
        """Answer a token; a text that can be no token is not looked up."""
        token = request.path_params["token"]
        found = None
        if _TOKEN.fullmatch(token):
            found = await self._pool.run(lambda: find_authorization(self._services, token))
        if found is None:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        return PlainTextResponse(
            found, media_type="application/octet-stream", headers={"Cache-Control": "no-store"}
        )
