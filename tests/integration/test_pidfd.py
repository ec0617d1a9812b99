"""Copies of sockets: taken from exactly the right process and connection, or not at all."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from doorward.gateway.connections import cutter, pidfd, sockdiag
from doorward.gateway.connections.cutter import Cutter, Mechanism
from doorward.gateway.connections.sockdiag import CutOutcome, SocketFacts
from doorward.gateway.envoy.process import Child, Orphan, end_process, find_by_argument
from doorward.runtime.world import SystemClock
from tests.support.little_door import ends_of

ABSENT = 2**22 + 7
"""Above the largest process number of Linux."""


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket, SocketFacts]]:
    """A peer, our accepted end, and what the kernel says of it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = socket.create_connection(listener.getsockname(), timeout=30)
        own, _ = listener.accept()
        facts = sockdiag.find(*ends_of(peer))
        assert facts is not None
        with peer, own:
            yield peer, own, facts


def refuse(number: int) -> object:
    """A system call that always fails."""

    def call(*_: int) -> int:
        raise OSError(number, os.strerror(number))

    return call


def test_whether_copying_is_allowed_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own sockets may be copied, those of an absent process not; a refusal is not an absence."""
    assert pidfd.may_copy_from(os.getpid())
    assert not pidfd.may_copy_from(ABSENT)
    opened = os.pidfd_open(os.getpid())
    monkeypatch.setattr(pidfd, "open_process", lambda _: os.dup(opened))
    for number, allowed in ((errno.EPERM, False), (errno.EBADF, True)):
        monkeypatch.setattr(pidfd, "_syscall", refuse(number))
        assert pidfd.may_copy_from(1) is allowed
    os.close(opened)


def test_what_arrived_before_the_cut_is_not_read_after_it(
    pair: tuple[socket.socket, socket.socket, SocketFacts],
) -> None:
    """Unread bytes are dropped with the connection: the process gets an error, the peer a reset."""
    peer, own, facts = pair
    peer.sendall(b"a late order")
    assert pidfd.end_connections([ABSENT, os.getpid()], [facts]) == {facts.cookie: CutOutcome.CUT}
    with pytest.raises(ConnectionResetError):
        own.recv(100)
    with pytest.raises(ConnectionResetError):
        peer.recv(1)


def test_a_number_that_was_given_to_another_socket(
    pair: tuple[socket.socket, socket.socket, SocketFacts],
) -> None:
    """A descriptor that holds another connection by now is left alone."""
    peer, own, facts = pair
    process = os.pidfd_open(os.getpid())
    assert pidfd._end_one(process, own.fileno(), facts.cookie + 1) is CutOutcome.MISSED
    assert pidfd._end_one(process, 9_999, facts.cookie) is CutOutcome.MISSED
    os.close(process)
    own.sendall(b"x")
    assert peer.recv(1) == b"x"


def test_a_listener_is_never_ended() -> None:
    """Even by its own cookie a listening socket is left alone."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        cookie = int.from_bytes(listener.getsockopt(socket.SOL_SOCKET, 57, 8), sys.byteorder)
        process = os.pidfd_open(os.getpid())
        assert pidfd._end_one(process, listener.fileno(), cookie) is CutOutcome.MISSED
        os.close(process)
        socket.create_connection(listener.getsockname()).close()


