"""Whether anything was committed to a SQLite file since the last look, for a tenth of what reading a row costs.

Not here: what was committed (`repositories`).
Standard: https://www.sqlite.org/pragma.html#pragma_data_version: on one connection the number is the same only if no other
connection, of this or another process, has committed in between.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress


class DataVersion:
    """Reads the number on a connection of its own, which commits nothing and stays open. Safe to share between threads.

    Args:
        open_connection: opens the file; may raise as the driver does.
    """

    def __init__(self, open_connection: Callable[[], sqlite3.Connection]) -> None:
        self._open_connection = open_connection
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._opened = 0
        self._is_closed = False

    def read(self) -> tuple[int, int] | None:
        """Return a mark that is the same only if nothing was committed in between; None if it cannot be read."""
        with self._lock:
            if self._is_closed:
                return None
            try:
                if self._connection is None:
                    self._connection = self._open_connection()
                    self._opened += 1  # the numbers of two connections cannot be compared
                ((version,),) = self._connection.execute("PRAGMA data_version").fetchall()
            except sqlite3.Error:
                self._drop()
                return None
            return self._opened, version

    def close(self) -> None:
        """Close the connection; afterwards there is no mark."""
        with self._lock:
            self._is_closed = True
            self._drop()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()
