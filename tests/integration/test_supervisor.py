"""Envoy is started, watched, replaced and taken over, and goes on when we do not."""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from doorward.core.errors import ConfigurationError, DoorwardError, Unavailable
from doorward.demo.ports import free_port
from doorward.gateway.envoy import supervisor as supervisor_module
from doorward.gateway.envoy.admin import AdminClient
from doorward.gateway.envoy.process import Child, Orphan, find_by_argument, holder_of
from doorward.gateway.envoy.program import LOG_ARGUMENT, EnvoyOptions, locate_envoy
from doorward.gateway.envoy.supervisor import Supervisor
from doorward.runtime.world import SystemClock
from tests.support.little_door import LittleDoor, ask, echo_server, echoes, web_socket
from tests.support.refusals import code_of, refused


class House:
    """One folder and one door, supervised any number of times."""

    def __init__(self, folder: Path, upstream: int) -> None:
        self.folder = folder
        self.door = LittleDoor(folder, port=free_port(), upstream_port=upstream)
        self.made: list[Supervisor] = []
        self.started: list[int] = []
        self.died: list[tuple[int, int | None]] = []
        self.killed: list[tuple[int, float]] = []

    def supervisor(self, *, drain_seconds: int = 30, **changed: object) -> Supervisor:
        """Another supervisor of this folder."""
        options = EnvoyOptions(
            folder=self.folder / "envoy", binary=locate_envoy(), concurrency=1, drain_seconds=drain_seconds
        )
        arguments: dict[str, object] = {
            "prepare": self.door.prepare,
            "clock": SystemClock(),
            "listeners": lambda: [self.door.listener],
            "on_started": lambda _pid, epoch: self.started.append(epoch),
            "on_died": lambda _pid, epoch, status, _seconds: self.died.append((epoch, status)),
            "on_killed": lambda _pid, epoch, seconds: self.killed.append((epoch, seconds)),
        }
        one = Supervisor(options, **{**arguments, **changed})  # type: ignore[arg-type]
        self.made.append(one)
        return one


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A house; each of its Envoys is ended afterwards."""
    with echo_server() as upstream:
        made = House(tmp_path, upstream)
        try:
            yield made
        finally:
            made.door.close_clients()
            for one in made.made:
                one.stop()
            for process, _ in find_by_argument(LOG_ARGUMENT, tmp_path / "envoy"):
                process.send(signal.SIGKILL)
                process.close()


def soon(condition: Callable[[], object], seconds: float = 60.0) -> float:
    """Wait until a condition holds; return how long it took."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, "it did not happen in time"
        time.sleep(0.01)
    return time.monotonic() - started


def dies(supervisor: Supervisor) -> None:
    """Do to a supervisor what a crash of the gateway does: nothing watches Envoy any more, and it goes on."""
    supervisor._end_watch()
    for run in supervisor._runs:
        run.process.close()
    supervisor._runs = ()


def answers(house: House) -> bool:
    """Whether the door lets a new connection in."""
    with suppress(OSError):
        return b"200" in ask(house.door.connect())
    return False


def test_envoy_is_started_and_ended(house: House) -> None:
    """Start returns when Envoy serves; stop leaves neither process nor listener."""
    supervisor = house.supervisor()
    run = supervisor.start()
    assert answers(house)
    assert run.admin.is_ready()
    assert run.admin.statistics("^listener_manager.total_listeners_active$") == {
        "listener_manager.total_listeners_active": 1
    }
    assert run.admin.used_counters("^listener_manager.listener_(added|removed)$") == {
        "listener_manager.listener_added": 1
    }
    assert (supervisor.envoy_pids(), supervisor.trouble(), house.started) == ([run.pid], "", [1])
    assert supervisor.running is run
    with pytest.raises(ValueError, match="once"):
        supervisor.start()
    supervisor.stop()
    assert supervisor.envoy_pids() == []
    assert run.process.has_ended()
    assert not answers(house)
    assert not run.admin.is_ready()
    with pytest.raises(Unavailable):
        run.admin.statistics()


