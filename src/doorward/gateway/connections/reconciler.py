"""The reconciler: compares the registry with the kernel each second, and corrects the differences.

Not here: judging connections, and recording the cuts of live ones (ending).

1. End live connections at their deadline.
2. Forget a registered connection that the kernel no longer has. The kernel's listing may miss a connection, so confirm
   its absence by a look-up first.
3. Cut a condemned connection again if it still exists.
4. Cut an unknown socket: one that has not been registered for longer than 70 s (10 s if it existed at the first
   comparison, because an earlier process may have admitted it). It may be an idle TLS connection that never sent a byte
   (Envoy asks at the first byte only), or a cut or a registration may have been lost. If it cannot be cut, it is
   reported once, although it is tried each second, and `trouble` counts it.
5. If one source has more undecided sockets than its share, cut the oldest of them. An undecided socket is neither
   registered nor being judged: its handshake is not finished, or it has not sent a byte, or it belongs to the enrolment
   host. Only sockets that existed at the last comparison are cut, so that many clients of one office that connect again
   at the same time can finish. These cuts are not recorded: a flood must not fill the record.

Envoy has no limit for each source, so without step 5 one source could take all connections of the enrolment host
(docs/design/0027). Connections of the enrolment host use the same port and present no certificate, so Envoy does not
ask the authorizer about them. They need no exception here: their filter chain ends them within 8 s
(`enforcement.plan.OPEN_LIFETIME`), so one that is unknown for 70 s is stuck and may be cut. So the rule is the same for
every socket on the port, and an attacker finds no exception to use.

If the last comparison found no connection at all, and the kernel has accepted none since, there is nothing to compare. A
comparison follows all the same every ten seconds: the kernel counts a connection a moment before its listing has it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import structlog

from doorward.core.errors import DoorwardError, Unavailable
from doorward.core.ports import Clock
from doorward.enforcement.plan import UNDECIDED_PER_SOURCE
from doorward.gateway.connections import sockdiag
from doorward.gateway.connections.accepted import count_accepted
from doorward.gateway.connections.connection import LiveConnection
from doorward.gateway.connections.cutter import CutResult, Cutter
from doorward.gateway.connections.endpoints import Endpoint
from doorward.gateway.connections.registry import ConnectionRegistry, source_of
from doorward.gateway.connections.sockdiag import CARRYING, SocketFacts, SocketListing

GRACE_SECONDS = 70.0
"""How long a socket may be unknown: a handshake (60 s: a person types a PIN), then the authorizer's answer (5 s)."""

OLD_GRACE_SECONDS = 10.0
"""The same for a socket that existed at the first comparison: an earlier process may have admitted it."""

PERIOD_SECONDS = 1.0
LONGEST_IDLE_SECONDS = 10.0
"""The longest time without a comparison while the kernel accepts no connection."""
_SHORTEST_WAIT = 0.01

_log = structlog.get_logger("doorward.reconciler")


@dataclass(frozen=True, slots=True, kw_only=True)
class Actions:
    """The actions that one comparison asks for.

    Args:
        missing: cookies that are registered or condemned but not listed; their absence must be confirmed.
        again: condemned sockets that still exist.
        unknown: sockets that have not been registered for longer than the grace.
        crowding: undecided sockets above the share of their source, oldest first for each source.
        first_seen: when each socket that is not registered was first seen, for the next comparison.
        found: whether there is any connection, registered, condemned or listed.
    """

    missing: tuple[int, ...]
    again: tuple[SocketFacts, ...]
    unknown: tuple[SocketFacts, ...]
    crowding: tuple[SocketFacts, ...]
    first_seen: Mapping[int, float]
    found: bool


