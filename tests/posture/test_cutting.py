"""Which sockets are cut.

The attacks that destroy a listener do so on a listener of this process, never on Envoy's.
"""

from __future__ import annotations

import http.client
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from doorward.demo.ports import free_port
from doorward.directory.principals import resume, suspend
from doorward.enforcement.envoy.names import AuthorizerMetadata
from doorward.enforcement.plan import GatewayLimits
from doorward.gateway.connections import registry as connections
from doorward.gateway.connections import sockdiag
from doorward.gateway.connections.cutter import Cutter, Mechanism
from doorward.gateway.connections.endpoints import Endpoint, parse_endpoint
from doorward.gateway.connections.reconciler import Reconciler
from doorward.gateway.connections.registry import ConnectionRegistry
from doorward.gateway.connections.sockdiag import CutOutcome, SocketFacts
from doorward.runtime.world import SystemClock
from tests.support.attacks import LISTENER, changed, exchange, has_ended, statuses
from tests.support.compiled_door import CompiledDoor, Kept
from tests.support.doorway import ACTOR, Doorway, Session, eventually, is_root, open_doorway
from tests.support.little_door import ends_of, facts_of
from tests.support.ports import FakeClock

pytestmark = pytest.mark.xdist_group("posture-cutting")


NEEDS_ROOT = pytest.mark.skipif(not is_root(), reason="SOCK_DESTROY needs CAP_NET_ADMIN")
MECHANISMS = [pytest.param(Mechanism.SOCK_DESTROY, marks=NEEDS_ROOT), Mechanism.PIDFD]


def destroy_by_address(local: Endpoint, remote: Endpoint) -> None:
    """Destroy the socket that the kernel finds for two addresses: the cutter without its cookie."""
    query = sockdiag._query(local, remote, sockdiag._NO_COOKIE)
    with suppress(OSError):
        sockdiag._ask(sockdiag._SOCK_DESTROY, sockdiag._REQUEST | sockdiag._ACK, query)


def cutter_of_mine(mechanism: Mechanism) -> Cutter:
    """A cutter for connections that this process holds."""
    return Cutter(lambda: [os.getpid()], clock=SystemClock(), mechanism=mechanism)


@contextmanager
def connected(listener: socket.socket, *, port: int = 0) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Yield both ends of a connection; a client port may be asked for, to use it again."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # No TIME_WAIT: the same pair of addresses may be used again at once.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.bind(("127.0.0.1", port))
        client.settimeout(30)
        client.connect(listener.getsockname())
        accepted, _ = listener.accept()
        with accepted:
            yield client, accepted


def listens(listener: socket.socket) -> bool:
    """Return whether a connection can be made."""
    try:
        socket.create_connection(listener.getsockname(), timeout=30).close()
    except OSError:
        return False
    return True


