"""The end of an Envoy that was asked for: in order, or with a gap in the record."""

from __future__ import annotations

import math
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from doorward.gateway.envoy import supervisor as supervisor_module
from doorward.gateway.envoy.process import Child
from tests.support.little_door import web_socket
from tests.support.supervised_house import SupervisedHouse, dies, soon, supervised_house


@pytest.fixture
def house(tmp_path: Path) -> Iterator[SupervisedHouse]:
    """A house; each of its Envoys is ended afterwards."""
    with supervised_house(tmp_path) as made:
        yield made


def test_envoy_is_asked_to_end_once(house: SupervisedHouse, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_an_envoy_that_does_not_end_is_killed_and_its_death_is_told(house: SupervisedHouse) -> None:
    """`on_killed` gets the time since it last answered; `on_died` is not called, because it would blame the configuration."""
    supervisor = house.supervisor()
    run = supervisor.start()
    os.kill(run.pid, signal.SIGSTOP)
    supervisor.stop()
    ((epoch, status, seconds),) = house.killed
    assert (epoch, status) == (1, -signal.SIGKILL)
    assert seconds >= supervisor_module._GRACE_SECONDS
    assert house.died == []


def test_a_draining_envoy_that_is_killed_is_told(house: SupervisedHouse) -> None:
    """It answered requests until then. The policy is not blamed for it."""
    supervisor = house.supervisor()
    run = supervisor.start()
    web_socket(house.door.connect())
    supervisor.replace()
    os.kill(run.pid, signal.SIGKILL)
    soon(lambda: not supervisor.draining)
    ((epoch, status, seconds),) = house.killed
    assert (epoch, status) == (1, -signal.SIGKILL)
    assert seconds >= supervisor_module._UNWRITTEN_SECONDS
    assert house.died == []


@pytest.mark.parametrize("is_dead", [False, True])
def test_an_envoy_that_somebody_else_ended_at_a_stop_is_told(
    house: SupervisedHouse, *, is_dead: bool
) -> None:
    """It ends by a signal, before or after ours, and its last lines are not written."""
    supervisor = house.supervisor()
    run = supervisor.start()
    supervisor._end_watch()  # the stop comes before the watch has looked
    os.kill(run.pid, signal.SIGSTOP)
    if is_dead:
        os.kill(run.pid, signal.SIGKILL)
    else:
        threading.Timer(0.2, os.kill, [run.pid, signal.SIGKILL]).start()
    supervisor.stop()
    assert [told[:2] for told in house.killed] == [(1, -signal.SIGKILL)]


def test_since_when_an_envoy_hangs_that_was_found_so_is_unknown(house: SupervisedHouse) -> None:
    """No gateway ran when it stopped to answer: lines may be missing since the last one that was written."""
    first = house.supervisor()
    run = first.start()
    os.kill(run.pid, signal.SIGSTOP)
    dies(first)
    house.supervisor(adopt=lambda _epoch, _folder: True).start()
    assert house.killed == [(1, -signal.SIGKILL, math.inf)]


def test_a_stop_does_not_wait_for_the_start_of_an_envoy(house: SupervisedHouse, tmp_path: Path) -> None:
    """An Envoy that is not ready yet has no connections. Its end is not blamed on the configuration."""
    blamed: list[object] = []
    supervisor = house.supervisor(on_failed=lambda *told: blamed.append(told))
    run = supervisor.start()
    never_ready = tmp_path / "never-ready"
    never_ready.write_text("#!/bin/sh\nexec sleep 300\n")
    never_ready.chmod(0o755)
    supervisor._options = replace(supervisor._options, binary=never_ready, start_seconds=3600.0)
    os.kill(run.pid, signal.SIGKILL)
    soon(lambda: supervisor.running is None and supervisor.envoy_pids() not in ([], [run.pid]))
    supervisor.stop()
    assert (supervisor.envoy_pids(), blamed, house.killed) == ([], [], [])
