"""What strangers can make the door hold."""

from __future__ import annotations

import os
import socket
import ssl
import time
from contextlib import ExitStack, suppress
from datetime import timedelta
from pathlib import Path
from threading import Thread

import pytest

from doorward.enforcement.plan import GatewayLimits
from tests.support.attacks import (
    CHAINS,
    HTTP,
    LISTENER,
    Edit,
    H2Client,
    changed,
    has_ended,
    seconds_for,
    without,
)
from tests.support.compiled_door import CompiledDoor, Kept
from tests.support.door_site import CLEARED, TELLER
from tests.support.envoy_process import facts_of

pytestmark = pytest.mark.xdist_group("posture-buffers")


SECOND = timedelta(seconds=1)
TIGHT = GatewayLimits(hello=SECOND, handshake=4 * SECOND, request_headers=SECOND, connections=7)
BUFFER = without(*LISTENER, "per_connection_buffer_limit_bytes")
UNDECIDED = 20


def held_bytes(door: CompiledDoor, enough: int, seconds: float) -> int:
    """Return how much memory Envoy gains while connections that are not decided yet send all they can.

    Args:
        door: without any other connection.
        enough: look no longer if it gained as much.
        seconds: the longest time to look.
    """
    before, most = _resident(door), 0
    door.authorizer.delay_seconds = 120.0
    try:
        with ExitStack() as stack:
            connections = [stack.enter_context(door.connect()) for _ in range(UNDECIDED)]
            threads = [Thread(target=_pour, args=(one,), daemon=True) for one in connections]
            for thread in threads:
                thread.start()
            limit = time.monotonic() + seconds
            while most < enough and time.monotonic() < limit:
                most = max(most, _resident(door) - before)
                time.sleep(0.05)
            for connection, thread in zip(connections, threads, strict=True):
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
                thread.join(60)  # or it would write into whatever has the same number next
            return most
    finally:
        door.authorizer.finish()


def _pour(connection: ssl.SSLSocket) -> None:
    with suppress(OSError):
        connection.sendall(b"POST /accounts/7 HTTP/1.1\r\nHost: pay.test\r\nContent-Length: 9999999\r\n\r\n")
        connection.sendall(b"x" * 4_000_000)


def _resident(door: CompiledDoor) -> int:
    pages = Path(f"/proc/{door.envoy.process.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def test_undecided_connections_hold_little(kept: Kept) -> None:
    """Before the answer a connection is read no further than its small buffer; without the limit, 1 MiB."""
    patient = GatewayLimits(authorizer=timedelta(seconds=90))
    limited = held_bytes(kept(name="buffers", limits=patient), UNDECIDED * 256 * 1024, 1.5)
    assert limited < UNDECIDED * 256 * 1024
    unlimited = held_bytes(kept(BUFFER, name="without buffers", limits=patient), 3 * limited + 1, 60.0)
    assert unlimited > 3 * limited, (limited, unlimited)


@pytest.fixture
def tight(kept: Kept) -> CompiledDoor:
    """A door with limits that a test can reach."""
    door = kept(name="tight", limits=TIGHT)
    door.authorizer.facts = facts_of(TELLER, CLEARED)
    return door


LOOSE: dict[str, Edit] = {
    "listener_filters_timeout": changed(*LISTENER, "listener_filters_timeout", to="30s"),
    "transport_socket_connect_timeout": changed(*CHAINS, "transport_socket_connect_timeout", to="30s"),
    "request_headers_timeout": changed(*HTTP, "request_headers_timeout", to="30s"),
    "max_connections": changed(
        *CHAINS, "filters", "doorward.connections", "typed_config", "max_connections", to=99
    ),
}


def _loose(kept: Kept, field: str) -> CompiledDoor:
    return kept(LOOSE[field], limits=TIGHT)


class TestSlowness:
    """Section 4.3: who connects and says little is cut soon, and only by the field that says so."""

    @pytest.mark.parametrize("with_field", [True, False], ids=["compiled", "without"])
    def test_a_silent_connection(self, tight: CompiledDoor, kept: Kept, *, with_field: bool) -> None:
        """`listener_filters_timeout`: no ClientHello."""
        door = tight if with_field else _loose(kept, "listener_filters_timeout")

        def is_cut() -> bool:
            with socket.create_connection(("127.0.0.1", door.site.port), timeout=30) as connection:
                return has_ended(connection, 3.0)  # the usual limit is five seconds

        tries = (
            5 if with_field else 1
        )  # an Envoy that waits for a processor is late now and then, not each time
        assert any(is_cut() for _ in range(tries)) is with_field

    @pytest.mark.parametrize("with_field", [True, False], ids=["compiled", "without"])
    def test_a_stalled_handshake(self, tight: CompiledDoor, kept: Kept, *, with_field: bool) -> None:
        """`transport_socket_connect_timeout`: a ClientHello and nothing after it."""
        door = tight if with_field else _loose(kept, "transport_socket_connect_timeout")
        outgoing = ssl.MemoryBIO()
        stalled = door.site.tls("p256").wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="pay.test")
        with pytest.raises(ssl.SSLWantReadError):
            stalled.do_handshake()
        with socket.create_connection(("127.0.0.1", door.site.port), timeout=30) as connection:
            connection.sendall(outgoing.read())
            assert has_ended(connection, seconds_for(with_field, quiet=6.0)) is with_field

    @pytest.mark.parametrize("with_field", [True, False], ids=["compiled", "without"])
    def test_dripping_headers(self, tight: CompiledDoor, kept: Kept, *, with_field: bool) -> None:
        """`request_headers_timeout`: a head that does not end."""
        door = tight if with_field else _loose(kept, "request_headers_timeout")
        with door.connect() as connection:
            connection.sendall(b"GET /accounts/7 HTTP/1.1\r\nHost: pay.test\r\n")
            connection.settimeout(8.0 if with_field else 2.0)  # the usual limit is ten seconds
            if with_field:
                assert connection.recv(4096).startswith(b"HTTP/1.1 408")
            else:
                with pytest.raises(TimeoutError):
                    connection.recv(1)