def test_envoy_is_asked_to_end_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it ends it handles no signal: a second one would kill it before it has written its last lines."""
    monkeypatch.setattr(supervisor_module, "_GRACE_SECONDS", 60.0)
    supervisor = house.supervisor()
    run = supervisor.start()
    sent: list[signal.Signals] = []
    send = run.process.send
    monkeypatch.setattr(run.process, "send", lambda number: [sent.append(number), send(number)])
    supervisor.stop()
    assert sent == [signal.SIGTERM]
    assert isinstance(run.process, Child)
    assert (run.process.status, house.killed) == (0, [])


def test_an_envoy_that_does_not_end_is_killed_and_its_death_is_told(house: House) -> None:
    """`on_killed` gets the time since it last answered; `on_died` is not called, because it would blame the configuration."""
    supervisor = house.supervisor()
    run = supervisor.start()
    os.kill(run.pid, signal.SIGSTOP)
    supervisor.stop()
    ((epoch, seconds),) = house.killed
    assert epoch == 1
    assert seconds >= supervisor_module._GRACE_SECONDS
    assert house.died == []


def test_a_killed_envoy_is_back_soon(house: House) -> None:
    """A dead Envoy is replaced in a new epoch, and its end is told with its status."""
    supervisor = house.supervisor()
    run = supervisor.start()
    os.kill(run.pid, signal.SIGKILL)
    assert soon(lambda: supervisor.running not in (None, run) and answers(house)) < 30
    assert house.died == [(1, -signal.SIGKILL)]
    assert house.started == [1, 2]
    assert supervisor.trouble() == ""


def test_the_end_of_envoy_is_an_event(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is noticed though nothing looks, and so is that of one that a replacement has made."""
    monkeypatch.setattr(supervisor_module, "_ASK_SECONDS", 3600.0)
    supervisor = house.supervisor(drain_seconds=1)
    run = supervisor.start()
    os.kill(run.pid, signal.SIGKILL)
    soon(lambda: house.started == [1, 2])
    supervisor.replace()
    soon(lambda: len(supervisor.envoy_pids()) == 1)
    os.kill(supervisor.envoy_pids()[0], signal.SIGKILL)
    soon(lambda: house.started == [1, 2, 3, 4])


class _FailingPoll:
    """A `select.poll` for which the kernel never has memory; `failed` is set when it was tried three times."""

    def __init__(self) -> None:
        self.failed, self._tries = threading.Event(), 0
        self.POLLIN = select.POLLIN

    def poll(self) -> Any:
        self._tries += 1
        if self._tries == 3:
            self.failed.set()
        raise OSError(errno.ENOMEM, "no memory")


