"""One HTTPS request at a time, small and with a deadline, to a server that is pinned or not yet known.

Not here: what is asked (client). The standard library alone, because this runs on every user's machine.
- Connections: `.localhost` names are this machine and are never resolved (RFC 6761 section 6.3); a proxy
  of the environment is used for other hosts only, and sees nothing but the host's name.
- TLS 1.2 or 1.3, no trust store of the system, no compression, no session resumption.
- No redirect is followed, no cookie kept, and no more than 64 KiB is read.
- The deadline is for the whole request, not for each read: a server that drips bytes does not hold us.
Standard: RFC 9112, RFC 9110 section 9.3.6 (CONNECT), RFC 6125 by the ssl module.
"""

from __future__ import annotations

import base64
import http.client
import socket
import ssl
import threading
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol
from urllib.parse import unquote, urlsplit

from doorward.core.errors import MalformedInput, RequestRefused, Unavailable

REQUEST_SECONDS = 30.0
CONNECT_SECONDS = 10.0
MAX_ANSWER_BYTES = 64 * 1024
"""Precedent: a chain of four RSA-4096 certificates has about 8 KiB."""

MAX_PROXY_ANSWER_BYTES = 8 * 1024
_LOOPBACK = ("127.0.0.1", "::1")


class Place(Protocol):
    """Where to connect: what `agent.link.Link` says of it."""

    @property
    def host(self) -> str:
        """DNS name or IP address, no brackets."""
        ...

    @property
    def port(self) -> int:
        """1 to 65535."""
        ...

    @property
    def authority(self) -> str:
        """As in a Host field."""
        ...

    @property
    def is_local(self) -> bool:
        """Whether it is this machine, never to be resolved or proxied."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Status, media type (lower case, without parameters) and at most 64 KiB of body."""

    status: int
    media_type: str
    body: bytes = field(repr=False)


def unverified_context() -> ssl.SSLContext:
    """Return the context for the one connection that fetches the root; nothing secret may be sent on it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def pinned_context(root_pem: str) -> ssl.SSLContext:
    """Return a context that trusts exactly one root, and demands the host's name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.load_verify_locations(cadata=root_pem)
    return context


def fetch(
    place: Place,
    method: str,
    path: str,
    context: ssl.SSLContext,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    seconds: float = REQUEST_SECONDS,
) -> Answer:
    """Make one request on one new connection.

    Args:
        place: host and port.
        method: `GET` or `POST`.
        path: absolute, ASCII.
        context: how the server proves itself.
        headers: more header fields.
        body: of a POST.
        seconds: for everything together.

    Returns:
        The answer, whatever its status.

    Raises:
        Unavailable: `server-unreachable`, `server-too-slow`.
        RequestRefused: `server-not-trusted`.
        MalformedInput: `server-answer-malformed`.
    """
    alarm = _Alarm(seconds)
    try:
        with _dial(place, alarm) as raw, _secure(raw, place, context, alarm) as secure:
            connection = http.client.HTTPConnection(place.host, place.port)
            connection.sock = secure
            common = {"Host": place.authority, "User-Agent": "doorward-agent", "Connection": "close"}
            connection.request(method, path, body=body, headers={**common, **(headers or {})})
            with connection.getresponse() as response:
                return _read(response, place, alarm)
    except ssl.SSLCertVerificationError as error:
        raise _not_trusted(place, error) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        if alarm.rang or isinstance(error, TimeoutError):
            detail = f"{place.authority} did not answer in time"
            raise Unavailable("server-too-slow", detail, hint="try again in a minute") from None
        if isinstance(error, OSError):
            raise _unreachable(place, error, broke_off=alarm.connected) from None
        raise MalformedInput("server-answer-malformed", f"{place.authority} does not speak HTTP") from None
    finally:
        alarm.cancel()


