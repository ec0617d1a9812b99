"""The registry of live connections: which kernel socket belongs to which principal, and until when.

Not here: the decision itself (authorizer, `access.deciding`), finding live connections (indexes), ending a connection
(cutter) and the comparison with the kernel (reconciler).

These steps ensure that no change is lost between look-up and admission:
1. `begin` registers the connection as *pending*, before anything is looked up;
2. the authorizer reads the change sequence, then looks up and judges;
3. the follower first calls `note_change(sequence, touched)`, then looks for affected connections in the registry;
4. `admit(connection, judged_at=sequence)` returns False if a later change that may affect this connection was noted.
So either the judgement sees a change, or the follower finds the connection in the registry, or `admit` returns False
and the connection is judged again.

A connection that must end is *condemned* before the cutter tries: it leaves the indexes at once, and
the reconciler cuts it again each second until the kernel no longer has it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from doorward.core.entities import Reason
from doorward.core.errors import RequestRefused, Unavailable
from doorward.enforcement.capacity import CONNECTIONS, CONNECTIONS_PER_PRINCIPAL, CONNECTIONS_PER_SOURCE
from doorward.gateway.connections.connection import LiveConnection, PendingConnection
from doorward.gateway.connections.endpoints import V4_BYTES, Endpoint
from doorward.gateway.connections.indexes import LiveIndexes
from doorward.gateway.connections.journal import NOTHING_FOLLOWED, Followed, Journal, is_same_entry
from doorward.gateway.connections.noted_changes import NotedChanges
from doorward.gateway.connections.quota import ConnectionQuota

_REMEMBERED_LEFT = 10_000
"""Certificates that left are remembered until `take_seen`; further ones are not."""

_FORGOTTEN_AT_ONCE = 256

_V6_NETWORK_BYTES = 8  # a host owns its whole /64 (RFC 4291 section 2.5.4)


class ConnectionRegistry:
    """The registry; every method may be called from any thread.

    Args:
        journal: the file of live connections; None keeps them in memory only. Connections in the journal are
            adopted.
        sequence: the number in the change sequence up to which this process has followed.
        max_total: how many connections there may be, pending ones included.
        max_per_source: the same for one IPv4 address or one IPv6 /64. Behind a load balancer all
            connections have one source: there it is set as high as the total.
        anonymous: the quota of connections without a good certificate.
        max_per_principal: how many admitted connections one person, device or service may have, so that one
            certificate cannot take all connections of an office's address.
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
        self._changes = NotedChanges(sequence)
        self._max_total = max_total
        self._max_per_source = max_per_source
        self._anonymous = anonymous or ConnectionQuota()
        self._max_per_principal = max_per_principal
        self._pending: dict[int, PendingConnection] = {}
        self._live = LiveIndexes()
        self._condemned: dict[int, LiveConnection] = {}
        self._sources: dict[bytes, int] = {}
        self._left: dict[str, str] = {}  # certificate -> application, for `take_seen`
        for adopted in journal.adopted if journal else ():
            self._insert(adopted)

    # judging

    def begin(self, pending: PendingConnection) -> None:
        """Register a connection before it is judged; if it is registered already, it is judged again.

        Raises:
            RequestRefused: `connections-exhausted`, `connections-per-source-exhausted`, or
                `connection-condemned` for a connection that is about to be cut.
        """
        with self._lock:
            self._begin(pending)

    def begin_all(self, connections: Iterable[PendingConnection]) -> list[RequestRefused | None]:
        """Do the same as `begin` for many connections at once; return for each the error that `begin` would raise."""
        with self._lock:
            return [_refusal_of(self._begin, one) for one in connections]

    def admit(self, connection: LiveConnection, *, judged_at: int) -> bool:
        """Make a pending connection live.

        Args:
            connection: with the cookie of a pending one.
            judged_at: the number in the change sequence, read before the look-ups of the judgement.

        Returns:
            False if it must be judged again (a change that may affect it came meanwhile), or if it is no
            longer pending (it was condemned or forgotten): `is_pending` tells which.

        Raises:
            RequestRefused: `principal-connections-exhausted`, `anonymous-connections-exhausted`; the connection
                stays pending.
            Unavailable: the journal cannot be written; the connection stays pending.
        """
        with self._lock:
            if not self._may_admit(connection, judged_at):
                return False
            if self._journal:
                self._journal.add(connection)
            self._remove_pending(connection.cookie)
            self._insert(connection)
            return True

    def admit_all(
        self, connections: Iterable[LiveConnection], *, judged_at: int
    ) -> list[bool | RequestRefused]:
        """Do the same as `admit` for many connections at once, with one write to the journal.

        Returns:
            For each connection what `admit` would return, or the refusal that it would raise.

        Raises:
            Unavailable: the journal cannot be written; every connection stays pending.
        """
        with self._lock:
            outcomes: list[bool | RequestRefused] = []
            admitted: list[LiveConnection] = []
            for one in connections:
                try:
                    may = self._may_admit(one, judged_at)
                    outcomes.append(may)
                except RequestRefused as refusal:
                    outcomes.append(refusal)
                    continue
                if may:
                    # In the indexes at once: the next one of the same principal counts with it.
                    self._remove_pending(one.cookie)
                    self._insert(one)
                    admitted.append(one)
            if self._journal and admitted:
                try:
                    self._journal.add_all(admitted)
                except Unavailable:
                    for one in admitted:
                        self._take_back(one)
                    raise
            return outcomes

    def refuse(self, cookie: int) -> None:
        """Forget a pending connection that was refused; Envoy ends it."""
        with self._lock:
            self._remove_pending(cookie)

    def holds(self, cookie: int) -> bool:
        """Return whether this connection is live or being judged."""
        with self._lock:
            return cookie in self._live or cookie in self._pending

    def is_pending(self, cookie: int) -> bool:
        """Return whether this connection is being judged."""
        with self._lock:
            return cookie in self._pending

    def pending(self) -> frozenset[int]:
        """Return the cookies of all connections that are being judged."""
        with self._lock:
            return frozenset(self._pending)

    # following changes

    def note_change(self, sequence: int, touched: frozenset[str] | None = None) -> None:
        """Note a change; the follower calls this *before* it looks for affected connections.

        Args:
            sequence: the number of the change; numbers come in ascending order.
            touched: ids of the certificates, principals, partners and applications that the change may affect;
                None means all. The ids matter because issuing a thousand certificates a second must not make
                every admission fail.
        """
        with self._lock:
            self._changes.note(sequence, touched)

    def note_followed(self, followed: Followed) -> None:
        """Write the last change that was acted on into the journal, for the next start (`following.adopted`)."""
        with self._lock:
            if self._journal:
                self._journal.follow(followed)

    @property
    def followed(self) -> Followed:
        """The last change that was acted on, at first by an earlier run."""
        with self._lock:
            return self._journal.followed if self._journal else NOTHING_FOLLOWED

    @property
    def sequence(self) -> int:
        """The number of the last change that was noted."""
        with self._lock:
            return self._changes.sequence

    def replace(self, connection: LiveConnection) -> bool:
        """Replace a live connection by a newer value; return False if it is no longer live."""
        with self._lock:
            known = self._live.get(connection.cookie)
            if known is None:
                return False
            if is_same_entry(known, connection):  # only its permissions differ: nothing to write down
                self._live.update(connection)
                return True
            if self._journal:
                self._journal.add(connection)
            self._remove_live(connection.cookie)
            self._insert(connection)
            return True

    def condemn(self, cookie: int) -> LiveConnection | None:
        """Take a connection's permissions away: it leaves the indexes and is cut until it is gone.

        Returns:
            The connection, for the cutter; None if it was not live (a pending one is dropped, so
            that its `admit` fails).
        """
        with self._lock:
            self._remove_pending(cookie)
            connection = self._remove_live(cookie)
            if connection is not None:
                self._condemned[cookie] = connection
                if self._journal:  # the next gateway process must end it, if this one dies before the cut
                    self._journal.condemn(cookie)
            return connection

    def forget(self, cookie: int) -> LiveConnection | None:
        """Drop a connection that has certainly ended; return it if it was live."""
        with self._lock:
            return self._remove(cookie)

    def forget_all(self, cookies: Sequence[int]) -> None:
        """Do the same as `forget` for many connections, some at a time, so that no other thread waits long for the lock."""
        for start in range(0, len(cookies), _FORGOTTEN_AT_ONCE):
            some = cookies[start : start + _FORGOTTEN_AT_ONCE]
            with self._lock:
                for cookie in some:
                    self._drop(cookie)
                if self._journal:
                    self._journal.end_all(some)

    # looking

    def get(self, cookie: int) -> LiveConnection | None:
        """Return the live connection of this cookie."""
        with self._lock:
            return self._live.get(cookie)

    def get_all(self, cookies: Sequence[int]) -> list[LiveConnection | None]:
        """Return the live connection of each of these cookies."""
        with self._lock:
            return [self._live.get(one) for one in cookies]

    def all(self) -> tuple[LiveConnection, ...]:
        """Return every live connection."""
        with self._lock:
            return self._live.all()

    def condemned(self) -> tuple[LiveConnection, ...]:
        """Return the condemned connections: they must end and are not known to have ended."""
        with self._lock:
            return tuple(self._condemned.values())

    def of_certificate(self, certificate_id: str) -> tuple[LiveConnection, ...]:
        """Return the live connections of one certificate of the inventory."""
        with self._lock:
            return self._live.of_certificate(certificate_id)

    def of_principal(self, principal_id: str) -> tuple[LiveConnection, ...]:
        """Return the live connections of one person, device or service."""
        with self._lock:
            return self._live.of_principal(principal_id)

    def groups(self) -> tuple[tuple[str, ...], ...]:
        """Return each combination of groups that the principal of a live connection is in, as it was last judged."""
        with self._lock:
            return self._live.groups()

    def of_groups(self, groups: tuple[str, ...]) -> tuple[LiveConnection, ...]:
        """Return the live connections of the principals with exactly these groups, one of `groups()`."""
        with self._lock:
            return self._live.of_groups(groups)

    def showing(self, shown: str) -> tuple[LiveConnection, ...]:
        """Return the anonymous connections that showed this certificate, or one of this principal."""
        with self._lock:
            return self._live.showing(shown)

    def showing_any(self) -> tuple[LiveConnection, ...]:
        """Return the anonymous connections that showed a certificate of the inventory."""
        with self._lock:
            return self._live.showing_any()

    def due(self, now: datetime) -> tuple[LiveConnection, ...]:
        """Return the connections that are at their deadline, earliest first.

        They are returned again each second until they are condemned or forgotten.
        """
        with self._lock:
            return self._live.take_due(now)

    def next_deadline(self) -> datetime | None:
        """Return when `due` should be called next at the latest; None if no connection is live."""
        with self._lock:
            return self._live.next_deadline()

    def due_by_time(self, now: datetime) -> tuple[LiveConnection, ...]:
        """Return the connections that must be judged again because of the time.

        They are returned again each second until they are replaced, condemned or forgotten.
        """
        with self._lock:
            return self._live.take_due_by_time(now)

    def time_dependent(self) -> tuple[LiveConnection, ...]:
        """Return the connections that have a rule which depends on the time."""
        with self._lock:
            return tuple(one for one in self._live.all() if one.changes_at is not None)

    def next_time_change(self) -> datetime | None:
        """Return when `due_by_time` should be called next at the latest; None for never."""
        with self._lock:
            return self._live.next_time_change()

    def take_seen(self) -> dict[str, str]:
        """Return the certificates that are connected, or left since the last call, each with its application.

        If a certificate has several connections, the newest one gives the application.
        """
        with self._lock:
            seen, self._left = self._left, {}
            seen |= {one.certificate_id: one.application_id for one in self._live.all() if one.certificate_id}
            return seen

    def __len__(self) -> int:
        """Return how many connections there are, pending ones included."""
        with self._lock:
            return len(self._pending) + len(self._live)

    # inside the lock

    def _begin(self, pending: PendingConnection) -> None:
        if pending.cookie in self._condemned:
            raise RequestRefused("connection-condemned", "this connection is being ended")
        self._remove(pending.cookie)
        source = source_of(pending.remote)
        if len(self._pending) + len(self._live) >= self._max_total:
            raise RequestRefused(
                "connections-exhausted",
                f"this gateway has {self._max_total} connections, as many as it may",
            )
        if self._sources.get(source, 0) >= self._max_per_source:
            raise RequestRefused(
                "connections-per-source-exhausted",
                f"{pending.remote.host} has {self._max_per_source} connections, as many as one address may have",
            )
        self._pending[pending.cookie] = pending
        self._sources[source] = self._sources.get(source, 0) + 1

    def _may_admit(self, connection: LiveConnection, judged_at: int) -> bool:
        if connection.cookie not in self._pending or self._outdated(connection, judged_at):
            return False
        if connection.anonymous and not self._anonymous.has_room(source_of(connection.remote)):
            raise RequestRefused(
                "anonymous-connections-exhausted",
                "the quota of connections without a good certificate is used up",
            )
        if (
            not connection.anonymous
            and self._live.count_of_principal(connection.principal_id) >= self._max_per_principal
        ):
            raise RequestRefused(
                Reason.PRINCIPAL_CONNECTIONS_EXHAUSTED.value,
                f"{connection.principal_id} has {self._max_per_principal} connections, as many as one principal may have",
            )
        return True

    def _take_back(self, connection: LiveConnection) -> None:
        """Make a connection pending again, because its line could not be written."""
        self._remove_live(connection.cookie)
        self._pending[connection.cookie] = connection
        source = source_of(connection.remote)
        self._sources[source] = self._sources.get(source, 0) + 1

    def _outdated(self, connection: LiveConnection, judged_at: int) -> bool:
        if judged_at >= self._changes.sequence:
            return False
        ids = {
            connection.certificate_id,
            connection.principal_id,
            connection.application_id,
            connection.partner_id,
            *connection.shown,
        }
        return self._changes.is_outdated(judged_at, ids)

    def _insert(self, connection: LiveConnection) -> None:
        self._live.add(connection)
        source = source_of(connection.remote)
        self._sources[source] = self._sources.get(source, 0) + 1
        if connection.anonymous:
            self._anonymous.take(source)

    def _remove(self, cookie: int) -> LiveConnection | None:
        connection = self._drop(cookie)
        if self._journal:
            self._journal.end(cookie)
        return connection

    def _drop(self, cookie: int) -> LiveConnection | None:
        self._condemned.pop(cookie, None)
        self._remove_pending(cookie)
        return self._remove_live(cookie)

    def _remove_pending(self, cookie: int) -> None:
        pending = self._pending.pop(cookie, None)
        if pending is not None:
            self._release(pending.remote)

    def _remove_live(self, cookie: int) -> LiveConnection | None:
        connection = self._live.remove(cookie)
        if connection is None:
            return None
        self._release(connection.remote)
        if connection.certificate_id and len(self._left) < _REMEMBERED_LEFT:
            self._left[connection.certificate_id] = connection.application_id
        if connection.anonymous:
            self._anonymous.give_back(source_of(connection.remote))
        return connection

    def _release(self, remote: Endpoint) -> None:
        source = source_of(remote)
        self._sources[source] -= 1
        if not self._sources[source]:
            del self._sources[source]


def _refusal_of(begin: Callable[[PendingConnection], None], one: PendingConnection) -> RequestRefused | None:
    try:
        begin(one)
    except RequestRefused as refusal:
        return refusal
    return None


def source_of(remote: Endpoint) -> bytes:
    """Return the source that a connection is counted for: one IPv4 address, or one IPv6 /64."""
    return remote.address if len(remote.address) == V4_BYTES else remote.address[:_V6_NETWORK_BYTES]
