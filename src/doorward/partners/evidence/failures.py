"""Recording failures of evidence, and computing when to fetch it next.

Every failure to fetch or to use evidence is stored in its row and recorded as an event, so that `ca show` and `status`
can show the reason. The next fetch is
- after a success: after the operator's `refresh`, or after half of the remaining validity, whichever is
  sooner. So evidence is renewed well before it expires, and a revocation by the partner is known within `refresh`.
- after a failure: 15 seconds later, doubled after each further failure in a row, at most an hour and never
  longer than `refresh`.
- moved by a random fraction, so that fetches spread out and a responder that comes back does not get all requests at
  once.
Not here: fetching and using evidence (fetch_results, leasing, the threads of `runtime.fetching.gathering`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from doorward.audit.events import Event, EventType
from doorward.audit.values import printable
from doorward.core.errors import DoorwardError, Unavailable
from doorward.core.pauses import double_pause
from doorward.stores.events import new_event
from doorward.stores.partner_records import EvidenceRecord, PartnerRecord
from doorward.stores.records import ChangeKind
from doorward.stores.services import Services

PROBLEM_LIMIT = 300
"""Characters of a failure's message; its code follows them."""

SHORTEST_PAUSE = timedelta(seconds=30)
"""The shortest time between two successful fetches, unless `refresh` is shorter: prevents a loop of fetches when evidence
is about to expire."""
FIRST_RETRY = timedelta(seconds=15)
LONGEST_RETRY = timedelta(hours=1)

_LEAST = timedelta(seconds=1)
_SPREAD = 0.1
_SYSTEM = "system"
_FRACTIONS = 1 << 32


def record_failure(
    services: Services, row: EvidenceRecord, failure: DoorwardError, *, unusable: bool = False
) -> None:
    """Record the failure of a leased fetch. Nothing happens if the row or the partner was removed meanwhile.

    Args:
        services: the use cases' ports.
        row: as it was leased.
        failure: the reason.
        unusable: True if a response came that cannot be used.
    """
    with services.work.read() as stores:
        kept = stores.evidence.get(row.partner_id, row.kind, row.source, row.about)
        partner = stores.partners.get(row.partner_id)
    if kept is not None and partner is not None and partner.removed_at is None:
        note_failure(services, kept, partner, failure, services.clock.now(), unusable=unusable)


def is_unusable(failure: DoorwardError) -> bool:
    """Return whether a failure means that a response came that cannot be used, so that its content is unknown.

    False if no response came, and if the response is genuine but has expired.
    """
    return not isinstance(failure, Unavailable) and not failure.context.get("ended")


def note_failure(
    services: Services,
    kept: EvidenceRecord,
    partner: PartnerRecord,
    failure: DoorwardError,
    now: datetime,
    *,
    unusable: bool,
) -> None:
    """Store the reason and the time of the next fetch; record an event if the reason differs from the last one.

    An unusable response marks the row as unusable until good evidence comes. Gateways are notified of this mark, because
    they refuse certificates that depend on this row if there is no good evidence.
    """
    failures = kept.failures + 1
    detail = printable(failure.detail, PROBLEM_LIMIT)
    failed = replace(
        kept,
        failures=failures,
        unusable=kept.unusable or unusable,
        problem=f"{detail} ({failure.code})",  # the documentation lists the code with the next step
        try_at=next_try_after_failure(now, partner.refresh, failures, random_fraction(services)),
    )
    kind = EventType.EVIDENCE_UNAVAILABLE if isinstance(failure, Unavailable) else EventType.EVIDENCE_REFUSED
    event = new_evidence_event(services, kind, kept, now, {"reason": failure.code, "detail": detail})
    with services.work.change() as stores:
        stores.evidence.reschedule(failed)
        if failed.unusable != kept.unusable:
            stores.changes.note(ChangeKind.EVIDENCE, kept.partner_id, now)
        if failed.problem != kept.problem:
            stores.outbox.add(event)


def new_evidence_event(
    services: Services,
    kind: EventType,
    row: EvidenceRecord,
    now: datetime,
    more: Mapping[str, str | int | datetime],
) -> Event:
    """Return an event about a row."""
    about = {"partner": row.partner_id, "kind": row.kind.value, "url": row.source, "about": row.about}
    return new_event(services, kind, actor=_SYSTEM, at=now, data={**about, **more})


def random_fraction(services: Services) -> float:
    """Return a number from 0 to 1."""
    return int.from_bytes(services.random.token(4)) / _FRACTIONS


def next_try_after_success(
    now: datetime, refresh: timedelta, next_update: datetime | None, fraction: float
) -> datetime:
    """Return when to fetch next after a success; `fraction` is random, 0 to 1."""
    pause = refresh
    if next_update is not None:
        pause = max(min(pause, (next_update - now) / 2), min(refresh, SHORTEST_PAUSE))
    return now + max(pause, _LEAST) * (1 - _SPREAD * fraction)


def next_try_after_failure(now: datetime, refresh: timedelta, failures: int, fraction: float) -> datetime:
    """Return when to fetch next after this many failures in a row, 1 or more; `fraction` is random, 0 to 1."""
    pause = double_pause(FIRST_RETRY, failures - 1, min(LONGEST_RETRY, refresh))
    return now + max(pause, _LEAST) * (1 - fraction / 2)
