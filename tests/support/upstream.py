"""The application behind the door, for tests: it answers with what it received, and counts."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import threading
from collections.abc import AsyncIterator, Iterator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


class Upstream:
    """Any path answers 200 with method, raw path and headers as JSON; `/**/live` is a WebSocket that ticks.

    `/events` is a stream of server-sent events that ticks.
    """

    def __init__(self) -> None:
        self.calls = 0
        self.port = 0
        self.app = Starlette(
            routes=[
                WebSocketRoute("/{path:path}", self._live),
                Route("/events", self._events),
                Route("/{path:path}", self._echo, methods=METHODS),
            ]
        )

    async def _echo(self, request: Request) -> Response:
        self.calls += 1
        await request.body()
        return JSONResponse(
            {
                "method": request.method,
                "path": request.scope["raw_path"].decode("latin-1"),
                "headers": [
                    [name.decode("latin-1"), value.decode("latin-1")] for name, value in request.headers.raw
                ],
            }
        )

    async def _events(self, _request: Request) -> Response:
        async def ticking() -> AsyncIterator[str]:
            for tick in itertools.count():
                yield f"data: {tick}\n\n"
                await asyncio.sleep(0.02)

        return StreamingResponse(ticking(), media_type="text/event-stream")

    async def _live(self, websocket: WebSocket) -> None:
        self.calls += 1
        await websocket.accept()
        with contextlib.suppress(WebSocketDisconnect, asyncio.CancelledError, RuntimeError):
            tick = 0
            while True:
                await websocket.send_text(str(tick))
                tick += 1
                await asyncio.sleep(0.02)


@contextlib.contextmanager
def running_upstream() -> Iterator[Upstream]:
    """Serve one on a free loopback port."""
    upstream = Upstream()
    listener = socket.create_server(("127.0.0.1", 0))
    # Inherited by what it accepts; without it an answer in two pieces waits 40 ms for an acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    upstream.port = int(listener.getsockname()[1])
    server = uvicorn.Server(
        uvicorn.Config(
            upstream.app,
            log_level="critical",
            lifespan="off",
            ws="websockets-sansio",
            timeout_graceful_shutdown=1,
        )
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield upstream
    finally:
        server.should_exit = True
        thread.join(5)
        listener.close()
