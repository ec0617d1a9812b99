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

from doorward.authority.acme.showing import find_authorization
from doorward.core.names import own_hosts
from doorward.stores.policy_snapshot import PolicySnapshots
from doorward.stores.services import Services
from doorward.web.pool import UseCasePool

PATH = "/.well-known/acme-challenge/{token}"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,256}")
_HTTPS = 443
_LONGEST_TARGET = 4096


class ChallengeSurface:
    """The routes of the listener.

    Args:
        services: the ports of this process.
        pool: the threads that run use cases.
        public_port: the door's port as people see it.
        portal_host: the portal's host.
    """

    def __init__(
        self, services: Services, pool: UseCasePool, *, public_port: int = _HTTPS, portal_host: str = ""
    ) -> None:
        self._services = services
        self._pool = pool
        self._port = "" if public_port == _HTTPS else f":{public_port}"
        self._portal_host = portal_host
        self._snapshots = PolicySnapshots()

    def routes(self) -> list[Route]:
        """Return the routes; GET answers HEAD too."""
        return [Route(PATH, self.answer), Route("/{path:path}", self.redirect)]

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

    async def redirect(self, request: Request) -> Response:
        """Redirect to the door if the host is one of its hosts."""
        host = request.headers.get("host", "").partition(":")[0].lower()
        target = request.scope["raw_path"].decode("latin-1")
        if query := request.scope["query_string"].decode("latin-1"):
            target = f"{target}?{query}"
        is_plain = target.startswith("/") and target.isascii() and target.isprintable()
        if (
            not is_plain
            or len(target) > _LONGEST_TARGET
            or not await self._pool.run(lambda: self._knows(host))
        ):
            raise HTTPException(HTTPStatus.NOT_FOUND)
        location = f"https://{host}{self._port}{target}"
        return Response(status_code=HTTPStatus.PERMANENT_REDIRECT, headers={"Location": location})

    def _knows(self, host: str) -> bool:
        with self._services.work.read() as stores:
            snapshot, _ = self._snapshots.current(stores)
        if host in {self._portal_host, *own_hosts(snapshot.trust_domain)} - {""}:
            return True
        return any(host in app.hosts for app in snapshot.document.apps)
