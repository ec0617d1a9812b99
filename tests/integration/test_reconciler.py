"""Registry and kernel are made to agree, on real sockets."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from doorward.gateway.connections import sockdiag
from doorward.gateway.connections.accepted import count_accepted
from doorward.gateway.connections.connection import LiveConnection, PendingConnection
from doorward.gateway.connections.cutter import Cutter, Mechanism
from doorward.gateway.connections.reconciler import Reconciler
from doorward.gateway.connections.registry import ConnectionRegistry
from doorward.gateway.connections.sockdiag import CutOutcome, SocketListing
from tests.support.cutting import FakeCutter
from tests.support.doorway import eventually
from tests.support.little_door import ends_of
from tests.support.ports import FakeClock
from tests.unit.gateway.live import live

CLOSED = 7
"""TCP_CLOSE, the first octet of TCP_INFO (tcp_states.h)."""


@dataclass
class Place:
    """A listener of this process, the registry, and the reconciler between them."""

    listener: socket.socket
    clock: FakeClock
    registry: ConnectionRegistry
    reconciler: Reconciler
    due: list[LiveConnection] = field(default_factory=list)
    unknown: list[CutOutcome] = field(default_factory=list)
    accepted: int | None = 7
    sockets: list[socket.socket] = field(default_factory=list)

    def connect(self) -> socket.socket:
        """A connection to the listener, accepted."""
        peer = socket.create_connection(self.listener.getsockname(), timeout=30)
        self.sockets += [peer, self.listener.accept()[0]]
        return peer

    def admit(self, peer: socket.socket, deadline: timedelta = timedelta(hours=1)) -> int:
        """Register a connection and return its cookie."""
        local, remote = ends_of(peer)
        facts = sockdiag.find(local, remote)
        assert facts is not None
        now = self.clock.now()
        self.registry.begin(
            PendingConnection(
                cookie=facts.cookie,
                connection_id="1",
                epoch=1,
                local=local,
                remote=remote,
                application_id="app_a",
                opened_at=now,
            )
        )
        connection = live(facts.cookie, remote=str(remote), local=local, deadline=now + deadline)
        assert self.registry.admit(connection, judged_at=0)
        return facts.cookie


@pytest.fixture
def place() -> Iterator[Place]:
    """A place with a clock that the test sets; everything is closed afterwards."""
    clock = FakeClock()
    registry = ConnectionRegistry()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        cutter = Cutter(lambda: [os.getpid()], clock=clock, mechanism=Mechanism.PIDFD)
        host, port = listener.getsockname()
        reconciler = Reconciler(
            registry,
            cutter,
            listeners=lambda: [sockdiag.Endpoint(socket.inet_aton(host), port)],
            clock=clock,
            end_due=lambda due: made.due.extend(due),  # noqa: PLW0108 - `made` comes later
            on_unknown=lambda _facts, result: made.unknown.append(result.outcome),
            count_accepted=lambda: made.accepted,
        )
        made = Place(listener, clock, registry, reconciler)
        yield made
        for one in made.sockets:
            one.close()


def is_reset(peer: socket.socket) -> bool:
    """Whether the connection was cut: the kernel has closed the peer's end, which closed nothing itself."""
    return peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == CLOSED


def test_nothing_is_compared_while_there_is_no_connection(place: Place) -> None:
    """If none was found and the kernel has accepted none since, only every tenth second compares."""
    assert [_look_later(place, 1) for _ in range(3)] == [True, False, False]
    assert _look_later(place, 10)
    place.accepted = 8
    assert [_look_later(place, 1) for _ in range(2)] == [True, False]


def test_every_second_compares_while_there_is_a_connection(place: Place) -> None:
    """Known or not: its end, its grace and its share are found by comparing."""
    assert _look_later(place, 1)
    place.connect()  # the count does not show it: it must be found all the same, once it was seen
    assert [_look_later(place, 10), _look_later(place, 1), _look_later(place, 1)] == [True] * 3


