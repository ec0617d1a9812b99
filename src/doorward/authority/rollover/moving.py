"""Activate, drain and undo: the steps of a rollover that move it from one state to the next.

Each is one transaction: the state (compare and set), the authority that issues, the trust of the doors, the number of the
change and the event. A step that is made already is repeated without effect.

Not here: the first step (preparing, ceremony), what follows the loss of trust (leaving).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from cryptography import x509

from doorward.audit.events import Event, EventType
from doorward.authority.rollover.progress import (
    GatewayProgress,
    follow_gateways,
    measure_progress,
)
from doorward.authority.rollover.root_moving import retire_root
from doorward.authority.rollover.schedule import DEFAULT_WINDOW, LONGEST_WINDOW, choose_window
from doorward.authority.rollover.table import FACTS, RolloverStep, Side, check_step, next_step
from doorward.authority.rollover.use import measure_use, warn_of_idle
from doorward.authority.status.partitions import FULL
from doorward.core.certificate import RevocationReason
from doorward.core.errors import MalformedInput, NotFound, RequestRefused
from doorward.core.time_text import describe_time
from doorward.pki.keys import check_public_key, encode_public_key
from doorward.stores.authority_protocols import RolloverRecord, RolloverState
from doorward.stores.change_result import ChangeResult
from doorward.stores.events import new_event
from doorward.stores.prerequisites import load_key, require_tenant
from doorward.stores.protocols import Stores
from doorward.stores.records import AuthorityRecord, ChangeKind
from doorward.stores.services import Services

_EVENTS = {
    RolloverState.REQUESTED: EventType.AUTHORITY_ROLLOVER_REQUESTED,
    RolloverState.PREPARED: EventType.AUTHORITY_ROLLOVER_PREPARED,
    RolloverState.ACTIVE: EventType.AUTHORITY_ROLLOVER_ACTIVATED,
    RolloverState.DRAINING: EventType.AUTHORITY_DRAIN_STARTED,
    RolloverState.REVERTING: EventType.AUTHORITY_ROLLOVER_UNDONE,
    RolloverState.RETIRING: EventType.AUTHORITY_ROLLOVER_RETIRED,
    RolloverState.WITHDRAWING: EventType.AUTHORITY_ROLLOVER_WITHDRAWN,
    RolloverState.RETIRED: EventType.AUTHORITY_ROLLOVER_FINISHED,
    RolloverState.WITHDRAWN: EventType.AUTHORITY_ROLLOVER_FINISHED,
}

_REASONS = {
    RolloverState.RETIRING: RevocationReason.SUPERSEDED,
    RolloverState.WITHDRAWING: RevocationReason.CESSATION_OF_OPERATION,
}
"""What the root's CRL says of the authority that leaves, unless its key may be known to somebody."""


def require_rollover(services: Services, *, before: RolloverState | None = None) -> RolloverRecord:
    """Return the rollover that is going on.

    Args:
        services: the ports of this process.
        before: if it is in another state than this one, it is refused.

    Raises:
        NotFound: `not-founded`, `rollover-none`.
        RequestRefused: `rollover-moved`.
    """
    with services.work.read() as stores:
        require_tenant(stores)
        found = stores.rollovers.open()
    if found is None:
        raise NotFound("rollover-none", "no rollover of the authority is going on", hint=next_step(None))
    if before is not None and found.state is not before:
        raise _moved(found)
    return found


def activate(services: Services, *, actor: str, ignore_away: bool = False) -> ChangeResult[RolloverRecord]:
    """Let the new authority issue; the old one goes on signing the status of its certificates.

    Args:
        services: the ports of this process, with keys.
        actor: who acts.
        ignore_away: do not wait for gateways that do not report.

    Raises:
        NotFound: `not-founded`, `rollover-none`.
        RequestRefused: `rollover-step-refused`, `rollover-moved`; `rollover-unconfirmed`: a gateway does not trust the new
            authority yet; `rollover-key-missing`; `rollover-status-missing`: its CRL or its responder is not published.
        Unavailable: `keys-unavailable`.
    """
    rollover = require_rollover(services)
    if rollover.state is RolloverState.ACTIVE:
        return _unchanged(rollover)
    check_guards(services, rollover, RolloverStep.ACTIVATE, ignore_away=ignore_away)
    return make_step(services, rollover, RolloverStep.ACTIVATE, actor=actor)


def drain(
    services: Services, *, actor: str, window: timedelta | None = None, ignore_away: bool = False
) -> ChangeResult[RolloverRecord]:
    """Issue the certificates of the old authority again; with another window, the spreading begins again.

    Args:
        services: the ports of this process.
        actor: who acts.
        window: the time over which they are spread, at most 90 days; None for a day.
        ignore_away: as in `activate`.

    Raises:
        MalformedInput: `rollover-window`.
        NotFound, RequestRefused: as `activate`.
    """
    if window is not None and not timedelta(0) <= window <= LONGEST_WINDOW:
        raise MalformedInput(
            "rollover-window",
            f"the certificates cannot be spread over {describe_time(window)}",
            hint=f"give 0 to {LONGEST_WINDOW.days} days",
        )
    rollover = require_rollover(services)
    if rollover.state is RolloverState.DRAINING and window is None:
        return _unchanged(rollover)
    check_guards(services, rollover, RolloverStep.DRAIN, ignore_away=ignore_away)
    progress = measure_progress(services, rollover)
    longer = choose_window(DEFAULT_WINDOW if window is None else window, progress.total)
    done = make_step(services, replace(rollover, window=longer), RolloverStep.DRAIN, actor=actor)
    return replace(done, notes=warn_of_idle(progress, measure_use(services, progress)))


