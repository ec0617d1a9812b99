"""Listing, renaming and removing factors of a person; resetting all of them by an administrator.

Removing a factor ends the person's sessions everywhere (the session epoch is raised), so sessions that were opened with it
are refused. No function returns a secret: an administrator can reset factors, but not read them.

Not here: adding (`enrolling`), the tickets that open enrolment again (`enrolment_tickets`).
Standard: OWASP ASVS 5.0 section 7.4.3; NIST SP 800-63B-4 section 4.2 (loss) and 4.4 (invalidation).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from doorward.audit.events import EventType
from doorward.core.entities import Principal
from doorward.core.errors import NotFound, RequestRefused
from doorward.core.factor_kinds import FactorKind
from doorward.core.shown_factors import ShownFactors
from doorward.directory.callers import Caller
from doorward.directory.factor_losses import FactorLoss, note_loss
from doorward.directory.factors.attempts import clear_account
from doorward.directory.factors.change_rules import require_fresh, require_owner
from doorward.directory.factors.required import refuse_if_required
from doorward.directory.session_ending import end_sessions, remove_factors
from doorward.stores.change_result import ChangeResult
from doorward.stores.events import new_event
from doorward.stores.factor_records import FactorRecord
from doorward.stores.prerequisites import require_principal
from doorward.stores.protocols import Stores
from doorward.stores.records import CertificateFilter, ChangeKind
from doorward.stores.services import Services

MAX_NAME_CHARACTERS = 64
_CERTIFICATES = 500
"""A reset clears the failed tries of this many certificates; the counts of further certificates expire by themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorView:
    """A factor as shown to people.

    Args:
        id: `fct_…`; for recovery codes the id of the first one.
        kind: of the factor.
        name: the person's name for it.
        created_at: when it was enrolled.
        last_used_at: when it was last shown; None for never.
        number: 1; for recovery codes, how many are left.
        lost: whether it is a passkey for an earlier host of the portal, which browsers no longer offer.
    """

    id: str
    kind: FactorKind
    name: str
    created_at: datetime
    last_used_at: datetime | None
    number: int = 1
    lost: bool = False


def list_factors(services: Services, name: str, *, rp_id: str = "") -> tuple[Principal, list[FactorView]]:
    """Return a principal and its factors, oldest first; the recovery codes are one row.

    Args:
        services: the ports of this process.
        name: of the principal.
        rp_id: the portal's host, to mark lost passkeys; empty marks none.

    Raises:
        NotFound: `principal-unknown`.
    """
    with services.work.read() as stores:
        principal = require_principal(stores, name)
        return principal, _views(stores, principal.id, rp_id)


def list_own_factors(services: Services, caller: Caller, *, rp_id: str = "") -> list[FactorView]:
    """Return the caller's factors, oldest first; see `list_factors`."""
    with services.work.read() as stores:
        return _views(stores, caller.principal_id, rp_id)


def rename_factor(services: Services, caller: Caller, factor_id: str, name: str) -> FactorView:
    """Give a factor of the caller another name.

    Raises:
        NotFound: `factor-unknown`.
    """
    fitted = clean_name(name)
    with services.work.change() as stores:
        found = _require(stores, caller, factor_id)
        stores.factors.rename(found.id, fitted)
        return next(one for one in _views(stores, caller.principal_id, "") if one.id == found.id)


def clean_name(name: str) -> str:
    """Return a person's name for a factor, reduced to printable characters on one line, 64 at most."""
    return "".join(one for one in name if one.isprintable()).strip()[:MAX_NAME_CHARACTERS]