def test_a_registered_connection_is_compared_every_second(place: Place) -> None:
    """Also if the last comparison found none."""
    assert _look_later(place, 1)
    place.admit(place.connect())
    assert [_look_later(place, 1) for _ in range(2)] == [True] * 2


def test_without_the_kernels_count_every_second_compares(place: Place) -> None:
    """A container may hide the count."""
    place.accepted = None
    assert [_look_later(place, 1) for _ in range(3)] == [True] * 3


def test_the_kernel_counts_what_it_accepts(place: Place) -> None:
    """Before its listing shows it."""
    before = count_accepted()
    place.connect()
    after = count_accepted()
    assert before is not None
    assert after is not None
    assert after > before


def _look_later(place: Place, seconds: int) -> bool:
    place.clock.turn(seconds=seconds)
    return place.reconciler.look()


def test_idle_connections_that_never_spoke_are_cut(place: Place) -> None:
    """A socket that is unknown for longer than ten seconds is cut; a registered one stays."""
    silent, known = place.connect(), place.connect()
    place.admit(known)
    for _ in range(3):
        place.reconciler.step()
        place.clock.turn(seconds=5)
    assert not is_reset(silent)
    place.reconciler.step()
    assert eventually(lambda: is_reset(silent))
    assert not is_reset(known)
    assert place.unknown == [CutOutcome.CUT]


def test_a_source_keeps_its_share_of_undecided_connections(place: Place) -> None:
    """Above the share the oldest are cut at the second look and not recorded; connections being judged stay."""
    place.reconciler._most_undecided = 2
    judged, known, *silent = [place.connect() for _ in range(6)]
    place.admit(known)
    cookie = place.admit(judged)
    local, remote = ends_of(judged)
    place.registry.begin(
        PendingConnection(
            cookie=cookie,
            connection_id="1",
            epoch=1,
            local=local,
            remote=remote,
            application_id="app_a",
            opened_at=place.clock.now(),
        )
    )
    with capture_logs() as logs:
        place.reconciler.step()
        assert logs == []
        place.clock.turn(seconds=1)
        late = place.connect()
        place.reconciler.step()
    assert eventually(lambda: sum(is_reset(one) for one in silent) == 3)
    assert not any(is_reset(one) for one in (judged, known, late))
    assert place.unknown == []
    (entry,) = logs
    assert (entry["event"], entry["sources"], entry["sockets"], entry["cut"]) == ("sources-crowding", 1, 3, 3)
    assert entry["one_of_them"] == "127.0.0.1"
    place.reconciler.step()
    assert not is_reset(late)


