"""HTTP/1.1 for a listener that answers OCSP requests itself, and leaves every other path to the application.

Connections, parser and limits are those of `protocol`: heads, waiting requests, slow peers, idle connections. What differs is
what a complete head makes: for an OCSP path an `OcspExchange` in place of a task with an ASGI application. An exchange does the same for its
request as the middleware and the routes of `edge` do: limits of size and time for the body, problem documents, protective fields, and
the end of a connection with an unread body.

Not here: the responses (ocsp).
Standard: RFC 6960 appendix A.1; RFC 9112 sections 6 and 9.3.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, cast

import httptools
from starlette.exceptions import HTTPException
from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from doorward.authority.status.publication import OCSP_PATH
from doorward.core.errors import DoorwardError, MalformedInput
from doorward.web import edge
from doorward.web.caching import NO_STORE, is_cached_by_client
from doorward.web.ocsp import MAX_OCSP_REQUEST_BYTES, OcspSurface, decode_ocsp_path
from doorward.web.problems import (
    incident_of,
    note_incident,
    render_http_error,
    render_problem,
)
from doorward.web.protocol import GuardedProtocol

REQUEST_TYPE, RESPONSE_TYPE = "application/ocsp-request", "application/ocsp-response"

_POST_PATH, _GET_PREFIX = OCSP_PATH.encode(), OCSP_PATH.encode() + b"/"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class _NoEvent:
    """In place of the event with which uvicorn wakes an application."""

    def set(self) -> None:
        """Wake no task: an exchange has none."""


class OcspProtocol(GuardedProtocol):
    """One connection.

    Args:
        surface: answers OCSP requests.
        options: those of uvicorn.
    """

    def __init__(self, surface: OcspSurface, **options: Any) -> None:
        super().__init__(**options)
        self.surface = surface
        self.held: OcspExchange | None = None
        """The exchange with an answer that waits until the peer reads; `cycle` may be a later request."""
        self._default_fields: object = None
        self._default_lines = b""

    def start_exchange(self) -> None:
        """Begin an exchange if the path is OCSP's; beyond the limit of connections uvicorn answers 503."""
        path = self._ocsp_path()
        limit = self.limit_concurrency
        if path is None or (limit is not None and len(self.connections) >= limit):
            super().start_exchange()
            return
        waits = self.cycle is not None and not self.cycle.response_complete
        exchange = OcspExchange(self, path)
        self.cycle = cast("Any", exchange)
        if waits:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))
        else:
            exchange.begin()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        """Begin the next waiting request; uvicorn calls it when the answer before it is complete."""
        if isinstance(cycle, OcspExchange):
            cycle.begin()
        else:
            super()._start_asgi_task(cycle, app)

    def take_body(self, body: bytes) -> None:
        """Give the exchange a piece of its body."""
        if isinstance(self.cycle, OcspExchange):
            self.cycle.take(body)
        else:
            super().take_body(body)

    def on_message_complete(self) -> None:
        """Tell the exchange that its body is complete."""
        if isinstance(self.cycle, OcspExchange):
            self.cycle.finish()
        else:
            super().on_message_complete()

    def after_piece(self) -> None:
        """Start the timer of a body that is not complete; a body that came with its head needs none."""
        if isinstance(self.cycle, OcspExchange):
            self.cycle.await_rest()

    def resume_writing(self) -> None:
        """Write the answer that waited for a slow peer."""
        super().resume_writing()
        held, self.held = self.held, None
        if held is not None:
            held.write_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer of the body."""
        if isinstance(self.cycle, OcspExchange):
            self.cycle.forget()
        super().connection_lost(exc)

    def default_lines(self) -> bytes:
        """Return the fields that uvicorn adds to every head (Date), which change once a second."""
        fields = self.server_state.default_headers
        if fields is not self._default_fields:
            self._default_fields = fields
            self._default_lines = _render_lines(fields)
        return self._default_lines

    def _ocsp_path(self) -> bytes | None:
        if _POST_PATH not in self.url:
            return None
        path: bytes = httptools.parse_url(self.url).path
        return path if path == _POST_PATH or path.startswith(_GET_PREFIX) else None


class OcspExchange:
    """One OCSP request and its answer; it has the attributes that uvicorn's protocol needs of its own cycle.

    It asks when its turn has come (`begin`) and its body is complete (`finish`).

    Args:
        protocol: the connection; the head of the request is complete.
        path: as it was sent, not decoded.
    """

    message_event = _NoEvent()
    disconnected = False
    response_complete = False

    def __init__(self, protocol: OcspProtocol, path: bytes) -> None:
        self._protocol = protocol
        self._path = path
        self._method: str = protocol.parser.get_method().decode("ascii")
        version = protocol.parser.get_http_version()
        self.keep_alive = version != "1.0" and protocol.parser.should_keep_alive()
        self._fields = protocol.headers
        self._body = bytearray()
        self._has_begun = self._has_ended = self._has_asked = False
        self._waiting = b""
        self._timer: asyncio.TimerHandle | None = None
        self._expects = protocol.expect_100_continue
        self._refusal = self._check_head()

    def begin(self) -> None:
        """Note that every answer before this one was sent; a client that waits to be told may send the body now."""
        self._has_begun = True
        waits = self._expects and not self._has_ended and self._path == _POST_PATH
        if waits and self._refusal is None:
            self._protocol.transport.write(_CONTINUE)
        self._go_on()

    def take(self, piece: bytes) -> None:
        """Take a piece of the body; the content of a GET has no meaning, and its connection is closed."""
        if self._refusal is not None or self._path != _POST_PATH:
            return
        self._body += piece
        if len(self._body) > MAX_OCSP_REQUEST_BYTES:
            self._refuse(_too_large())

    def finish(self) -> None:
        """Note that the body is complete."""
        self._has_ended = True
        _cancel(self._timer)
        self._go_on()

    def await_rest(self) -> None:
        """Start the timer of the body, if it is not complete."""
        if not self._has_ended and self._timer is None and not self.response_complete:
            self._timer = self._protocol.loop.call_later(edge.BODY_SECONDS, self._too_slow)

    def write_waiting(self) -> None:
        """Write the answer that waited until the peer read."""
        if not self._protocol.transport.is_closing():
            self._write(self._waiting)

    def forget(self) -> None:
        """Stop the timer: the connection is lost."""
        _cancel(self._timer)

    def _go_on(self) -> None:
        if not self._has_begun or self._has_asked:
            return
        if self._refusal is not None:
            self._has_asked = True
            self._answer_refusal(self._refusal)
        elif self._has_ended:
            self._has_asked = True
            is_post = self._path == _POST_PATH
            request = bytes(self._body) if is_post else decode_ocsp_path(self._path)
            self._protocol.surface.ask(request, self._give)

    def _give(self, der: bytes) -> None:
        """Answer with a response; called by the surface."""
        if self.disconnected or self._protocol.transport.is_closing():
            return
        try:
            self._answer(der)
        except Exception as error:  # noqa: BLE001 - an error here must not stop the other answers of the batch
            note_incident(error)
            self._protocol.transport.abort()

    def _answer(self, der: bytes) -> None:
        caching = NO_STORE if self._path == _POST_PATH else self._protocol.surface.caching(der)
        if is_cached_by_client(self._method, self._field(b"if-none-match"), caching):
            self._send(HTTPStatus.NOT_MODIFIED, _render_words(caching), b"")
            return
        fields = _OCSP_LINES + b"%d\r\n" % len(der) + _render_words(caching)
        self._send(HTTPStatus.OK, fields, b"" if self._method == "HEAD" else der)

    def _check_head(self) -> Response | None:
        """Return the refusal of a request, as far as its head says it; None if it may go on."""
        is_post = self._path == _POST_PATH
        if self._method not in (("POST",) if is_post else ("GET", "HEAD")):
            allowed = {"Allow": "POST" if is_post else "GET, HEAD"}
            return render_http_error(HTTPException(405, headers=allowed), self._incident())
        if not is_post:
            return None
        media_type = self._field(b"content-type").partition(";")[0].strip().lower()
        if media_type != REQUEST_TYPE:
            return self._problem(
                MalformedInput(
                    "media-type-wrong",
                    "the Content-Type is not that of an OCSP request",
                    hint=f"send Content-Type: {REQUEST_TYPE}",
                )
            )
        length = self._field(b"content-length")
        if length.isdigit() and int(length[:12]) > MAX_OCSP_REQUEST_BYTES:
            return self._problem(_too_large())
        return None

    def _too_slow(self) -> None:
        if not self.response_complete and not self._has_asked:
            self._refuse(edge.too_slow())

    def _refuse(self, error: DoorwardError) -> None:
        self._refusal = self._problem(error)
        self._go_on()

    def _problem(self, error: DoorwardError) -> Response:
        return render_problem(error, self._incident())

    def _incident(self) -> str:
        return incident_of(self._field(b"x-request-id"))

    def _field(self, name: bytes) -> str:
        """Return the first field of this name; empty if there is none."""
        found = (value for key, value in self._fields if key == name)
        return next(found, b"").decode("latin-1")

    def _answer_refusal(self, refusal: Response) -> None:
        body = b"" if self._method == "HEAD" else bytes(refusal.body)
        self._send(HTTPStatus(refusal.status_code), _render_lines(refusal.raw_headers), body)

    def _send(self, status: HTTPStatus, lines: bytes, body: bytes) -> None:
        """Write the answer; if the peer does not read, it waits, and with it the requests behind it."""
        self.keep_alive = self.keep_alive and not self._is_unread()
        close = b"" if self.keep_alive else b"connection: close\r\n"
        protocol = self._protocol
        data = b"".join(
            (STATUS_LINE[status], protocol.default_lines(), lines, _PROTECTIVE_LINES, close, b"\r\n", body)
        )
        if protocol.flow.write_paused:
            self._waiting = data
            protocol.held = self
        else:
            self._write(data)

    def _write(self, data: bytes) -> None:
        self.response_complete = True
        _cancel(self._timer)
        self._protocol.transport.write(data)
        if not self.keep_alive:
            self._protocol.transport.close()
        self._protocol.on_response_complete()

    def _is_unread(self) -> bool:
        """Say whether a part of the body was not read: it must not be taken for the next request."""
        if self._path == _POST_PATH and self._has_ended and self._refusal is None:
            return False
        return self._field(b"transfer-encoding") != "" or self._field(b"content-length") not in ("", "0")


def _too_large() -> MalformedInput:
    return edge.too_large(MAX_OCSP_REQUEST_BYTES)


def _render_lines(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    return b"".join(b"%b: %b\r\n" % one for one in fields)


def _render_words(fields: Mapping[str, str]) -> bytes:
    return "".join([f"{name.lower()}: {value}\r\n" for name, value in fields.items()]).encode("latin-1")


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()


_PROTECTIVE_LINES = _render_words(edge.PROTECTIVE_FIELDS)
_OCSP_LINES = _render_words({"Content-Type": RESPONSE_TYPE}) + b"content-length: "
