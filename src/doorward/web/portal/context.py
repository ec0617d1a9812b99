"""The values and functions that all routes of the portal share.

Not here: the routes (step_up, checks, enrolling, home and others).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from doorward.directory.callers import Caller
from doorward.directory.passkey_renewal import RENEWAL_PERIOD
from doorward.directory.portal_sessions import IDLE, find_portal_session
from doorward.directory.step_ups import HTTPS_PORT, begin_own_check
from doorward.stores.factor_records import SessionRecord
from doorward.stores.policy_snapshot import PolicySnapshots
from doorward.stores.services import Services
from doorward.web.answers import Pages, cookie_of, redirect
from doorward.web.pool import UseCasePool
from doorward.wire.cookies import render_cookie

PORTAL_COOKIE = "__Host-doorward-portal"
ORIGIN_CACHE_SECONDS = 5.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class PortalOptions:
    """The options of the portal, from the settings.

    Args:
        origin: returns the portal's origin, `https://portal.corp.example[:port]`; the port may become known later.
        idle: how long a session may go without a request.
        is_trusted: whether browsers trust the server certificate; without this trust a browser uses no passkeys.
        renewal: how long after the end of a person's last certificate the person may get a new one by passkey.
    """

    origin: Callable[[], str]
    idle: timedelta = IDLE
    is_trusted: bool = False
    renewal: timedelta = RENEWAL_PERIOD


class PortalContext:
    """The context of the portal's routes.

    Args:
        services: the ports of this process.
        pool: the thread pool in which use cases run.
        pages: renders pages.
        options: the portal's options.
        snapshots: the policy snapshots of this process.
    """

    def __init__(
        self,
        services: Services,
        pool: UseCasePool,
        pages: Pages,
        options: PortalOptions,
        snapshots: PolicySnapshots,
    ) -> None:
        self.services = services
        self.pages = pages
        self.options = options
        self.snapshots = snapshots
        self._pool = pool
        self._origin, self._origin_read_at = "", float("-inf")

    async def run(self, call: Callable[[], T]) -> T:
        """Run a use case in the pool."""
        return await self._pool.run(call)

    async def run_slow(self, call: Callable[[], T]) -> T:
        """Run a use case that makes a password hash."""
        return await self._pool.run_slow(call)

    async def origin(self, _request: Request | None = None) -> str:
        """Return the portal's origin, at most five seconds old: the port of the door may change."""
        now = self.services.clock.monotonic()
        if now - self._origin_read_at >= ORIGIN_CACHE_SECONDS:
            self._origin, self._origin_read_at = await self.run(self.options.origin), now
        return self._origin

    async def port(self) -> int:
        """Return the public port of the door."""
        return port_of(await self.origin())

    async def session(self, request: Request, caller: Caller) -> SessionRecord | None:
        """Return the caller's session at the portal, None if there is none."""
        token = cookie_of(request, PORTAL_COOKIE)
        if not token:
            return None
        return await self.run(
            lambda: find_portal_session(self.services, caller, token, idle=self.options.idle)
        )

    async def redirect_to_check(self, caller: Caller, back: str) -> Response:
        """Redirect to a check of a factor; after the check the browser returns to the portal path `back`."""
        step_up = await self.run(lambda: begin_own_check(self.services, caller, return_path=back))
        return redirect(f"/check/{step_up.id}")

    def page(
        self,
        request: Request,
        caller: Caller,
        name: str,
        context: Mapping[str, Any],
        *,
        status: int = 200,
        cookies: Sequence[str] = (),
    ) -> Response:
        """Return a page of the portal; `who` is the caller's name."""
        return self.pages.page(
            request, f"portal/{name}.html", {"who": caller.name, **context}, status=status, cookies=cookies
        )


def port_of(origin: str) -> int:
    """Return the port of an https origin."""
    port = origin.removeprefix("https://").partition(":")[2]
    return int(port) if port else HTTPS_PORT


def portal_cookie(token: str) -> str:
    """Return the Set-Cookie field of a portal session: a session cookie; the session itself may end earlier."""
    return render_cookie(PORTAL_COOKIE, token)


def removed_portal_cookie() -> str:
    """Return the Set-Cookie field that removes the portal's cookie."""
    return render_cookie(PORTAL_COOKIE, "", max_age_seconds=0)