def remove_factor(
    services: Services, caller: Caller, factor_id: str, *, shown: ShownFactors
) -> ChangeResult[FactorKind]:
    """Remove a factor of the caller and end all sessions, also at the portal. The id of a recovery code removes all codes.

    Raises:
        NotFound: `factor-unknown`.
        RequestRefused: `factor-check-needed`; `factor-last`, `factor-required`: enrol another factor first.
    """
    now = services.clock.now()
    with services.work.change() as stores:
        found = _require(stores, caller, factor_id)
        factors = stores.factors.of_principal(caller.principal_id)
        kept = [one for one in factors if one.kind is not FactorKind.RECOVERY]
        require_owner(stores, caller)
        require_fresh({one.kind for one in kept}, shown, now)
        if kept == [found]:
            raise RequestRefused(
                "factor-last",
                "this is your only factor, and without a factor you could not use this page again",
                hint="add another one first",
            )
        refuse_if_required(stores, caller, [one for one in kept if one != found], found.kind)
        codes = [one for one in factors if one.kind is FactorKind.RECOVERY]
        for one in codes if found.kind is FactorKind.RECOVERY else [found]:
            stores.factors.remove(one.id)
        record_removal(services, stores, caller, found, reason="removed-by-its-person", now=now)
        end_sessions(
            services,
            stores,
            caller.principal_id,
            reason="factor-removed",
            actor=caller.principal_id,
            now=now,
        )
        seq = stores.changes.note(ChangeKind.PRINCIPAL, caller.principal_id, now)
    return ChangeResult(value=found.kind, seq=seq)


def record_removal(
    services: Services, stores: Stores, caller: Caller, factor: FactorRecord, *, reason: str, now: datetime
) -> None:
    """Write the event of a factor that the caller removed or lost, and note the loss for the person's next visit."""
    event = new_event(
        services,
        EventType.FACTOR_REMOVED,
        actor=caller.principal_id,
        data={
            "principal": caller.principal_id,
            "factor": factor.id,
            "kind": factor.kind.value,
            "certificate": caller.certificate_id,
            "reason": reason,
        },
        personal={"name": caller.name, "source": caller.source},
        at=now,
    )
    stores.outbox.add(event)
    loss = FactorLoss(at=now, kind=factor.kind, event_id=event.id, by_self=True)
    note_loss(stores, caller.principal_id, loss)


def reset_factors(services: Services, name: str, *, actor: str) -> ChangeResult[int]:
    """Remove every factor of a principal, end all its sessions and forget its failed tries.

    Open enrolment tickets are voided; `enrolment_tickets.invite_to_enrol` opens a new one.

    Returns:
        How many factors were removed, recovery codes counted singly; gateways confirm the number of the change.

    Raises:
        NotFound: `principal-unknown`.
    """
    now = services.clock.now()
    with services.work.change() as stores:
        principal = require_principal(stores, name)
        removed = remove_factors(services, stores, principal, reason="reset", actor=actor, now=now)
        end_sessions(services, stores, principal.id, reason="factor-reset", actor=actor, now=now)
        wanted = CertificateFilter(principal_id=principal.id, limit=_CERTIFICATES)
        for record in stores.certificates.list(wanted):
            clear_account(stores, principal.id, record.sha256)
        seq = stores.changes.note(ChangeKind.PRINCIPAL, principal.id, now)
    notes = () if removed else (f"{principal.name} had no factor",)
    return ChangeResult(value=removed, seq=seq, notes=notes)


def _require(stores: Stores, caller: Caller, factor_id: str) -> FactorRecord:
    found = stores.factors.get(factor_id)
    if found is None or found.principal_id != caller.principal_id:
        raise NotFound("factor-unknown", "you have no such factor", hint="load the page again")
    return found


def _views(stores: Stores, principal_id: str, rp_id: str) -> list[FactorView]:
    kept = stores.factors.of_principal(principal_id)
    codes = [one for one in kept if one.kind is FactorKind.RECOVERY]
    shown = [one for one in kept if one.kind is not FactorKind.RECOVERY] + codes[:1]
    return [
        FactorView(
            id=one.id,
            kind=one.kind,
            name=one.name,
            created_at=one.created_at,
            last_used_at=one.last_used_at,
            number=len(codes) if one.kind is FactorKind.RECOVERY else 1,
            lost=bool(rp_id) and one.kind is FactorKind.WEBAUTHN and one.rp_id != rp_id,
        )
        for one in shown
    ]
