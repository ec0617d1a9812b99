"""One small HTTPS request with a deadline, to a server with a pinned root, or to a server that is not verified yet.

Not here: the content of requests (`client`). It uses the standard library only, because it runs on every user's machine.
- Connections: `.localhost` names mean this machine and are never resolved (RFC 6761 section 6.3). A proxy from the
  environment is used for other hosts only; the proxy learns the name and the port of the host, and nothing else.
- TLS 1.2 or 1.3, without the system's trust store, compression and session resumption.
- No redirect is followed, no cookie is kept, and at most 64 KiB are read.
- The deadline is for the whole request, not for each read: a server that sends single bytes cannot hold the agent.
Standard: RFC 9112, RFC 9110 section 9.3.6 (CONNECT), RFC 6125 by the ssl module.
"""

from __future__ import annotations

import base64
import http.client
import re
import socket
import ssl
import sys
import threading
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol
from urllib.parse import unquote, urlsplit

from doorward.agent.root_list import RootList
from doorward.core.errors import MalformedInput, RequestRefused, Unavailable

REQUEST_SECONDS = 30.0
CONNECT_SECONDS = 10.0
MAX_ANSWER_BYTES = 64 * 1024
"""Precedent: a chain of four RSA-4096 certificates has about 8 KiB."""

MAX_PROXY_ANSWER_BYTES = 8 * 1024
_LOOPBACK = ("127.0.0.1", "::1")


class ServerEndpoint(Protocol):
    """Host and port of a server; `agent.link.Link` is one."""

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
        """Host and port as in a Host field."""
        ...

    @property
    def is_local(self) -> bool:
        """Whether the host is this machine; if so, the name is not resolved and no proxy is used."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """Status, media type (lower case, without parameters) and at most 64 KiB of body.

    `retry_after_seconds` is None if the server gave no delay in seconds.
    """

    status: int
    media_type: str
    body: bytes = field(repr=False)
    retry_after_seconds: int | None = None


def unverified_context() -> ssl.SSLContext:
    """Return the TLS context of the connection that fetches the root; no secret may be sent on that connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def pinned_context(root_pem: str) -> ssl.SSLContext:
    """Return a TLS context that trusts exactly one root and checks the host's name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.load_verify_locations(cadata=root_pem)
    return context


def fetch(
    server: ServerEndpoint,
    method: str,
    path: str,
    context: ssl.SSLContext,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    seconds: float = REQUEST_SECONDS,
    root_list: RootList | None = None,
) -> Response:
    """Make one request on one new connection.

    Args:
        server: host and port.
        method: `GET` or `POST`.
        path: absolute, ASCII.
        context: how the server is authenticated.
        headers: more header fields.
        body: the body of a POST.
        seconds: for the whole request.
        root_list: refuse a server with a certificate below an authority that the root has revoked.

    Returns:
        The response, with any status.

    Raises:
        Unavailable: `server-unreachable`, `server-too-slow`.
        RequestRefused: `server-not-trusted`.
        MalformedInput: `server-answer-malformed`.
    """
    deadline = _Deadline(seconds)
    try:
        with _dial(server, deadline) as raw, _secure(raw, server, context, deadline) as secure:
            if root_list is not None and root_list.revokes(_read_verified_chain(secure)):
                raise _revoked(server)
            connection = http.client.HTTPConnection(server.host, server.port)
            connection.sock = secure
            common = {"Host": server.authority, "User-Agent": "doorward-agent", "Connection": "close"}
            connection.request(method, path, body=body, headers={**common, **(headers or {})})
            with connection.getresponse() as response:
                return _read(response, server, deadline)
    except ssl.SSLCertVerificationError as error:
        raise _not_trusted(server, error) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        if deadline.expired or isinstance(error, TimeoutError):
            detail = f"{server.authority} did not answer within {seconds:g} seconds"
            raise Unavailable("server-too-slow", detail, hint="try again in a minute") from None
        if isinstance(error, OSError):
            raise _unreachable(server, error, closed=deadline.connected) from None
        raise MalformedInput(
            "server-answer-malformed",
            f"{server.authority} answered, but not with HTTP",
            hint="check the host and the port of the link: another server may answer there",
        ) from None
    finally:
        deadline.cancel()


class _Deadline:
    """Closes the connection when the time of a request is over, also while a thread waits for data."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.expired = False
        self.connected = False
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._expire)
        self._timer.daemon = True
        self._timer.start()

    def watch(self, watched: socket.socket) -> None:
        self._socket = watched
        watched.settimeout(self.seconds)

    def cancel(self) -> None:
        self._timer.cancel()

    def _expire(self) -> None:
        self.expired = True
        with suppress(OSError):
            if self._socket is not None:
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


def _secure(
    raw: socket.socket, server: ServerEndpoint, context: ssl.SSLContext, deadline: _Deadline
) -> ssl.SSLSocket:
    """Return the TLS connection over `raw`; `raw` must not be used afterwards."""
    secure = context.wrap_socket(
        raw, server_hostname=server.host, do_handshake_on_connect=False, suppress_ragged_eofs=False
    )
    deadline.watch(secure)
    try:
        secure.do_handshake()
    except BaseException:
        secure.close()
        raise
    deadline.connected = True
    return secure


