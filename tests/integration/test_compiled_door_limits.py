"""The compiled door in a real Envoy: bounds of time, size and number, and the open enrolment door."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import timedelta
from typing import Any

import pytest

from doorward.enforcement.plan import GatewayLimits
from doorward.gateway.envoy.admin import AdminClient
from tests.support.attacks import exchange, has_ended, statuses
from tests.support.compiled_door import CompiledDoor, open_door
from tests.support.door_site import DoorSite
from tests.support.doorway import eventually, open_doorway

MOST_SECONDS = 4.5
"""For a limit of one second; it must stay below the usual limit of a ClientHello, 5 s."""

TRIES = 5
"""An Envoy that waits for a processor may be late; if it does not keep the limit at all, it is late each time."""


@pytest.fixture(scope="module")
def tight(tmp_path_factory: pytest.TempPathFactory, as_compiled: CompiledDoor) -> Iterator[DoorSite]:
    """A door of its own with tight limits."""
    folder = tmp_path_factory.mktemp("tight")
    site = DoorSite(folder, as_compiled.site.upstream.port)
    second = timedelta(seconds=1)
    limits = GatewayLimits(
        connections=7,
        hello=second,
        handshake=2 * second,
        request_headers=second,
        idle=3 * second,
        stream_idle=second,
    )
    with open_door(site, limits=limits):
        yield site


class TestLimits:
    """Bounds of time, size and number."""

    def test_a_silent_connection_is_cut(self, tight: DoorSite) -> None:
        """A client that connects and sends nothing is cut when the time for the handshake is over."""
        assert any(_is_cut_in_time(tight) for _ in range(TRIES))

    def test_silence_in_an_exchange_is_the_applications_to_bound(self, tight: DoorSite) -> None:
        """A WebSocket that is silent for longer than the door waits for a route lives: its application has an hour."""
        head = (
            "GET /accounts/feed HTTP/1.1\r\nHost: pay.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        with tight.connect("pay.test") as connection:
            assert statuses(exchange(connection, head.encode(), quiet=0.1)) == [101]
            assert not has_ended(connection, 4.0)  # four times stream_idle, and more than idle
            connection.settimeout(60)
            connection.sendall(b"still here")
            assert connection.recv(64) == b"still here"

    def test_a_stalled_handshake_is_cut(self, tight: DoorSite) -> None:
        """A client that stops after the ClientHello is cut when the time for the handshake is over."""
        outgoing = ssl.MemoryBIO()
        stalled = tight.tls("p256").wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="pay.test")
        with pytest.raises(ssl.SSLWantReadError):
            stalled.do_handshake()
        hello = outgoing.read()
        assert any(_is_cut_in_time(tight, hello) for _ in range(TRIES))

    def test_slow_headers_are_cut(self, tight: DoorSite) -> None:
        """A client that sends its headers very slowly gets an error and is cut."""
        with tight.connect("pay.test") as connection:
            connection.sendall(b"GET /accounts/7 HTTP/1.1\r\nHost: pay.test\r\n")
            assert b" 408 " in connection.recv(4096)

    def test_an_idle_connection_is_cut(self, tight: DoorSite) -> None:
        """A connection without requests ends."""
        with tight.connect("pay.test") as connection:
            assert tight.ask("GET", "/accounts/7", over=connection).status == 200
            connection.settimeout(30)
            assert _seconds_until_closed(connection) < 30

    def test_a_door_has_a_limit_of_connections(self, tight: DoorSite) -> None:
        """One application's crowd cannot take every connection; the next one is closed."""
        assert eventually(lambda: _open_connections(tight) == 0)  # those of earlier tests have ended
        with (
            tight.connect("pay.test") as one,
            tight.connect("pay.test") as two,
            tight.connect("pay.test") as three,
        ):
            for connection in (one, two, three):
                assert tight.ask("GET", "/accounts/7", over=connection).status == 200
            assert tight.alert("pay.test", quiet=2.0) in {"closed", "reset", "UNEXPECTED_EOF_WHILE_READING"}

    def test_large_headers_are_refused(self, door: CompiledDoor) -> None:
        """Headers have a size and a number."""
        assert door.site.ask("GET", "/accounts/7", headers=[("X-Big", "x" * 66_000)]).status == 431
        many = [(f"X-{number}", "x") for number in range(520)]
        assert "too large or too many" in door.site.ask("GET", "/accounts/7", headers=many).body


