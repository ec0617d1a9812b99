"""Threads answer the newest call first, refuse what waited too long, and refuse what is too much."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from structlog.testing import capture_logs

from doorward.gateway.authorizer.answering import (
    FAILED,
    LONGEST_WAIT_SECONDS,
    TOO_LATE,
    ThreadedAnswerer,
)
from doorward.gateway.authorizer.calls import Call, CheckResult
from tests.support.ports import FakeClock

GOOD = CheckResult(facts={}, reasons=())
Check = Callable[[str, Mapping[str, str]], CheckResult]


class Callers:
    """Makes calls, and keeps what each was answered, in the order of the answers."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.answers: queue.Queue[tuple[str, CheckResult]] = queue.Queue()

    def call(self, name: str, **changed: float) -> Call:
        """A call that arrives now."""
        return Call(
            name,
            {},
            lambda result: self.answers.put((name, result)),
            **{"received_at": self.clock.monotonic(), **changed},
        )

    def wait(self, number: int) -> list[tuple[str, CheckResult]]:
        """The next answers."""
        return [self.answers.get(timeout=60) for _ in range(number)]


@contextmanager
def answering(check: Check, callers: Callers, **options: Any) -> Iterator[ThreadedAnswerer]:
    """Threads that answer."""
    answerer = ThreadedAnswerer(check, callers.clock, **options)
    answerer.start()
    try:
        yield answerer
    finally:
        answerer.stop(60)


class Slow:
    """Judges when it is told, and notes the order."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.go_on = threading.Event()
        self.order: list[str] = []

    def check(self, certificate: str, _metadata: Mapping[str, str]) -> CheckResult:
        self.order.append(certificate)
        self.entered.set()
        assert self.go_on.wait(60)
        return GOOD


def test_each_call_is_answered() -> None:
    """Every call gets the result of its judgement."""
    callers = Callers(FakeClock())
    with answering(lambda name, _: CheckResult(facts={"name": name}, reasons=()), callers) as answerer:
        answerer.answer_all([callers.call(name) for name in "abc"])
        answers = dict(callers.wait(3))
    assert {name: answer.facts for name, answer in answers.items()} == {
        name: {"name": name} for name in "abc"
    }


def test_the_newest_is_first() -> None:
    """While one is judged, others arrive; then the last one is taken."""
    callers, slow = Callers(FakeClock()), Slow()
    with answering(slow.check, callers, workers=1) as answerer:
        answerer.answer_all([callers.call("busy")])
        assert slow.entered.wait(60)
        answerer.answer_all([callers.call("old"), callers.call("new")])
        answerer.answer_all([callers.call("newest")])
        slow.go_on.set()
        callers.wait(4)
    assert slow.order == ["busy", "newest", "new", "old"]


def test_what_waited_too_long_is_not_judged() -> None:
    """Neither after our own limit nor after the caller's."""
    callers, slow = Callers(FakeClock()), Slow()
    with answering(slow.check, callers, workers=1) as answerer:
        answerer.answer_all([callers.call("busy")])
        assert slow.entered.wait(60)
        answerer.answer_all([callers.call("old")])
        callers.clock.turn(seconds=LONGEST_WAIT_SECONDS)
        answerer.answer_all(
            [callers.call("expired", expires_at=callers.clock.monotonic()), callers.call("new")]
        )
        slow.go_on.set()
        answers = callers.wait(4)
    assert answers == [("busy", GOOD), ("new", GOOD), ("expired", TOO_LATE), ("old", TOO_LATE)]
    assert slow.order == ["busy", "new"]


def test_beyond_the_limit_the_oldest_are_refused() -> None:
    """At once, while the thread is still busy."""
    callers, slow = Callers(FakeClock()), Slow()
    with answering(slow.check, callers, workers=1, pending=2) as answerer:
        answerer.answer_all([callers.call("busy")])
        assert slow.entered.wait(60)
        answerer.answer_all([callers.call(name) for name in "abcd"])
        assert callers.wait(2) == [("a", TOO_LATE), ("b", TOO_LATE)]
        slow.go_on.set()
        callers.wait(3)


def test_a_judgement_that_fails_is_a_refusal() -> None:
    """The thread goes on, and the failure is in the log."""
    callers = Callers(FakeClock())
    with (
        capture_logs() as logged,
        answering(lambda name, _: GOOD if name else 1 / 0, callers, workers=1) as answerer,  # type: ignore[arg-type]
    ):
        answerer.answer_all([callers.call("")])
        assert callers.wait(1) == [("", FAILED)]
        answerer.answer_all([callers.call("next")])
        assert callers.wait(1) == [("next", GOOD)]
    assert [line["log_level"] for line in logged] == ["error"]


def test_the_stop_refuses_what_waits() -> None:
    """What is being judged is answered, what waits and what comes later is refused."""
    callers, slow = Callers(FakeClock()), Slow()
    with answering(slow.check, callers, workers=1) as answerer:
        answerer.answer_all([callers.call("busy")])
        assert slow.entered.wait(60)
        answerer.answer_all([callers.call("waits")])
        stopping = threading.Thread(target=answerer.stop, args=(60,))
        stopping.start()
        assert callers.wait(1) == [("waits", TOO_LATE)]
        answerer.answer_all([callers.call("late")])
        assert callers.wait(1) == [("late", TOO_LATE)]
        slow.go_on.set()
        assert callers.wait(1) == [("busy", GOOD)]
        stopping.join(60)
    assert not stopping.is_alive()


def test_a_judgement_gives_way_to_more_urgent_work() -> None:
    """Before each judgement it waits for a comparison of all connections, for example."""
    callers, slow = Callers(FakeClock()), Slow()
    slow.go_on.set()
    with answering(
        slow.check, callers, give_way=lambda: slow.order.append("gave way"), workers=1
    ) as answerer:
        answerer.answer_all([callers.call("a")])
        callers.wait(1)
    assert slow.order == ["gave way", "a"]
