"""The follower: reads the change sequence and ends every connection that lost permissions, within milliseconds.

Not here: judging (`access.deciding`, `policy.decision`), cutting (ending), publishing a new policy
(publishing). The steps for each batch of changes:
1. note the newest number in the registry, with the ids that it may affect, so that no older judgement
   about these ids is admitted any more;
2. find the live connections that the changes may affect. If a partner's evidence changed, find its connections once
   the new evidence is loaded (`evidence_loader`), because reading a CRL may take seconds;
3. judge them again (`reassessing`); end at once the connections that lost permissions, and those that cannot be judged
   because of a bug. A partner may have many people: they are judged after the rest, and newer changes are acted on in
   between. A number counts as acted on once all of them are judged;
4. keep the new permissions of the others. If a connection gained something that its grants in Envoy's filter state do
   not show, publishing tells Envoy by aliases: no connection is ended for a gain;
5. if the rules of a connection depend on the time, compare it again when that time has come (docs/design/0054);
6. hand a new policy to publishing, and confirm the number once the policy is in force.
If the follower cannot read the sequence, the gateway becomes stale: `fresh` returns False and the authorizer refuses
new connections. The same happens if the sequence no longer has the last change that was acted on: the database was
put back to an older state (a failover to a standby that lagged), and the numbers after it are given out a second
time. A later withdrawal could not be found by its number, so every live connection is ended.
Before the first step, `catch_up` ends or restores the connections of an earlier gateway and acts on the changes that were
made while no gateway followed (docs/design/0076).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta

import structlog

from doorward.access.deciding import AccessDecider
from doorward.core.errors import IntegrityError
from doorward.gateway.connections.ending import ConnectionEnder, EndReason
from doorward.gateway.connections.journal import Followed
from doorward.gateway.connections.one_time_refusals import OneTimeRefusals
from doorward.gateway.connections.registry import ConnectionRegistry
from doorward.gateway.following import reassessing
from doorward.gateway.following.adopted import AdoptedConnections
from doorward.gateway.following.affected import AffectedConnections
from doorward.gateway.following.change_mark import render_mark
from doorward.gateway.following.changed_rules import ChangedRules
from doorward.gateway.following.error_log import ThrottledErrorLog
from doorward.gateway.following.evidence_loader import EvidenceLoader
from doorward.gateway.following.permissions import PermissionsCache
from doorward.gateway.precedence import Precedence
from doorward.policy.model import AppPolicy
from doorward.stores.affected_ids import affected_ids
from doorward.stores.policy_snapshot import SNAPSHOT_CHANGES, PolicySnapshots
from doorward.stores.records import ChangeKind, ChangeRecord
from doorward.stores.services import Services

POLL_SECONDS = 0.5
"""A notification arrives within a millisecond; this finds a change of a process that could send none."""

ALERT_SECONDS, ALERT_POLL_SECONDS = 1.0, 0.05
"""How long after a notification the sequence is read how often: it may have announced a change of a process that was killed
before it could notify again, and a withdrawal must not wait longer."""

SHORTEST_WAIT_SECONDS = 0.001
BATCH = 1000
LISTEN_ERROR_SECONDS = 60.0
"""How often a notification socket that keeps failing is logged; it is tried at each poll."""

_NO_NOTIFICATIONS = "the gateway cannot listen for change notifications"
_TIME = "connections cannot be checked against rules that depend on the time"
_SEQUENCE = "the change sequence cannot be followed"
_PEOPLE = "the connections of a partner's people cannot be judged again"
_REWOUND = "the database was put back to an older state"
_REWOUND_HINT = "find out which changes are lost, then restart the gateway"

_log = structlog.get_logger("doorward.follower")


class Follower:
    """Follows the change sequence for one gateway, in one thread that calls `step` again and again.

    Args:
        services: the use cases' ports.
        decider: judges connections.
        snapshots: the policy snapshot of this process.
        connections: the registry.
        ender: ends connections.
        publish: asks for a publication; called with the number of a change of the policy.
        order_changed: called if an order for a server certificate changed.
        regrant: called if live connections gained permissions that their grants do not show.
        evidence: loads newer evidence about partners.
        confirm: called after each batch, so that its number is confirmed to the control plane.
        max_staleness: how long the sequence may go unread.
        lifetime: of connections, for judging them again.
        precedence: taken while connections are compared with a new policy or with new groups.
        refusals: the certificates that are refused once, because their holders want to show another one.
    """

    def __init__(
        self,
        services: Services,
        decider: AccessDecider,
        snapshots: PolicySnapshots,
        connections: ConnectionRegistry,
        ender: ConnectionEnder,
        *,
        publish: Callable[[int], None],
        order_changed: Callable[[], None],
        regrant: Callable[[], None],
        evidence: EvidenceLoader,
        confirm: Callable[[], None],
        max_staleness: timedelta,
        lifetime: timedelta,
        precedence: Precedence,
        refusals: OneTimeRefusals | None = None,
    ) -> None:
        self._services = services
        self._decider = decider
        self._snapshots = snapshots
        self._connections = connections
        self._ender = ender
        self._affected = AffectedConnections(connections)
        self._reassessor = reassessing.Reassessor(
            decider, connections, ender, services.clock, regrant=regrant, lifetime=lifetime
        )
        self._adopted = AdoptedConnections(
            services, snapshots, connections, ender, self._reassessor, lifetime=lifetime
        )
        self._publish = publish
        self._order_changed = order_changed
        self._evidence = evidence
        self._confirm = confirm
        self._max_staleness = max_staleness.total_seconds()
        self._seq = connections.sequence
        self._last: ChangeRecord | None = None  # the change with this number, once it was read
        self._read_at: float | None = None
        self._regrant = regrant
        self._refusals = refusals or OneTimeRefusals(services.clock)
        self._precedence = precedence
        # Partners with changed terms by which not all of their people are judged yet: first and last change.
        self._changed_terms: dict[str, tuple[int, int]] = {}
        self._judging_failed = False  # whether the last try to judge a partner's people failed
        self._rewound = (
            False  # whether the last change that was acted on was missing when the sequence was last read
        )
        self._alert_until = float("-inf")  # until when a change may have been announced
        self._listening_failed = False  # whether the last wait for a change notification failed
        self._listening_logged_at: float | None = None
        self._current_step = _SEQUENCE  # the message for an error that happens now
        self._errors = ThrottledErrorLog(services.clock)
        self._policies: Mapping[str, AppPolicy] | None = None
        self._issuers: frozenset[str] = frozenset()  # our authorities that live connections may be judged by
        self._compared = -1, 0  # the revision of these policies, and the number at which it was read
        self._commit_mark = services.work.commit_marks()
        self._read_mark: object | None = None  # of the last look that found no more changes
        self._looked_at = datetime.min.replace(tzinfo=UTC)

    @property
    def seq(self) -> int:
        """The number up to which this follower has acted on every change completely, also for a partner's people."""
        reached = (
            self._seq
        )  # read first: the remaining work of a change is noted in `_changed_terms` before this passes it
        return min((reached, *(first - 1 for first, _ in list(self._changed_terms.values()))))

    def fresh(self) -> bool:
        """Return whether the sequence was read, or found unchanged, within `max_staleness`, and every connection could be judged by it."""
        read_at = self._read_at
        return (
            not self._judging_failed
            and not self._rewound
            and read_at is not None
            and self._services.clock.monotonic() - read_at <= self._max_staleness
        )

    @property
    def rewound(self) -> bool:
        """Whether the database was put back to an older state: then this follower's numbers mean nothing there."""
        return self._rewound

    def trouble(self) -> str:
        """Return what is wrong, as a sentence; empty if all is well."""
        if self._rewound:
            return f"{_REWOUND}: live connections were ended, new ones are refused; {_REWOUND_HINT}"
        if not self.fresh():
            what = _PEOPLE if self._judging_failed else "the change sequence cannot be read"
            return f"{what}: new connections are refused"
        return f"{_NO_NOTIFICATIONS}: changes are found by polling" if self._listening_failed else ""

    def run(self, wait: Callable[[float], bool], stop: threading.Event) -> None:
        """Step until `stop` is set; `wait` returns early if a change notification arrives."""
        while not stop.is_set():
            try:
                while self.step():
                    pass
            except Exception as error:  # noqa: BLE001  this thread must not end: it goes on, and the gateway becomes stale
                self._errors.note(self._current_step, error)
            try:
                if wait(self._wait_seconds()):
                    self._alert_until = self._services.clock.monotonic() + ALERT_SECONDS
                self._listening_failed = False
            except Exception as error:  # noqa: BLE001  as above; a change without a notification is found by polling
                self._note_listening_failed(error)
                stop.wait(POLL_SECONDS)

    def _wait_seconds(self) -> float:
        """Return how long to wait: to the next poll, or to the next moment at which a rule changes by time alone."""
        is_alert = self._services.clock.monotonic() < self._alert_until
        poll = ALERT_POLL_SECONDS if is_alert else POLL_SECONDS
        moment = self._connections.next_time_change()
        if moment is None:
            return poll
        left = (moment - self._services.clock.now()).total_seconds()
        return min(poll, max(SHORTEST_WAIT_SECONDS, left))

    def _note_listening_failed(self, error: Exception) -> None:
        """Log the first failure in full and then one a minute, also if some waits in between succeed."""
        self._listening_failed = True
        logged_at, now = self._listening_logged_at, self._services.clock.monotonic()
        if logged_at is None or now - logged_at >= LISTEN_ERROR_SECONDS:
            self._listening_logged_at = now
            _log.error(
                f"{_NO_NOTIFICATIONS}; changes are found by polling",
                error=repr(error),
                exc_info=error if logged_at is None else None,
            )

    def catch_up(self) -> None:
        """Resume the connections of an earlier gateway, and act on the changes since the last one that it followed.

        For the start, before the door admits anything: until the first `step` the gateway is stale. The evidence of
        partners must be loaded, and the processes with the connections must be known to the cutter.

        Raises:
            DoorwardError, MemoryError, OSError: the door must not open.
        """
        last = self._adopted.resume()
        if last is None:
            return
        self._seq, self._last = last.seq, last
        self._policies = self._read_policies()
        while self._follow() == BATCH:
            pass
        self._read_at = None

    def catch_up_to(self, seq: int) -> None:
        """Act on every change up to this one, which the database has; as `catch_up`, and after it."""
        while self.seq < seq or self._compared[1] > self.seq:
            self.step()
        self._read_at = None

    def step(self) -> bool:
        """Act on the next batch of changes; return True if there may be more."""
        before = self.seq
        self._current_step = _SEQUENCE
        if self._policies is None:
            self._policies = self._read_policies()
        self._current_step = _TIME
        self._judge_time_changes(self._policies)
        count = self._follow()
        self._current_step = _PEOPLE
        partners = self._judge_partners()
        self._current_step = _SEQUENCE
        if partners or self.seq != before:
            self._confirm()
        if (
            self.seq != before
        ):  # after everything read so far was acted on; a connection that is judged meanwhile prepares by itself
            self._decider.prepare()
        self._errors.clear()
        return count == BATCH or bool(self._changed_terms)

    def _judge_time_changes(self, policies: Mapping[str, AppPolicy]) -> None:
        """Compare connections that have rules depending on the time with their permissions now.

        This uses the rules in memory: a time window closes also while the database is unavailable. The wall clock
        decides. If it was set back, moments that have come may lie in the future again, so all are compared.
        """
        now = self._services.clock.now()
        set_back = now < self._looked_at
        concerned = self._connections.time_dependent() if set_back else self._connections.due_by_time(now)
        if concerned:
            kept = self._reassessor.compare(concerned, PermissionsCache(policies, now))
            if any(set(permissions.grants) != set(one.grants) for one, permissions in kept):
                self._regrant()
        self._looked_at = (
            now  # last: if this step fails, the next one notices again that the clock was set back
        )

    def _judge_partners(self) -> frozenset[str]:
        """Judge the people of partners with changed terms or newer evidence; return the partners with newer evidence.

        While some of them cannot be judged, the gateway is stale although the sequence itself is read.
        """
        try:
            try:
                self._judge_changed_terms()
            finally:  # an error with one partner's terms does not delay the evidence of the others
                with self._evidence.taken() as partners:
                    self._judge_people(partners)
        except BaseException:
            self._judging_failed = True
            raise
        self._judging_failed = False
        return partners

    def _judge_changed_terms(self) -> None:
        moved = dict(self._changed_terms)
        self._judge_people(moved)
        # If a partner's terms changed again meanwhile, its people are judged again.
        self._changed_terms = {one: by for one, by in self._changed_terms.items() if moved.get(one) != by}

    def _judge_people(self, partners: Iterable[str]) -> None:
        theirs = [one.cookie for partner in partners for one in self._affected.of_partner(partner)]
        for start in range(0, len(theirs), reassessing.JUDGED_AT_ONCE):
            found = map(self._connections.get, theirs[start : start + reassessing.JUDGED_AT_ONCE])
            self._reassessor.judge([one for one in found if one is not None])
            self._follow()  # a withdrawal does not wait until all people of a large partner are judged

    def _follow(self) -> int:
        """Act on one batch of changes; return how many there were."""
        doing, self._current_step = self._current_step, _SEQUENCE
        began, mark = self._services.clock.monotonic(), self._commit_mark()
        if mark is not None and mark == self._read_mark:  # nothing was committed since then
            self._read_at, self._current_step = began, doing
            return 0
        self._read_mark = None
        with self._services.work.read() as stores:
            read = stores.changes.since(self._seq - 1, BATCH + 1)
        changes = self._after_last(read)
        if changes:
            self._act(changes)
        if read and read[-1] != self._last:
            self._last = read[-1]
            revision, read_at = self._compared
            # If the policy was read at a later change, connections may still be admitted by an older revision: until that
            # change is acted on, too, there is no revision by which all of them were compared.
            known = revision if read_at <= self._last.seq else -1
            self._connections.note_followed(Followed(mark=render_mark(self._last), revision=known))
        if changes:  # last: publishing waits for it, and what a new policy gives must not be used before the mark is written
            self._seq = changes[-1].seq
        self._read_mark = mark if len(changes) < BATCH else None  # last: what failed is read again
        self._read_at, self._rewound, self._current_step = began, False, doing
        return len(changes)

    def _after_last(self, read: Sequence[ChangeRecord]) -> Sequence[ChangeRecord]:
        """Return the changes after the last one that was acted on, which must still be there.

        Raises:
            IntegrityError: `changes-rewound`.
        """
        if not self._seq:
            return read
        if not read or read[0].seq != self._seq or self._last not in (None, read[0]):
            self._end_all()
            raise IntegrityError(
                "changes-rewound",
                f"change {self._seq}, which this gateway has acted on, is no longer in the database",
                hint=f"{_REWOUND}: {_REWOUND_HINT}",
            )
        return read[1:]

    def _end_all(self) -> None:
        """End every live connection: its changes may be lost, and a later withdrawal would not be found.

        At each poll, because a judgement that was under way may have been admitted meanwhile.
        """
        self._rewound = True
        every = self._connections.all()
        if every:
            _log.error(f"{_REWOUND}: every live connection is ended", connections=len(every))
            self._ender.end(every, EndReason.AUTHORITY_CHANGED)

    def _act(self, changes: Sequence[ChangeRecord]) -> None:
        # 1. from here on no judgement made before these changes is admitted
        affected = affected_ids(changes)
        self._connections.note_change(changes[-1].seq, affected)
        # 2. and 3. the connections of the ids that the changes name. If a change may affect all ids, what is known about
        # certificates is void, and many threads judge new connections one by one meanwhile.
        with self._precedence.taken() if affected is None else nullcontext():
            self._reassessor.judge(self._affected.named_in(changes))
        self._reassessor.end_improved(self._affected.anonymous_in(changes))
        self._end_chosen(changes)
        self._judge_by_authorities(changes)
        # ... and all connections, if the rules changed; from memory, because they are many
        rules = [change.seq for change in changes if change.kind in SNAPSHOT_CHANGES]
        if rules:
            self._compare_with_policy()
        for seq in rules:  # 6. each by its own number, which is confirmed once the policy is in force
            self._publish(seq)
        if any(change.kind is ChangeKind.ORDER for change in changes):
            self._order_changed()
        for change in changes:
            if change.kind is ChangeKind.PARTNER:
                first, _ = self._changed_terms.get(change.subject, (change.seq, 0))
                self._changed_terms[change.subject] = first, change.seq
            if change.kind in (ChangeKind.EVIDENCE, ChangeKind.PARTNER):
                self._evidence.changed(change.subject, change.seq)

    def _judge_by_authorities(self, changes: Sequence[ChangeRecord]) -> None:
        """Judge all connections of our own certificates again if one of our authorities is trusted no more."""
        if all(one.kind is not ChangeKind.AUTHORITY for one in changes):
            return
        with self._services.work.read() as stores:
            issuers = frozenset(one.id for one in self._snapshots.current(stores)[0].issuers)
        if self._issuers - issuers:
            every = self._connections.all()
            self._reassessor.judge([one for one in every if one.certificate_id and not one.partner_id])
        self._issuers = issuers  # last: if the judgement fails, it is tried again

    def _end_chosen(self, changes: Sequence[ChangeRecord]) -> None:
        """Refuse the next connection once, then end the live ones: their peers want to show another certificate."""
        chosen = {
            one.subject
            for one in changes
            if one.kind is ChangeKind.CHOICE and self._refusals.note(one.subject, one.at)
        }
        if chosen:
            self._ender.end(self._affected.of_choices(chosen), EndReason.ANOTHER_CERTIFICATE)

    def _read_policies(self) -> Mapping[str, AppPolicy]:
        with self._services.work.read() as stores:
            snapshot, seq = self._snapshots.current(stores)
        self._compared = snapshot.revision, seq
        self._issuers |= {one.id for one in snapshot.issuers}
        return snapshot.policies

    def _compare_with_policy(self) -> None:
        with self._precedence.taken():
            before, self._policies = self._policies or {}, self._read_policies()
            cache = PermissionsCache(self._policies, self._services.clock.now())
            changed = ChangedRules(before, self._policies)
            self._reassessor.compare(self._connections.all(), cache, changed=changed)
        self._reassessor.end_improved(self._connections.showing_any())