class TestCookies:
    """A connection is named by its cookie, never by its address alone."""

    @pytest.mark.parametrize("mechanism", MECHANISMS)
    def test_a_stale_cut_spares_the_listener(self, mechanism: Mechanism) -> None:
        """Cutting a connection that has just closed gives GONE, and the door stays open."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            with connected(listener) as (client, _):
                facts = facts_of(client)
            assert cutter_of_mine(mechanism).cut(facts).outcome is CutOutcome.GONE
            assert listens(listener)

    @NEEDS_ROOT
    def test_by_address_alone_it_destroys_the_listener(self) -> None:
        """Without the cookie the kernel finds the listener for a stale address, and closes it."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            with connected(listener) as (client, _):
                facts = facts_of(client)
            assert listens(listener)
            destroy_by_address(facts.local, facts.remote)
            assert not listens(listener)

    @pytest.mark.parametrize("mechanism", MECHANISMS)
    def test_a_late_cut_spares_who_has_the_address_now(self, mechanism: Mechanism) -> None:
        """Another connection between the same two addresses is not the one that was meant."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            with connected(listener) as (client, _):
                facts, port = facts_of(client), client.getsockname()[1]
            with connected(listener, port=port) as (innocent, other):
                assert facts_of(innocent).remote == facts.remote
                assert cutter_of_mine(mechanism).cut(facts).outcome is CutOutcome.GONE
                other.sendall(b"x")
                assert innocent.recv(1) == b"x"

    @NEEDS_ROOT
    def test_by_address_alone_it_hits_the_innocent(self) -> None:
        """Without the cookie another connection that has the address now is cut."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            with connected(listener) as (client, _):
                facts, port = facts_of(client), client.getsockname()[1]
            with connected(listener, port=port) as (innocent, _):
                destroy_by_address(facts.local, facts.remote)
                assert has_ended(innocent)

    def test_a_listener_or_a_wildcard_is_refused_before_the_kernel_is_asked(self) -> None:
        """Facts that could name a listener are an error of the caller."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            (facts,) = sockdiag.dump_listeners(listener.getsockname()[1])
            with pytest.raises(ValueError, match="cookie"):
                sockdiag.destroy(facts)
            with connected(listener) as (client, _):
                good = facts_of(client)
                for cookie in (0, 2**64 - 1):
                    wrong = SocketFacts(cookie, good.inode, good.state, good.local, good.remote)
                    with pytest.raises(ValueError, match="cookie"):
                        sockdiag.destroy(wrong)
            assert listens(listener)


class TestAnnouncedAddresses:
    """Behind PROXY protocol the CheckRequest holds the address that the peer announced."""

    ANNOUNCED = "203.0.113.9"
    HEADER = f"PROXY TCP4 {ANNOUNCED} 127.0.0.1 4711 443\r\n".encode()
    PROXY = changed(
        *LISTENER,
        "listener_filters",
        to=lambda old: [
            {
                "name": "envoy.filters.listener.proxy_protocol",
                "typed_config": {
                    "@type": (
                        "type.googleapis.com/"
                        "envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol"
                    )
                },
            },
            *old,
        ],
    )

    def test_the_compiled_door_takes_no_announcement(self, door: CompiledDoor) -> None:
        """A PROXY header before the handshake is no handshake: the connection ends."""
        with socket.create_connection(("127.0.0.1", door.site.port), timeout=30) as plain:
            plain.sendall(self.HEADER)
            assert has_ended(plain)

    def test_with_that_listener_filter_only_the_kernels_address_is_true(self, kept: Kept) -> None:
        """With a filter that the compiler never emits, the question still carries the kernel's address."""
        door = kept(self.PROXY)
        with socket.create_connection(("127.0.0.1", door.site.port), timeout=30) as plain:
            secure = self._announce(door, plain)
            with secure:
                local, remote = ends_of(secure)
                assert statuses(exchange(secure, REQUEST, answers=1)) == [200]
                # In a field that our own message does not even read.
                assert self.ANNOUNCED.encode() in door.authorizer.requests[-1].SerializeToString()
                asked = door.authorizer.asked[-1]
                assert parse_endpoint(asked[AuthorizerMetadata.REMOTE.value]) == remote
                assert parse_endpoint(asked[AuthorizerMetadata.LOCAL.value]) == local
                # Cut by the announced address: no socket is found. By the kernel's: exactly this one.
                assert sockdiag.find(local, parse_endpoint(f"{self.ANNOUNCED}:4711")) is None
                facts = sockdiag.find(local, remote)
                assert facts is not None
                cutter = Cutter(lambda: [door.envoy.process.pid], clock=SystemClock())
                assert cutter.cut(facts).outcome is CutOutcome.CUT
                assert has_ended(secure)

    def test_without_the_kernels_address_the_question_has_none(self, kept: Kept) -> None:
        """Without `initial_metadata` the authorizer has no address to look up: ours refuses (check-malformed)."""
        chains = ("listeners", "door", "filter_chains", "*", "filters", "doorward.authorizer")
        metadata = (*chains, "typed_config", "grpc_service", "initial_metadata")

        def no_addresses(old: list[Any]) -> list[Any]:
            return [
                one
                for one in old
                if one["key"] not in {AuthorizerMetadata.REMOTE.value, AuthorizerMetadata.LOCAL.value}
            ]

        door = kept(changed(*metadata, to=no_addresses))
        assert door.site.ask("GET", "/accounts/7").status == 200
        assert AuthorizerMetadata.REMOTE.value not in door.authorizer.asked[-1]

    def _announce(self, door: CompiledDoor, plain: socket.socket) -> Any:
        plain.sendall(self.HEADER)
        context = door.site.tls("p256")
        context.set_alpn_protocols(["http/1.1"])
        return context.wrap_socket(plain, server_hostname="pay.test")