@pytest.mark.parametrize(
    ("where", "number", "outcome"),
    [
        ("open_process", errno.EPERM, CutOutcome.NOT_PERMITTED),
        ("open_process", errno.ESRCH, CutOutcome.MISSED),
        ("_syscall", errno.EPERM, CutOutcome.NOT_PERMITTED),
        ("_sockets_of", errno.EACCES, CutOutcome.NOT_PERMITTED),
        ("_sockets_of", errno.ENOENT, CutOutcome.MISSED),
    ],
)
def test_refusals_are_told_from_absence(
    pair: tuple[socket.socket, socket.socket, SocketFacts],
    where: str,
    number: int,
    outcome: CutOutcome,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A container that forbids copying gives NOT_PERMITTED; a process that has just ended MISSED."""
    if where == "_syscall":
        opened = os.pidfd_open(os.getpid())
        monkeypatch.setattr(pidfd, "open_process", lambda _: opened)
    monkeypatch.setattr(pidfd, where, refuse(number))
    assert pidfd.end_connections([os.getpid()], [pair[2]]) == {pair[2].cookie: outcome}


def test_where_connect_is_forbidden_a_fin_is_sent(
    pair: tuple[socket.socket, socket.socket, SocketFacts], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A security module that forbids connect() leaves shutdown, which ends the connection too."""

    class Forbidding:
        def connect(self, *_: object) -> int:
            return -1

    peer, own, _ = pair
    monkeypatch.setattr(pidfd, "_libc", Forbidding())
    assert pidfd._disconnect(own) is CutOutcome.CUT
    assert peer.recv(1) == b""
    with socket.socket() as unconnected:
        assert pidfd._disconnect(unconnected) is CutOutcome.GONE


def test_another_operating_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Linux's calls nothing can be cut, and that is an answer, not a crash."""
    monkeypatch.setattr(pidfd, "_libc", None)
    assert not pidfd.may_copy_from(os.getpid())
    with pytest.raises(OSError, match="not implemented"):
        pidfd.open_process(os.getpid())


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("find", lambda *_: None, "does not find"),
        ("find", lambda *_: (_ for _ in ()).throw(sockdiag._unavailable(OSError())), "does not answer"),
        ("destroy", lambda _: CutOutcome.NOT_PERMITTED, "CAP_NET_ADMIN"),
        ("destroy", lambda _: CutOutcome.CUT, "no effect"),
    ],
)
def test_a_mechanism_that_does_not_work_is_not_chosen(
    name: str, value: object, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SOCK_DESTROY is tried on a connection of our own; if it fails, the reason is kept for status."""
    monkeypatch.setattr(sockdiag, name, value)
    monkeypatch.setattr(cutter.socket, "create_connection", short_lived(socket.create_connection))
    made = Cutter(lambda: [os.getpid()], clock=SystemClock())
    assert made.mechanism is Mechanism.PIDFD
    assert Cutter(lambda: [ABSENT], clock=SystemClock()).trouble().startswith(made._refusal)
    assert words in made._refusal


def short_lived(real: object) -> object:
    """Connections that wait for a moment only."""

    def connect(address: object, timeout: float = 0.05) -> socket.socket:
        made: socket.socket = real(address, timeout=0.05)  # type: ignore[operator]
        return made

    return connect


def test_a_kernel_that_does_not_answer_cuts_nothing(
    pair: tuple[socket.socket, socket.socket, SocketFacts], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the kernel cannot be asked, the outcome says so and nothing is raised."""
    monkeypatch.setattr(sockdiag, "_ask", refuse(errno.ENOBUFS))
    for mechanism in (Mechanism.SOCK_DESTROY, Mechanism.PIDFD):
        one = Cutter(lambda: [os.getpid()], clock=SystemClock(), mechanism=mechanism)
        assert one.cut(pair[2]).outcome is CutOutcome.NOT_PERMITTED


def test_processes_are_found_by_their_command_line(tmp_path: Path) -> None:
    """Only a process of ours with the argument below the folder is found, and its handle ends it."""
    sleep = [sys.executable, "-c", "import time; time.sleep(60)", "--log-path"]
    with (
        subprocess.Popen([*sleep, str(tmp_path / "1" / "log")]) as wanted,
        subprocess.Popen([*sleep, str(tmp_path) + "other/log"]) as other,
    ):
        while not (found := list(find_by_argument("--log-path", tmp_path))):
            pass
        [(process, path)] = found
        assert (process.pid, path) == (wanted.pid, tmp_path / "1" / "log")
        assert not process.has_ended()
        assert not process.wait(0.01)
        end_process(process, 5)
        assert process.has_ended()
        process.send(signal.SIGTERM)
        process.close()
        process.close()
        assert process.has_ended()
        process.send(signal.SIGTERM)
        end_process(Child(other), 5)
    with pytest.raises(OSError, match=r"[Nn]o such process|Invalid"):
        Orphan(ABSENT)


@pytest.mark.parametrize("grace_seconds", [0.2, 0.0])
def test_what_ignores_the_request_is_made_to_end(grace_seconds: float) -> None:
    """After the grace comes SIGKILL, and its end is awaited also if no grace was left."""
    script = "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as stubborn:
        assert stubborn.stdout is not None
        stubborn.stdout.readline()
        child = Child(stubborn)
        end_process(child, grace_seconds)
        assert child.status == -signal.SIGKILL
