"""That second factors were taken from a person: kept in the transaction that takes them, because their rows are gone.

A person is told of it at the next visit (`directory.account_activity`). The last few are kept, in a ring of notes under ids that
are made of the principal's. All that a stranger with the person's device could do is write over the oldest.
Not here: taking factors away (`directory.factors`, `session_ending`), and the evidence, which has every one of them.
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
"""Losses of one person that are kept: more than a person has factors and resets in two weeks."""

_ALL = "all"
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorLoss:
    """What was taken from a person.

    Args:
        at: when.
        kind: of the factor; None for all of them at once.
        event_id: of the event in the evidence that tells more of it.
        by_self: whether its person did it; otherwise an administrator.
    """

    at: datetime
    kind: FactorKind | None = None
    event_id: str
    by_self: bool


def note_loss(stores: Stores, principal_id: str, loss: FactorLoss) -> None:
    """Keep it in the place of the oldest, within the transaction of the loss itself."""
    places = _places(principal_id)
    notes = stores.holder_notes.of(places)
    oldest = min(places, key=lambda one: (notes[one].lost_at or _BEGINNING) if one in notes else _BEGINNING)
    who = "self" if loss.by_self else "administrator"
    text = f"{who} {loss.kind.value if loss.kind else _ALL} {loss.event_id}"
    stores.holder_notes.save(HolderNote(certificate_id=oldest, tenant=TENANT, name=text, lost_at=loss.at))


def list_losses(stores: Stores, principal_id: str, since: datetime) -> list[FactorLoss]:
    """Return what was taken from a person since then, in no order."""
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