REQUEST = b"GET /accounts/7 HTTP/1.1\r\nHost: pay.test\r\n\r\n"


class TestBothFamilies:
    """On `[::]` IPv4 clients are IPv6 sockets with mapped addresses: not in /proc/net/tcp, only in tcp6."""

    @pytest.mark.parametrize("mechanism", MECHANISMS)
    def test_a_mapped_connection_is_found_listed_and_cut(self, mechanism: Mechanism) -> None:
        """An IPv4 client of a wildcard IPv6 listener is cut like any other."""
        with self._wildcard() as listener:
            port = listener.getsockname()[1]
            with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
                accepted, _ = listener.accept()
                with accepted:
                    facts = facts_of(client)
                    listing = sockdiag.dump([parse_endpoint(f"[::]:{port}")])
                    assert facts.cookie in listing.cookies
                    assert cutter_of_mine(mechanism).cut(facts).outcome is CutOutcome.CUT
                    assert has_ended(client)

    def test_who_reads_the_first_table_only_would_miss_it(self) -> None:
        """The same socket is not in /proc/net/tcp: half of the tables, half of the connections."""
        with self._wildcard() as listener:
            port = listener.getsockname()[1]
            with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
                accepted, _ = listener.accept()
                with accepted:
                    inode = str(facts_of(client).inode)
                    assert inode not in self._inodes("tcp")
                    assert inode in self._inodes("tcp6")

    @staticmethod
    def _wildcard() -> socket.socket:
        return socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)

    @staticmethod
    def _inodes(table: str) -> set[str]:
        lines = Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        return {line.split()[9] for line in lines}


class TestIdle:
    """Envoy asks at the first byte: an idle TLS connection is never judged."""

    def test_the_authorizer_is_not_asked_and_the_reconciler_ends_it(self, door: CompiledDoor) -> None:
        """A connection that never speaks holds a socket for at most ten seconds."""
        before = len(door.authorizer.asked)
        clock, registry = FakeClock(), ConnectionRegistry()
        cutter = Cutter(lambda: [door.envoy.process.pid], clock=SystemClock())
        endpoint = parse_endpoint(f"127.0.0.1:{door.site.port}")
        cut: list[SocketFacts] = []
        reconciler = Reconciler(
            registry,
            cutter,
            listeners=lambda: [endpoint],
            clock=clock,
            end_due=lambda _due: None,
            on_unknown=lambda facts, _result: cut.append(facts),
        )
        with door.connect() as idle:
            reconciler.step()
            clock.turn(seconds=9)
            reconciler.step()
            # Nothing else has ended it: without the reconciler it would stay.
            assert not has_ended(idle, 0.3)
            clock.turn(seconds=2)
            reconciler.step()
            assert has_ended(idle)
            assert len(cut) == 1
        assert len(door.authorizer.asked) == before

    def test_without_the_reconciler_it_stays_for_minutes(self, kept: Kept) -> None:
        """Without the reconciler only `idle`, five minutes, ends it: Envoy's other timeouts pass it by."""
        short = timedelta(seconds=0.5)
        quick = GatewayLimits(handshake=short, authorizer=short, request_headers=short, stream_idle=short)
        door = kept(name="impatient", limits=quick)
        with door.connect() as idle, door.connect() as begun:
            begun.sendall(REQUEST[:10])
            assert has_ended(begun)  # the timeouts are in force
            assert not has_ended(idle, 1)
        with kept(name="idle", limits=replace(quick, idle=short)).connect() as idle:
            assert has_ended(idle)


