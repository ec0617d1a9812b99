"""Known admissions: a certificate that was admitted a moment ago is admitted again without judging it a second time.

An admission is repeated only if nothing that a judgement reads can have changed since it was made:
1. only what one certificate decides is repeatable (`is_repeatable`): a plain good admission of a certificate of our own, at
   an HTTP application with no rule about the source, the time or a second factor;
2. before each use `confirm` reads the change sequence. What a change names is forgotten; any change of the policy, of an
   authority, an application, a partner or a group forgets everything. Also everything is forgotten if the sequence does
   not have the last change that was read: the database was put back to an older state;
3. the time must lie between the judgement and the end of the certificate. If the clock was set back, the certificate is
   judged again;
4. a judgement is used for `LONGEST` at most. So if a fact ever changes without a number in the sequence, it counts soon.
The number that `confirm` returns takes the place of the number at which a judgement reads the database: the caller
registers the connections first, then confirms, and passes the number to the registry.

Not here: what is repeated (the gateway keeps its own values here), and deciding (`deciding`).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from doorward.access.decision import AccessDecision
from doorward.core.entities import Outcome
from doorward.core.names import PORTAL_APPLICATION
from doorward.policy.model import AppPolicy
from doorward.stores.affected_ids import affected_ids
from doorward.stores.policy_snapshot import SNAPSHOT_CHANGES
from doorward.stores.protocols import Stores
from doorward.stores.records import ChangeRecord

LONGEST = timedelta(minutes=10)
"""How long one judgement is repeated; then the certificate is judged in full again, which takes half a millisecond."""

MOST_BYTES = 64 * 1024 * 1024
"""Memory for known admissions by the weights of `keep`: about six thousand certificates."""

_BATCH = 1000
"""Changes that are read at once; after more of them everything is forgotten."""

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class _Known(Generic[V]):
    value: V
    since: datetime
    until: datetime
    seq: int
    ids: tuple[str, ...]
    weight: int


def is_repeatable_policy(policy: AppPolicy) -> bool:
    """Return whether one certificate always gets the same answer at this application, unless a change is noted.

    A TCP application shows the ids of policies that were in force lately, and sessions of a second factor begin and end
    without a number in the change sequence.
    """
    return not (policy.is_tcp or policy.sees_connections or policy.requires_factors)


def is_repeatable(decision: AccessDecision, application_id: str) -> bool:
    """Return whether a decision may be repeated for the next connection of the same certificate to the same application."""
    return (
        decision.verdict.outcome is Outcome.GOOD
        and not decision.anonymous
        and not decision.partner_id
        and decision.evidence_index is None
        and decision.subject is not None
        and not decision.subject.principal.partner
        and decision.certificate is not None
        and decision.ends is not None
        and decision.sessions.last_end is None
        and decision.permissions is not None
        and decision.permissions.changes_at is None
        and decision.permissions.loses_at is None
        and decision.policy is not None
        and is_repeatable_policy(decision.policy)
        and application_id != PORTAL_APPLICATION
    )


class KnownAdmissions(Generic[V]):
    """The admissions that one gateway may repeat, the least recently used ones leave first; safe between threads.

    Only admitted certificates of our own get in, so a stranger can neither fill it nor push anybody out.

    Args:
        most_bytes: memory, as the caller weighs it.
    """

    def __init__(self, *, most_bytes: int = MOST_BYTES) -> None:
        self._room = most_bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, _Known[V]] = OrderedDict()
        self._by_id: dict[str, set[Hashable]] = {}
        self._seq = 0
        self._last: ChangeRecord | None = None

    def __len__(self) -> int:
        """Return how many admissions are known."""
        return len(self._kept)

    def confirm(self, stores: Stores) -> int:
        """Read the change sequence, forget what changed, and return its number; for one thread at a time.

        Nothing is kept before the first call.

        Args:
            stores: an open read transaction; a judgement in the same one has the number that is returned.

        Raises:
            Unavailable: the database cannot be read; the caller refuses.
        """
        read = stores.changes.since(self._seq - 1, _BATCH + 1)
        if len(read) > _BATCH:  # also at the first call
            head = stores.changes.head()
            read = stores.changes.since(head - 1, 1)
            changed: Sequence[ChangeRecord] | None = None
        else:
            changed = self._after_last(read)
        with self._lock:
            if changed is None:
                self._forget_all()
            elif changed:
                self._forget(changed)
            if read:
                self._last, self._seq = read[-1], read[-1].seq
            else:
                self._last, self._seq = None, 0
            return self._seq

    def find(self, key: Hashable, now: datetime) -> V | None:
        """Return the admission of a key; None if it must be judged.

        Args:
            key: everything by which it was found: certificate and application.
            now: aware, UTC.
        """
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                return None
            if not found.since <= now < found.until:
                self._remove(key)
                return None
            self._kept.move_to_end(key)
            return found.value

    def keep(self, key: Hashable, decision: AccessDecision, value: V, weight: int) -> None:
        """Keep an admission that `is_repeatable`, unless changes were read since it was judged.

        Args:
            key: as in `find`.
            decision: by the database, at the number `decision.seq`.
            value: what `find` returns.
            weight: bytes of memory, about.
        """
        subject, record = decision.holder()
        if decision.ends is None:
            return
        since = decision.verdict.judged_at
        known = _Known(
            value=value,
            since=since,
            until=min(decision.ends, since + LONGEST),
            seq=decision.seq,
            ids=(record.id, subject.principal.id),
            weight=weight,
        )
        with self._lock:
            # A change after the judgement may have been read already; and before the first `confirm`, a database that is
            # put back would not be noticed.
            if self._last is None or decision.seq < self._seq:
                return
            self._remove(key)
            self._kept[key] = known
            self._room -= weight
            for one in known.ids:
                self._by_id.setdefault(one, set()).add(key)
            while self._room < 0 and self._kept:
                self._remove(next(iter(self._kept)))

    def _after_last(self, read: Sequence[ChangeRecord]) -> Sequence[ChangeRecord] | None:
        """Return the changes after the last one that was read before; None if that one is no longer there."""
        if self._last is None:
            return read if not self._seq else None
        return read[1:] if read and read[0] == self._last else None

    def _forget(self, changes: Sequence[ChangeRecord]) -> None:
        """Forget each admission that a later change than its judgement may concern."""
        for change in changes:
            ids = affected_ids([change])
            keys: Iterable[Hashable] = self._kept
            if ids is not None and change.kind not in SNAPSHOT_CHANGES:
                keys = {key for one in ids for key in self._by_id.get(one, ())}
            for key in tuple(keys):
                if self._kept[key].seq < change.seq:
                    self._remove(key)

    def _forget_all(self) -> None:
        self._room += sum(one.weight for one in self._kept.values())
        self._kept.clear()
        self._by_id.clear()

    def _remove(self, key: Hashable) -> None:
        known = self._kept.pop(key, None)
        if known is None:
            return
        self._room += known.weight
        for one in known.ids:
            keys = self._by_id[one]
            keys.discard(key)
            if not keys:
                del self._by_id[one]
