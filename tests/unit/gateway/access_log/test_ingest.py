"""Recording of the access log: in order, never twice, and with every gap recorded."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace

import pytest

from doorward.audit.events import EventType
from doorward.core.errors import IntegrityError, Unavailable
from doorward.gateway.access_log import ingest as module
from doorward.gateway.access_log import selection
from doorward.gateway.access_log.ingest import COUNTER, LIVE, Ingest
from doorward.gateway.access_log.lines import LONGEST_LINE
from tests.support.access_log import GATEWAY, Log, line
from tests.support.memory_store import MemoryStores, MemoryUnitOfWork

# in order, never twice


def test_lines_become_events_in_their_order(log: Log) -> None:
    """Every line is one event, in the order of the file."""
    log.write("".join(line(number) for number in range(5)))
    log.take()
    log.write(line(5))
    log.take()
    assert log.taken() == [f"r{number}" for number in range(6)]


def test_nothing_is_taken_twice(log: Log) -> None:
    """A second look, also after a restart, takes no line again."""
    log.write(line(1) + line(2))
    log.take()
    log.take()
    log.start()
    log.write(line(3))
    log.take()
    assert log.taken() == ["r1", "r2", "r3"]


@pytest.mark.parametrize("place", ["before the commit", "at the commit"])
def test_after_a_crash_each_line_is_recorded_once(log: Log, place: str) -> None:
    """Position and events are one transaction: after a failure anywhere in it, the next start records each line once."""
    log.write(line(1) + line(2))
    log.world.services = replace(log.world.services, work=_CrashingOnce(log.world.work, place))
    log.start()
    with pytest.raises(RuntimeError):
        log.take()
    assert log.taken() == []
    log.take()
    assert log.taken() == ["r1", "r2"]


class _CrashingOnce:
    """A store with a first change that fails: in its middle, or at the commit."""

    def __init__(self, work: MemoryUnitOfWork, place: str) -> None:
        self._work = work
        self._place = place

    def __getattr__(self, name: str) -> object:
        return getattr(self._work, name)

    @contextmanager
    def change(self, *, traffic: bool = False) -> Iterator[MemoryStores]:
        with self._work.change(traffic=traffic) as stores:
            if self._place == "before the commit":
                self._place = ""
                stores.outbox = _Failing(stores.outbox)  # type: ignore[assignment]
            yield stores
            if self._place == "at the commit":
                self._place = ""
                raise RuntimeError("killed")


class _Failing:
    def __init__(self, outbox: object) -> None:
        self._outbox = outbox

    def add_block(self, block: object) -> None:
        self._outbox.add_block(block)  # type: ignore[attr-defined]
        raise RuntimeError("killed")


def test_two_readers_do_not_take_the_same_line(log: Log) -> None:
    """If another reader of the same log was faster, the second one gets an error, and no line is recorded twice."""
    log.write(line(1))
    other = Ingest(
        replace(log.world.services, work=_Overtaken(log.world.work, log)), GATEWAY, log.folder, lambda: None
    )
    with pytest.raises(IntegrityError):
        other.take()
    assert log.taken() == ["r1"]


class _Overtaken:
    """A store to which another reader writes just before each change."""

    def __init__(self, work: MemoryUnitOfWork, log: Log) -> None:
        self._work = work
        self._log = log

    def __getattr__(self, name: str) -> object:
        return getattr(self._work, name)

    def change(self, *, traffic: bool = False) -> AbstractContextManager[MemoryStores]:
        self._log.take()
        return self._work.change(traffic=traffic)


def test_long_files_are_taken_in_batches(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file larger than a batch is taken to its end, each line whole."""
    monkeypatch.setattr(module, "BATCH_BYTES", 300)
    log.write("".join(line(number) for number in range(20)))
    assert log.ingest.take() is True
    log.take()
    assert log.taken() == [f"r{number}" for number in range(20)]
    assert log.unreadable() == []


# lines that are not whole


def test_a_line_without_its_end_waits(log: Log) -> None:
    """A half-written line is recorded once it is complete."""
    whole = line(1)
    log.write(whole[:20])
    log.take()
    assert log.taken() == []
    log.write(whole[20:] + line(2)[:5])
    log.take()
    assert log.taken() == ["r1"]
    assert log.unreadable() == []


