"""Which ids a change may affect: for judgements that are under way, and for admissions that are repeated.

Not here: the live connections that a change affects (gateway.following.affected).
"""

from __future__ import annotations

from collections.abc import Sequence

from doorward.stores.records import ChangeKind, ChangeRecord

_NAMING = frozenset(
    {
        ChangeKind.CERTIFICATE,
        ChangeKind.PRINCIPAL,
        ChangeKind.ORDER,
        ChangeKind.PARTNER,
        ChangeKind.EVIDENCE,
        ChangeKind.SESSION_KEY,
        ChangeKind.CHOICE,
    }
)
"""Kinds of changes that affect only their subject."""


def affected_ids(changes: Sequence[ChangeRecord]) -> frozenset[str] | None:
    """Return the ids that these changes may affect; None means all."""
    if any(change.kind not in _NAMING for change in changes):
        return None
    return frozenset(change.subject for change in changes)
