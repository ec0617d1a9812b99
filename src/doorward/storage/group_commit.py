"""Group commit: the threads of a process share one write connection, and waiting threads share one commit.

Not here: other processes (each kind of database has its own lock for them). A synced commit costs as much as ten
small changes. So a thread that ends its change while others wait leaves the transaction open for the next thread.
The last one commits for all:

    1. wait until the connection is free, first come, first served
    2. open a transaction, or join the one that the previous thread left open
    3. set a savepoint and make the change; on an exception roll back to the savepoint, so that only this change is lost
    4. if others wait, and neither `MAX_MEMBERS` nor `MAX_SECONDS` is reached, let the next one join; otherwise commit
    5. return when the commit that holds this change is durable, or raise what the commit raised

A change may see rows of the same transaction that are not yet committed. Both changes are committed together or both
are lost, so no thread acts on a lost change. Readers see committed changes only.
Standard: SQL savepoints, https://www.postgresql.org/docs/current/sql-savepoint.html.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Engine, RootTransaction

from doorward.core.errors import DoorwardError, Unavailable
from doorward.storage.faults import BUSY
from doorward.storage.kept_connections import KeptConnections

MAX_MEMBERS = 64
"""Changes in one commit; at this number a change pays less than 2 % of the commit."""
MAX_SECONDS = 0.01
"""How long further changes may join a transaction; other processes wait for as long."""


class _Group:
    """One open transaction and its changes; if `fault` is set, the transaction is not committed."""

    def __init__(self, connection: Connection, transaction: RootTransaction, held: ExitStack) -> None:
        self.connection = connection
        self.driver: Any = connection.connection.driver_connection
        self.transaction = transaction
        self.held = held
        self.began = time.monotonic()
        self.members = 0
        self.ending = False
        self.fault: BaseException | None = None
        self.done = threading.Event()


class Writer:
    """Hands out the write connection. Safe to share between threads.

    Args:
        engine: a transaction of it that has begun can always commit.
        process_lock: waits for the lock between processes, and holds it as long as its block runs.
        timeout: how long a thread waits for the connection, and then for the commit.
        translate_commit: turns the error of a failed commit into ours; the default means that nothing was stored.
    """

    def __init__(
        self,
        engine: Engine | KeptConnections,
        process_lock: Callable[[], AbstractContextManager[None]],
        timeout: timedelta,
        *,
        translate_commit: Callable[[Exception], Exception] = lambda error: error,
    ) -> None:
        self._engine = engine
        self._process_lock = process_lock
        self._timeout = timeout
        self._translate_commit = translate_commit
        self._lock = threading.Lock()
        self._waiting: deque[threading.Event] = deque()
        self._occupied = False
        self._group: _Group | None = None

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Open a change: durable when the block has ended, rolled back on any exception.

        The block must not wait for another thread that writes.

        Raises:
            Unavailable: `store-busy`, `store-missing`, `store-read-only`.
            DBAPIError, errors of the driver: unchanged.
        """
        self._enter()  # 1
        try:
            group = self._join()  # 2
        except BaseException:
            self._admit_next()
            raise
        try:
            yield group.connection  # 3
            group.driver.execute(
                "RELEASE change"
            )  # fails if the database itself rolled back the whole transaction
            group.members += 1
        except BaseException as error:
            _undo(group, error)
            self._leave(group)
            raise
        self._leave(group)  # 4
        self._await(group)  # 5

    def _enter(self) -> None:
        with self._lock:
            if not self._occupied:
                self._occupied = True
                return
            called = threading.Event()
            self._waiting.append(called)
        try:
            called.wait(self._timeout.total_seconds())
        except BaseException:  # Ctrl-C
            if not self._stop_waiting(called):
                self._leave_unused()
            raise
        if self._stop_waiting(called):
            raise _busy()

    def _stop_waiting(self, called: threading.Event) -> bool:
        """Leave the queue; return False if this thread was already called."""
        with self._lock:
            if called.is_set():
                return False
            self._waiting.remove(called)
            return True

    def _leave_unused(self) -> None:
        group = self._group
        if group is None:
            self._admit_next()
        else:
            self._leave(group)

    def _join(self) -> _Group:
        group = self._group
        if group is None:
            with ExitStack() as stack:
                connection = stack.enter_context(self._engine.connect())
                stack.enter_context(self._process_lock())
                group = _Group(connection, connection.begin(), stack.pop_all())
            self._group = group
        group.driver.execute("SAVEPOINT change")
        return group

    def _leave(self, group: _Group) -> None:
        with self._lock:
            room = group.members < MAX_MEMBERS and time.monotonic() - group.began < MAX_SECONDS
            if self._waiting and room and group.fault is None:
                self._waiting.popleft().set()
                return
            group.ending = True
            self._group = None
        self._end(group)

    def _end(self, group: _Group) -> None:
        try:
            with group.held:
                _finish(group)
        except Exception as error:  # noqa: BLE001  # every member raises it
            group.fault = group.fault or self._translate_commit(error)
        except BaseException:
            group.fault = group.fault or Unavailable("store-interrupted", "the commit was interrupted")
            raise
        finally:
            group.done.set()
            self._admit_next()

    def _await(self, group: _Group) -> None:
        if not group.done.wait(self._timeout.total_seconds()):
            with self._lock:
                if not group.ending:  # another block hangs: it must not commit this change after we raised
                    group.fault = group.fault or _busy()
                    raise _busy()
            group.done.wait()
        if group.fault is not None:
            raise group.fault

    def _admit_next(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._occupied = False


def _finish(group: _Group) -> None:
    """Commit if there are changes; roll back after a refused commit, so that no transaction stays open."""
    try:
        if group.fault is None and group.members:
            group.transaction.commit()
        else:
            group.transaction.rollback()
    except BaseException:
        with suppress(Exception):
            group.driver.rollback()
        raise


def _undo(group: _Group, error: BaseException) -> None:
    """Roll back to the savepoint. If the database itself rolled back the whole transaction, the changes of the other callers are lost too."""
    try:
        group.driver.execute("ROLLBACK TO change")
        group.driver.execute("RELEASE change")
    except Exception:  # noqa: BLE001  # the first error is the reason
        group.fault = group.fault or error


def _busy() -> DoorwardError:
    return BUSY.build("patience")