def reconcile(
    registered: Collection[int],
    condemned: Collection[int],
    listing: SocketListing,
    first_seen: Mapping[int, float],
    now: float,
    *,
    pending: Collection[int] = (),
    most_undecided: int = UNDECIDED_PER_SOURCE,
    grace_seconds: float = GRACE_SECONDS,
    old: Collection[int] = (),
) -> Actions:
    """Compare the registry, as it was *before* the listing, with the listing.

    Args:
        registered: cookies of the live connections. Pending ones are not among them: a judgement
            that never ends is no admission.
        pending: cookies of connections that are being judged: they finished a handshake with a certificate
            of ours, so they do not count as undecided.
        most_undecided: the share of one source.
        condemned: cookies of connections that must end.
        listing: the sockets of the listeners; registered ones may be skipped in it.
        first_seen: as the last comparison returned it; monotonic seconds.
        now: monotonic seconds.
        grace_seconds: how long a socket may be unknown.
        old: cookies of sockets that existed at the first comparison; their grace is `OLD_GRACE_SECONDS`.
    """

    def grace_of(cookie: int) -> float:
        return min(grace_seconds, OLD_GRACE_SECONDS) if cookie in old else grace_seconds

    again: list[SocketFacts] = []
    unknown: list[SocketFacts] = []
    seen: dict[int, float] = {}
    undecided: dict[bytes, list[SocketFacts]] = {}
    for facts in listing.sockets:
        if facts.cookie in registered:
            continue
        if facts.cookie in condemned:
            again.append(facts)
            continue
        since = seen[facts.cookie] = first_seen.get(facts.cookie, now)
        if facts.cookie not in pending:
            undecided.setdefault(source_of(facts.remote), []).append(facts)
        if now - since > grace_of(facts.cookie):
            unknown.append(facts)
    return Actions(
        missing=tuple(cookie for cookie in (*registered, *condemned) if cookie not in listing.cookies),
        again=tuple(again),
        unknown=tuple(unknown),
        crowding=tuple(
            facts
            for sockets in undecided.values()
            if len(sockets) > most_undecided
            for facts in sorted(sockets, key=lambda one: seen[one.cookie])[:-most_undecided]
            if 0 < now - seen[facts.cookie] <= grace_of(facts.cookie)  # older ones are in `unknown`
        ),
        first_seen=seen,
        found=bool(registered or condemned or listing.cookies),
    )


