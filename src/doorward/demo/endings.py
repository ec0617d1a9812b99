"""When connections end: they are watched, and the moment is compared with the change that had to end them.

Times are from the moment of commit, as the database has it, to the moment in which the client saw the end.
"""

from __future__ import annotations

import select
import threading
import time
from contextlib import suppress
from datetime import datetime

from websockets.sync.client import ClientConnection

from doorward.demo.clients import Visitor, ended_within
from doorward.demo.report import Report

WITHIN_SECONDS = 5.0
"""How long a scene waits for the end of a connection."""
AT_ONCE_MS = 1000
"""The latest end that is accepted. 30 ms are usual; a small, busy machine needs some hundreds.
If the cutter misses a connection, nothing else ends it so soon: the reconciler looks each second, and ends an unknown
connection after 10 s."""


class Ending:
    """Watches a kept connection from another thread and notes when its peer ends it."""

    def __init__(self, visitor: Visitor) -> None:
        self._socket = visitor.kept_socket()
        self._moment: float | None = None
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        with suppress(OSError, ValueError):
            ready, _, _ = select.select([self._socket], [], [], WITHIN_SECONDS)
            if ready:
                self._moment = time.time()

    def moment(self) -> float | None:
        """Return the wall-clock time of the end; None if it did not end in time."""
        self._thread.join()
        return self._moment


class SocketEnding(Ending):
    """The same for a WebSocket that is being read."""

    def __init__(self, live: ClientConnection) -> None:
        self._live = live
        self._moment = None
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        self._moment = ended_within(self._live, WITHIN_SECONDS)


def judge_end(report: Report, what: str, moment: float | None, committed: datetime) -> None:
    """Compare the end of a connection with the commit that had to cause it.

    Args:
        report: where the finding goes.
        what: which connection.
        moment: wall-clock time of the end, in seconds since 1970; None if it did not end.
        committed: when the change was made.
    """
    expected = f"within {AT_ONCE_MS} ms of the commit"
    if moment is None:
        report.judge(what, expected, f"not within {WITHIN_SECONDS:g} s", good=False)
        return
    late = (moment - committed.timestamp()) * 1000
    if late < 0:  # something else ended it, before the change
        report.judge(what, expected, f"{-late:.0f} ms before the commit", good=False)
        return
    report.judge(what, expected, f"{late:.0f} ms after the commit", good=late <= AT_ONCE_MS)
