"""GET /metrics on the status listener, for Prometheus: only from the addresses that the settings name.

The address is the one of the connection. A header such as X-Forwarded-For counts for nothing: the sender writes it.
Other addresses get 404, as if there were no metrics. All readers share one answer per second, so that reading often costs
no database.
Not here: the numbers (runtime.metrics).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from doorward.core.addresses import unmap_ipv4
from doorward.web.pool import UseCasePool

PATH = "/metrics"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SHARED_SECONDS = 1.0


class MetricsSurface:
    """The route of the metrics.

    Args:
        render: reads the numbers and returns them as text; raises as the stores do.
        pool: the threads that run use cases.
        networks: from which addresses they may be read.
    """

    def __init__(self, render: Callable[[], bytes], pool: UseCasePool, networks: Iterable[str]) -> None:
        self._render = render
        self._pool = pool
        self._networks = tuple(ip_network(one) for one in networks)
        self._lock = asyncio.Lock()
        self._text = b""
        self._rendered_at = -SHARED_SECONDS

    def routes(self) -> list[Route]:
        """Return the route; GET answers HEAD too."""
        return [Route(PATH, self.answer)]

    async def answer(self, request: Request) -> Response:
        """Answer with the numbers of now, at most a second old."""
        if request.client is None or not self._may_read(request.client.host):
            raise HTTPException(HTTPStatus.NOT_FOUND)
        async with self._lock:
            if time.monotonic() - self._rendered_at >= SHARED_SECONDS:
                self._text = await self._pool.run(self._render)
                self._rendered_at = time.monotonic()
            return Response(self._text, media_type=CONTENT_TYPE, headers={"Cache-Control": "no-store"})

    def _may_read(self, host: str) -> bool:
        try:
            address: IPv4Address | IPv6Address = unmap_ipv4(ip_address(host))
        except ValueError:
            return False
        return any(address in network for network in self._networks)