def test_who_is_admitted_between_listing_and_cut_stays(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that sends its first byte after the listing is judged, and not cut for its source."""
    place.reconciler._most_undecided = 1
    peers = [place.connect() for _ in range(3)]
    place.reconciler.step()
    place.clock.turn(seconds=1)
    listing = sockdiag.dump

    def dump(*words: object, **more: object) -> SocketListing:
        found = listing(*words, **more)  # type: ignore[arg-type]  # handed on
        for peer in peers:
            place.admit(peer)
        return found

    monkeypatch.setattr(sockdiag, "dump", dump)
    place.reconciler.step()
    assert not any(is_reset(one) for one in peers)


def test_who_cannot_be_cut_is_reported_once(place: Place) -> None:
    """If a cut fails, each unknown socket is reported once and counted for status, until it ends after all."""
    resisting = place.reconciler._cutter = FakeCutter()  # type: ignore[assignment]
    peers = [place.connect(), place.connect()]
    cookies = [found.cookie for peer in peers if (found := sockdiag.find(*ends_of(peer)))]
    resisting.resisting = set(cookies)
    place.reconciler.step()
    assert place.reconciler.trouble() == ""
    for _ in range(5):
        place.clock.turn(seconds=11)
        place.reconciler.step()
    assert place.unknown == [CutOutcome.MISSED, CutOutcome.MISSED]
    assert place.reconciler.trouble().endswith("tried each second: 2")
    resisting.resisting.discard(cookies[0])
    place.reconciler.step()
    assert place.unknown[2:] == [CutOutcome.CUT]
    for one in place.sockets:
        one.close()
    place.reconciler.step()
    assert place.reconciler.trouble() == ""
    assert place.reconciler._uncuttable == frozenset()


def test_a_withdrawal_that_cannot_be_cut_is_counted(place: Place) -> None:
    """A condemned connection that still lives is said to status, not only tried again."""
    cutter = place.reconciler._cutter = FakeCutter()  # type: ignore[assignment]
    cookie = place.admit(place.connect())
    place.registry.condemn(cookie)
    cutter.resisting = {cookie}
    place.reconciler.step()
    assert place.reconciler.trouble().endswith("tried each second: 1")
    cutter.resisting = set()
    place.reconciler.step()
    assert place.reconciler.trouble() == ""


def test_a_judgement_that_never_ends_is_no_admission(place: Place) -> None:
    """A connection that is pending for longer than ten seconds is cut too."""
    peer = place.connect()
    cookie = place.admit(peer)
    place.registry.begin(
        PendingConnection(
            cookie=cookie,
            connection_id="1",
            epoch=1,
            local=ends_of(peer)[0],
            remote=ends_of(peer)[1],
            application_id="app_a",
            opened_at=place.clock.now(),
        )
    )
    place.reconciler.step()
    place.clock.turn(seconds=11)
    place.reconciler.step()
    assert eventually(lambda: is_reset(peer))


def test_what_has_ended_is_forgotten(place: Place) -> None:
    """A registered connection that the kernel knows no longer leaves the registry."""
    peer = place.connect()
    cookie = place.admit(peer)
    place.reconciler.step()
    assert place.registry.get(cookie) is not None
    for one in place.sockets:
        one.close()
    place.reconciler.step()
    assert place.registry.get(cookie) is None
    assert len(place.registry) == 0


def test_a_gap_in_the_listing_forgets_no_connection(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's listing may miss a connection: it is looked up before it is believed to be gone."""
    cookie = place.admit(place.connect())
    condemned = place.admit(place.connect())
    place.registry.condemn(condemned)
    monkeypatch.setattr(sockdiag, "dump", lambda *_, **__: SocketListing(frozenset(), ()))
    place.reconciler.step()
    assert place.registry.get(cookie) is not None
    assert [one.cookie for one in place.registry.condemned()] == [condemned]


def test_a_missed_cut_is_repeated_at_once(place: Place) -> None:
    """A condemned connection that still exists is cut at the next comparison, without grace."""
    peer = place.connect()
    place.registry.condemn(place.admit(peer))
    place.reconciler.step()
    assert eventually(lambda: is_reset(peer))
    assert place.registry.condemned() == ()


def test_deadlines_are_handed_on(place: Place) -> None:
    """Connections at their deadline are given to the callback that ends and records them."""
    cookie = place.admit(place.connect(), timedelta(seconds=30))
    place.reconciler.end_due()
    assert place.due == []
    place.clock.turn(seconds=30)
    place.reconciler.end_due()
    assert [one.cookie for one in place.due] == [cookie]


def test_the_loop_runs_on_after_a_failure(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of any kind is said for status and does not end the thread."""
    calls = threading.Semaphore(0)
    errors = [OSError("one"), sockdiag._unavailable(OSError(1, "two"))]

    def fail() -> None:
        calls.release()
        if errors:
            raise errors.pop(0)

    monkeypatch.setattr(place.reconciler, "look", fail)
    stop = threading.Event()
    thread = threading.Thread(target=place.reconciler.run, args=(stop,))
    thread.start()
    told = [
        "internal error, see the log",
        "the kernel does not answer requests about sockets (sock_diag)",
        "",
    ]
    try:
        for words in told:
            assert calls.acquire(timeout=60)
            assert eventually(lambda words=words: place.reconciler.trouble() == words), words  # type: ignore[misc]
            place.clock.turn(seconds=1)
    finally:
        stop.set()
        thread.join(60)
    assert not thread.is_alive()
