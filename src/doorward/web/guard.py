"""The routes of a surface for people, each behind the same two questions: who is calling, and from which page.

A route is a line of a table. It is guarded unless its line says `open`, and says why: so a new route cannot be
without a guard by mistake.
Not here: the answers to the two questions (identity).
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
    """One guarded route: a method and a path template, and what answers the caller who was identified."""

    method: str
    path: str
    answer: Handler


@dataclass(frozen=True, slots=True, kw_only=True)
class UnguardedRoute:
    """One route without a caller; `why` is the reason that it may be. An unsafe method comes from our own pages only."""

    path: str
    answer: OpenHandler
    why: str
    method: str = "GET"


class Guard:
    """Puts routes behind the two questions.

    Args:
        identities: reads the caller out of a request.
        audience: the audience that the assertion of a request must have.
        origin: from which page an unsafe request must come.
        refusal: makes a page of an error, or raises it again; None leaves it to the edge.
        without_certificate: answers a person's request that comes without an assertion; None refuses it as any other.
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
