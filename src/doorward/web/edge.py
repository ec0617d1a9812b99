"""Middleware around every web surface, for each request on every route.

1. Each exception becomes a problem document (problems) or a page. 2. Every answer gets protective header fields. 3. If the
body of a request was not read to its end, the connection is closed, so that an unread body can neither hold the connection
open nor be read as the next request (request smuggling).

Not here: routes, and what a client may send per connection (protocol).
Standard: RFC 9110 section 9.3.1 (content in GET has no meaning), RFC 9112 section 9.3.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from doorward.core.errors import DoorwardError, MalformedInput, Unavailable
from doorward.web.problems import (
    choose_status,
    incident_of,
    note_incident,
    render_http_error,
    render_incident,
    render_problem,
)

ErrorPage = Callable[[Request, Exception, str], Response | None]
"""Makes a page from a request, an error and the incident id; None if a program asks, or if there is no page for it."""

_INTERNAL = HTTPStatus.INTERNAL_SERVER_ERROR

BODY_SECONDS = 10.0
"""For the whole body. Precedent: nginx's client_body_timeout is 60 s between two reads."""

PROTECTIVE_FIELDS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class EdgeMiddleware:
    """ASGI middleware around a whole application; `page` makes error pages for people."""

    def __init__(self, app: ASGIApp, page: ErrorPage | None = None) -> None:
        self.app = app
        self._page = page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; if the application fails, answer with the error."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = _WatchedExchange(scope, receive, send)
        try:
            await self.app(scope, exchange.receive, exchange.send)
        except ClientDisconnect:
            pass
        except Exception as error:  # noqa: BLE001 - last resort: the peer never gets a stack trace
            if exchange.peer_is_gone:
                return
            if exchange.started:
                incident = note_incident(error, exchange.incident)
                raise ConnectionAbortedError(f"the answer broke off, incident {incident}") from None
            response = self._answer(Request(scope), error, exchange.incident)
            await response(scope, exchange.receive, exchange.send)

    def _answer(self, request: Request, error: Exception, incident: str) -> Response:
        is_ours = isinstance(error, DoorwardError) and choose_status(error) is not _INTERNAL
        if not is_ours:
            incident = note_incident(error, incident)
        page = self._page(request, error, incident) if self._page is not None else None
        if page is not None:
            return page
        if isinstance(error, DoorwardError) and is_ours:
            return render_problem(error, incident)
        return render_incident(incident)


class _WatchedExchange:
    """One request and its response; records whether the body was read and the response was started."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        self._receive, self._send = receive, send
        self._unread = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
        self.incident = incident_of(headers.get("x-request-id", ""))
        self.started = False
        self.peer_is_gone = False

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            self._unread = False
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = MutableHeaders(scope=message)
            for name, value in PROTECTIVE_FIELDS.items():
                headers.setdefault(name, value)
            if self._unread:
                headers["Connection"] = "close"
        try:
            await self._send(message)
        except Exception:
            # Writing fails only if the peer has closed the connection. That is not an incident.
            self.peer_is_gone = True
            raise


async def read_body(request: Request, limit: int) -> bytes:
    """Return the body of a request, within a limit of size and time.

    Args:
        request: a request with an unread body.
        limit: bytes; a body with a larger Content-Length is refused unread.

    Raises:
        MalformedInput: `body-too-large`.
        Unavailable: `request-too-slow` after 10 seconds.
    """
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and int(announced[:12]) > limit:
        raise too_large(limit)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise too_large(limit)
    except TimeoutError:
        raise too_slow() from None
    return bytes(body)


def too_slow() -> Unavailable:
    """Return the error of a body that does not arrive."""
    return Unavailable("request-too-slow", f"the body did not arrive within {BODY_SECONDS:g} seconds")


def too_large(limit: int) -> MalformedInput:
    """Return the error of a body that has more than `limit` bytes."""
    return MalformedInput("body-too-large", f"the body of this request may have {limit} bytes at most")


def answer_http_errors(page: ErrorPage | None = None) -> Callable[[Request, Exception], Awaitable[Response]]:
    """Return a handler for the router's own errors; Starlette calls it for `HTTPException` only."""

    async def answer(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        incident = incident_of(request.headers.get("x-request-id", ""))
        answer_page = page(request, error, incident) if page is not None else None
        return answer_page or render_http_error(error, incident)

    return answer
