"""Fetching what a certificate names, over HTTP (`core.ports.Fetcher`): one request, one connection.

The server may be dead, slow or hostile:
1. A name is looked up once. Every address is judged; if one is forbidden, the host is refused. The connection goes to an
   address that was judged: a second look-up could give another one. Our own listeners are refused at every address of this
   machine, also after a redirect.
2. One deadline covers everything, each read included: a server that sends a byte a second cannot hold us.
3. The head may have 32 KiB, the body the requested limit; both are counted as they arrive, without trusting
   Content-Length. Nothing is decompressed.
4. At most 3 redirects, each judged again; from a global address none may lead into a private network.
5. TLS with the roots of the system. No proxy and no key log from the environment, no cookie, no user, and no header but
   those written here.

Not here: which URLs may be fetched (addresses), what is done with the answer (partners.evidence).
Standard: RFC 9110, RFC 9112.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

from doorward.core.addresses import (
    Address,
    AddressClass,
    Network,
    classify_address,
    may_fetch_from,
    unmap_ipv4,
)
from doorward.core.errors import MalformedInput, RequestRefused, Unavailable
from doorward.core.ports import FetchRequest, FetchResponse
from doorward.runtime.fetching.addresses import Place, parse_place
from doorward.runtime.fetching.resolving import Resolver

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

REDIRECT_LIMIT = 3
HEAD_LIMIT = 32 * 1024
CONNECT_SECONDS = 5.0
ADDRESS_LIMIT = 4
"""Addresses of a host that are tried, one after the other."""
VALIDATOR_LIMIT = 256
"""The longest entity tag or date that is kept for the next request."""

_CHUNK = 64 * 1024
_MOVED = frozenset({301, 302, 303, 307, 308})
_MOVED_AS_IT_IS = frozenset({307, 308})
_OK, _NOT_MODIFIED = 200, 304

Connect = Callable[[Address, int, float], socket.socket]
IsOurs = Callable[[Address, int], bool]
Resolve = Callable[[str, float], list[Address]]


def system_context() -> ssl.SSLContext:
    """Return TLS 1.2 or 1.3 with the roots of the system; `ssl`'s own default could write a key log."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_default_certs()
    return context


def connect_to(address: Address, port: int, seconds: float) -> socket.socket:
    """Return a TCP connection to exactly this address."""
    return socket.create_connection((str(address), port), seconds)


class HttpFetcher:
    """Fetches; safe to share between threads.

    Args:
        context: the TLS context for https.
        resolve: host and seconds to addresses.
        connect: address, port and seconds to a connection.
        is_ours: whether an address and port is a listener of ours; nothing is ever fetched from one.
    """

    def __init__(
        self,
        context: ssl.SSLContext | None = None,
        *,
        resolve: Resolve | None = None,
        connect: Connect = connect_to,
        is_ours: IsOurs = lambda _address, _port: False,
    ) -> None:
        self._context = context or system_context()
        self._resolve = resolve or Resolver().resolve
        self._connect, self._is_ours = connect, is_ours

    def fetch(self, request: FetchRequest) -> FetchResponse:
        """Fetch one thing; see `core.ports.Fetcher`."""
        until = Deadline(request.seconds)
        place, allow_private = parse_place(request.url), request.allow_private
        for _ in range(REDIRECT_LIMIT + 1):
            try:
                addresses = self._look_up(place, until, allow_private=allow_private)
                answer = self._ask(place, addresses, request, until)
            except ssl.SSLCertVerificationError as error:
                why = f"{place.authority} has no valid certificate for its name: {error.verify_message}"
                raise Unavailable("fetch-not-trusted", why) from None
            except TimeoutError:
                raise Unavailable("fetch-too-slow", f"{place.authority} did not answer in time") from None
            except OSError as error:
                why = error.strerror or type(error).__name__
                raise Unavailable(
                    "fetch-unreachable",
                    f"{place.authority} cannot be reached, or broke the connection: {why}",
                ) from None
            except (http.client.HTTPException, ValueError) as error:
                why = f"{place.authority} broke the connection, or does not speak HTTP"
                raise MalformedInput("fetch-answer-malformed", why, error=type(error).__name__) from None
            if isinstance(answer, FetchResponse):
                return answer
            place = answer
            # Step 4: a server of the public network must not redirect us into a private one.
            if any(classify_address(one) is not AddressClass.PRIVATE for one in addresses):
                allow_private = ()
        raise Unavailable("fetch-redirects", f"more than {REDIRECT_LIMIT} redirects")

    def _look_up(self, place: Place, until: Deadline, *, allow_private: Sequence[Network]) -> list[Address]:
        """Step 1."""
        addresses = self._resolve(place.host, until.left())
        refused = [str(one) for one in addresses if not may_fetch_from(one, allow_private)]
        if refused:
            raise RequestRefused(
                "fetch-address-refused",
                f"{place.host} has an address from which nothing may be fetched: {refused[0]}",
                hint="if its responder is in your own network, name the network: --allow-private NETWORK",
                address=refused[0],
            )
        if any(self._is_ours(one, place.port) for one in addresses):
            raise RequestRefused(
                "fetch-address-refused",
                f"{place.authority} is a listener of this installation",
                hint="ask the partner to name its own responder",
            )
        return addresses

    def _ask(
        self, place: Place, addresses: list[Address], request: FetchRequest, until: Deadline
    ) -> FetchResponse | Place:
        """Make one request; return the answer, or the target of a redirect."""
        with self._dial(place, addresses, until) as raw:
            if not place.secure:
                return _exchange(raw, place, request, until)
            raw.settimeout(until.left())
            with self._context.wrap_socket(
                raw, server_hostname=place.host, suppress_ragged_eofs=False
            ) as secure:
                return _exchange(secure, place, request, until)

    def _dial(self, place: Place, addresses: list[Address], until: Deadline) -> socket.socket:
        fault: OSError | None = None
        for address in addresses[:ADDRESS_LIMIT]:
            try:
                return self._connect(unmap_ipv4(address), place.port, min(until.left(), CONNECT_SECONDS))
            except OSError as error:
                fault = fault or error
        raise fault or TimeoutError


