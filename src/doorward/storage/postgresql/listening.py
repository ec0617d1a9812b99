"""LISTEN: wakes the local followers when any machine has committed a change.

Not here: what changed. A notification carries no data and may be lost. Followers also poll the sequence of
changes, so without notifications they are only later.
Standard: https://www.postgresql.org/docs/current/sql-notify.html.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

import psycopg
import structlog

from doorward.core.errors import DoorwardError
from doorward.storage.postgresql.connecting import connect

CHANNEL = "doorward_changes"
_LOOK_SECONDS = 0.5
"""How often a listener looks whether it must stop."""
_LEAST_SECONDS = 0.005
"""Between two calls of `notify`: every user of the database may send NOTIFY, and each call makes the followers read."""
_PAUSE_SECONDS = 1.0
"""Between two tries to connect again."""

_log = structlog.get_logger("doorward.storage")


class Listener:
    """One thread that listens on a connection of its own.

    Args:
        url: the address of the database.
        notify: called at each notification, and after each connect, because notifications may have been missed before.
    """

    def __init__(self, url: str, notify: Callable[[], None]) -> None:
        self._url = url
        self._notify = notify
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="listen", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """Stop listening, and wait until the connection is closed."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        lost = False
        while not self._stop.is_set():
            try:
                with connect(self._url, timeout=timedelta(seconds=5), autocommit=True) as connection:
                    connection.execute(f"LISTEN {CHANNEL}")
                    if lost:
                        _log.info("notifications of the database arrive again")
                    lost = False
                    self._notify()
                    self._listen(connection)
            except (psycopg.Error, DoorwardError) as error:
                if not lost:
                    _log.warning(
                        "notifications of the database do not arrive; changes are found by polling",
                        error=getattr(error, "code", type(error).__name__),
                    )
                lost = True
                self._stop.wait(_PAUSE_SECONDS)

    def _listen(self, connection: psycopg.Connection) -> None:
        while not self._stop.is_set():
            if list(connection.notifies(timeout=_LOOK_SECONDS, stop_after=1)):  # takes all that have arrived
                self._notify()
                self._stop.wait(_LEAST_SECONDS)
