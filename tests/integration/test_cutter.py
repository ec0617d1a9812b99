"""Ending exactly one connection of a real Envoy, by each mechanism, and never the listener."""

from __future__ import annotations

import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from doorward.demo.ports import free_port
from doorward.gateway.connections import pidfd, sockdiag
from doorward.gateway.connections.cutter import Cutter, Mechanism
from doorward.gateway.connections.endpoints import Endpoint
from doorward.gateway.connections.sockdiag import CutOutcome, SocketFacts, TcpState
from doorward.gateway.envoy.program import EnvoyOptions, locate_envoy
from doorward.gateway.envoy.supervisor import Supervisor
from doorward.runtime.world import SystemClock
from tests.support.attacks import has_ended
from tests.support.doorway import eventually
from tests.support.little_door import LittleDoor, ask, echo_server, echoes, ends_of, facts_of, web_socket

MECHANISMS = [
    pytest.param(
        Mechanism.SOCK_DESTROY,
        marks=pytest.mark.skipif(os.geteuid() != 0, reason="SOCK_DESTROY needs CAP_NET_ADMIN"),
    ),
    Mechanism.PIDFD,
]
KINDS = ["keep-alive", "web-socket", "tcp"]


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LittleDoor, Supervisor]]:
    """A door on every address of both families, with its supervisor."""
    folder = tmp_path_factory.mktemp("door")
    with echo_server() as upstream:
        little = LittleDoor(folder, port=free_port(), upstream_port=upstream, host="::")
        supervisor = Supervisor(
            EnvoyOptions(folder=folder / "envoy", binary=locate_envoy()),
            prepare=little.prepare,
            clock=SystemClock(),
            listeners=lambda: [little.listener],
        )
        supervisor.start()
        try:
            yield little, supervisor
        finally:
            supervisor.stop()


@pytest.fixture(autouse=True)
def tidy(door: tuple[LittleDoor, Supervisor]) -> Iterator[None]:
    """Close every client after each test."""
    yield
    door[0].close_clients()