class Deadline:
    """The moment at which everything must be finished."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Return the seconds left; raise `TimeoutError` if there are none."""
        seconds = self._end - time.monotonic()
        if seconds <= 0:
            raise TimeoutError
        return seconds


class Wire(io.RawIOBase):
    """The bytes of a connection, counted and timed: steps 2 and 3."""

    def __init__(self, connection: socket.socket, until: Deadline) -> None:
        super().__init__()
        self._connection, self._until = connection, until
        self.allowance = HEAD_LIMIT

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, into: WriteableBuffer) -> int:
        """Receive bytes; raise `TooMuch` if all that are allowed came, `TimeoutError` after the deadline."""
        if self.allowance <= 0:
            raise TooMuch
        self._connection.settimeout(self._until.left())
        count = self._connection.recv_into(memoryview(into)[: self.allowance])
        self.allowance -= count
        return count

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return the reader that `http.client` expects of a socket."""
        return io.BufferedReader(self)


class TooMuch(http.client.HTTPException):
    """The answer is longer than the limit."""


def _exchange(
    connection: socket.socket, place: Place, request: FetchRequest, until: Deadline
) -> FetchResponse | Place:
    connection.settimeout(until.left())
    connection.sendall(_render(place, request))
    wire = Wire(connection, until)
    method = "GET" if request.body is None else "POST"
    try:
        with http.client.HTTPResponse(cast("socket.socket", wire), method=method) as response:
            response.begin()
            return _take(response, wire, place, request)
    except TooMuch:
        why = f"{place.authority} answered more than {request.limit} bytes, or sent a head that is too long"
        raise MalformedInput("fetch-answer-too-large", why, came=True) from None


def _render(place: Place, request: FetchRequest) -> bytes:
    """Return the request's bytes; validators that are no valid header field are not sent."""
    fields = {
        "Host": place.authority,
        "User-Agent": "doorward",
        "Accept": request.accept,
        "Accept-Encoding": "identity",
        "Connection": "close",
    }
    if request.body is not None:
        fields |= {"Content-Type": request.media_type, "Content-Length": str(len(request.body))}
    if request.etag:
        fields["If-None-Match"] = request.etag
    if request.last_modified:
        fields["If-Modified-Since"] = request.last_modified
    method = "GET" if request.body is None else "POST"
    lines = [f"{method} {place.target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + (request.body or b"")


def _take(
    response: http.client.HTTPResponse, wire: Wire, place: Place, request: FetchRequest
) -> FetchResponse | Place:
    followed = _MOVED if request.body is None else _MOVED_AS_IT_IS
    if response.status in followed:
        return parse_place(response.getheader("Location") or "", place)
    validators = {
        "etag": _keep(response.getheader("ETag")),
        "last_modified": _keep(response.getheader("Last-Modified")),
    }
    if response.status == _NOT_MODIFIED and (request.etag or request.last_modified):
        return FetchResponse(body=None, **validators)
    if response.status != _OK:
        why = f"{place.authority} answered with status {response.status}"
        raise Unavailable("fetch-answer-refused", why, status=response.status)
    if (response.getheader("Content-Encoding") or "identity").strip().lower() != "identity":
        why = f"{place.authority} compressed its answer, which was not asked for"
        raise MalformedInput("fetch-answer-malformed", why, came=True)
    return FetchResponse(body=take_body(response, wire, request.limit), **validators)


def take_body(response: http.client.HTTPResponse, wire: Wire, limit: int) -> bytes:
    """Return the body of an answer; raise `TooMuch` if it is longer than the limit."""
    if (response.length or 0) > limit:
        raise TooMuch
    wire.allowance = 2 * limit + HEAD_LIMIT  # chunk headers are not part of the body
    body = bytearray()
    while piece := response.read(_CHUNK):
        body += piece
        if len(body) > limit:
            raise TooMuch
    if response.length:
        raise http.client.IncompleteRead(b"")
    return bytes(body)


def _keep(value: str | None) -> str:
    """Return a validator if it may be sent back unchanged, otherwise an empty text."""
    text = value or ""
    return text if len(text) <= VALIDATOR_LIMIT and text.isascii() and text.isprintable() else ""
