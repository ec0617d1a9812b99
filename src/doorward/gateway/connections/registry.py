"""The registry of live connections: which kernel socket belongs to whom, and until when.

Not here: the decision itself (authorizer, `access.deciding`), ending a connection (cutter) and
comparing with the kernel (reconciler).

How a change is never lost between look-up and admission:
1. `begin` registers the connection as *pending*, before anything is looked up;
2. the authorizer reads the change sequence, then looks up and judges;
3. a follower of changes calls `note_change(sequence, touched)` first, then walks the registry;
4. `admit(connection, judged_at=sequence)` is refused when a later change that may touch this
   connection has been noted.
So a change is either seen by the judgement, or meets the connection in the registry, or makes
`admit` answer False, and the connection is judged again.

A connection that must end is *condemned* before the cutter tries: it leaves the indexes at once and
the reconciler cuts it again each second until the kernel no longer knows it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from datetime import datetime, timedelta

from doorward.core.entities import Reason
from doorward.core.errors import RequestRefused
from doorward.enforcement.capacity import CONNECTIONS, CONNECTIONS_PER_PRINCIPAL, CONNECTIONS_PER_SOURCE
from doorward.gateway.connections.connection import LiveConnection, PendingConnection
from doorward.gateway.connections.endpoints import V4_BYTES, Endpoint
from doorward.gateway.connections.journal import Journal, is_same_entry
from doorward.gateway.connections.quota import ConnectionQuota
from doorward.gateway.connections.timers import TimerQueue

_REMEMBERED_CHANGES = 1_024
"""Changes whose scope is remembered; a judgement older than all of them is refused."""

_RETRY = timedelta(seconds=1)
_V6_NETWORK_BYTES = 8  # a host owns its whole /64 (RFC 4291 section 2.5.4)


class ConnectionRegistry:
    """The registry; every method may be called from any thread.

    Args:
        journal: where connections are written down; None keeps them in memory only. Its entries are
            adopted.
        sequence: the change sequence that this process has followed so far.
        max_total: how many connections may be held, pending ones included.
        max_per_source: the same for one IPv4 address or one IPv6 /64. Behind a balancer all
            connections have one source: it is set as high as the total there.
        anonymous: the share of connections without a good certificate.
        max_per_principal: how many admitted ones may be of one person, device or service, so that one
            certificate cannot take all places of an office's address.
    """

    def __init__(
        self,
        journal: Journal | None = None,
        *,
        sequence: int = 0,
        max_total: int = CONNECTIONS,
        max_per_source: int = CONNECTIONS_PER_SOURCE,
        anonymous: ConnectionQuota | None = None,
        max_per_principal: int = CONNECTIONS_PER_PRINCIPAL,
    ) -> None:
        self._lock = threading.Lock()
        self._journal = journal
        self._sequence = sequence
        self._changes: deque[tuple[int, frozenset[str] | None]] = deque(maxlen=_REMEMBERED_CHANGES)
        self._horizon = sequence  # every change after this one is in `_changes`
        self._max_total = max_total
        self._max_per_source = max_per_source
        self._anonymous = anonymous or ConnectionQuota()
        self._max_per_principal = max_per_principal
        self._pending: dict[int, PendingConnection] = {}
        self._live: dict[int, LiveConnection] = {}
        self._condemned: dict[int, LiveConnection] = {}
        self._sources: dict[bytes, int] = {}
        self._by_certificate: dict[str, set[int]] = {}
        self._by_principal: dict[str, set[int]] = {}
        self._by_shown: dict[str, set[int]] = {}  # anonymous ones take no place of the principal's
        self._deadlines = TimerQueue()
        self._time_changes = TimerQueue()
        for adopted in journal.adopted if journal else ():
            self._insert(adopted)

    # judging

    def begin(self, pending: PendingConnection) -> None:
        """Register a connection before it is judged; one known already is judged anew.

        Raises:
            RequestRefused: `connections-exhausted`, `connections-per-source-exhausted`, or
                `connection-condemned` for one that is about to be cut.
        """
        with self._lock:
            if pending.cookie in self._condemned:
                raise RequestRefused("connection-condemned", "this connection is being ended")
            self._remove(pending.cookie)
            source = source_of(pending.remote)
            if len(self._pending) + len(self._live) >= self._max_total:
                raise RequestRefused("connections-exhausted", "this gateway holds all connections it may")
            if self._sources.get(source, 0) >= self._max_per_source:
                raise RequestRefused(
                    "connections-per-source-exhausted", "this address holds all connections it may"
                )
            self._pending[pending.cookie] = pending
            self._sources[source] = self._sources.get(source, 0) + 1

    def admit(self, connection: LiveConnection, *, judged_at: int) -> bool:
        """Make a pending connection live.

        Args:
            connection: with the cookie of a pending one.
            judged_at: the change sequence read before the look-ups that the judgement rests on.

        Returns:
            False when it must be judged again (a change that may touch it came meanwhile) or is no
            longer wanted (it was condemned or forgotten): `is_pending` tells them apart.

        Raises:
            RequestRefused: `principal-connections-exhausted`, `anonymous-connections-exhausted`; the connection
                stays pending.
            Unavailable: the journal cannot be written; the connection stays pending.
        """
        with self._lock:
            if connection.cookie not in self._pending or self._outdated(connection, judged_at):
                return False
            if connection.anonymous and not self._anonymous.has_room(source_of(connection.remote)):
                raise RequestRefused(
                    "anonymous-connections-exhausted",
                    "all places for connections without a certificate are taken",
                )
            if (
                not connection.anonymous
                and len(self._by_principal.get(connection.principal_id, ())) >= self._max_per_principal
            ):
                raise RequestRefused(
                    Reason.PRINCIPAL_CONNECTIONS_EXHAUSTED.value,
                    "this principal holds as many connections as it may",
                )
            if self._journal:
                self._journal.add(connection)
            self._remove_pending(connection.cookie)
            self._insert(connection)
            return True

    def refuse(self, cookie: int) -> None:
        """Forget a pending connection that was refused; Envoy ends it."""
        with self._lock:
            self._remove_pending(cookie)

    def holds(self, cookie: int) -> bool:
        """Return whether this connection is live or being judged."""
        with self._lock:
            return cookie in self._live or cookie in self._pending

    def is_pending(self, cookie: int) -> bool:
        """Return whether this connection is still waiting for its judgement."""
        with self._lock:
            return cookie in self._pending

    def pending(self) -> frozenset[int]:
        """Return the cookies of all connections that are being judged."""
        with self._lock:
            return frozenset(self._pending)

    # following changes

    def note_change(self, sequence: int, touched: frozenset[str] | None = None) -> None:
        """Take note of a change *before* walking the registry for it.

        Args:
            sequence: the number of the change; they come in ascending order.
            touched: ids of the certificates, principals, partners and applications that it may touch;
                None stands for all. Issuing a thousand certificates a second must not make every
                admission fail.
        """
        with self._lock:
            if len(self._changes) == _REMEMBERED_CHANGES:
                self._horizon = self._changes[0][0]
            self._changes.append((sequence, touched))
            self._sequence = max(self._sequence, sequence)

    def note_followed(self, mark: str) -> None:
        """Write down which change was acted on last, for the gateway that starts after us (`following.change_mark`)."""
        with self._lock:
            if self._journal:
                self._journal.follow(mark)

    @property
    def followed(self) -> str:
        """The mark of the last change that was acted on, by an earlier run at first; empty where none is known."""
        with self._lock:
            return self._journal.followed if self._journal else ""

    @property
    def sequence(self) -> int:
        """The last change noted."""
        with self._lock:
            return self._sequence

    def replace(self, connection: LiveConnection) -> bool:
        """Put a newer value in the place of a live one; False when it is live no longer."""
        with self._lock:
            known = self._live.get(connection.cookie)
            if known is None:
                return False
            if is_same_entry(known, connection):  # only its permissions differ: nothing to write down
                self._live[connection.cookie] = connection
                self._watch(connection)
                return True
            if self._journal:
                self._journal.add(connection)
            self._remove_live(connection.cookie)
            self._insert(connection)
            return True

    def condemn(self, cookie: int) -> LiveConnection | None:
        """Take a connection's permissions away: it leaves the indexes and is cut until it is gone.

        Returns:
            The connection, for the cutter; None when it was not live (a pending one is dropped, so
            that its `admit` fails).
        """
        with self._lock:
            self._remove_pending(cookie)
            connection = self._remove_live(cookie)
            if connection is not None:
                self._condemned[cookie] = connection
                if self._journal:  # who starts after us must not adopt it
                    self._journal.end(cookie)
            return connection

    def forget(self, cookie: int) -> LiveConnection | None:
        """Drop a connection that is gone, or was cut for certain; return it if it was live."""
        with self._lock:
            return self._remove(cookie)

    # looking

    def get(self, cookie: int) -> LiveConnection | None:
        """Return the live connection of this cookie."""
        with self._lock:
            return self._live.get(cookie)

    def all(self) -> tuple[LiveConnection, ...]:
        """Return every live connection."""
        with self._lock:
            return tuple(self._live.values())

    def condemned(self) -> tuple[LiveConnection, ...]:
        """Return connections that must end and of which nobody said yet that they did."""
        with self._lock:
            return tuple(self._condemned.values())

    def of_certificate(self, certificate_id: str) -> tuple[LiveConnection, ...]:
        """Return the live connections of one certificate of the inventory."""
        return self._of(self._by_certificate, certificate_id)

    def of_principal(self, principal_id: str) -> tuple[LiveConnection, ...]:
        """Return the live connections of one person, device or service."""
        return self._of(self._by_principal, principal_id)

    def showing(self, shown: str) -> tuple[LiveConnection, ...]:
        """Return the anonymous connections that showed this certificate, or one of this principal."""
        return self._of(self._by_shown, shown)

    def refused(self) -> tuple[LiveConnection, ...]:
        """Return the anonymous connections that showed a certificate of the inventory."""
        with self._lock:
            return tuple(self._live[one] for one in frozenset().union(*self._by_shown.values()))

    def due(self, now: datetime) -> tuple[LiveConnection, ...]:
        """Return the connections whose deadline has come, earliest first.

        They come again a second later until they are condemned or forgotten.
        """
        with self._lock:
            return self._take(self._deadlines, now)

    def next_deadline(self) -> datetime | None:
        """Return when `due` should be asked next at the latest, None where nothing has a deadline."""
        with self._lock:
            return self._deadlines.first()

    def due_by_time(self, now: datetime) -> tuple[LiveConnection, ...]:
        """Return the connections that must be judged again because of the time.

        They come again a second later until they are replaced, condemned or forgotten.
        """
        with self._lock:
            return self._take(self._time_changes, now)

    def time_dependent(self) -> tuple[LiveConnection, ...]:
        """Return the connections of which a rule depends on the time."""
        with self._lock:
            return tuple(one for one in self._live.values() if one.changes_at is not None)

    def next_time_change(self) -> datetime | None:
        """Return when `due_by_time` should be asked next at the latest; None for never."""
        with self._lock:
            return self._time_changes.first()

    def __len__(self) -> int:
        """Return how many connections are held, pending ones included."""
        with self._lock:
            return len(self._pending) + len(self._live)

    # inside the lock

    def _take(self, timers: TimerQueue, now: datetime) -> tuple[LiveConnection, ...]:
        cookies = timers.take(now)
        for cookie in cookies:
            timers.set(cookie, now + _RETRY)
        return tuple(self._live[cookie] for cookie in cookies)

    def _outdated(self, connection: LiveConnection, judged_at: int) -> bool:
        if judged_at >= self._sequence:
            return False
        if judged_at < self._horizon:
            return True
        ids = {
            connection.certificate_id,
            connection.principal_id,
            connection.application_id,
            connection.partner_id,
            *connection.shown,
        }
        return any(
            touched is None or not ids.isdisjoint(touched)
            for sequence, touched in self._changes
            if sequence > judged_at
        )

    def _of(self, index: dict[str, set[int]], key: str) -> tuple[LiveConnection, ...]:
        with self._lock:
            return tuple(self._live[cookie] for cookie in index.get(key, ()))

    def _indexes(self, connection: LiveConnection) -> Iterable[tuple[dict[str, set[int]], str]]:
        return (
            (self._by_certificate, connection.certificate_id),
            (self._by_principal, connection.principal_id),
            *((self._by_shown, one) for one in connection.shown),
        )

    def _insert(self, connection: LiveConnection) -> None:
        self._live[connection.cookie] = connection
        source = source_of(connection.remote)
        self._sources[source] = self._sources.get(source, 0) + 1
        if connection.anonymous:
            self._anonymous.take(source)
        for index, key in self._indexes(connection):
            index.setdefault(key, set()).add(connection.cookie)
        self._watch(connection)

    def _watch(self, connection: LiveConnection) -> None:
        self._deadlines.set(connection.cookie, connection.ends_at)
        self._time_changes.set(connection.cookie, connection.changes_at)

    def _remove(self, cookie: int) -> LiveConnection | None:
        self._condemned.pop(cookie, None)
        self._remove_pending(cookie)
        connection = self._remove_live(cookie)
        if self._journal:
            self._journal.end(cookie)
        return connection

    def _remove_pending(self, cookie: int) -> None:
        pending = self._pending.pop(cookie, None)
        if pending is not None:
            self._release(pending.remote)

    def _remove_live(self, cookie: int) -> LiveConnection | None:
        connection = self._live.pop(cookie, None)
        if connection is None:
            return None
        self._deadlines.set(cookie, None)
        self._time_changes.set(cookie, None)
        self._release(connection.remote)
        if connection.anonymous:
            self._anonymous.give_back(source_of(connection.remote))
        for index, key in self._indexes(connection):
            cookies = index[key]
            cookies.discard(cookie)
            if not cookies:
                del index[key]
        return connection

    def _release(self, remote: Endpoint) -> None:
        source = source_of(remote)
        self._sources[source] -= 1
        if not self._sources[source]:
            del self._sources[source]


def source_of(remote: Endpoint) -> bytes:
    """Return whom a connection is counted for: one IPv4 address, or one IPv6 /64."""
    return remote.address if len(remote.address) == V4_BYTES else remote.address[:_V6_NETWORK_BYTES]
