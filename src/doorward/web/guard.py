"""Guards the routes of a surface for people: checks the caller, and the page that sent the request.

Each route is an entry of a table. A route without a check is an `UnguardedRoute`, which must state the reason, so that no
new route is unguarded by mistake.
Not here: the two checks (identity).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from doorward.core.errors import DoorwardError
from doorward.directory.callers import Caller
from doorward.web.answers import wants_page
from doorward.web.identity import SAFE_METHODS, Identities, check_origin

Handler = Callable[[Request, Caller], Awaitable[Response]]
OpenHandler = Callable[[Request], Awaitable[Response]]
Audience = Callable[[Request], Awaitable[str]]
Origin = Callable[[Request], Awaitable[str]]
Refusal = Callable[[Request, DoorwardError], Response]


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardedRoute:
    """One guarded route: a method, a path template, and the handler for the identified caller."""

    method: str
    path: str
    answer: Handler


@dataclass(frozen=True, slots=True, kw_only=True)
class UnguardedRoute:
    """One route without a caller; `why` is the reason. Unsafe methods are accepted from our own pages only."""

    path: str
    answer: OpenHandler
    why: str
    method: str = "GET"


class Guard:
    """Adds the two checks to routes.

    Args:
        identities: identifies the caller of a request.
        audience: returns the required audience of the assertion.
        origin: returns the origin from which an unsafe request must come.
        refusal: makes a page of an error, or raises it again; None leaves errors to the middleware.
        without_certificate: answers a person's request without an assertion; None refuses it like any other request.
    """

    def __init__(
        self,
        identities: Identities,
        *,
        audience: Audience,
        origin: Origin,
        refusal: Refusal | None = None,
        without_certificate: OpenHandler | None = None,
    ) -> None:
        self._identities = identities
        self._audience = audience
        self._origin = origin
        self._refusal = refusal
        self._without_certificate = without_certificate

    def routes(self, table: Sequence[GuardedRoute | UnguardedRoute]) -> list[Route]:
        """Return the routes in their order; every GET answers HEAD too."""
        return [
            Route(
                one.path,
                self._open(one) if isinstance(one, UnguardedRoute) else self._guarded(one),
                methods=[one.method],
            )
            for one in table
        ]

    def _open(self, route: UnguardedRoute) -> OpenHandler:
        if route.method in SAFE_METHODS:
            return route.answer

        async def answer(request: Request) -> Response:
            check_origin(request, await self._origin(request))
            return await route.answer(request)

        return answer

    def _guarded(self, route: GuardedRoute) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            try:
                check_origin(request, await self._origin(request))
                caller = await self._identities.identify(request, await self._audience(request))
                return await route.answer(request, caller)
            except DoorwardError as error:
                if (
                    error.code == "certificate-needed"
                    and self._without_certificate is not None
                    and wants_page(request)
                ):
                    return await self._without_certificate(request)
                if self._refusal is None:
                    raise
                return self._refusal(request, error)

        return answer
