"""The live connections by cookie, certificate, principal and groups, and by the moments at which something is due.

Not here: which connections are live (registry). Not safe between threads: the caller holds the registry's lock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import Any

from doorward.gateway.connections.connection import LiveConnection
from doorward.gateway.connections.timers import TimerQueue

_RETRY = timedelta(seconds=1)


class LiveIndexes:
    """The live connections of one registry."""

    def __init__(self) -> None:
        self._live: dict[int, LiveConnection] = {}
        self._by_certificate: dict[str, set[int]] = {}
        self._by_principal: dict[str, set[int]] = {}
        self._by_shown: dict[str, set[int]] = {}  # anonymous ones do not count for their principal
        # Thousands of people are in a few hundred combinations of groups.
        self._by_groups: dict[tuple[str, ...], set[int]] = {}
        self._deadlines = TimerQueue()
        self._time_changes = TimerQueue()

    def add(self, connection: LiveConnection) -> None:
        """Add a connection that has become live."""
        self._live[connection.cookie] = connection
        for index, key in self._indexes(connection):
            index.setdefault(key, set()).add(connection.cookie)
        self._watch(connection)

    def update(self, connection: LiveConnection) -> None:
        """Replace a connection by a value with the same certificate, principal and shown ids; its groups may differ."""
        if _groups_of(connection) != _groups_of(self._live[connection.cookie]):
            self.remove(connection.cookie)
            self.add(connection)
            return
        self._live[connection.cookie] = connection
        self._watch(connection)

    def remove(self, cookie: int) -> LiveConnection | None:
        """Remove a connection and return it; None if it is not live."""
        connection = self._live.pop(cookie, None)
        if connection is None:
            return None
        self._deadlines.set(cookie, None)
        self._time_changes.set(cookie, None)
        for index, key in self._indexes(connection):
            cookies = index[key]
            cookies.discard(cookie)
            if not cookies:
                del index[key]
        return connection

    def __len__(self) -> int:
        """Return how many connections are live."""
        return len(self._live)

    def __contains__(self, cookie: int) -> bool:
        """Return whether a connection is live."""
        return cookie in self._live

    def get(self, cookie: int) -> LiveConnection | None:
        """Return the live connection of this cookie."""
        return self._live.get(cookie)

    def all(self) -> tuple[LiveConnection, ...]:
        """Return every live connection."""
        return tuple(self._live.values())

    def of_certificate(self, certificate_id: str) -> tuple[LiveConnection, ...]:
        """Return the connections of one certificate of the inventory."""
        return self._of(self._by_certificate.get(certificate_id, ()))

    def of_principal(self, principal_id: str) -> tuple[LiveConnection, ...]:
        """Return the connections of one person, device or service."""
        return self._of(self._by_principal.get(principal_id, ()))

    def groups(self) -> tuple[tuple[str, ...], ...]:
        """Return each combination of groups that the principal of a connection is in, as it was last judged."""
        return tuple(self._by_groups)

    def of_groups(self, groups: tuple[str, ...]) -> tuple[LiveConnection, ...]:
        """Return the connections of the principals with exactly these groups, one of `groups()`."""
        return self._of(self._by_groups.get(groups, ()))

    def count_of_principal(self, principal_id: str) -> int:
        """Return how many connections one person, device or service has."""
        return len(self._by_principal.get(principal_id, ()))

    def showing(self, shown: str) -> tuple[LiveConnection, ...]:
        """Return the anonymous connections that showed this certificate, or one of this principal."""
        return self._of(self._by_shown.get(shown, ()))

    def showing_any(self) -> tuple[LiveConnection, ...]:
        """Return the anonymous connections that showed a certificate of the inventory."""
        return self._of(frozenset().union(*self._by_shown.values()))

    def take_due(self, now: datetime) -> tuple[LiveConnection, ...]:
        """Return the connections that are at their deadline, earliest first; again each second until they are removed."""
        return self._take(self._deadlines, now)

    def next_deadline(self) -> datetime | None:
        """Return the earliest deadline; None if no connection is live."""
        return self._deadlines.first()

    def take_due_by_time(self, now: datetime) -> tuple[LiveConnection, ...]:
        """Return the connections that must be judged again because of the time; again each second as in `take_due`."""
        return self._take(self._time_changes, now)

    def next_time_change(self) -> datetime | None:
        """Return the earliest moment for `take_due_by_time`; None for never."""
        return self._time_changes.first()

    def _take(self, timers: TimerQueue, now: datetime) -> tuple[LiveConnection, ...]:
        cookies = timers.take(now)
        for cookie in cookies:
            timers.set(cookie, now + _RETRY)
        return self._of(cookies)

    def _of(self, cookies: Collection[int]) -> tuple[LiveConnection, ...]:
        return tuple(self._live[cookie] for cookie in cookies)

    def _indexes(self, connection: LiveConnection) -> Iterable[tuple[dict[Any, set[int]], Any]]:
        yield self._by_certificate, connection.certificate_id
        yield self._by_principal, connection.principal_id
        for one in connection.shown:
            yield self._by_shown, one
        groups = _groups_of(connection)
        if groups is not None:
            yield self._by_groups, groups

    def _watch(self, connection: LiveConnection) -> None:
        self._deadlines.set(connection.cookie, connection.ends_at)
        self._time_changes.set(connection.cookie, connection.changes_at)


def _groups_of(connection: LiveConnection) -> tuple[str, ...] | None:
    return None if connection.subject is None else connection.subject.principal.groups
