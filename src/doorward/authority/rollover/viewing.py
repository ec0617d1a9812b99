"""A rollover as people see it: where it stands, what is missing, and what a step would do.

Not here: making the steps (moving, leaving). Reads only.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from doorward.authority.rollover.moving import check_guards
from doorward.authority.rollover.progress import RolloverProgress, leaving_id, measure_progress
from doorward.authority.rollover.root_viewing import view_roots, warn_of_root
from doorward.authority.rollover.schedule import DEFAULT_WINDOW, choose_window
from doorward.authority.rollover.table import FACTS, TRANSITIONS, RolloverStep, check_step, next_step
from doorward.authority.rollover.use import RolloverUse, measure_use, warn_of_idle, warn_of_unseen
from doorward.authority.status.root_crl import unlisted_authorities, unlisted_by_retired_roots
from doorward.core.errors import DoorwardError
from doorward.core.time_text import describe_time
from doorward.stores.authority_protocols import FINAL_STATES, RolloverRecord, RolloverState
from doorward.stores.prerequisites import require_authority, require_tenant
from doorward.stores.records import AuthorityKind, AuthorityRecord
from doorward.stores.services import Services

_LEAVING = frozenset({RolloverState.RETIRING, RolloverState.WITHDRAWING})
_ROOT_LIST_STEP = (
    "the root's key is offline, and its revocation list does not name the authority yet, so that programs which trust the "
    "root go on accepting it: doorward ca renew-root-list --exported root-key.pem; or, if the root is elsewhere, "
    "--signed with the list that it made"
)
_LAST_LIST_STEP = (
    "the old root's key is offline: sign that root's last revocation list, so that programs which have only the old root "
    "refuse what is below it: doorward ca renew-root-list --exported old-root-key.pem; then destroy the export"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloverView:
    """The rollover that is going on, or the last one; None and empty if there was none.

    Args:
        rollover: the record.
        meaning: its state in one sentence.
        next_step: what a person may do next.
        progress: what is issued again; None if it is over.
        authorities: the old and the new authority, as far as they exist.
        use: which of the certificates are in use; None if it is over.
        roots: the old and the new root, if the rollover replaces the root too.
    """

    rollover: RolloverRecord | None
    meaning: str
    next_step: str
    progress: RolloverProgress | None
    authorities: tuple[AuthorityRecord, ...]
    use: RolloverUse | None = None
    roots: tuple[AuthorityRecord, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a step would do, in sentences.

    Args:
        sentences: what would be done.
        refusal: the error that it would end with now; None if there is none.
        destroys: whether it destroys a key, so that nothing brings the authority back.
    """

    sentences: tuple[str, ...]
    refusal: DoorwardError | None
    destroys: bool = False


def view_rollover(services: Services) -> RolloverView:
    """Return the rollover that is going on, or the last one.

    Raises:
        NotFound: `not-founded`.
    """
    with services.work.read() as stores:
        require_tenant(stores)
        rollover = next(iter(stores.rollovers.list()), None)
        ids = (rollover.old_id, rollover.new_id) if rollover else ()
        found = [stores.authorities.get(one) for one in ids]
        roots = view_roots(stores, rollover) if rollover is not None else ()
    state = rollover.state if rollover else None
    going = rollover is not None and rollover.state not in FINAL_STATES
    progress = measure_progress(services, rollover) if rollover is not None and going else None
    return RolloverView(
        rollover=rollover,
        meaning=FACTS[rollover.state].meaning if rollover else "no rollover was begun",
        next_step=find_next_step(services, state),
        progress=progress,
        authorities=tuple(one for one in found if one is not None),
        use=measure_use(services, progress) if progress is not None else None,
        roots=roots,
    )


def find_next_step(services: Services, state: RolloverState | None) -> str:
    """Return what a person may do next in this state: of the rollover, or for a root's CRL after it.

    Raises:
        NotFound: `not-founded`.
    """
    if state is None or state in FINAL_STATES:
        if unlisted_authorities(services):
            return _ROOT_LIST_STEP
        if unlisted_by_retired_roots(services):
            return _LAST_LIST_STEP
    return next_step(state)


def preview(
    services: Services,
    step: RolloverStep,
    *,
    window: timedelta | None = None,
    abandon_missing: bool = False,
    ignore_away: bool = False,
    new_root: bool = False,
) -> Preview:
    """Return what a step would do now; nothing is changed. The arguments are those of the step.

    Raises:
        NotFound: `not-founded`.
        Unavailable: `keys-unavailable`.
    """
    with services.work.read() as stores:
        current = require_authority(stores, AuthorityKind.ISSUING)
        rollover = stores.rollovers.open()
        gateways = len(stores.gateways.list())
    try:
        if rollover is None:
            check_step(None, step)
        else:
            check_guards(services, rollover, step, abandon_missing=abandon_missing, ignore_away=ignore_away)
        refusal = None
    except DoorwardError as error:
        refusal = error
    if rollover is None:
        sentences = _preview_prepare(current, gateways, new_root=new_root) if refusal is None else ()
        return Preview(sentences=sentences, refusal=refusal)
    after = TRANSITIONS.get((rollover.state, step))
    sentences = _preview(services, rollover, after, window) if after is not None else ()
    return Preview(sentences=sentences, refusal=refusal, destroys=after in _LEAVING)


def _preview_prepare(current: AuthorityRecord, gateways: int, *, new_root: bool) -> tuple[str, ...]:
    root = "a new root is made; it and the present root sign a cross-certificate of each other"
    return (
        *((root,) if new_root else ()),
        f"a new key is made, and the {'new ' if new_root else ''}root signs its certificate",
        f"it gets an OCSP responder and a first revocation list; {gateways} gateways then trust it too",
        f"{current.id} goes on issuing",
    )


def _preview(
    services: Services, rollover: RolloverRecord, after: RolloverState, window: timedelta | None
) -> tuple[str, ...]:
    progress = measure_progress(services, rollover)
    use = measure_use(services, progress)
    if after is RolloverState.ACTIVE:
        return (f"{rollover.new_id} issues every new certificate", "no certificate is asked for again yet")
    if after is RolloverState.DRAINING:
        long = choose_window(DEFAULT_WINDOW if window is None else window, progress.total)
        return (
            f"{len(progress.missing)} certificates are issued again, spread over {describe_time(long)}",
            f"{len(progress.gateways)} gateways order their server certificates again at once",
            *warn_of_idle(progress, use),
        )
    if after is RolloverState.REVERTING:
        return (
            f"{rollover.old_id} issues again",
            f"the certificates of {rollover.new_id} stay valid, and are issued again over {describe_time(DEFAULT_WINDOW)}",
        )
    if after in _LEAVING:
        return (
            f"no door trusts {leaving_id(rollover) or 'the requested authority'} any more; this cannot be undone",
            f"{len(progress.replaced)} certificates with a successor are revoked as superseded",
            f"{len(progress.missing)} certificates without one are refused, and their connections end",
            *warn_of_unseen(use),
            f"its last revocation list is signed, and the key {_leaving_key(services, rollover)} is destroyed",
            *warn_of_root(services, rollover),
        )
    return ()


def _leaving_key(services: Services, rollover: RolloverRecord) -> str:
    with services.work.read() as stores:
        found = stores.authorities.get(leaving_id(rollover)) if leaving_id(rollover) else None
    return found.key_name if found is not None else rollover.key_name