def undo(
    services: Services,
    *,
    actor: str,
    abandon_missing: bool = False,
    ignore_away: bool = False,
    compromised: bool = False,
) -> ChangeResult[RolloverRecord]:
    """Go one step back: the old authority issues again; or, if it does already, the new one is given up.

    After the first, the certificates of the new authority stay valid, and are issued again by the old one. The second is
    refused until that is done.

    Args:
        services: the ports of this process, with keys.
        actor: who acts.
        abandon_missing: give up the new authority although certificates of it have no successor: these are refused then.
        ignore_away: as in `activate`.
        compromised: if the new authority is given up: its key may be known to somebody, and the root's CRL says so.

    Raises:
        NotFound: `not-founded`, `rollover-none`.
        RequestRefused: `rollover-step-refused`, `rollover-moved`, `rollover-incomplete`, `rollover-unconfirmed`,
            `rollover-key-missing`, `rollover-status-missing`.
        Unavailable: `keys-unavailable`.
    """
    rollover = require_rollover(services)
    if rollover.state is RolloverState.WITHDRAWING:
        return _unchanged(rollover)
    missing = check_guards(
        services, rollover, RolloverStep.UNDO, abandon_missing=abandon_missing, ignore_away=ignore_away
    )
    window = choose_window(DEFAULT_WINDOW, measure_progress(services, rollover).total)
    return make_step(
        services,
        replace(rollover, window=window),
        RolloverStep.UNDO,
        actor=actor,
        missing=missing,
        compromised=compromised,
    )


def check_guards(
    services: Services,
    rollover: RolloverRecord,
    step: RolloverStep,
    *,
    abandon_missing: bool = False,
    ignore_away: bool = False,
) -> int:
    """Refuse a step that is not possible now; return how many certificates it leaves without a successor.

    Raises:
        RequestRefused: `rollover-step-refused`, `rollover-incomplete`, `rollover-unconfirmed`, `rollover-key-missing`,
            `rollover-status-missing`.
        Unavailable: `keys-unavailable`.
    """
    after = check_step(rollover.state, step)
    if after in (RolloverState.ACTIVE, RolloverState.DRAINING):
        require_confirmed(follow_gateways(services, rollover), ignore_away=ignore_away)
    if after in (RolloverState.ACTIVE, RolloverState.RETIRING):
        require_issuer_ready(services, rollover.new_id, is_new=True)
    if after in (RolloverState.REVERTING, RolloverState.WITHDRAWING):
        require_issuer_ready(services, rollover.old_id, is_new=False)
    if after in (RolloverState.RETIRING, RolloverState.WITHDRAWING):
        return require_complete(services, rollover, abandon_missing=abandon_missing, ignore_away=ignore_away)
    return 0


def require_complete(
    services: Services, rollover: RolloverRecord, *, abandon_missing: bool, ignore_away: bool
) -> int:
    """Return how many certificates of the leaving authority have no successor; refuse if there are any.

    Raises:
        RequestRefused: `rollover-incomplete`, `rollover-unconfirmed`.
    """
    progress = measure_progress(services, rollover)
    if progress.missing and not abandon_missing:
        names = sorted({one.subject_name for one in progress.missing})
        named = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")  # noqa: PLR2004  as many fit in a line
        raise RequestRefused(
            "rollover-incomplete",
            f"{len(progress.missing)} of {progress.total} certificates have no successor yet: {named}",
            hint="`doorward ca rotate status` lists them; renew or revoke them, or add --abandon-missing: "
            "then they are refused",
            missing=len(progress.missing),
        )
    if rollover.new_id:
        require_confirmed(progress.gateways, ignore_away=ignore_away)
    return len(progress.missing)


def require_confirmed(gateways: Sequence[GatewayProgress], *, ignore_away: bool) -> None:
    """Refuse if a gateway has not followed.

    Raises:
        RequestRefused: `rollover-unconfirmed`.
    """
    lacking = [one for one in gateways if one.why and (one.fresh or not ignore_away)]
    if lacking:
        told = "; ".join(f"{one.name} {one.why}" for one in lacking)
        away = any(not one.fresh for one in lacking)
        hint = "try again in a few seconds"
        if away:
            hint = "start the gateways that are away, or add --ignore-away: they admit nothing before they have followed"
        raise RequestRefused("rollover-unconfirmed", f"not every gateway has followed: {told}", hint=hint)


