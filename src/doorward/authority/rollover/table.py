"""The states of a rollover and the steps between them, as one table.

Not here: making the steps (preparing, moving, leaving), the record (`stores.authority_protocols`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from doorward.core.errors import RequestRefused
from doorward.stores.authority_protocols import RolloverState

_S = RolloverState


class RolloverStep(Enum):
    """The steps of a rollover; the values are the words of `doorward ca rotate`, except for three."""

    PREPARE = "prepare"
    REQUEST = "request"  # `doorward ca csr`
    INSTALL = "install"  # `doorward ca install`
    ACTIVATE = "activate"
    DRAIN = "drain"
    RETIRE = "retire"
    UNDO = "undo"
    FINISH = "finish"  # by itself: the last list is signed, the key is destroyed


class Side(Enum):
    """One of the two authorities of a rollover."""

    OLD = "old"
    NEW = "new"


@dataclass(frozen=True, slots=True, kw_only=True)
class StateFacts:
    """What holds in a state.

    Args:
        issues: the authority that issues new certificates.
        trusted: the authorities that every door trusts.
        reissued: the authority with certificates that are issued again; None if there is none.
        meaning: one sentence for people.
    """

    issues: Side
    trusted: frozenset[Side]
    reissued: Side | None
    meaning: str


_OLD, _NEW = frozenset({Side.OLD}), frozenset({Side.NEW})
_BOTH = _OLD | _NEW

FACTS: Mapping[RolloverState, StateFacts] = MappingProxyType(
    {
        _S.REQUESTED: StateFacts(
            issues=Side.OLD, trusted=_OLD, reissued=None, meaning="the new key waits for the root's signature"
        ),
        _S.PREPARED: StateFacts(
            issues=Side.OLD, trusted=_BOTH, reissued=None, meaning="both are trusted, the old one issues"
        ),
        _S.ACTIVE: StateFacts(
            issues=Side.NEW, trusted=_BOTH, reissued=None, meaning="both are trusted, the new one issues"
        ),
        _S.DRAINING: StateFacts(
            issues=Side.NEW,
            trusted=_BOTH,
            reissued=Side.OLD,
            meaning="the certificates of the old one are issued again by the new one",
        ),
        _S.REVERTING: StateFacts(
            issues=Side.OLD,
            trusted=_BOTH,
            reissued=Side.NEW,
            meaning="undone: the certificates of the new one are issued again by the old one",
        ),
        _S.RETIRING: StateFacts(
            issues=Side.NEW,
            trusted=_NEW,
            reissued=None,
            meaning="the old one is trusted no more; its last list is being signed",
        ),
        _S.RETIRED: StateFacts(
            issues=Side.NEW, trusted=_NEW, reissued=None, meaning="the new one has taken the place of the old"
        ),
        _S.WITHDRAWING: StateFacts(
            issues=Side.OLD,
            trusted=_OLD,
            reissued=None,
            meaning="the new one is trusted no more; its last list is being signed",
        ),
        _S.WITHDRAWN: StateFacts(
            issues=Side.OLD, trusted=_OLD, reissued=None, meaning="undone: the old one is the only one"
        ),
    }
)

TRANSITIONS: Mapping[tuple[RolloverState | None, RolloverStep], RolloverState] = MappingProxyType(
    {
        (None, RolloverStep.PREPARE): _S.PREPARED,
        (None, RolloverStep.REQUEST): _S.REQUESTED,
        (_S.REQUESTED, RolloverStep.INSTALL): _S.PREPARED,
        (_S.REQUESTED, RolloverStep.UNDO): _S.WITHDRAWING,
        (_S.PREPARED, RolloverStep.ACTIVATE): _S.ACTIVE,
        (_S.PREPARED, RolloverStep.UNDO): _S.WITHDRAWING,
        (_S.ACTIVE, RolloverStep.DRAIN): _S.DRAINING,
        (_S.ACTIVE, RolloverStep.UNDO): _S.REVERTING,
        (_S.DRAINING, RolloverStep.DRAIN): _S.DRAINING,
        (_S.DRAINING, RolloverStep.RETIRE): _S.RETIRING,
        (_S.DRAINING, RolloverStep.UNDO): _S.REVERTING,
        (_S.REVERTING, RolloverStep.ACTIVATE): _S.ACTIVE,
        (_S.REVERTING, RolloverStep.UNDO): _S.WITHDRAWING,
        (_S.RETIRING, RolloverStep.FINISH): _S.RETIRED,
        (_S.WITHDRAWING, RolloverStep.FINISH): _S.WITHDRAWN,
    }
)
"""All steps; any other is refused. No step leads out of retired and withdrawn: the next rollover is another one."""

_NEXT = {
    None: "begin with `doorward ca rotate prepare`",
    _S.REQUESTED: "`doorward ca install CERTIFICATE`, or give it up: doorward ca rotate undo",
    _S.PREPARED: "`doorward ca rotate activate`, or give it up: doorward ca rotate undo",
    _S.ACTIVE: "`doorward ca rotate drain`, or go back: doorward ca rotate undo",
    _S.DRAINING: "`doorward ca rotate retire` once everything is issued again, or go back: doorward ca rotate undo",
    _S.REVERTING: "`doorward ca rotate undo` once everything is issued again, or forward: doorward ca rotate activate",
    _S.RETIRING: "`doorward serve` finishes it by itself; or run `doorward ca rotate retire` again",
    _S.WITHDRAWING: "`doorward serve` finishes it by itself; or run `doorward ca rotate undo` again",
    _S.RETIRED: "begin the next one with `doorward ca rotate prepare`",
    _S.WITHDRAWN: "begin the next one with `doorward ca rotate prepare`",
}


def next_step(state: RolloverState | None) -> str:
    """Return what a person may do next; None for no rollover."""
    return _NEXT[state]


def check_step(state: RolloverState | None, step: RolloverStep) -> RolloverState:
    """Return the state after a step.

    Raises:
        RequestRefused: `rollover-step-refused`.
    """
    after = TRANSITIONS.get((state, step))
    if after is None:
        where = f"the rollover is {state.value}" if state is not None else "no rollover is going on"
        raise RequestRefused(
            "rollover-step-refused", f"{where}: {step.value} is not possible", hint=next_step(state)
        )
    return after