def test_a_torn_last_line_is_on_record(log: Log) -> None:
    """If no process writes to a file any more, its incomplete line is recorded as torn, and the file is deleted."""
    log.write(line(1) + line(2)[:20])
    log.ingest.rotate()
    log.settle()
    log.ingest.finish(writers=False)
    assert log.taken() == ["r1"]
    assert log.unreadable() == ["line-torn"]
    assert log.world.events(EventType.ACCESS_MALFORMED)[0].data["length"] == 20
    assert log.names() == []


def test_a_line_that_is_too_long_is_skipped(log: Log) -> None:
    """A line that is longer than any line of Envoy is recorded as unreadable, and the lines after it are recorded."""
    log.write("x" * (LONGEST_LINE + 1))
    log.take()
    assert log.unreadable() == ["line-unreadable"]
    log.write("y" * 10 + "\n" + line(1))
    log.take()
    assert log.taken() == ["r1"]


def test_garbage_does_not_stop_later_lines(log: Log) -> None:
    """Lines that are not JSON, or have values that no event may have, are recorded as unreadable one by one."""
    log.write(
        "garbage\n\n" + line(1) + line(2, request="r2", application="app_" + "a" * 40) + "[]\n" + line(3)
    )
    log.take()
    assert log.taken() == ["r1", "r2", "r3"]
    assert log.unreadable() == ["line-unreadable", "line-unreadable"]


