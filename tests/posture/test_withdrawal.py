"""Live connections outlive revocation and expiry, unless the gateway ends them.

The protection here is the cutter; it is taken away by a gateway that cannot cut (`Mechanism.NONE`), and
for what Envoy does itself by leaving out `max_connection_duration`.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from doorward.authority.revocation import hold, release
from doorward.directory.principals import resume, suspend
from doorward.enforcement.plan import GatewayLimits
from tests.posture.conftest import RULES
from tests.posture.witness import Witness
from tests.support.attacks import HTTP, exchange, has_ended, seconds_for, statuses, without
from tests.support.compiled_door import CompiledDoor, CompiledDoors
from tests.support.door_site import CLEARED, TELLER
from tests.support.doorway import ACTOR, Doorway, eventually
from tests.support.envoy_process import facts_of

pytestmark = pytest.mark.xdist_group("posture-living")

REQUEST = b"GET /live HTTP/1.1\r\nHost: app.test.localhost\r\n"
UPGRADE = (
    REQUEST + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


@contextmanager
def open_lines(doorway: Doorway, name: str) -> Iterator[tuple[ssl.SSLSocket, ssl.SSLSocket]]:
    """Open a kept HTTP connection and a WebSocket of one person."""
    with (
        doorway.connect(doorway.identities[name]) as kept,
        doorway.connect(doorway.identities[name]) as web_socket,
    ):
        assert statuses(exchange(kept, REQUEST + b"\r\n", answers=1)) == [200]
        web_socket.sendall(UPGRADE)
        assert web_socket.recv(4096).startswith(b"HTTP/1.1 101")
        yield kept, web_socket


@pytest.fixture(params=["hold", "suspend"])
def withdrawal(request: pytest.FixtureRequest) -> str:
    """The ways in which a person loses everything and can be given it back afterwards."""
    return str(request.param)


@contextmanager
def withdrawn(doorway: Doorway, name: str, how: str) -> Iterator[None]:
    """Withdraw the permissions of a person for as long as the block runs."""
    services = doorway.services
    if how == "hold":
        certificate = doorway.certificate_of(name)
        hold(services, certificate, ACTOR)
        yield
        doorway.settle(release(services, certificate, ACTOR))
    else:
        suspend(services, name, actor=ACTOR)
        yield
        doorway.settle(resume(services, name, actor=ACTOR).seq)


class TestRevocation:
    """A certificate is put on hold or its person suspended, while connections are open."""

    def test_open_connections_end(self, living: Doorway, withdrawal: str) -> None:
        """The kept connection and the WebSocket end, another person's go on."""
        with (
            open_lines(living, "bob") as his,
            open_lines(living, "alice") as hers,
            withdrawn(living, "alice", withdrawal),
        ):
            assert all(has_ended(one) for one in hers)
            assert statuses(exchange(his[0], REQUEST + b"\r\n", answers=1)) == [200]
            assert his[1].recv(16)

    def test_without_the_cutter_they_go_on(self, uncut: Doorway, withdrawal: str) -> None:
        """Without it both carry data for as long as their owner likes, though new ones are refused."""
        with open_lines(uncut, "alice") as (kept, web_socket), withdrawn(uncut, "alice", withdrawal):
            assert eventually(lambda: not uncut.lets_in("alice"))
            time.sleep(0.5)
            assert statuses(exchange(kept, REQUEST + b"\r\n", answers=1)) == [200]
            assert web_socket.recv(16)

    def test_a_gateway_that_cannot_cut_says_so(self, uncut: Doorway, living: Doorway) -> None:
        """`status` reports it."""
        assert any("cannot be copied" in one or "not used" in one for one in uncut.gateway.trouble())
        assert not living.gateway.trouble()


class TestExpiry:
    """The deadline of a connection (the certificate's end, a time condition, its lifetime)."""

    @pytest.mark.parametrize("cuts", [True, False], ids=["cutter", "without"])
    def test_connections_end_at_their_deadline(self, living: Doorway, uncut: Doorway, *, cuts: bool) -> None:
        """At the deadline both kinds end; without the cutter they outlive it."""
        doorway = living if cuts else uncut
        with open_lines(doorway, "alice") as lines:
            soon = doorway.services.clock.now() + timedelta(seconds=0.3)
            for one in doorway.gateway.connections.all():
                doorway.gateway.connections.replace(replace(one, deadline=soon))
            assert [has_ended(one, seconds_for(cuts)) for one in lines] == [cuts, cuts]


class TestChangedPolicy:
    """A deny rule that is added ends live connections."""

    WITHOUT_READING = RULES.replace("[GET, HEAD, POST]", "[HEAD]")

    @pytest.mark.parametrize("cuts", [True, False], ids=["cutter", "without"])
    def test_a_narrowed_rule_ends_what_lives_by_it(
        self, living: Doorway, uncut: Doorway, *, cuts: bool
    ) -> None:
        """An open WebSocket under a rule that is taken away ends; without the cutter it goes on."""
        doorway = living if cuts else uncut
        try:
            with open_lines(doorway, "alice") as (_, web_socket):
                doorway.apply(self.WITHOUT_READING)
                assert has_ended(web_socket, seconds_for(cuts)) is cuts
        finally:
            doorway.apply(RULES)


class TestLifetime:
    """Item 7: the limits that Envoy applies by itself, if no connection can be cut."""

    BRIEF = GatewayLimits(connection_lifetime=timedelta(seconds=2))

    def test_a_client_that_ignores_the_end_is_cut(self, doors: CompiledDoors, witness: Witness) -> None:
        """`max_connection_duration` ends HTTP connections within its time and two seconds; nothing else does."""
        unlimited = without(*HTTP, "common_http_protocol_options", "max_connection_duration")
        with (
            doors.open(limits=self.BRIEF) as door,
            doors.open(unlimited, limits=self.BRIEF) as other,
            self._asking(door) as limited,
            self._asking(other) as going_on,
        ):
            time.sleep(4.3)
            assert has_ended(limited)
            assert statuses(exchange(going_on, self._request(), answers=1)) == [200]
            with self._asking(door) as stream:
                stream.sendall(self._request(b"Connection: Upgrade\r\nUpgrade: websocket\r\n"))
                assert stream.recv(4096).startswith(b"HTTP/1.1 101")
                time.sleep(2.5)
                stream.sendall(b"ping")  # a WebSocket outlives it: hence the cutter
                assert stream.recv(4) == b"ping"

    @contextmanager
    def _asking(self, door: CompiledDoor) -> Iterator[ssl.SSLSocket]:
        door.authorizer.facts = facts_of(TELLER, CLEARED)
        with door.connect() as connection:
            assert statuses(exchange(connection, self._request(), answers=1)) == [200]
            yield connection

    @staticmethod
    def _request(more: bytes = b"") -> bytes:
        return b"GET /accounts/7 HTTP/1.1\r\nHost: pay.test\r\n" + more + b"\r\n"
