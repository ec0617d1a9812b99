"""Attacks on a compiled door, and the same door with one protection taken out of its resources.

A posture test runs one attack twice: on the door as compiled, where it must fail, and on a door
without the protecting field, where it must succeed. The second run shows that the first one tested
that field and nothing else.

    without("listeners", "door", "enable_reuse_port")      # the field is removed; it must have been there
    changed(*HTTP, "normalize_path", to=False)             # the same, with another value in its place
    altered(resources, *edits)                             # resources of another door
    with doors.open(*edits) as door: ...                   # a real Envoy over them (compiled_door)
"""

from __future__ import annotations

import copy
import json
import re
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events

from tests.support.resources import Resources

EVERY = "*"
"""A step of a place that stands for every element."""

Step = str | int

LISTENER: tuple[Step, ...] = ("listeners", "door")
CHAINS: tuple[Step, ...] = (*LISTENER, "filter_chains", EVERY)
TLS: tuple[Step, ...] = (*CHAINS, "transport_socket", "typed_config")
TLS_PARAMETERS: tuple[Step, ...] = (*TLS, "common_tls_context", "tls_params")
AUTHORIZER: tuple[Step, ...] = (*CHAINS, "filters", "doorward.authorizer", "typed_config")
HTTP: tuple[Step, ...] = (*CHAINS, "filters", "doorward.http", "typed_config")
HOSTS: tuple[Step, ...] = ("routes", EVERY, "virtual_hosts")

_QUIET_SECONDS = 0.4
_TIMEOUT_SECONDS = 30.0
_START_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Edit:
    """One change of a place in compiled resources.

    Args:
        steps: keys of objects; indices or `name`s of list elements; `EVERY`.
        act: changes the container of the last step, which is given too; returns whether anything differs.
        new: the field must not have been there; otherwise it must.
        says: the edit in words; equal words are equal edits.
    """

    steps: tuple[Step, ...]
    act: Callable[[Any, Any], bool]
    new: bool = False
    says: str = ""

    def apply(self, tree: dict[str, Any]) -> None:
        """Change every place that has this field; fail if there is none: the compiler moved it."""
        *before, last = self.steps
        places = [
            (container, key)
            for container in _reach(tree, before)
            for key in ([last] if self.new else _keys(container, last))
        ]
        assert places, f"the compiled resources have no {'.'.join(map(str, self.steps))}"
        differs = False
        for container, key in reversed(places):  # from the end, so that indices stay right
            assert not self.new or key not in container, f"{key} is there already"
            differs = self.act(container, key) or differs
        assert differs, f"nothing changed: {self.says}"


def without(*steps: Step) -> Edit:
    """Remove a field."""

    def remove(container: Any, key: Any) -> bool:
        del container[key]
        return True

    return Edit(steps, remove, says=f"without {steps}")


def changed(*steps: Step, to: Any) -> Edit:
    """Give a field another value; a function is called with the old one."""

    def change(container: Any, key: Any) -> bool:
        old = container[key]
        container[key] = to(copy.deepcopy(old)) if callable(to) else copy.deepcopy(to)
        return bool(old != container[key])

    return Edit(steps, change, says=f"{steps} is {to!r}")


