"""Answers the calls of the server by threads, one call per thread at a time.

The newest call is answered first. A call that waited too long is refused without a judgement, and so is a call beyond a
number: in a stampede Envoy and the client have given up what waited long, and answering it would keep the others waiting.

Not here: the judgement (judging), the calls' way (server).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence

import structlog

from doorward.core.ports import Clock
from doorward.gateway.authorizer.calls import Call, CheckResult

WORKERS = 16
PENDING = 2_000
"""Calls that wait; at 1,400 calls a second the last one waits less than two seconds."""
LONGEST_WAIT_SECONDS = 2.0
"""Before a thread takes the call; Envoy gives up after 5 s, and a judgement may wait 3 s for Envoy's policy."""

TOO_LATE = CheckResult(facts=None, reasons=("authorizer-busy",))
FAILED = CheckResult(facts=None, reasons=("internal-error",))

_log = structlog.get_logger("doorward.authorizer")


class ThreadedAnswerer:
    """Answers with `check`; `start`, then `stop`.

    Args:
        check: judges one connection by certificate and metadata; called by many threads.
        clock: says how long a call has waited.
        give_way: waits for more urgent work; called before each judgement.
        workers: threads.
        pending: calls that may wait.
    """

    def __init__(
        self,
        check: Callable[[str, Mapping[str, str]], CheckResult],
        clock: Clock,
        *,
        give_way: Callable[[], None] = lambda: None,
        workers: int = WORKERS,
        pending: int = PENDING,
    ) -> None:
        self._check = check
        self._clock = clock
        self._give_way = give_way
        self._pending = pending
        self._waiting: deque[Call] = deque()
        self._wake = threading.Condition()
        self._stopped = False
        self._threads = [
            threading.Thread(target=self._work, name=f"authorizer-{number}", daemon=True)
            for number in range(workers)
        ]

    def start(self) -> None:
        """Start the threads."""
        for one in self._threads:
            one.start()

    def stop(self, seconds: float = 1.0) -> None:
        """Refuse what waits, and wait for the calls that are being answered, at most so long for all threads together."""
        with self._wake:
            self._stopped = True
            left = list(self._waiting)
            self._waiting.clear()
            self._wake.notify_all()
        for call in left:
            call.reply(TOO_LATE)
        ends_at = self._clock.monotonic() + seconds
        for one in self._threads:
            if one.is_alive():
                one.join(max(0.0, ends_at - self._clock.monotonic()))

    def answer_all(self, calls: Sequence[Call]) -> None:
        """Hand the calls to the threads; refuse at once those beyond the number that may wait, the oldest first."""
        with self._wake:
            self._waiting.extend(calls)
            most = 0 if self._stopped else self._pending
            refused = [self._waiting.popleft() for _ in range(len(self._waiting) - most)]
            self._wake.notify(len(calls))
        for call in refused:
            call.reply(TOO_LATE)

    def _work(self) -> None:
        while (call := self._next()) is not None:
            self._give_way()
            now = self._clock.monotonic()
            if now >= min(call.received_at + LONGEST_WAIT_SECONDS, call.expires_at):
                call.reply(TOO_LATE)
                continue
            try:
                result = self._check(call.certificate, call.metadata)
            except Exception:  # noqa: BLE001  fail closed after any error, and go on serving
                _log.exception("the authorizer failed; the connection is refused")
                result = FAILED
            call.reply(result)

    def _next(self) -> Call | None:
        with self._wake:
            self._wake.wait_for(lambda: self._waiting or self._stopped)
            return self._waiting.pop() if self._waiting else None
