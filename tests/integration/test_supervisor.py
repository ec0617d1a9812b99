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
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from doorward.core.errors import ConfigurationError, DoorwardError, Unavailable
from doorward.gateway.envoy import supervisor as supervisor_module
from doorward.gateway.envoy.admin import AdminClient
from doorward.gateway.envoy.process import Orphan, find_by_argument, holder_of
from doorward.gateway.envoy.program import LOG_ARGUMENT, EnvoyOptions, locate_envoy
from tests.support.little_door import echoes, web_socket
from tests.support.refusals import code_of, refused
from tests.support.supervised_house import SupervisedHouse, answers, dies, soon, supervised_house


@pytest.fixture
def house(tmp_path: Path) -> Iterator[SupervisedHouse]:
    """A house; each of its Envoys is ended afterwards."""
    with supervised_house(tmp_path) as made:
        yield made


def test_envoy_is_started_and_ended(house: SupervisedHouse) -> None:
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


def test_a_killed_envoy_is_back_soon(house: SupervisedHouse) -> None:
    """A dead Envoy is replaced in a new epoch, and its end is told with its status."""
    supervisor = house.supervisor()
    run = supervisor.start()
    os.kill(run.pid, signal.SIGKILL)
    assert soon(lambda: supervisor.running not in (None, run) and answers(house)) < 30
    assert house.died == [(1, -signal.SIGKILL)]
    assert house.started == [1, 2]
    assert supervisor.trouble() == ""


def test_the_end_of_envoy_is_an_event(house: SupervisedHouse, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_if_waiting_fails_envoy_is_watched_still(
    house: SupervisedHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watch keeps the door alive: an error of the system call neither ends it nor keeps it from looking."""
    failing = _FailingPoll()
    monkeypatch.setattr(supervisor_module, "select", failing)
    run = house.supervisor().start()
    assert failing.failed.wait(60)
    os.kill(run.pid, signal.SIGKILL)
    soon(lambda: len(house.started) == 2)
    assert [status for _, status in house.died] == [-signal.SIGKILL]


def test_an_envoy_that_died_unseen_is_reported_once(house: SupervisedHouse) -> None:
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


def test_a_death_that_could_not_be_recorded_is_told_at_the_next_start(house: SupervisedHouse) -> None:
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


def test_one_that_keeps_dying_is_started_less_and_less_often(house: SupervisedHouse) -> None:
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


def test_connections_outlive_a_restart_of_the_gateway_and_end_with_the_drain(house: SupervisedHouse) -> None:
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


def test_restarts_do_not_lengthen_a_drain(house: SupervisedHouse) -> None:
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


def test_an_old_envoy_that_cannot_be_cut_may_not_drain(house: SupervisedHouse) -> None:
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


def test_an_old_envoy_that_does_not_answer_is_ended(house: SupervisedHouse) -> None:
    """A hung Envoy cannot keep the port."""
    first = house.supervisor()
    run = first.start()
    dies(first)
    os.kill(run.pid, signal.SIGSTOP)
    second = house.supervisor()
    second.start()
    assert second.draining == ()
    assert answers(house)


def test_replacing_keeps_streams_and_serves_new_connections(house: SupervisedHouse) -> None:
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


def test_our_death_does_not_end_envoy(house: SupervisedHouse) -> None:
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


def test_a_port_in_use_is_said_with_its_holder(house: SupervisedHouse) -> None:
    """The error names the port, who holds it and what to do."""
    with socket.create_server(("127.0.0.1", house.door.port)), refused(Unavailable, "port-in-use") as caught:
        house.supervisor().start()
    assert f"(process {os.getpid()})" in caught.value.detail
    assert caught.value.hint


def test_an_envoy_that_was_started_by_descriptor_has_a_name(house: SupervisedHouse) -> None:
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


def test_an_address_that_is_not_ours_is_said(house: SupervisedHouse) -> None:
    """A foreign address is told apart from a port in use."""
    house.door.host = "192.0.2.199"
    with refused(Unavailable, "address-unknown"):
        house.supervisor().start()


def test_envoys_own_words_are_passed_on(house: SupervisedHouse) -> None:
    """If Envoy refuses its configuration, its last line is in the error."""
    path = house.folder / "bad.json"
    path.write_text('{"nonsense": 1}')
    with refused(Unavailable, "envoy-would-not-start") as caught:
        house.supervisor(prepare=lambda *_: path).start()
    assert "no such field" in caught.value.detail


def test_one_that_never_becomes_ready_is_ended(house: SupervisedHouse) -> None:
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


def test_a_program_that_cannot_run(house: SupervisedHouse) -> None:
    """A binary of another machine is a clear error."""
    program = house.folder / "envoy.bin"
    program.write_bytes(b"\x7fELF nonsense")
    program.chmod(0o755)
    supervisor = house.supervisor()
    supervisor._options = EnvoyOptions(folder=house.folder / "envoy", binary=program)
    with pytest.raises(Unavailable) as caught:
        supervisor.start()
    assert "cannot be executed" in caught.value.detail


def test_faults_of_the_configuration_are_not_hidden(house: SupervisedHouse) -> None:
    """An error of `prepare` is raised unchanged; a path too long for a socket is a fault, too."""

    def refuse(*_: object) -> Path:
        raise DoorwardError("plan-empty", "there is nothing to publish")

    with pytest.raises(DoorwardError, match="nothing to publish"):
        house.supervisor(prepare=refuse).start()
    with pytest.raises(ConfigurationError):
        AdminClient(house.folder / ("x" * 120))


def test_logs_are_opened_again(house: SupervisedHouse) -> None:
    """After a rename Envoy writes into a new file when it is told."""
    run = house.supervisor().start()
    log = run.folder / "envoy.log"
    log.rename(run.folder / "envoy.log.1")
    run.admin.reopen_logs()
    soon(log.exists)


def test_secrets_of_our_environment_stay_with_us(
    house: SupervisedHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Envoy faces the network: it does not get our environment."""
    monkeypatch.setenv("DOORWARD_PASSPHRASE_FILE", "/secret")
    run = house.supervisor().start()
    names = {one.split(b"=")[0] for one in Path(f"/proc/{run.pid}/environ").read_bytes().split(b"\0")}
    assert names <= {b"", b"PATH", b"TZ", b"TZDIR", b"DOORWARD_EPOCH"}
