"""An Envoy of an earlier gateway goes on under the next one if it is what that one would start; otherwise it is replaced."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from doorward.core.errors import DoorwardError, Unavailable
from doorward.gateway.envoy import adoption
from doorward.gateway.envoy.epochs import note_run
from doorward.gateway.envoy.supervisor import EnvoyRun, Phase, Supervisor
from tests.support.little_door import echoes, web_socket
from tests.support.supervised_house import SupervisedHouse, answers, dies, soon, supervised_house


@pytest.fixture
def house(tmp_path: Path) -> Iterator[SupervisedHouse]:
    """A house; each of its Envoys is ended afterwards."""
    with supervised_house(tmp_path) as made:
        yield made


def same_bootstrap(house: SupervisedHouse) -> Callable[[int, Path], bool]:
    """What publishing does for an adopted run, as far as the supervisor sees it."""

    def adopt(_epoch: int, folder: Path) -> bool:
        before = (folder / "bootstrap.json").read_bytes()
        other = folder.parent / "other"
        other.mkdir()
        try:
            path = house.door.prepare(0, other)
            return path.read_bytes().replace(os.fsencode(other), os.fsencode(folder)) == before
        finally:
            shutil.rmtree(other)

    return adopt


def left_behind(house: SupervisedHouse) -> EnvoyRun:
    """Return the run that a supervisor left when it died."""
    first = house.supervisor()
    run = first.start()
    dies(first)
    return run


def test_it_goes_on_with_its_connections(house: SupervisedHouse) -> None:
    """The same process, under its own number, with its open stream; it takes new connections and is watched."""
    old = left_behind(house)
    stream = house.door.connect()
    web_socket(stream)
    verified: list[Phase] = []
    second = house.supervisor(
        adopt=same_bootstrap(house),
        verify=lambda _admin: verified.extend(one.phase for one in second._runs),
    )
    run = second.start()
    assert (run.pid, run.epoch, second.epoch) == (old.pid, 1, 1)
    assert second.running is run
    assert (second.draining, second.envoy_pids(), second.trouble()) == ((), [old.pid], "")
    assert verified == [Phase.STARTING], "it is brought up to date before it counts as running"
    assert house.started == [1], "nothing was started"
    assert echoes(stream)
    assert answers(house)
    os.kill(run.pid, signal.SIGKILL)
    assert soon(lambda: second.running not in (None, run) and answers(house)) < 30
    assert house.died == [(1, None)], "nobody but its parent learns its status"
    assert house.started == [1, 2]
    second.stop()
    assert not answers(house)


def test_until_it_is_decided_it_goes_on_and_can_be_cut(house: SupervisedHouse) -> None:
    """Its connections can be cut before the start; a start that is given up leaves it as it was."""
    old = left_behind(house)
    second = house.supervisor()
    second.find()
    second.find()
    assert second.envoy_pids() == [old.pid]
    assert (second.running, second.draining, second.epoch) == (None, (), 0)
    assert not second.serves(old.pid), "it gets no resources of a gateway that may replace it"
    second.stop()
    assert second.envoy_pids() == []
    assert answers(house)


def test_who_may_have_resources(house: SupervisedHouse) -> None:
    """An Envoy that is adopted or running; none that drains, and no other process."""
    old, asked = left_behind(house), list[bool]()

    def adopt(_epoch: int, _folder: Path) -> bool:
        asked.append(second.serves(old.pid))
        return True

    second = house.supervisor(adopt=adopt)
    second.start()
    assert asked == [True]
    assert second.serves(old.pid)
    assert not second.serves(os.getpid())
    fresh = second.replace()
    assert second.serves(fresh.pid)
    assert not second.serves(old.pid)


def test_an_adopted_envoy_that_has_ended_gets_no_resources(house: SupervisedHouse) -> None:
    """Until the supervisor notices, it is listed; another process may have its process id."""
    old = left_behind(house)
    second = house.supervisor(adopt=lambda *_: True)
    run = second.start()
    second._end_watch()  # it notices nothing any more
    assert second.serves(old.pid)
    os.kill(old.pid, signal.SIGKILL)
    assert soon(run.process.has_ended) < 5
    assert second.envoy_pids() == [old.pid]
    assert not second.serves(old.pid)


def test_one_that_stopped_listening_is_replaced(house: SupervisedHouse) -> None:
    """Without its note about the drain (a full disk) it looks as if it ran, but no client reaches it."""
    first = house.supervisor()
    run = first.start()
    first.replace()
    note_run(run.folder, run.pid, None)
    for one in first._runs:
        if one is not run:
            one.process.send(signal.SIGKILL)
            one.process.wait(60)
    dies(first)
    fresh = house.supervisor(adopt=lambda *_: True).start()
    assert fresh.epoch == 3
    assert answers(house)


def _other_setting(house: SupervisedHouse, _: pytest.MonkeyPatch) -> dict[str, object]:
    del house
    return {"drain_seconds": 60}


def _unnumbered(house: SupervisedHouse, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    del house
    monkeypatch.setattr(adoption, "EPOCH_VARIABLE", "DOORWARD_RUN")
    return {}


def _other_program(house: SupervisedHouse, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    binary = house.folder / "envoy.next"
    shutil.copy2(Path("/proc/self/exe").resolve(), binary)
    real = Supervisor._adopt

    def adopt(self: Supervisor) -> EnvoyRun | None:
        options, self._options = self._options, replace(self._options, binary=binary)
        try:
            return real(self)
        finally:
            self._options = options

    monkeypatch.setattr(Supervisor, "_adopt", adopt)
    return {}


def _other_bootstrap(house: SupervisedHouse, _: pytest.MonkeyPatch) -> dict[str, object]:
    return {"adopt": lambda *_: house.door.upstream_port < 0}


def _another_address(house: SupervisedHouse, _: pytest.MonkeyPatch) -> dict[str, object]:
    house.door.host = "0.0.0.0"
    return {}


def _not_cuttable(house: SupervisedHouse, _: pytest.MonkeyPatch) -> dict[str, object]:
    del house
    return {"may_drain": lambda _pid: False}


def _not_prepared(house: SupervisedHouse, _: pytest.MonkeyPatch) -> dict[str, object]:
    def adopt(*_: object) -> bool:
        raise DoorwardError("revision-unreadable", "the policy cannot be read")

    del house
    return {"adopt": adopt}


def _not_up_to_date(house: SupervisedHouse, _: pytest.MonkeyPatch) -> dict[str, object]:
    seen: list[object] = []

    def verify(_admin: object) -> None:
        seen.append(1)
        if len(seen) == 1:
            raise Unavailable("envoy-would-not-start", "it did not take its configuration in time")

    del house
    return {"verify": verify}


@pytest.mark.parametrize(
    "change",
    [
        _other_setting,
        _unnumbered,
        _other_program,
        _other_bootstrap,
        _another_address,
        _not_cuttable,
        _not_prepared,
        _not_up_to_date,
    ],
)
def test_any_other_one_is_replaced(
    house: SupervisedHouse,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[SupervisedHouse, pytest.MonkeyPatch], dict[str, object]],
) -> None:
    """A difference, or a doubt: a new Envoy is started; the old one drains if its connections can be cut."""
    old = left_behind(house)
    stream = house.door.connect()
    web_socket(stream)
    changed = {"adopt": lambda *_: True, **change(house, monkeypatch)}
    second = house.supervisor(**changed)  # type: ignore[arg-type]
    fresh = second.start()
    assert fresh.epoch == 2
    assert second.running is fresh
    assert not second.serves(old.pid)
    drains = change is not _not_cuttable
    assert [one.epoch for one in second.draining] == [1] * drains
    assert echoes(stream) if drains else stream.recv(1) == b""
    assert answers(house)


def test_one_that_does_not_answer_is_replaced(house: SupervisedHouse) -> None:
    """A hung Envoy is not adopted, and not asked twice."""
    asked: list[int] = []
    old = left_behind(house)
    os.kill(old.pid, signal.SIGSTOP)
    second = house.supervisor(adopt=lambda epoch, _: asked.append(epoch) or True)
    assert second.start().epoch == 2
    assert asked == []
    assert answers(house)


def test_one_that_drains_already_goes_on_draining(house: SupervisedHouse) -> None:
    """It is not adopted beside the running one, which is."""
    first = house.supervisor()
    old = first.start()
    fresh = first.replace()
    dies(first)
    second = house.supervisor(adopt=lambda *_: True)
    run = second.start()
    assert (run.pid, run.epoch) == (fresh.pid, 2)
    assert [one.pid for one in second.draining] == [old.pid]


def test_of_two_that_run_none_is_adopted(house: SupervisedHouse) -> None:
    """It is not known which one a client reaches: both are replaced."""

    def prepare_shared(epoch: int, folder: Path) -> Path:
        path = house.door.prepare(epoch, folder)
        path.write_text(path.read_text().replace('"enable_reuse_port": false', '"enable_reuse_port": true'))
        return path

    first, second = house.supervisor(prepare=prepare_shared), house.supervisor(prepare=prepare_shared)
    second._wait_until_free = lambda: None  # type: ignore[method-assign]
    olds = [first.start().pid]
    second._has_searched = True
    olds.append(second.start().pid)
    dies(first)
    dies(second)
    third = house.supervisor(adopt=lambda *_: True)
    run = third.start()
    assert run.pid not in olds
    assert sorted(one.pid for one in third.draining) == sorted(olds)
    assert answers(house)


def test_a_note_of_another_time_counts_for_nothing(house: SupervisedHouse) -> None:
    """An Envoy without its note, or with that of another process, was never known to run."""
    old = left_behind(house)
    note_run(old.folder, old.pid, datetime.now(UTC) + timedelta(minutes=1))
    fresh = house.supervisor(adopt=lambda *_: True).start()
    assert fresh.pid != old.pid
    assert fresh.epoch == 2
