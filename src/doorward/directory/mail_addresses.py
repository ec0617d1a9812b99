"""The mail address of a principal, to which notices about its certificates are sent.

It is personal data: an event of its change names it among the personal fields, and removing the principal removes it.
Not here: the address in a certificate, which is a name (`pki.profiles`).
"""

from __future__ import annotations

from collections.abc import Sequence

from doorward.audit.events import Event, EventType
from doorward.core.entities import Principal, PrincipalKind
from doorward.core.mail_address import parse_mail_address
from doorward.stores.change_result import ChangeResult
from doorward.stores.events import new_event
from doorward.stores.prerequisites import require_principal
from doorward.stores.services import Services


def find_mail_address(services: Services, principal_id: str) -> str:
    """Return the address of a principal; empty if there is none."""
    with services.work.read() as stores:
        return stores.mail_addresses.get(principal_id)


def find_mail_addresses(services: Services, principal_ids: Sequence[str]) -> dict[str, str]:
    """Return the addresses of principals, by id; empty for one that has none."""
    with services.work.read() as stores:
        return {one: stores.mail_addresses.get(one) for one in principal_ids}


def new_address_event(services: Services, principal: Principal, address: str, *, actor: str) -> Event:
    """Return the event of a changed address."""
    return new_event(
        services,
        EventType.PRINCIPAL_CHANGED,
        actor=actor,
        data={"principal": principal.id},
        personal={"name": principal.name, "mail_address": address},
    )


def set_mail_address(
    services: Services, name: str, address: str, *, kind: PrincipalKind | None = None, actor: str
) -> ChangeResult[Principal]:
    """Set the address of a principal; an empty one removes it.

    Raises:
        NotFound: `principal-unknown`.
        MalformedInput: `mail-address-malformed`.
        RequestRefused: `principal-kind`.
    """
    wanted = parse_mail_address(address) if address else ""
    with services.work.change() as stores:
        principal = require_principal(stores, name, kind)
        notes: tuple[str, ...] = ()
        if not stores.mail_addresses.set(principal.id, wanted):
            notes = (f"{name} had this mail address already" if wanted else f"{name} had no mail address",)
        else:
            stores.outbox.add(new_address_event(services, principal, wanted, actor=actor))
        return ChangeResult(value=principal, seq=stores.changes.head(), notes=notes)
