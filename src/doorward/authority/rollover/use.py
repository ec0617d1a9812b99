"""Whether certificates of a rollover are in use: those that were issued again, and those that are missing.

A certificate that was issued is not a certificate that works: an answer may be lost, a file not deployed, a machine switched off. A
certificate is in use if a door has admitted it, or if an agent that has its key has reported with it. A successor that was
never in use is a warning and no refusal: some machines are used twice a year.

Not here: what is issued again (progress), the facts themselves (`gateway.connections.last_seen`, `directory.device_facts`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from doorward.authority.rollover.progress import RolloverProgress
from doorward.stores.authority_protocols import CertificateLine
from doorward.stores.services import Services

_AT_ONCE = 100
"""Facts that are read by one statement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloverUse:
    """What doors and agents say of the certificates of a rollover.

    Args:
        in_use: how many replaced certificates have a successor that is in use.
        unseen: the newest successor of each other line.
        last_used: when a missing certificate was last in use, by its id; those that never were are left out.
    """

    in_use: int
    unseen: tuple[CertificateLine, ...]
    last_used: Mapping[str, datetime]


def measure_use(services: Services, progress: RolloverProgress) -> RolloverUse:
    """Return which certificates of a rollover are in use; reads the facts of the missing ones and of the successors."""
    lines = progress.successors
    ids = {one.id for line in lines.values() for one in line} | {one.id for one in progress.missing}
    used = _read_used(services, sorted(ids))
    idle = [line for line in lines.values() if not any(one.id in used for one in line)]
    newest = {line[-1].id: line[-1] for line in idle}
    return RolloverUse(
        in_use=len(lines) - len(idle),
        unseen=tuple(sorted(newest.values(), key=lambda one: (one.subject_name, one.id))),
        last_used={one.id: used[one.id] for one in progress.missing if one.id in used},
    )


def warn_of_unseen(use: RolloverUse) -> tuple[str, ...]:
    """Return the warning before the old certificates are refused: a sentence, or none."""
    if not use.unseen:
        return ()
    return (
        (
            f"{len(use.unseen)} successors were never seen in use, at a door or by a report: their holders may have the old "
            f"certificate only, which is refused then: {_name(use.unseen)}"
        ),
    )


def warn_of_idle(progress: RolloverProgress, use: RolloverUse) -> tuple[str, ...]:
    """Return the warning before certificates are issued again: how many of them never came, or none."""
    idle = [one for one in progress.missing if one.id not in use.last_used]
    if not idle:
        return ()
    return (
        (
            f"{len(idle)} of these certificates were never seen in use, at a door or by a report: their holders may not come "
            f"to renew: {_name(idle)}"
        ),
    )


def _read_used(services: Services, ids: Sequence[str]) -> dict[str, datetime]:
    with services.work.read() as stores:
        every = [
            one
            for start in range(0, len(ids), _AT_ONCE)
            for one in stores.facts.of(ids[start : start + _AT_ONCE]).values()
        ]
    moments = {
        one.certificate_id: [moment for moment in (one.seen_at, one.reported_at) if moment is not None]
        for one in every
    }
    return {certificate_id: max(found) for certificate_id, found in moments.items() if found}


def _name(lines: Sequence[CertificateLine]) -> str:
    names = sorted({one.subject_name for one in lines})
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""  # noqa: PLR2004  as many fit in a line
    return ", ".join(names[:5]) + more