def test_if_waiting_fails_envoy_is_watched_still(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The watch keeps the door alive: an error of the system call neither ends it nor keeps it from looking."""
    failing = _FailingPoll()
    monkeypatch.setattr(supervisor_module, "select", failing)
    run = house.supervisor().start()
    assert failing.failed.wait(60)
    os.kill(run.pid, signal.SIGKILL)
    soon(lambda: len(house.started) == 2)
    assert [status for _, status in house.died] == [-signal.SIGKILL]


def test_an_envoy_that_died_unseen_is_reported_once(house: House) -> None:
    """The next start tells which run ended while nothing watched it; one that goes on, or was ended, is not told of."""
    vanished: list[tuple[int, int]] = []

    def note(pid: int, epoch: int) -> None:
        vanished.append((pid, epoch))

    first = house.supervisor(on_vanished=note)
    run = first.start()
    dies(first)
    second = house.supervisor(on_vanished=note)
    second.find()
    second.stop()
    assert vanished == []
    killed = Orphan(run.pid)
    os.kill(run.pid, signal.SIGKILL)
    assert killed.wait(60)  # a dying process loses its command line before its listener
    killed.close()

    def fail(_pid: int, _epoch: int) -> None:
        raise Unavailable("store-full", "nothing can be recorded")

    assert code_of(house.supervisor(on_vanished=fail).find) == "store-full"
    for _ in range(2):
        third = house.supervisor(on_vanished=note)
        third.start()
        third.stop()
        assert vanished == [(run.pid, 1)]


def test_a_death_that_could_not_be_recorded_is_told_at_the_next_start(house: House) -> None:
    """The run stays noted until its end was recorded; Envoy is back all the same."""

    def fail(_pid: int, _epoch: int, _status: int | None, _seconds: float) -> None:
        raise Unavailable("store-busy", "nothing can be recorded")

    vanished: list[int] = []
    supervisor = house.supervisor(on_died=fail)
    run = supervisor.start()
    os.kill(run.pid, signal.SIGKILL)
    soon(lambda: supervisor.running not in (None, run) and answers(house))
    supervisor.stop()
    house.supervisor(on_vanished=lambda _pid, epoch: vanished.append(epoch)).find()
    assert vanished == [1]


def test_one_that_keeps_dying_is_started_less_and_less_often(house: House) -> None:
    """Attempts grow apart, status says why, and a mended cause ends it."""
    broken = threading.Event()

    def prepare(epoch: int, folder: Path) -> Path:
        path = house.door.prepare(epoch, folder)
        if broken.is_set():
            path.write_text('{"nonsense": 1}')
        return path

    supervisor = house.supervisor(prepare=prepare)
    run = supervisor.start()
    broken.set()
    os.kill(run.pid, signal.SIGKILL)
    began = time.monotonic()
    soon(lambda: "no such field" in supervisor.trouble())
    time.sleep(2.2)
    attempts = len(list((house.folder / "envoy").glob("0*"))) - 1
    assert 1 <= attempts <= 2 * (time.monotonic() - began)  # without pauses there are twenty in a second
    broken.clear()
    soon(lambda: supervisor.running and answers(house))
    assert supervisor.trouble() == ""


def test_connections_outlive_a_restart_of_the_gateway_and_end_with_the_drain(house: House) -> None:
    """The next gateway frees the port for a fresh Envoy; old streams go on until the drain time is over."""
    first = house.supervisor()
    run = first.start()
    stream = house.door.connect()
    web_socket(stream)
    dies(first)
    assert first.envoy_pids() == []
    second = house.supervisor(drain_seconds=2)
    fresh = second.start()
    assert fresh.epoch == 2
    assert second.envoy_pids() == [fresh.pid, run.pid]
    assert [one.epoch for one in second.draining] == [1]
    assert echoes(stream)
    assert answers(house)
    assert soon(lambda: len(second.envoy_pids()) == 1) > 1
    assert stream.recv(1) == b""
    assert answers(house)


def test_restarts_do_not_lengthen_a_drain(house: House) -> None:
    """A second restart during a drain keeps the end that the first one set."""
    first = house.supervisor()
    first.start()
    dies(first)
    second = house.supervisor(drain_seconds=60)
    second.start()
    ends_at = second.draining[0].ends_at
    assert ends_at is not None
    dies(second)
    third = house.supervisor(drain_seconds=600)
    third.start()
    assert {one.epoch: one.ends_at for one in third.draining}[1] == ends_at


def test_an_old_envoy_that_cannot_be_cut_may_not_drain(house: House) -> None:
    """Connections that we could not end if we had to, are ended at once."""
    first = house.supervisor()
    first.start()
    stream = house.door.connect()
    web_socket(stream)
    dies(first)
    second = house.supervisor(may_drain=lambda _pid: False)
    second.start()
    assert second.draining == ()
    assert stream.recv(1) == b""
    assert answers(house)


def test_an_old_envoy_that_does_not_answer_is_ended(house: House) -> None:
    """A hung Envoy cannot keep the port."""
    first = house.supervisor()
    run = first.start()
    dies(first)
    os.kill(run.pid, signal.SIGSTOP)
    second = house.supervisor()
    second.start()
    assert second.draining == ()
    assert answers(house)


def test_replacing_keeps_streams_and_serves_new_connections(house: House) -> None:
    """A fresh Envoy takes over while streams of the old one go on."""
    supervisor = house.supervisor()
    run = supervisor.start()
    stream = house.door.connect()
    web_socket(stream)
    fresh = supervisor.replace()
    assert supervisor.running is fresh
    assert supervisor.draining == (run,)
    assert echoes(stream)
    assert answers(house)
    supervisor.stop()
    assert stream.recv(1) == b""


def test_our_death_does_not_end_envoy(house: House) -> None:
    """Envoy is in a session of its own: kill -9, and a Ctrl-C for the whole group, leave it alone."""
    script = (
        "import sys, signal, threading; from pathlib import Path\n"
        "from doorward.gateway.envoy.program import EnvoyOptions, locate_envoy\n"
        "from doorward.gateway.envoy.supervisor import Supervisor\n"
        "from doorward.runtime.world import SystemClock\n"
        "options = EnvoyOptions(folder=Path(sys.argv[1]), binary=locate_envoy(), concurrency=1)\n"
        "Supervisor(options, prepare=lambda *_: Path(sys.argv[2]), clock=SystemClock()).start()\n"
        "print('ready', flush=True); threading.Event().wait()\n"
    )
    folder = house.folder / "envoy"
    folder.mkdir()
    config = house.folder / "bootstrap.json"
    config.write_text(json.dumps(house.door.bootstrap(folder / "000001" / "admin.sock")))
    for number in (signal.SIGINT, signal.SIGKILL):
        config.write_text(
            config.read_text().replace("000001", "000002") if number == signal.SIGKILL else config.read_text()
        )
        with subprocess.Popen(
            [sys.executable, "-c", script, str(folder), str(config)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            start_new_session=True,
        ) as gateway:
            try:
                assert gateway.stdout is not None
                assert b"ready\n" in iter(gateway.stdout.readline, b""), "after what it logs"
                os.killpg(gateway.pid, number)
                assert gateway.wait(60) != 0
            finally:
                gateway.kill()  # where it did not end, the block would wait for ever
        assert answers(house)


def test_a_port_in_use_is_said_with_its_holder(house: House) -> None:
    """The error names the port, who holds it and what to do."""
    with socket.create_server(("127.0.0.1", house.door.port)), refused(Unavailable, "port-in-use") as caught:
        house.supervisor().start()
    assert f"(process {os.getpid()})" in caught.value.detail
    assert caught.value.hint


def test_an_envoy_that_was_started_by_descriptor_has_a_name(house: House) -> None:
    """`ps`, `ss` and our own error call it `envoy`, and not by the number of a descriptor (proc(5), comm)."""
    supervisor = house.supervisor()
    binary = os.open(locate_envoy(), os.O_RDONLY)
    supervisor._options = EnvoyOptions(folder=house.folder / "envoy", binary=binary, concurrency=1)
    try:
        run = supervisor.start()
    finally:
        os.close(binary)
    assert Path(f"/proc/{run.pid}/comm").read_text() == "envoy\n"
    assert holder_of(house.door.listener) == f"envoy (process {run.pid})"
    assert not (run.folder / "envoy").is_symlink()


def test_an_address_that_is_not_ours_is_said(house: House) -> None:
    """A foreign address is told apart from a port in use."""
    house.door.host = "192.0.2.199"
    with refused(Unavailable, "address-unknown"):
        house.supervisor().start()


def test_envoys_own_words_are_passed_on(house: House) -> None:
    """If Envoy refuses its configuration, its last line is in the error."""
    path = house.folder / "bad.json"
    path.write_text('{"nonsense": 1}')
    with refused(Unavailable, "envoy-would-not-start") as caught:
        house.supervisor(prepare=lambda *_: path).start()
    assert "no such field" in caught.value.detail


def test_one_that_never_becomes_ready_is_ended(house: House) -> None:
    """An Envoy without its admin socket is not waited for for ever, and not left behind."""
    path = house.folder / "mute.json"
    path.write_text("{}")
    supervisor = house.supervisor(prepare=lambda *_: path)
    supervisor._options = EnvoyOptions(
        folder=house.folder / "envoy", binary=locate_envoy(), concurrency=1, start_seconds=0.5
    )
    with pytest.raises(Unavailable) as caught:
        supervisor.start()
    assert "not ready" in caught.value.detail
    assert supervisor.envoy_pids() == []
    assert list(find_by_argument(LOG_ARGUMENT, house.folder / "envoy")) == []


def test_a_program_that_cannot_run(house: House) -> None:
    """A binary of another machine is a clear error."""
    program = house.folder / "envoy.bin"
    program.write_bytes(b"\x7fELF nonsense")
    program.chmod(0o755)
    supervisor = house.supervisor()
    supervisor._options = EnvoyOptions(folder=house.folder / "envoy", binary=program)
    with pytest.raises(Unavailable) as caught:
        supervisor.start()
    assert "cannot be executed" in caught.value.detail


def test_faults_of_the_configuration_are_not_hidden(house: House) -> None:
    """An error of `prepare` is raised unchanged; a path too long for a socket is a fault, too."""

    def refuse(*_: object) -> Path:
        raise DoorwardError("plan-empty", "there is nothing to publish")

    with pytest.raises(DoorwardError, match="nothing to publish"):
        house.supervisor(prepare=refuse).start()
    with pytest.raises(ConfigurationError):
        AdminClient(house.folder / ("x" * 120))


def test_logs_are_opened_again(house: House) -> None:
    """After a rename Envoy writes into a new file when it is told."""
    run = house.supervisor().start()
    log = run.folder / "envoy.log"
    log.rename(run.folder / "envoy.log.1")
    run.admin.reopen_logs()
    soon(log.exists)


def test_secrets_of_our_environment_stay_with_us(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Envoy faces the network: it does not get our environment."""
    monkeypatch.setenv("DOORWARD_PASSPHRASE_FILE", "/secret")
    run = house.supervisor().start()
    names = {one.split(b"=")[0] for one in Path(f"/proc/{run.pid}/environ").read_bytes().split(b"\0")}
    assert names <= {b"", b"PATH", b"TZ", b"TZDIR", b"DOORWARD_EPOCH"}