def require_issuer_ready(services: Services, authority_id: str, *, is_new: bool) -> None:
    """Refuse if an authority cannot issue now: its key, its responder and its dates are looked at, and a new one's CRL.

    Raises:
        RequestRefused: `rollover-key-missing`, `rollover-status-missing`.
        Unavailable: `keys-unavailable`.
    """
    now = services.clock.now()
    with services.work.read() as stores:
        authority = stores.authorities.get(authority_id)
        head = stores.status.crl_number(authority_id, FULL)
        responder = stores.authorities.responder(authority_id)
    if authority is None or not _has_key(services, authority):
        raise RequestRefused(
            "rollover-key-missing",
            "the key store does not hold the key of the authority that is to issue",
            hint="restore the folder `keys` of the same backup as the database, or choose the other direction: "
            "`doorward ca rotate status`",
        )
    if (is_new and head is None) or responder is None or authority.not_after <= now:
        raise RequestRefused(
            "rollover-status-missing",
            "the authority that is to issue has no revocation list or no OCSP responder, or has ended",
            hint="run `doorward serve`, which publishes them, and try again",
        )


def make_step(
    services: Services,
    rollover: RolloverRecord,
    step: RolloverStep,
    *,
    actor: str,
    missing: int = 0,
    compromised: bool = False,
) -> ChangeResult[RolloverRecord]:
    """Make one step in one transaction; `rollover` is as it was read, except for the window.

    Args:
        services: the ports of this process.
        rollover: where it stands.
        step: the step.
        actor: who acts.
        missing: how many certificates have no successor, for the event.
        compromised: whether the key of the authority that leaves may be known to somebody.

    Raises:
        RequestRefused: `rollover-step-refused`, `rollover-moved`.
    """
    now = services.clock.now()
    with services.work.change() as stores:
        return move_within(
            services,
            stores,
            rollover,
            step,
            actor=actor,
            now=now,
            missing=missing,
            compromised=compromised,
        )


def move_within(
    services: Services,
    stores: Stores,
    rollover: RolloverRecord,
    step: RolloverStep,
    *,
    actor: str,
    now: datetime,
    missing: int = 0,
    compromised: bool = False,
) -> ChangeResult[RolloverRecord]:
    """Make one step in the caller's transaction; as `make_step`."""
    after = check_step(rollover.state, step)
    usual = _REASONS.get(after, RevocationReason.SUPERSEDED)
    reason = RevocationReason.CA_COMPROMISE if compromised else usual
    _set_authorities(stores, rollover, after, now, reason)
    seq = stores.changes.note(ChangeKind.AUTHORITY, rollover.new_id or rollover.old_id, now)
    moved = replace(rollover, state=after, moved_at=now, seq=seq)
    if not stores.rollovers.move(moved, rollover):
        raise _moved(rollover)
    stores.outbox.add(rollover_event(services, moved, actor=actor, now=now, missing=missing))
    return ChangeResult(value=moved, seq=seq)


def rollover_event(
    services: Services, rollover: RolloverRecord, *, actor: str, now: datetime, missing: int = 0
) -> Event:
    """Return the event of the state that a rollover has just reached."""
    data: dict[str, str | int] = {"rollover": rollover.id, "former": rollover.old_id}
    if rollover.new_id:
        data["authority"] = rollover.new_id
    if rollover.state in (RolloverState.RETIRING, RolloverState.WITHDRAWING):
        data["number"] = missing
    return new_event(services, _EVENTS[rollover.state], actor=actor, at=now, data=data)


def _set_authorities(
    stores: Stores,
    rollover: RolloverRecord,
    after: RolloverState,
    now: datetime,
    reason: RevocationReason,
) -> None:
    """Set which authority issues and which ones are trusted, as the table says for the state after the step."""
    facts = FACTS[after]
    ids = {Side.OLD: rollover.old_id, Side.NEW: rollover.new_id}
    issuing = stores.authorities.get(ids[facts.issues])
    if issuing is not None and not issuing.current:
        stores.authorities.make_current(issuing.id)
    for side, authority_id in ids.items():
        found = stores.authorities.get(authority_id) if authority_id else None
        if found is not None and side not in facts.trusted and found.retired_at is None:
            stores.authorities.retire(authority_id, now, reason)
            if issuing is not None:
                retire_root(stores, found, issuing, now, reason)


def _has_key(services: Services, authority: AuthorityRecord) -> bool:
    try:
        key = load_key(services, authority)
    except NotFound:
        return False
    public, _ = check_public_key(x509.load_der_x509_certificate(authority.der).public_key())
    return encode_public_key(key.public_key()) == encode_public_key(public)


def _unchanged(rollover: RolloverRecord) -> ChangeResult[RolloverRecord]:
    return ChangeResult(
        value=rollover, seq=rollover.seq, notes=(f"the rollover is {rollover.state.value} already",)
    )


def _moved(rollover: RolloverRecord) -> RequestRefused:
    return RequestRefused(
        "rollover-moved",
        "another process has moved the rollover meanwhile",
        hint=next_step(rollover.state),
    )
