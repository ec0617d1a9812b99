"""The little bank: an application that reads no certificates and trusts the identity headers of the door.

Not here: any check of the client. The bank answers on loopback, in a thread of this process. It counts its requests, so that
the demo can show that a refused request never reached the bank.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket, WebSocketDisconnect

TICK_SECONDS = 0.05
BALANCES = {"alice": {"7": "1,204.50 EUR", "8": "88.00 EUR"}, "carol": {"12": "50,310.00 EUR"}}


class Bank:
    """The application; `calls` is the number of requests that reached it."""

    def __init__(self) -> None:
        self.calls = 0
        self.app = Starlette(
            routes=[
                Route("/", self._home),
                Route("/accounts", self._accounts),
                Route("/accounts/{number}", self._account),
                Route("/transfers", self._transfer, methods=["GET", "POST"]),
                Route("/whoami", self._whoami),
                WebSocketRoute("/accounts/live", self._live),
            ]
        )

    async def _home(self, request: Request) -> Response:
        self.calls += 1
        name = _name(request)
        return HTMLResponse(f"<!doctype html><title>Little Bank</title><h1>Good morning, {name}.</h1>")

    async def _accounts(self, request: Request) -> Response:
        self.calls += 1
        return JSONResponse({"holder": _name(request), "accounts": BALANCES.get(_name(request), {})})

    async def _account(self, request: Request) -> Response:
        self.calls += 1
        number = request.path_params["number"]
        return JSONResponse({"account": number, "balance": BALANCES.get(_name(request), {}).get(number, "-")})

    async def _transfer(self, request: Request) -> Response:
        """Show the form, or transfer; the door requires a passkey that was shown within the last five minutes."""
        self.calls += 1
        if request.method == "GET":
            return HTMLResponse("<!doctype html><title>Transfer</title><h1>Transfer</h1>")
        assertion = request.headers.get("doorward-assertion", "")
        return JSONResponse({"transferred_by": _name(request), "assertion": assertion}, status_code=201)

    async def _whoami(self, request: Request) -> Response:
        self.calls += 1
        return JSONResponse(dict(request.headers.items()))

    async def _live(self, websocket: WebSocket) -> None:
        self.calls += 1
        await websocket.accept()
        with contextlib.suppress(WebSocketDisconnect, asyncio.CancelledError):
            tick = 0
            while True:
                await websocket.send_json({"tick": tick, "rate": f"1.{tick % 100:02d}"})
                tick += 1
                await asyncio.sleep(TICK_SECONDS)


def _name(request: Request) -> str:
    return str(request.headers.get("doorward-principal", "")).partition("/")[2] or "no one"


@contextlib.contextmanager
def open_bank() -> Iterator[tuple[Bank, int]]:
    """Serve a bank on a free loopback port as long as the block runs; yield the bank and the port."""
    bank = Bank()
    with serve_app(bank.app) as port:
        yield bank, port


@contextlib.contextmanager
def serve_app(app: ASGIApp) -> Iterator[int]:
    """Serve an application on a free loopback port as long as the block runs; yield the port."""
    listener = socket.create_server(("127.0.0.1", 0))
    config: dict[str, Any] = {"log_level": "critical", "lifespan": "off", "ws": "websockets-sansio"}
    server = uvicorn.Server(uvicorn.Config(app, timeout_graceful_shutdown=1, **config))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="bank", daemon=True)
    thread.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(5)
        listener.close()