MOST = 3


@pytest.fixture(scope="module")
def dual() -> Iterator[Doorway]:
    """A door on every address of both families, with alice of the staff."""
    settings = {"gateway_listen": f"[::]:{free_port()}", "max_connections_per_source": MOST}
    with open_doorway(settings=settings) as door:
        door.apply("- {allow: {groups: [staff]}}")
        door.person("alice", "staff")
        yield door


class TestAWholeDoorOnBothFamilies:
    """A door on `[::]`: its IPv4 clients are admitted, cut and counted as those of `0.0.0.0` are."""

    @pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
    def test_who_loses_is_cut(self, dual: Doorway, address: str) -> None:
        """Over either family a client is let in, known by its own address, and cut once it is suspended."""
        with self._session(dual, address) as session:
            assert session.request("GET", "/").status == 200
            (live,) = [
                one
                for one in dual.gateway.connections.all()
                if one.remote.port == session.socket.getsockname()[1]
            ]
            assert live.remote.host == address
            seq = suspend(dual.services, "alice", actor=ACTOR).seq
            assert has_ended(session.socket)
            dual.settle(seq)
        dual.settle(resume(dual.services, "alice", actor=ACTOR).seq)
        with self._session(dual, address) as session:
            assert session.request("GET", "/").status == 200

    def test_each_ipv4_address_is_a_source_of_its_own(self, dual: Doorway) -> None:
        """One address may hold so many connections and no more, and takes none from its neighbour."""
        assert eventually(lambda: len(dual.gateway.connections) == 0)
        with ExitStack() as stack:
            for _ in range(MOST):
                session = stack.enter_context(self._session(dual, "127.0.0.1"))
                assert session.request("GET", "/").status == 200
            for address in ("127.0.0.2", "::1"):
                session = stack.enter_context(self._session(dual, address))
                assert session.request("GET", "/").status == 200
            one_more = stack.enter_context(self._session(dual, "127.0.0.1"))
            with pytest.raises((OSError, http.client.HTTPException)):
                one_more.request("GET", "/")

    def test_with_one_source_for_all_of_them_the_neighbour_is_shut_out(
        self, dual: Doorway, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Counted by /64, as IPv6 is, all mapped addresses were one: any client could shut the others out."""
        assert eventually(lambda: len(dual.gateway.connections) == 0)
        monkeypatch.setattr(connections, "source_of", lambda remote: (bytes(12) + remote.address)[-16:][:8])
        with ExitStack() as stack:
            for _ in range(MOST):
                session = stack.enter_context(self._session(dual, "127.0.0.1"))
                assert session.request("GET", "/").status == 200
            neighbour = stack.enter_context(self._session(dual, "127.0.0.2"))
            with pytest.raises((OSError, http.client.HTTPException)):
                neighbour.request("GET", "/")
        assert eventually(lambda: len(dual.gateway.connections) == 0)

    @staticmethod
    @contextmanager
    def _session(door: Doorway, address: str) -> Iterator[Session]:
        """Connect from an address, to the same family's loopback."""
        to = "::1" if ":" in address else "127.0.0.1"
        plain = socket.create_connection((to, door.port), 5, source_address=(address, 0))
        try:
            secure = door.context(door.identities["alice"]).wrap_socket(
                plain, server_hostname=door.host("app")
            )
        except BaseException:
            plain.close()
            raise
        session = Session(secure, door.host("app"), door.port)
        try:
            yield session
        finally:
            session.close()
