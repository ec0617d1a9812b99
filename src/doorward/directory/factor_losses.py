"""Notes about removed second factors, written in the transaction that removes them, because the rows are gone afterwards.

The portal shows them to the person (`directory.account_activity`). The last ten are kept, as a ring of notes under ids
derived from the principal's id. So a thief of the person's device can overwrite only the oldest notes.
Not here: removing factors (`directory.factors`, `session_ending`), and the evidence log, which contains every removal.
Standard: NIST SP 800-63B-4 section 4.6 (account notifications).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from doorward.core.entities import TENANT
from doorward.core.factor_kinds import FactorKind
from doorward.stores.holder_notes import HolderNote
from doorward.stores.protocols import Stores

KEPT = 10
"""Notes for each person: more than the removals and resets that one person has in two weeks."""

_ALL = "all"
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorLoss:
    """One removal.

    Args:
        at: when it happened.
        kind: of the factor; None if all factors were removed at once.
        event_id: id of its event in the evidence log.
        by_self: whether the person did it; otherwise an administrator.
    """

    at: datetime
    kind: FactorKind | None = None
    event_id: str
    by_self: bool


def note_loss(stores: Stores, principal_id: str, loss: FactorLoss) -> None:
    """Store a note in the place of the oldest one, in the transaction of the removal."""
    places = _places(principal_id)
    notes = stores.holder_notes.of(places)
    oldest = min(places, key=lambda one: (notes[one].lost_at or _BEGINNING) if one in notes else _BEGINNING)
    who = "self" if loss.by_self else "administrator"
    text = f"{who} {loss.kind.value if loss.kind else _ALL} {loss.event_id}"
    stores.holder_notes.save(HolderNote(certificate_id=oldest, tenant=TENANT, name=text, lost_at=loss.at))


def list_losses(stores: Stores, principal_id: str, since: datetime) -> list[FactorLoss]:
    """Return the removals since that time, in no particular order."""
    found = []
    for note in stores.holder_notes.of(_places(principal_id)).values():
        who, what, event_id = note.name.split(" ")
        if note.lost_at is not None and note.lost_at >= since:
            found.append(
                FactorLoss(
                    at=note.lost_at,
                    kind=None if what == _ALL else FactorKind(what),
                    event_id=event_id,
                    by_self=who == "self",
                )
            )
    return found


def _places(principal_id: str) -> list[str]:
    return [f"{principal_id}/loss/{number}" for number in range(KEPT)]