def test_a_line_that_the_event_catalogue_refuses_is_recorded_as_unreadable(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the event of a line is refused, the line is recorded as malformed; the lines around it are recorded."""
    build = selection.build_access_line

    def generous(text: bytes, value: dict[str, object] | None, gateway_id: str) -> object:
        found = build(text, value, gateway_id)
        if b'"r2"' in text and found:
            found.data["status"] = "two hundred"
        return found

    monkeypatch.setattr(selection, "build_access_line", generous)
    log.write(line(1) + line(2) + line(3))
    log.take()
    assert log.taken() == ["r1", "r3"]
    assert len(log.unreadable()) == 1


def test_successful_connections_are_not_events(log: Log) -> None:
    """A line of the listener log without a failure is skipped."""
    log.write(json.dumps({"kind": "handshake", "failure": "-", "flags": "-"}) + "\n" + line(1))
    log.take()
    assert log.taken() == ["r1"]
    assert log.unreadable() == []


# files


def test_a_renamed_file_is_continued_at_its_position(log: Log) -> None:
    """Renaming loses and doubles no line, also if a draining Envoy goes on writing into the old file."""
    log.write(line(1))
    log.take()
    log.ingest.rotate()
    log.write(line(2), "access-1.log")
    log.write(line(3))
    log.take()
    assert log.taken() == ["r1", "r2", "r3"]
    log.write(line(4), "access-1.log")
    log.write(line(5))
    log.take()
    assert log.taken() == ["r1", "r2", "r3", "r4", "r5"]


def test_files_are_taken_oldest_first(log: Log) -> None:
    """Ten renamed files are taken in the order of their numbers, not of their spelling."""
    for number in range(12):
        log.write(line(number))
        log.ingest.rotate()
    log.take()
    assert log.taken() == [f"r{number}" for number in range(12)]


def test_only_finished_files_are_deleted(log: Log) -> None:
    """The live file stays, and so does a renamed one while a draining Envoy may write into it."""
    log.write(line(1))
    log.ingest.rotate()
    log.write(line(2))
    log.settle()
    log.ingest.finish(writers=True)
    assert log.names() == ["access-1.log", LIVE]
    log.ingest.finish(writers=False)
    assert log.names() == [LIVE]
    assert log.taken() == ["r1"]


def test_a_file_renamed_just_now_is_left_alone(log: Log) -> None:
    """Envoy may write into a renamed file for a moment: it is deleted later, or when no Envoy is left."""
    log.write(line(1))
    log.ingest.rotate()
    log.ingest.finish(writers=False)
    assert log.names() == ["access-1.log"]
    log.write(line(2), "access-1.log")
    log.ingest.finish(writers=False, final=True)
    assert log.names() == []
    assert log.taken() == ["r1", "r2"]


def test_rotating_nothing_is_harmless(log: Log) -> None:
    """Before Envoy wrote anything there is nothing to rename."""
    log.ingest.rotate()
    log.ingest.finish(writers=False)
    log.take()
    assert log.names() == []


def test_a_number_is_never_used_again(log: Log) -> None:
    """The file after a deleted one has another number, so that none of its lines counts as recorded already."""
    for number in range(4):
        log.write(line(number) + line(number + 100) * number)
        log.take()
        log.ingest.rotate()
        log.settle()
        log.ingest.finish(writers=False)
        assert log.names() == []
        log.start()
    assert [one for one in log.taken() if int(one[1:]) < 100] == ["r0", "r1", "r2", "r3"]


def test_a_crash_between_renaming_and_counting_uses_no_number_again(log: Log) -> None:
    """If the counter is lower than the numbers of the files, the files decide."""
    log.write(line(1))
    log.take()
    (log.folder / LIVE).rename(log.folder / "access-1.log")
    assert (log.folder / COUNTER).read_text() == "1"
    log.start()
    log.ingest.finish(writers=False, final=True)
    assert log.names() == []
    log.write(line(2))
    log.take()
    assert log.taken() == ["r1", "r2"]


def test_a_file_cut_short_is_a_gap(log: Log) -> None:
    """A truncated log makes a recorded gap; no line is doubled, and later lines are recorded."""
    log.write(line(1) + line(2))
    log.take()
    (log.folder / LIVE).write_text(line(1))
    log.take()
    assert [one.data["reason"] for one in log.world.events(EventType.ACCESS_GAP)] == ["log-shrunk"]
    log.write(line(3))
    log.take()
    assert log.taken() == ["r1", "r2", "r3"]


@pytest.mark.parametrize("content", ["", "garbage", "-1", "1\n2", "9" * 13])
def test_a_damaged_counter_stops_the_recording(log: Log, content: str) -> None:
    """Without its counter the log waits: a guessed number could lose lines or record them twice."""
    (log.folder / COUNTER).write_text(content)
    log.write(line(1))
    with pytest.raises(IntegrityError) as caught:
        log.take()
    assert caught.value.code == "access-counter-damaged"
    assert log.taken() == []
    (log.folder / COUNTER).write_text("7\n")
    log.take()
    assert log.taken() == ["r1"]


def test_other_files_are_ignored(log: Log) -> None:
    """Other files in the folder are neither read nor deleted."""
    for name in ("access-x.log", "access-1.log.gz", "notes"):
        log.write("garbage\n", name)
    log.take()
    log.ingest.finish(writers=False, final=True)
    assert log.unreadable() == []
    assert len(log.names()) == 3


# the thread


def run(log: Log, looks: int = 1) -> None:
    """Let the thread's loop look `looks` times."""
    stop = _CountingStop(looks)
    log.ingest.run(stop)


class _CountingStop(threading.Event):
    """A flag that is set after some looks, and never waits."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self._looks = looks

    def wait(self, timeout: float | None = None) -> bool:
        self._looks -= 1
        return self._looks <= 0


def test_a_last_look_is_taken_after_the_stop(log: Log) -> None:
    """Lines that Envoy wrote before it ended are recorded when the thread is told to stop."""
    log.write(line(1))
    run(log)
    assert log.taken() == ["r1"]
    assert log.ingest.trouble() == ""


def test_a_large_file_is_renamed_and_envoy_told(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that grew large is renamed once, and Envoy opens a new one."""
    monkeypatch.setattr(module, "ROTATE_BYTES", 10)
    log.write(line(1))
    run(log, 3)
    assert log.names() == ["access-1.log"]
    assert log.reopened == [1]
    log.settle()
    log.ingest.finish(writers=False)
    assert log.names() == []


def test_an_envoy_that_was_not_told_keeps_its_file(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """While Envoy could not be told to open a new file, it writes into the renamed one, which stays."""
    monkeypatch.setattr(module, "ROTATE_BYTES", 10)
    log.reopen_fails = True
    log.write(line(1))
    run(log)
    log.settle()
    log.ingest.finish(writers=False)
    assert log.names() == ["access-1.log"]
    assert "Envoy does not answer" in log.ingest.trouble()
    log.write(line(2), "access-1.log")
    log.reopen_fails = False
    run(log)
    log.ingest.finish(writers=False)
    assert log.names() == ["access-1.log"]
    log.settle()
    log.ingest.finish(writers=False)
    assert log.names() == []
    assert log.taken() == ["r1", "r2"]
    assert log.ingest.trouble() == ""


class _TakenBefore:
    """The reader's lock; another thread gets it just before the first caller."""

    def __init__(self, other: Callable[[], object]) -> None:
        self._other: Callable[[], object] | None = other
        self._held = threading.Lock()

    def __enter__(self) -> None:
        other, self._other = self._other, None
        if other is not None:
            other()
        assert self._held.acquire(blocking=False)

    def __exit__(self, *_: object) -> None:
        self._held.release()


@pytest.mark.parametrize("told", [True, False], ids=["Envoy was told", "Envoy is not told yet"])
def test_a_file_renamed_while_finish_waits_is_not_deleted(
    log: Log, monkeypatch: pytest.MonkeyPatch, *, told: bool
) -> None:
    """`finish` looks once it has the lock: a file renamed while it waited may still be written."""
    monkeypatch.setattr(module, "ROTATE_BYTES", 10)
    log.reopen_fails = not told
    log.write(line(1))
    log.ingest._lock = _TakenBefore(lambda: run(log))  # type: ignore[assignment]
    log.ingest.finish(writers=False)
    assert log.names() == ["access-1.log"]
    log.write(line(2), "access-1.log")
    log.take()
    assert log.taken() == ["r1", "r2"]


@pytest.mark.parametrize("how", ["store", "disk", "defect"])
def test_the_thread_survives_and_says_what_is_wrong(
    log: Log, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unavailable store, an unreadable file or a defect does not end the thread; `trouble` reports it."""
    log.write(line(1))
    with monkeypatch.context() as patch:
        if how == "store":
            log.world.work.broken = Unavailable("database-unavailable", "the disk is full")
        elif how == "disk":
            (log.folder / "access-1.log").mkdir()
        else:
            patch.setattr(selection, "build_access_line", lambda *_: 1 / 0)
        run(log, 2)
        assert log.ingest.trouble()
        assert log.taken() == []
    log.world.work.broken = None
    if how == "disk":
        (log.folder / "access-1.log").rmdir()
    run(log)
    assert log.taken() == ["r1"]
    assert log.ingest.trouble() == ""


# an adopted Envoy


def test_an_adopted_envoy_goes_on_in_the_same_file(log: Log) -> None:
    """Lines that it wrote while no gateway read are recorded once, and nothing is renamed."""
    log.write(line(1))
    log.take()
    log.write(line(2))
    log.start().adopt()
    log.write(line(3))
    log.take()
    assert log.taken() == ["r1", "r2", "r3"]
    assert log.names() == [LIVE]


def test_a_gateway_that_died_before_it_told_envoy_of_the_new_file(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The adopted Envoy still writes into the renamed file, which is kept until it was told."""
    monkeypatch.setattr(module, "ROTATE_BYTES", 1)
    log.write(line(1))
    log.reopen_fails = True
    with pytest.raises(Unavailable):
        log.ingest._rotate_when_large()
    (renamed,) = log.names()
    log.start().adopt()
    log.settle()
    log.ingest.finish(writers=False)
    log.write(line(2), renamed)
    log.take()
    log.reopen_fails = False
    stop = threading.Event()
    stop.set()
    log.ingest.run(stop)
    assert log.reopened == [1]
    log.ingest.finish(writers=False)
    log.write(line(3), renamed)  # Envoy opens the new file at its next flush
    log.take()
    log.settle()
    log.ingest.finish(writers=False)
    log.write(line(4))
    log.take()
    assert log.taken() == ["r1", "r2", "r3", "r4"]
    assert renamed not in log.names()


def test_a_position_that_another_process_moved_is_read_again(log: Log) -> None:
    """No line becomes two events, though the position is remembered, and the lines after it are recorded."""
    log.write(line(1))
    log.take()
    with log.world.services.work.change() as stores:
        position = stores.ingest.position(GATEWAY, "access-1.log")
        stores.ingest.advance(GATEWAY, "access-1.log", position, position + len(line(2)))
    log.write(line(2) + line(3))
    with pytest.raises(IntegrityError, match="another reader"):
        log.ingest.take()
    log.take()
    assert log.taken() == ["r1", "r3"]