class TestEnrolment:
    """The open door."""

    def test_it_asks_for_no_certificate_and_serves_listed_requests_only(self, door: CompiledDoor) -> None:
        """Listed requests go to the enrolment socket (503 here: nothing listens), everything else is 404."""
        ask = door.site.ask
        host = "enroll.test"
        assert ask("POST", "/enrol", host=host, certificate=None, body=b"x").status == 503
        assert ask("GET", "/i/abc-DEF_1", host=host, certificate=None).status == 503
        for method, path in [
            ("GET", "/enrol"),
            ("POST", "/enrol/"),
            ("POST", "/Enrol"),
            ("GET", "/i/"),
            ("GET", "/i/a/b"),
            ("GET", "/"),
            ("GET", "/accounts/7"),
        ]:
            assert ask(method, path, host=host, certificate=None).status == 404

    def test_it_leads_to_no_application(self, door: CompiledDoor) -> None:
        """Another Host on the enrolment connection is misdirected."""
        assert (
            door.site.ask("GET", "/accounts/7", host="pay.test", sni="enroll.test", certificate=None).status
            == 421
        )

    def test_large_bodies_are_refused(self, door: CompiledDoor) -> None:
        """No request of the open door may fill memory."""
        answer = door.site.ask("POST", "/enrol", host="enroll.test", certificate=None, body=b"x" * 40_000)
        assert answer.status == 413

    def test_its_connections_end_after_eight_seconds(self, door: CompiledDoor) -> None:
        """A client that holds an enrolment connection is cut by Envoy itself: no reconciler runs here."""
        with door.site.connect("enroll.test", None) as connection:
            connection.settimeout(80)
            assert door.site.ask("GET", "/", host="enroll.test", over=connection).status == 404
            with suppress(ssl.SSLError, ConnectionResetError):
                assert connection.recv(1) == b""


def _open_connections(site: DoorSite) -> int:
    found = AdminClient(site.folder / "admin.sock").statistics("downstream_cx_active$")
    return sum(
        count for name, count in found.items() if not name.startswith(("listener.admin.", "http.admin."))
    )


def _is_cut_in_time(site: DoorSite, said: bytes = b"") -> bool:
    with socket.create_connection(("127.0.0.1", site.port), timeout=30) as connection:
        connection.sendall(said)
        return has_ended(connection, MOST_SECONDS)


def _seconds_until_closed(connection: socket.socket) -> float:
    began = time.monotonic()
    try:
        while connection.recv(4096):
            pass
    except OSError:
        pass
    return time.monotonic() - began


def test_the_settings_bound_all_connections_and_those_of_one_source() -> None:
    """The settings reach Envoy and the registry: the third connection from one address is refused."""
    bounds = {"max_connections": 120, "max_connections_per_source": 2}
    sent: list[str] = []

    def see(resource: dict[str, Any]) -> dict[str, Any]:
        sent.append(json.dumps(resource))
        return resource

    with open_doorway(settings=bounds, alter=see) as door, ExitStack() as stack:
        door.apply("- {allow: {groups: [staff]}}")
        alice = door.person("alice", "staff")
        for _ in range(2):
            session = stack.enter_context(door.session(alice))
            assert session.request("GET", "/").status == 200
        with pytest.raises(OSError):
            door.get(alice, "/")
        run = door.gateway.supervisor.running
        assert run is not None
        assert '"max_active_downstream_connections": 120' in (run.folder / "bootstrap.json").read_text()
        assert '"max_connections": 60' in "".join(sent)