def leading_to(chain: str) -> dict[str, Any]:
    """Return what leads a connection to a filter chain, in a matcher of the listener."""
    name = {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": chain}
    return {"action": {"name": "everybody", "typed_config": name}}


def added(*steps: Step, value: Any) -> Edit:
    """Add a field that the compiler never writes."""

    def add(container: Any, key: Any) -> bool:
        container[key] = copy.deepcopy(value)
        return True

    return Edit(steps, add, new=True, says=f"{steps} is {value!r}")


def altered(resources: Resources, *edits: Edit) -> Resources:
    """Return a copy of resources with every edit applied, in order."""
    tree: dict[str, Any] = copy.deepcopy(
        {
            "secrets": dict(resources.secrets),
            "clusters": list(resources.clusters),
            "routes": dict(resources.routes),
            "extensions": dict(resources.extensions),
            "listeners": list(resources.listeners),
            "base": resources.base,
        }
    )
    for edit in edits:
        edit.apply(tree)
    return Resources(
        secrets=tree["secrets"],
        clusters=tuple(tree["clusters"]),
        routes=tree["routes"],
        extensions=tree["extensions"],
        listeners=tuple(tree["listeners"]),
        base=tree["base"],
    )


def found(tree: Any, *steps: Step) -> list[Any]:
    """Return every value at a place of plain resources, `static_rendering` or one of their parts."""
    return list(_reach(tree, steps))


def every_value(tree: Any) -> Iterator[tuple[str, Any]]:
    """Yield every key with its value, however deep."""
    for key, value in tree.items() if isinstance(tree, Mapping) else enumerate(tree):
        yield str(key), value
        if isinstance(value, Mapping | list | tuple):
            yield from every_value(value)


def _keys(container: Any, step: Step) -> list[Any]:
    if isinstance(container, dict):
        return list(container) if step == EVERY else [step] if step in container else []
    if not isinstance(container, list):
        return []
    if step == EVERY:
        return list(range(len(container)))
    if isinstance(step, int):
        return [step] if step < len(container) else []
    return [at for at, one in enumerate(container) if isinstance(one, dict) and one.get("name") == step]


def _reach(tree: Any, steps: Sequence[Step]) -> Iterator[Any]:
    if not steps:
        yield tree
        return
    for key in _keys(tree, steps[0]):
        yield from _reach(tree[key], steps[1:])


@dataclass(frozen=True, slots=True)
class Heard:
    """What came back over HTTP/2: status 0 if the stream or the connection ended without an answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    ended: str = ""

    def seen(self) -> dict[str, Any]:
        """Return the request as the upstream saw it."""
        value: dict[str, Any] = json.loads(self.body)
        return value


class H2Client:
    """HTTP/2 without manners: sends what it is told, also what the library would refuse."""

    def __init__(self, connection: ssl.SSLSocket) -> None:
        assert connection.selected_alpn_protocol() == "h2"
        self._socket = connection
        config = h2.config.H2Configuration(
            validate_outbound_headers=False, normalize_outbound_headers=False, header_encoding="latin-1"
        )
        self._machine = h2.connection.H2Connection(config)
        self._machine.initiate_connection()

    def ask(
        self,
        path: str,
        *more: tuple[str, str],
        method: str = "GET",
        authority: str = "pay.test",
        body: bytes = b"",
        pseudo: Sequence[tuple[str, str]] | None = None,
        trailers: Sequence[tuple[str, str]] = (),
    ) -> Heard:
        """Send one request and wait for its answer, or for the end of stream or connection."""
        usual = [(":method", method), (":scheme", "https"), (":authority", authority), (":path", path)]
        stream = self._machine.get_next_available_stream_id()
        self._machine.send_headers(
            stream, [*(usual if pseudo is None else pseudo), *more], end_stream=not body and not trailers
        )
        if body:
            self._machine.send_data(stream, body, end_stream=not trailers)
        if trailers:
            self._machine.send_headers(stream, trailers, end_stream=True)
        return self._receive(stream)

    def most_streams(self) -> int:
        """Return how many streams the peer lets one connection have; known after the first answer."""
        return int(self._machine.remote_settings.max_concurrent_streams)

    def _receive(self, stream: int) -> Heard:
        status, body = 0, b""
        headers: dict[str, str] = {}
        self._socket.settimeout(_TIMEOUT_SECONDS)
        while True:
            try:
                self._socket.sendall(self._machine.data_to_send())
                data = self._socket.recv(65536)
            except OSError as error:
                return Heard(status, headers, body, f"connection: {error}")
            if not data:
                return Heard(status, headers, body, "connection closed")
            for event in self._machine.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived) and event.stream_id == stream:
                    headers = {str(name): str(value) for name, value in event.headers}
                    status = int(headers.pop(":status"))
                elif isinstance(event, h2.events.DataReceived):
                    self._machine.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    body += event.data
                elif isinstance(event, h2.events.StreamEnded) and event.stream_id == stream:
                    return Heard(status, headers, body)
                elif isinstance(event, h2.events.StreamReset) and event.stream_id == stream:
                    return Heard(status, headers, body, f"stream reset {event.error_code}")
                elif isinstance(event, h2.events.ConnectionTerminated):
                    return Heard(status, headers, body, f"goaway {event.error_code}")


def exchange(
    connection: socket.socket, data: bytes, *, answers: int = 0, quiet: float = _QUIET_SECONDS
) -> bytes:
    """Send bytes as they are; return what comes until the end, or until nothing comes any more.

    Args:
        connection: an open one.
        data: what to send.
        answers: return at once when so many whole answers came; 0 waits for more than was asked for.
        quiet: seconds of silence after which nothing more is expected.
    """
    came = b""
    try:
        connection.sendall(data)
        while _readable(connection, _TIMEOUT_SECONDS if not came else quiet):
            piece = connection.recv(65536)
            came += piece
            if not piece or (answers and _whole_answers(came) >= answers):
                break
    except OSError:
        pass
    return came


def _whole_answers(came: bytes) -> int:
    count = 0
    while came:
        head, end, rest = came.partition(b"\r\n\r\n")
        if end and re.match(rb"HTTP/1\.1 10[0235-9] ", head):  # more of the same answer comes
            came = rest
            continue
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
        if not end or length is None or len(rest) < int(length[1]):
            break
        count, came = count + 1, rest[int(length[1]) :]
    return count


def statuses(came: bytes) -> list[int]:
    """Return the status codes of the HTTP/1 answers in some bytes."""
    return [int(code) for code in re.findall(rb"HTTP/1\.[01] (\d{3})", came)]


def has_ended(connection: socket.socket, seconds: float = _TIMEOUT_SECONDS) -> bool:
    """Return whether the peer ends a connection within some seconds; what it sends before is read.

    A test that expects no end says how long it waits.
    """
    limit = time.monotonic() + seconds
    while (left := limit - time.monotonic()) > 0:
        connection.settimeout(left)
        try:
            if not connection.recv(65536):
                return True
        except TimeoutError:
            return False
        except OSError:
            return True
    return False


def seconds_for(expected: bool, *, quiet: float = 2.0) -> float:  # noqa: FBT001  the one thing that it is asked
    """Return how long to wait: long for what must come, and `quiet` seconds for what must not."""
    return _TIMEOUT_SECONDS if expected else quiet


def _readable(connection: socket.socket, seconds: float) -> bool:
    if isinstance(connection, ssl.SSLSocket) and connection.pending():
        return True
    return bool(select.select([connection], [], [], seconds)[0])


def command_of(pid: int) -> list[str]:
    """Return the command line of a process."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode().rstrip("\0").split("\0")