class TestCrowds:
    """Section 4.3: one application's crowd takes neither the door's connections nor its memory."""

    @pytest.mark.parametrize("with_field", [True, False], ids=["compiled", "without"])
    def test_connections_of_one_door(self, tight: CompiledDoor, kept: Kept, *, with_field: bool) -> None:
        """`connection_limit`: the fourth connection is closed; without it it is served."""
        door = tight if with_field else _loose(kept, "max_connections")
        with ExitStack() as stack:
            for _ in range(3):
                connection = stack.enter_context(door.connect())
                assert door.site.ask("GET", "/accounts/7", over=connection).status == 200
            if with_field:
                assert door.site.alert("pay.test", quiet=30.0) in {
                    "closed",
                    "reset",
                    "UNEXPECTED_EOF_WHILE_READING",
                }
            else:
                assert door.site.ask("GET", "/accounts/7").status == 200

    def test_connections_of_the_whole_listener(self, kept: Kept) -> None:
        """The overload monitor's cap: also connections that never shake hands are counted and refused."""
        for edits, refused in (
            ((), True),
            ((without("base", "overload_manager"), LOOSE["listener_filters_timeout"]), False),
        ):
            limits = GatewayLimits(connections=8)
            door = kept(*edits, name=f"crowd {refused}", limits=limits)
            with ExitStack() as stack:
                crowd = [
                    stack.enter_context(socket.create_connection(("127.0.0.1", door.site.port), timeout=30))
                    for _ in range(14)
                ]
                rounds = 20 if refused else 1
                ended = any(has_ended(one, 0.15) for _ in range(rounds) for one in reversed(crowd))
            assert ended is refused


class TestHeads:
    """Headers have a size and a number, in both versions of HTTP."""

    MANY = tuple((f"x-{number}", "x") for number in range(600))
    BIG = (("x-big", "x" * 40_000), ("x-more", "x" * 40_000))

    @pytest.mark.parametrize("headers", [MANY, BIG], ids=["many", "big"])
    @pytest.mark.parametrize("h2", [False, True], ids=["http1", "http2"])
    def test_large_heads_are_refused(
        self, door: CompiledDoor, headers: tuple[tuple[str, str], ...], *, h2: bool
    ) -> None:
        """The request does not reach the application."""
        assert door.ask("/accounts/7", *headers, h2=h2) in ({0, 431} if h2 else {431})

    @pytest.mark.parametrize("h2", [False, True], ids=["http1", "http2"])
    def test_without_the_fields_they_pass(self, kept: Kept, *, h2: bool) -> None:
        """With larger limits in both fields they reach it."""
        door = kept(
            changed(*HTTP, "max_request_headers_kb", to=90),
            changed(*HTTP, "common_http_protocol_options", "max_headers_count", to=900),
        )
        for headers in (self.MANY, self.BIG):
            assert door.ask("/accounts/7", *headers, h2=h2) == 200

    def test_streams_of_one_connection_are_capped(self, door: CompiledDoor) -> None:
        """A client of HTTP/2 may open 64 streams at once: the settings say so."""
        with door.connect(h2=True) as connection:
            client = H2Client(connection)
            assert client.ask("/accounts/7").status == 200
            assert client.most_streams() == 64

    def test_the_enrolment_doors_bodies_are_small(self, door: CompiledDoor, kept: Kept) -> None:
        """Anybody may send a body there: 32 KiB, then 413; without the filter it goes on to the socket."""
        body = b"x" * 60_000
        path = ("POST", "/enrol")
        assert door.site.ask(*path, host="enroll.test", certificate=None, body=body).status == 413
        unlimited = kept(without(*HTTP, "http_filters", "doorward.body"))
        assert unlimited.site.ask(*path, host="enroll.test", certificate=None, body=body).status == 503


def test_the_limits_are_in_every_configuration(door: CompiledDoor) -> None:
    """The fields above are there with the plan's own numbers."""
    (listener,) = door.resources.listeners
    assert listener["per_connection_buffer_limit_bytes"] == GatewayLimits().buffer_bytes == 32_768
    assert listener["continue_on_listener_filters_timeout"] is False
