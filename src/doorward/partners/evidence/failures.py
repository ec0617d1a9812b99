"""Failures to fetch or to use evidence, and when evidence is looked for next.

Every failure of a fetch or of a take ends here, so that `ca show` and `status` have a reason for each: it is kept in the
row and recorded. The next look is set
- after a find: when the operator's `refresh` is over, or half of what is left of its validity, whichever is
  sooner. It is renewed well before it ends, and a revocation at the partner is known within `refresh`;
- after a failure: 15 seconds later, twice as long after each further one in a row, at most an hour and never
  longer than `refresh`;
- never at the same moment for all: what began together drifts apart, and a responder that comes back is not
  met by everybody at once.
Not here: what failed (taking, claiming, the threads of `runtime.fetching.gathering`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from doorward.audit.events import Event, EventType
from doorward.audit.values import printable
from doorward.core.errors import DoorwardError, Unavailable
from doorward.stores.events import write_event
from doorward.stores.partner_records import EvidenceRecord, PartnerRecord
from doorward.stores.records import ChangeKind
from doorward.stores.services import Services

PROBLEM_LIMIT = 300
"""Characters of what a failure says; its code stands behind them."""

SHORTEST_PAUSE = timedelta(seconds=30)
"""Between two finds, unless the operator asked for less: evidence near its end must not be asked for in a loop."""
FIRST_RETRY = timedelta(seconds=15)
LONGEST_RETRY = timedelta(hours=1)

_LEAST = timedelta(seconds=1)
_SPREAD = 0.1
_DOUBLINGS = 16
_SYSTEM = "system"
_FRACTIONS = 1 << 32


def record_failure(
    services: Services, row: EvidenceRecord, failure: DoorwardError, *, unusable: bool = False
) -> None:
    """Keep and tell why nothing came of a row that was claimed.

    Nothing happens if the row, or the partner, is gone meanwhile.

    Args:
        services: the use cases' ports.
        row: as it was claimed.
        failure: what happened.
        unusable: whether something came that cannot be used.
    """
    with services.work.read() as stores:
        kept = stores.evidence.get(row.partner_id, row.kind, row.source, row.about)
        partner = stores.partners.get(row.partner_id)
    if kept is not None and partner is not None and partner.removed_at is None:
        note_failure(services, kept, partner, failure, services.clock.now(), unusable=unusable)


def is_unusable(failure: DoorwardError) -> bool:
    """Return whether a failure is that something came that cannot be used: it might have said anything.

    What cannot be had, and what is genuine and has only ended, is not this.
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
    """Keep the reason and the time of the next look; an event tells a reason that is another than the last.

    Once something came that cannot be used the row says so until something good comes: gateways are told, because it
    refuses certificates with a status that rests on it if nothing good is at hand.
    """
    failures = kept.failures + 1
    detail = printable(failure.detail, PROBLEM_LIMIT)
    failed = replace(
        kept,
        failures=failures,
        unusable=kept.unusable or unusable,
        problem=f"{detail} ({failure.code})",  # the code is what the documentation knows, with the next step
        try_at=next_try_after_failure(now, partner.refresh, failures, random_fraction(services)),
    )
    kind = EventType.EVIDENCE_UNAVAILABLE if isinstance(failure, Unavailable) else EventType.EVIDENCE_REFUSED
    event = write_evidence_event(services, kind, kept, now, {"reason": failure.code, "detail": detail})
    with services.work.change() as stores:
        stores.evidence.reschedule(failed)
        if failed.unusable != kept.unusable:
            stores.changes.note(ChangeKind.EVIDENCE, kept.partner_id, now)
        if failed.problem != kept.problem:
            stores.outbox.add(event)


def write_evidence_event(
    services: Services,
    kind: EventType,
    row: EvidenceRecord,
    now: datetime,
    more: Mapping[str, str | int | datetime],
) -> Event:
    """Return an event about a row."""
    about = {"partner": row.partner_id, "kind": row.kind.value, "url": row.source, "about": row.about}
    return write_event(services, kind, actor=_SYSTEM, at=now, data={**about, **more})


def random_fraction(services: Services) -> float:
    """Return a number from 0 to 1."""
    return int.from_bytes(services.random.token(4)) / _FRACTIONS


def next_try_after_success(
    now: datetime, refresh: timedelta, next_update: datetime | None, fraction: float
) -> datetime:
    """Return when to look next after something good came; `fraction` is 0 to 1."""
    pause = refresh
    if next_update is not None:
        pause = max(min(pause, (next_update - now) / 2), min(refresh, SHORTEST_PAUSE))
    return now + max(pause, _LEAST) * (1 - _SPREAD * fraction)


def next_try_after_failure(now: datetime, refresh: timedelta, failures: int, fraction: float) -> datetime:
    """Return when to look next after so many failures in a row, 1 for the first; `fraction` is 0 to 1."""
    pause: timedelta = FIRST_RETRY * 2 ** min(failures - 1, _DOUBLINGS)
    return now + max(min(pause, LONGEST_RETRY, refresh), _LEAST) * (1 - fraction / 2)