def opened(
    little: LittleDoor, kind: str, address: str = "127.0.0.1"
) -> tuple[ssl.SSLSocket, Callable[[], bool]]:
    """A connection that has carried data, and a way to ask whether it still does."""
    client = little.connect("tcp.test" if kind == "tcp" else "http.test", address=address)
    if kind == "keep-alive":

        def alive() -> bool:
            return b"200" in ask(client)

    else:
        if kind == "web-socket":
            web_socket(client)

        def alive() -> bool:
            return echoes(client)

    assert alive()
    return client, alive


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_one_connection_ends_and_the_others_go_on(
    door: tuple[LittleDoor, Supervisor], mechanism: Mechanism, kind: str, address: str
) -> None:
    """The named connection ends at once, its neighbours of every kind do not notice."""
    little, supervisor = door
    others = [opened(little, other) for other in KINDS]
    client, _ = opened(little, kind, address)
    cutter = Cutter(supervisor.envoy_pids, clock=SystemClock(), mechanism=mechanism)
    result = cutter.cut(facts_of(client))
    assert (result.mechanism, result.outcome, result.ended) == (mechanism, CutOutcome.CUT, True)
    assert has_ended(client)
    assert result.seconds < 5  # some milliseconds, where the machine does nothing else
    assert all(alive() for _, alive in others)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_cutting_what_has_just_closed_leaves_the_listener(
    door: tuple[LittleDoor, Supervisor], mechanism: Mechanism
) -> None:
    """A stale address, for which the kernel answers with the listener, cuts nothing."""
    little, supervisor = door
    client, _ = opened(little, "keep-alive")
    facts = facts_of(client)
    client.close()
    cutter = Cutter(supervisor.envoy_pids, clock=SystemClock(), mechanism=mechanism)
    deadline = time.monotonic() + 60
    while sockdiag.find(facts.local, facts.remote) is not None:
        cutter.cut(facts)
        assert time.monotonic() < deadline
    assert cutter.cut(facts).outcome is CutOutcome.GONE
    assert opened(little, "keep-alive")[1]()
    assert supervisor.running is not None
    assert not supervisor.running.process.has_ended()


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_another_connection_at_the_same_address_is_spared(
    door: tuple[LittleDoor, Supervisor], mechanism: Mechanism
) -> None:
    """The cookie decides, not the address: with a wrong cookie no connection is cut."""
    little, supervisor = door
    client, alive = opened(little, "keep-alive")
    facts = facts_of(client)
    wrong = SocketFacts(facts.cookie + 1_000_000, facts.inode, facts.state, facts.local, facts.remote)
    cutter = Cutter(supervisor.envoy_pids, clock=SystemClock(), mechanism=mechanism)
    assert cutter.cut(wrong).outcome is CutOutcome.GONE
    if mechanism is Mechanism.SOCK_DESTROY:
        assert sockdiag.destroy(wrong) is CutOutcome.GONE
    else:
        assert pidfd.end_connections(supervisor.envoy_pids(), [wrong]) == {wrong.cookie: CutOutcome.MISSED}
    assert alive()


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("first", ["peer", "door"])
def test_half_closed_streams_do_not_escape(mechanism: Mechanism, first: str) -> None:
    """A stream of which one direction is closed still carries data the other way, and is cut like any other."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = socket.create_connection(listener.getsockname(), timeout=30)
        own, _ = listener.accept()
        with peer, own:
            (peer if first == "peer" else own).shutdown(socket.SHUT_WR)
            closed = (TcpState.CLOSE_WAIT if first == "peer" else TcpState.FIN_WAIT2, TcpState.FIN_WAIT1)
            assert eventually(lambda: facts_of(peer).state in closed)
            facts = facts_of(peer)
            assert facts.cookie in {one.cookie for one in sockdiag.dump([facts.local]).sockets}
            cutter = Cutter(lambda: [os.getpid()], clock=SystemClock(), mechanism=mechanism)
            assert cutter.cut(facts).outcome is CutOutcome.CUT
            with pytest.raises(OSError, match=r"reset|pipe"):
                peer.sendall(b"more") if first == "door" else peer.recv(1)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_many_at_once(door: tuple[LittleDoor, Supervisor], mechanism: Mechanism) -> None:
    """Hundreds end in one call, each with a result in the order of the question."""
    little, supervisor = door
    clients = [opened(little, "keep-alive")[0] for _ in range(300)]
    facts = [facts_of(client) for client in clients]
    results = Cutter(supervisor.envoy_pids, clock=SystemClock(), mechanism=mechanism).cut_many(facts)
    assert [result.cookie for result in results] == [one.cookie for one in facts]
    assert {result.outcome for result in results} == {CutOutcome.CUT}
    assert all(has_ended(client) for client in clients)


def test_what_works_is_found_out(door: tuple[LittleDoor, Supervisor]) -> None:
    """The mechanism is tried, not guessed; status reports no trouble if one works."""
    _, supervisor = door
    cutter = Cutter(supervisor.envoy_pids, clock=SystemClock())
    expected = Mechanism.SOCK_DESTROY if os.geteuid() == 0 else Mechanism.PIDFD
    assert cutter.mechanism is expected
    assert cutter.trouble() == ""
    assert all(cutter.reaches(pid) for pid in supervisor.envoy_pids())


def test_where_nothing_can_be_cut_it_is_said() -> None:
    """A process that may not be looked into makes trouble for status, and cuts say NOT_PERMITTED."""
    cutter = Cutter(lambda: [2**22 + 7], clock=SystemClock(), mechanism=Mechanism.PIDFD)
    assert cutter.mechanism is Mechanism.NONE
    assert "cannot be copied" in cutter.trouble()
    nothing = Cutter(list, clock=SystemClock(), mechanism=Mechanism.NONE)
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as peer,
    ):
        result = nothing.cut(facts_of(peer))
    assert (result.outcome, result.ended) == (CutOutcome.NOT_PERMITTED, False)
    assert nothing.trouble()


def test_a_connection_that_is_not_accepted_yet_is_found(door: tuple[LittleDoor, Supervisor]) -> None:
    """The copying cutter says MISSED for a socket that no process of Envoy holds."""
    _, supervisor = door
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as peer,
    ):
        facts = facts_of(peer)
        assert facts.inode == 0
        cutter = Cutter(supervisor.envoy_pids, clock=SystemClock(), mechanism=Mechanism.PIDFD)
        assert cutter.cut(facts).outcome is CutOutcome.MISSED


def test_the_listing_holds_what_the_look_up_finds(door: tuple[LittleDoor, Supervisor]) -> None:
    """Sockets of the door are listed on both families and counted when skipped; others are not."""
    little, _ = door
    clients = [opened(little, "keep-alive", address)[0] for address in ("127.0.0.1", "::1")]
    facts = {facts_of(client) for client in clients}
    cookies = {one.cookie for one in facts}
    listing = sockdiag.dump([little.listener])
    assert facts <= set(listing.sockets)
    assert cookies <= listing.cookies
    skipped = sockdiag.dump([little.listener, Endpoint(b"\0" * 4, 1)], skip=cookies)
    assert cookies <= skipped.cookies
    assert not facts & set(skipped.sockets)
    assert sockdiag.dump([Endpoint(b"\x7f\0\0\x09", little.port)]).cookies == frozenset()


def test_each_thread_has_its_own_channel() -> None:
    """Look-ups of many threads at once never get each other's answers."""
    pairs = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        for _ in range(8):
            peer = socket.create_connection(listener.getsockname())
            pairs.append((peer, listener.accept()[0]))
        wrong: list[object] = []

        def look(peer: socket.socket, own: socket.socket) -> None:
            cookie = int.from_bytes(own.getsockopt(socket.SOL_SOCKET, 57, 8), "little")
            for _ in range(300):
                facts = sockdiag.find(*ends_of(peer))
                if facts is None or facts.cookie != cookie:
                    wrong.append(facts)

        threads = [threading.Thread(target=look, args=pair) for pair in pairs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for pair in pairs:
            for one in pair:
                with suppress(OSError):
                    one.close()
    assert wrong == []


def test_listeners_are_never_found_as_connections(door: tuple[LittleDoor, Supervisor]) -> None:
    """For a connection that does not exist the answer is None, though the kernel names the listener."""
    little, _ = door
    assert sockdiag.find(Endpoint(b"\x7f\0\0\1", little.port), Endpoint(b"\x7f\0\0\1", 1)) is None
    assert sockdiag.find(Endpoint(b"\x7f\0\0\1", 1), Endpoint(b"\x7f\0\0\1", 1)) is None


def test_many_connections_are_found_in_one_batch(door: tuple[LittleDoor, Supervisor]) -> None:
    """The kernel answers many requests at once as it answers each alone; a missing one disturbs none."""
    little, _ = door
    peers = [socket.create_connection(("127.0.0.1", little.port)) for _ in range(70)]
    try:
        pairs = [ends_of(one) for one in peers]
        pairs.insert(3, (pairs[0][0], Endpoint(b"\x7f\0\0\1", 1)))
        assert eventually(
            lambda: all(one is None or one.inode for one in sockdiag.find_all(pairs))
        )  # accepted
        found = sockdiag.find_all(pairs)
        assert found == [sockdiag.find(*pair) for pair in pairs]
        assert [place for place, one in enumerate(found) if one is None] == [3]
    finally:
        for one in peers:
            one.close()
    assert [one.state for one in sockdiag.dump_listeners(little.port)] == [TcpState.LISTEN]


def test_the_bootstrap_is_private(door: tuple[LittleDoor, Supervisor]) -> None:
    """The admin socket may be opened by its owner only."""
    _, supervisor = door
    assert supervisor.running is not None
    path: Path = supervisor.running.folder / "admin.sock"
    assert path.stat().st_mode & 0o777 == 0o600