class _Alarm:
    """Hangs up when the time of a request is over, whatever a thread of ours is waiting for."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.rang = False
        self.connected = False
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._ring)
        self._timer.daemon = True
        self._timer.start()

    def watch(self, watched: socket.socket) -> None:
        self._socket = watched
        watched.settimeout(self.seconds)

    def cancel(self) -> None:
        self._timer.cancel()

    def _ring(self) -> None:
        self.rang = True
        with suppress(OSError):
            if self._socket is not None:
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


def _secure(raw: socket.socket, place: Place, context: ssl.SSLContext, alarm: _Alarm) -> ssl.SSLSocket:
    """Return the connection under TLS; `raw` is empty afterwards."""
    secure = context.wrap_socket(
        raw, server_hostname=place.host, do_handshake_on_connect=False, suppress_ragged_eofs=False
    )
    alarm.watch(secure)
    try:
        secure.do_handshake()
    except BaseException:
        secure.close()
        raise
    alarm.connected = True
    return secure


def _read(response: http.client.HTTPResponse, place: Place, alarm: _Alarm) -> Answer:
    content = response.read(MAX_ANSWER_BYTES + 1)
    if alarm.rang or response.length:
        raise http.client.IncompleteRead(b"")
    if len(content) > MAX_ANSWER_BYTES:
        raise MalformedInput("server-answer-malformed", f"{place.authority} answered more than was asked for")
    media_type = (response.getheader("Content-Type") or "").partition(";")[0].strip().lower()
    return Answer(status=response.status, media_type=media_type, body=content)


def _dial(place: Place, alarm: _Alarm) -> socket.socket:
    """Return a TCP connection to the place, straight or through the environment's proxy."""
    seconds = min(alarm.seconds, CONNECT_SECONDS)
    proxy = ""
    if not place.is_local and not urllib.request.proxy_bypass(place.host):
        proxy = urllib.request.getproxies().get("https", "")
    if proxy:
        return _dial_through(proxy, place, alarm)
    hosts = _LOOPBACK if place.is_local and "localhost" in place.host else (place.host,)
    for host in hosts[:-1]:
        with suppress(OSError):
            return socket.create_connection((host, place.port), seconds)
    return socket.create_connection((hosts[-1], place.port), seconds)


def _dial_through(proxy: str, place: Place, alarm: _Alarm) -> socket.socket:
    """Ask an HTTP proxy for a tunnel (RFC 9110 section 9.3.6)."""
    parts = urlsplit(proxy if "//" in proxy else f"//{proxy}")
    if not parts.hostname or parts.scheme not in ("", "http"):
        raise OSError("the proxy of the environment is not an http:// address")
    target = f"[{place.host}]:{place.port}" if ":" in place.host else f"{place.host}:{place.port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        lines.append(f"Proxy-Authorization: Basic {base64.b64encode(pair.encode()).decode()}")
    seconds = min(alarm.seconds, CONNECT_SECONDS)
    raw = socket.create_connection((parts.hostname, parts.port or 80), seconds)
    alarm.watch(raw)
    try:
        raw.sendall("\r\n".join([*lines, "", ""]).encode("utf-8"))
        _await_tunnel(raw)
    except BaseException:
        raw.close()
        raise
    return raw


def _await_tunnel(raw: socket.socket) -> None:
    """Read the proxy's answer, one byte at a time: what follows its head belongs to TLS."""
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        more = raw.recv(1)
        if not more or len(answer) >= MAX_PROXY_ANSWER_BYTES:
            raise OSError("the proxy broke off")
        answer += more
    if answer.split(b" ", 2)[1:2] != [b"200"]:
        raise OSError("the proxy refused the connection")


def _unreachable(place: Place, error: OSError, *, broke_off: bool) -> Unavailable:
    why = error.strerror or str(error) or type(error).__name__
    return Unavailable(
        "server-unreachable",
        f"{place.authority} broke off: {why}" if broke_off else f"{place.authority} cannot be reached: {why}",
        hint="check the network (VPN, proxy), and that the link is for this network",
    )


_NOT_YET, _ENDED = 9, 10
"""X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED (openssl verify(1))."""


def _not_trusted(place: Place, error: ssl.SSLCertVerificationError) -> RequestRefused:
    if error.verify_code in (_NOT_YET, _ENDED):
        word = "is not valid yet" if error.verify_code == _NOT_YET else "has ended"
        return RequestRefused(
            "server-not-trusted",
            f"the certificate of {place.authority} {word}, by the clock of this machine "
            f"({datetime.now(UTC):%Y-%m-%d %H:%M}Z)",
            hint="the clock of this machine is wrong: set it, and run this again; "
            "if it is right, the server's certificate was not renewed: tell your administrator",
        )
    return RequestRefused(
        "server-not-trusted",
        f"{place.authority} did not prove that it belongs to the authority of your link: {error.verify_message}",
        hint="somebody may be listening in; use another network, or ask your administrator for a new link",
    )