class Reconciler:
    """Compares registry and kernel again and again; `run` is for a thread of its own.

    Args:
        connections: the registry.
        cutter: ends sockets.
        listeners: where Envoy listens now, and where draining ones did.
        clock: for deadlines and the grace.
        end_due: ends connections at their deadline, and records it.
        on_unknown: called for each unknown socket that was cut, to record it; and once for each that could
            not be cut: it is tried each second, and the record must not grow with the tries.
        most_undecided: how many undecided sockets one source may have.
        count_accepted: how many TCP connections the kernel has accepted; None if that is unknown.
    """

    def __init__(
        self,
        connections: ConnectionRegistry,
        cutter: Cutter,
        *,
        listeners: Callable[[], Sequence[Endpoint]],
        clock: Clock,
        end_due: Callable[[Sequence[LiveConnection]], object],
        on_unknown: Callable[[SocketFacts, CutResult], None] = lambda _facts, _result: None,
        most_undecided: int = UNDECIDED_PER_SOURCE,
        count_accepted: Callable[[], int | None] = count_accepted,
    ) -> None:
        self._connections = connections
        self._cutter = cutter
        self._listeners = listeners
        self._clock = clock
        self._end_due = end_due
        self._on_unknown = on_unknown
        self._most_undecided = most_undecided
        self._count_accepted = count_accepted
        self._idle_since: tuple[int, float] | None = None  # the kernel's count, and when nothing was found
        self._first_seen: Mapping[int, float] = {}
        self._old: frozenset[int] | None = None
        self._uncuttable: frozenset[int] = frozenset()
        self._uncut = 0
        self._trouble = ""

    def trouble(self) -> str:
        """Return why registry and kernel differ, for `status`; empty if all is well."""
        if self._trouble or not self._uncut:
            return self._trouble
        return (
            f"connections that should have ended could not be cut, and are tried each second: {self._uncut}"
        )

    def run(self, stop: threading.Event) -> None:
        """Reconcile each second, and end connections at their deadlines in between, until `stop` is set."""
        due_at = self._clock.monotonic()
        while not stop.wait(self._pause(due_at)):
            try:
                self.end_due()
                if self._clock.monotonic() >= due_at:
                    due_at = self._clock.monotonic() + PERIOD_SECONDS
                    self.look()
                    self._trouble = ""
            except DoorwardError as error:
                self._trouble = error.detail
                _log.error("reconciler-failed", code=error.code, detail=error.detail)
            except Exception:  # noqa: BLE001 - deadlines depend on this thread: it must not end
                self._trouble = "internal error, see the log"
                _log.exception("reconciler-failed")

    def end_due(self) -> None:
        """End live connections that are at their deadline."""
        due = self._connections.due(self._clock.now())
        if due:
            self._end_due(due)

    def look(self) -> bool:
        """Compare and act, unless there is no connection; return whether it compared; raises as `step`."""
        accepted, now = self._count_accepted(), self._clock.monotonic()
        if (
            self._idle_since is not None
            and self._idle_since[0] == accepted
            and now - self._idle_since[1] < LONGEST_IDLE_SECONDS
            and not len(self._connections)
        ):
            return False
        self._idle_since = None
        found = self.step().found
        # The count is older than the comparison: what was accepted meanwhile changes the next count.
        self._idle_since = None if found or accepted is None else (accepted, now)
        return True

    def step(self) -> Actions:
        """Compare once and act; return the actions.

        Raises:
            Unavailable: the kernel cannot be asked.
        """
        # The registry first: a connection registered after this line is in neither list and is not acted on.
        live = {one.cookie: one for one in self._connections.all()}
        condemned = {one.cookie: one for one in self._connections.condemned()}
        listing = sockdiag.dump(self._listeners(), skip=live)
        actions = reconcile(
            live,
            condemned,
            listing,
            self._first_seen,
            self._clock.monotonic(),
            pending=self._connections.pending(),
            most_undecided=self._most_undecided,
            old=self._old or (),
        )
        self._first_seen = actions.first_seen
        if self._old is None:
            self._old = frozenset(actions.first_seen)
        self._connections.forget_all(
            _ended([live.get(cookie) or condemned[cookie] for cookie in actions.missing])
        )
        again = self._cutter.cut_many(actions.again)
        for result in again:
            if result.ended:
                self._connections.forget(result.cookie)
        self._cut_crowding(actions.crowding)
        self._uncuttable = self._cut_unknown(actions.unknown)
        self._uncut = len(self._uncuttable) + sum(not result.ended for result in again)
        return actions

    def _cut_crowding(self, crowding: Sequence[SocketFacts]) -> None:
        # A connection that sent its first byte since the listing is being judged, and stays.
        undecided = [facts for facts in crowding if not self._connections.holds(facts.cookie)]
        if not undecided:
            return
        cut = sum(result.ended for result in self._cutter.cut_many(undecided))
        _log.warning(
            "sources-crowding",
            sources=len({source_of(facts.remote) for facts in undecided}),
            one_of_them=undecided[-1].remote.host,
            sockets=len(undecided),
            cut=cut,
        )

    def _cut_unknown(self, found: Sequence[SocketFacts]) -> frozenset[int]:
        """Cut unknown sockets; return those that could not be cut."""
        # The authorizer may have admitted one of them since the listing.
        unknown = [facts for facts in found if self._connections.get(facts.cookie) is None]
        resisting = set()
        for facts, result in zip(unknown, self._cutter.cut_many(unknown), strict=True):
            if result.ended or facts.cookie not in self._uncuttable:
                self._on_unknown(facts, result)
            if not result.ended:
                resisting.add(facts.cookie)
        return frozenset(resisting)

    def _pause(self, due_at: float) -> float:
        pause = due_at - self._clock.monotonic()
        deadline = self._connections.next_deadline()
        if deadline is not None:
            pause = min(pause, (deadline - self._clock.now()).total_seconds())
        return min(PERIOD_SECONDS, max(_SHORTEST_WAIT, pause))


def _ended(connections: Sequence[LiveConnection]) -> list[int]:
    """Return the cookies of those connections that the kernel no longer has; raises Unavailable if it cannot be asked."""
    found = sockdiag.find_all([(one.local, one.remote) for one in connections])
    ended = []
    for one, facts in zip(connections, found, strict=True):
        if isinstance(facts, Unavailable):
            raise facts
        if facts is None or facts.cookie != one.cookie or facts.state not in CARRYING:
            ended.append(one.cookie)
    return ended
