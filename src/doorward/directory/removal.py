"""Removing persons, devices and services, and renaming them, which ends the previous identity.

One transaction revokes the certificates, voids the open invitations, removes the second factors and the facts of the inventory
(names of machines, times of visits), ends the sessions and changes the state.

Not here: adding, suspending and resuming (`principals`).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from doorward.audit.events import EventType
from doorward.authority.holder_certificates import live_certificates
from doorward.authority.revocation import revoke_within
from doorward.authority.status.ocsp_responses import signer_if_any
from doorward.core.certificate import RevocationReason
from doorward.core.entities import Principal, PrincipalKind, PrincipalState
from doorward.core.errors import RequestRefused
from doorward.core.names import parse_principal_name
from doorward.directory.groups import put_into_group
from doorward.directory.invitations import VoidReason, void_open
from doorward.directory.principals import create_principal, refuse_taken_name, state_event
from doorward.directory.session_ending import end_sessions, remove_factors
from doorward.stores.change_result import ChangeResult
from doorward.stores.freed_names import note_rules_left, refuse_freed_name
from doorward.stores.prerequisites import require_principal
from doorward.stores.protocols import Stores
from doorward.stores.records import ChangeKind
from doorward.stores.services import Services


def rename(
    services: Services,
    name: str,
    new_name: str,
    *,
    kind: PrincipalKind | None = None,
    keep_rules: bool = False,
    actor: str,
) -> ChangeResult[Principal]:
    """Give a principal another name: the result is a new identity with a new id, in the same groups.

    The certificates contain the name: they are revoked and the open invitations are voided in the same transaction. Rules
    with the old name do not apply to the new name (docs/design/0050).

    Raises:
        NotFound: `principal-unknown`.
        MalformedInput: `name-malformed`.
        RequestRefused: `principal-kind`, `name-taken`, `name-in-rules`; `principal-of-a-partner`: the name comes from the
            partner's certificates.
    """
    parse_principal_name(new_name)
    now = services.clock.now()
    with services.work.change() as stores:
        former = require_principal(stores, name, kind)
        if former.partner:
            raise RequestRefused(
                "principal-of-a-partner",
                f"the name {name} comes from the certificates of its partner",
                hint=f"add the other identity: `doorward {former.kind.value} add PARTNER/IDENTITY`",
            )
        if name == new_name:
            return ChangeResult(
                value=former, seq=stores.changes.head(), notes=(f"the name was {name} already",)
            )
        refuse_taken_name(stores, new_name)
        if not keep_rules:
            refuse_freed_name(stores, former.kind, new_name, "")
        notes = _remove(services, stores, former, actor=actor, now=now, reason="renamed")
        new_id = services.new_id(former.kind.prefix)
        principal = replace(former, id=new_id, name=new_name, groups=(), inherited=())
        create_principal(services, stores, principal, actor=actor, now=now)
        for group in former.direct_groups:
            put_into_group(services, stores, group, principal, actor=actor, now=now)
        stores.changes.note(ChangeKind.PRINCIPAL, former.id, now)
        seq = stores.changes.note(ChangeKind.PRINCIPAL, principal.id, now)
        renamed = require_principal(stores, new_name)
    return ChangeResult(value=renamed, seq=seq, notes=notes)


def remove(
    services: Services, name: str, *, kind: PrincipalKind | None = None, actor: str
) -> ChangeResult[Principal]:
    """Remove a principal for good and revoke its certificates (`cessation-of-operation`), in one transaction.

    Raises:
        NotFound: `principal-unknown`.
        RequestRefused: `principal-kind`.
    """
    now = services.clock.now()
    with services.work.change() as stores:
        principal = require_principal(stores, name, kind)
        notes = _remove(services, stores, principal, actor=actor, now=now)
        seq = stores.changes.note(ChangeKind.PRINCIPAL, principal.id, now)
    return ChangeResult(value=replace(principal, state=PrincipalState.REMOVED), seq=seq, notes=notes)


def was_removed(services: Services, name: str) -> bool:
    """Return whether one of our own principals with this name was removed, and no principal has the name now."""
    with services.work.read() as stores:
        return stores.directory.by_name(name) is None and stores.directory.knows_removed(name, "")


def _remove(
    services: Services, stores: Stores, principal: Principal, *, actor: str, now: datetime, reason: str = ""
) -> tuple[str, ...]:
    """Remove a principal with its invitations, certificates, factors and sessions; return the notes for the operator."""
    stores.directory.set_state(principal.id, PrincipalState.REMOVED)
    removed = EventType.PRINCIPAL_REMOVED
    stores.outbox.add(state_event(services, removed, principal, actor, now, reason=reason))
    voided = void_open(services, stores, principal, VoidReason.PRINCIPAL_REMOVED, actor=actor, now=now)
    signer = signer_if_any(services, stores)
    count = 0
    for certificate in live_certificates(stores, principal.id, now):
        cause = RevocationReason.CESSATION_OF_OPERATION
        revoke_within(services, stores, signer, certificate.id, cause, actor=actor, now=now)
        count += 1
    stores.facts.forget(principal.id)
    stores.mail_addresses.set(principal.id, "")
    notes = [f"{count} certificate{'s were' if count != 1 else ' was'} revoked"] if count else []
    why = VoidReason.PRINCIPAL_REMOVED.value
    factors = remove_factors(services, stores, principal, reason=why, actor=actor, now=now)
    end_sessions(services, stores, principal.id, reason=why, actor=actor, now=now)
    if factors:
        notes.append(f"{factors} second factor{'s were' if factors != 1 else ' was'} removed")
    return (*notes, *voided, *note_rules_left(stores, principal.kind, principal.name))
