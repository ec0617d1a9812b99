"""The listener for http-01: it answers the tokens of open orders, and redirects browsers to the door.

    GET /.well-known/acme-challenge/<token>   the key authorization of a challenge
    GET, HEAD of anything else                308 to the same address by https, for hosts of the door only

An authority asks over plain HTTP, so the answer must have no secret: a key authorization is the token and a digest of the
account's public key. A request for another host gets 404: otherwise a link to this listener could redirect people to any site. No application
can be reached here.
Standard: RFC 8555 section 8.3; RFC 9110 section 15.4.9.
"""

from __future__ import annotations

import re
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from doorward.web.open_challenges import OpenChallenges

PATH = "/.well-known/acme-challenge/{token}"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,256}")
_HTTPS = 443
_LONGEST_TARGET = 4096


class ChallengeSurface:
    """The routes of the listener.

    Args:
        challenges: what is open.
        public_port: the door's port as people see it.
    """

    def __init__(self, challenges: OpenChallenges, *, public_port: int = _HTTPS) -> None:
        self._challenges = challenges
        self._port = "" if public_port == _HTTPS else f":{public_port}"

    def routes(self) -> list[Route]:
        """Return the routes; GET answers HEAD too."""
        return [Route(PATH, self.answer), Route("/{path:path}", self.redirect)]

    async def answer(self, request: Request) -> Response:
        """Answer a token; a text that can be no token is not looked up."""
        token = request.path_params["token"]
        found = await self._challenges.authorization(token) if _TOKEN.fullmatch(token) else None
        if found is None:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        return PlainTextResponse(
            found, media_type="application/octet-stream", headers={"Cache-Control": "no-store"}
        )

    async def redirect(self, request: Request) -> Response:
        """Redirect to the door if the host is one of its hosts."""
        host = request.headers.get("host", "").partition(":")[0].lower()
        target = request.scope["raw_path"].decode("latin-1")
        if query := request.scope["query_string"].decode("latin-1"):
            target = f"{target}?{query}"
        is_plain = target.startswith("/") and target.isascii() and target.isprintable()
        if not is_plain or len(target) > _LONGEST_TARGET or not await self._challenges.has_host(host):
            raise HTTPException(HTTPStatus.NOT_FOUND)
        location = f"https://{host}{self._port}{target}"
        return Response(status_code=HTTPStatus.PERMANENT_REDIRECT, headers={"Location": location})
