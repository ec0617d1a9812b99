"""SQLAlchemy connections of an engine that stay open between transactions.

Taking a connection from SQLAlchemy's pool and putting it back costs more than a transaction of one look-up, because the pool
prepares and resets it each time. Here a connection keeps its place in the pool, and its transaction is ended before another
thread gets it. After an error it goes back to the pool.

Not here: the transactions (`sqlite.database`, `group_commit`).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import TimeoutError as PoolTimeout


class KeptConnections:
    """Safe to share between threads; a connection is used by one thread at a time, the newest first.

    Args:
        engine: with a pool of at least `most` connections, which nothing else uses.
        most: connections at the same time.
        timeout_seconds: how long a thread waits for one.
    """

    def __init__(self, engine: Engine, *, most: int, timeout_seconds: float) -> None:
        self._engine = engine
        self._timeout_seconds = timeout_seconds
        self._room = threading.Semaphore(most)
        self._idle: list[Connection] = []
        self._is_closed = False

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Take a connection; a transaction that is still open at the end of the block is rolled back.

        Raises:
            PoolTimeout: all are in use, for as long as a thread waits.
            DBAPIError, errors of the driver: unchanged.
        """
        if not self._room.acquire(timeout=self._timeout_seconds):
            raise PoolTimeout("every connection is in use")
        try:
            try:
                connection = self._idle.pop()
            except IndexError:
                connection = self._engine.connect()
            try:
                yield connection
            except BaseException:
                if self._is_closed:
                    connection.invalidate()  # `close` was called while the block ran: see `_close_idle`
                connection.close()  # its pool resets it, whatever state the error left
                raise
            self._give_back(connection)
        finally:
            self._room.release()

    def _give_back(self, connection: Connection) -> None:
        try:
            transaction = connection.get_transaction()
            if transaction is not None:
                transaction.close()  # a commit that failed leaves one too
        except BaseException:
            connection.invalidate()
            connection.close()
            raise
        self._idle.append(connection)
        if self._is_closed:  # `close` was called while the block ran
            self._close_idle()

    def close(self) -> None:
        """Close the connections that are not in use now, and each other one as soon as its block ends."""
        self._is_closed = True
        self._close_idle()

    def _close_idle(self) -> None:
        with suppress(IndexError):
            while True:
                connection = self._idle.pop()
                connection.invalidate()  # closes the file: the pool of a connection that was in use would keep it open
                connection.close()
        self._engine.dispose()