def _read_verified_chain(secure: ssl.SSLSocket) -> list[bytes]:
    """Return the chain that OpenSSL has verified, leaf first, DER. Before Python 3.13 only an inner method returns it."""
    if sys.version_info >= (3, 13):
        return list(secure.get_verified_chain())
    inner = secure._sslobj  # type: ignore[attr-defined]  # noqa: SLF001  there is no other way
    return [ssl.PEM_cert_to_DER_cert(one.public_bytes()) for one in inner.get_verified_chain()]


def _read(response: http.client.HTTPResponse, server: ServerEndpoint, deadline: _Deadline) -> Response:
    content = response.read(MAX_ANSWER_BYTES + 1)
    if deadline.expired or response.length:
        raise http.client.IncompleteRead(b"")
    if len(content) > MAX_ANSWER_BYTES:
        raise MalformedInput(
            "server-answer-malformed",
            f"{server.authority} answered with more than {MAX_ANSWER_BYTES} bytes",
            hint="check the host and the port of the link: another server may answer there",
        )
    media_type = (response.getheader("Content-Type") or "").partition(";")[0].strip().lower()
    return Response(
        status=response.status,
        media_type=media_type,
        body=content,
        retry_after_seconds=_read_delay(response.getheader("Retry-After")),
    )


def _read_delay(value: str | None) -> int | None:
    """Return a delay in seconds (RFC 9110 section 10.2.3); None without one, or for a date, which Doorward does not send."""
    return int(value) if value and re.fullmatch(r"[0-9]{1,9}", value.strip()) else None


def _dial(server: ServerEndpoint, deadline: _Deadline) -> socket.socket:
    """Return a TCP connection to the server, direct or through the environment's proxy."""
    seconds = min(deadline.seconds, CONNECT_SECONDS)
    proxy = ""
    if not server.is_local and not urllib.request.proxy_bypass(server.host):
        proxy = urllib.request.getproxies().get("https", "")
    if proxy:
        return _dial_through(proxy, server, deadline)
    hosts = _LOOPBACK if server.is_local and "localhost" in server.host else (server.host,)
    for host in hosts[:-1]:
        with suppress(OSError):
            return socket.create_connection((host, server.port), seconds)
    return socket.create_connection((hosts[-1], server.port), seconds)


def _dial_through(proxy: str, server: ServerEndpoint, deadline: _Deadline) -> socket.socket:
    """Ask an HTTP proxy for a tunnel (RFC 9110 section 9.3.6)."""
    parts = urlsplit(proxy if "//" in proxy else f"//{proxy}")
    if not parts.hostname or parts.scheme not in ("", "http"):
        raise OSError("the proxy in the environment (https_proxy) is not an http:// address")
    target = f"[{server.host}]:{server.port}" if ":" in server.host else f"{server.host}:{server.port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        lines.append(f"Proxy-Authorization: Basic {base64.b64encode(pair.encode()).decode()}")
    seconds = min(deadline.seconds, CONNECT_SECONDS)
    raw = socket.create_connection((parts.hostname, parts.port or 80), seconds)
    deadline.watch(raw)
    try:
        raw.sendall("\r\n".join([*lines, "", ""]).encode("utf-8"))
        _await_tunnel(raw)
    except BaseException:
        raw.close()
        raise
    return raw


def _await_tunnel(raw: socket.socket) -> None:
    """Read the head of the proxy's answer, one byte at a time, because the bytes after it belong to TLS."""
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        more = raw.recv(1)
        if not more:
            raise OSError("the proxy closed the connection")
        if len(answer) >= MAX_PROXY_ANSWER_BYTES:
            raise OSError(f"the answer of the proxy is longer than {MAX_PROXY_ANSWER_BYTES} bytes")
        answer += more
    if answer.split(b" ", 2)[1:2] != [b"200"]:
        raise OSError("the proxy refused the connection (its answer to CONNECT is not 200)")


def _unreachable(server: ServerEndpoint, error: OSError, *, closed: bool) -> Unavailable:
    why = error.strerror or str(error) or type(error).__name__
    return Unavailable(
        "server-unreachable",
        f"{server.authority} closed the connection: {why}"
        if closed
        else f"{server.authority} cannot be reached: {why}",
        hint=f"nothing answers on port {server.port} of this machine: start the door (`doorward up`), and check the port of the link"
        if server.is_local
        else "check the network (VPN, proxy), and whether the link is meant for this network",
    )


def _revoked(server: ServerEndpoint) -> RequestRefused:
    return RequestRefused(
        "server-not-trusted",
        f"{server.authority} proves its name by an issuing authority that was retired: its key may be known to somebody",
        hint="somebody may intercept the connection: use another network, and tell your administrator",
    )


_NOT_YET, _EXPIRED = 9, 10
"""X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED (openssl verify(1))."""


def _not_trusted(server: ServerEndpoint, error: ssl.SSLCertVerificationError) -> RequestRefused:
    if error.verify_code in (_NOT_YET, _EXPIRED):
        word = "is not valid yet" if error.verify_code == _NOT_YET else "has expired"
        return RequestRefused(
            "server-not-trusted",
            f"the certificate of {server.authority} {word}; the clock of this machine says "
            f"{datetime.now(UTC):%Y-%m-%d %H:%M}Z",
            hint="if that time is wrong, set the clock and run the command again; "
            "if it is right, tell your administrator that the server's certificate is not valid",
        )
    return RequestRefused(
        "server-not-trusted",
        f"{server.authority} did not prove that it belongs to the authority of your link: {error.verify_message}",
        hint="somebody may intercept the connection: use another network, or ask your administrator for a new link",
    )
