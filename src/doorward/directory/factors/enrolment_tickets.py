"""Enrolment tickets: each lets a person enrol one factor without showing one first, once.

  made by                             for                          open for
  a certificate issued by invitation  that certificate             15 minutes, if the person has no factor then
  a recovery code                     the certificate it came with 15 minutes
  `doorward factor invite`            the person, with a link      24 hours, 7 days at most

A ticket by a recovery code allows no stronger factor than the lost one: a code that was made with a password allows no
passkey. Enrolling a factor voids all tickets of the person. A ticket without a token works only while the person has no
factor; an administrator's link also works beside other factors, for example to add a passkey to a password.

Not here: enrolling itself (`enrolling`). This module imports no library for factors, because issuing calls it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from doorward.audit.events import Event, EventType
from doorward.core.certificate import CertificateState
from doorward.core.entities import TENANT, Principal, PrincipalKind, PrincipalState
from doorward.core.errors import RequestRefused
from doorward.core.factor_kinds import FactorKind
from doorward.core.time_text import describe_time
from doorward.directory.callers import Caller
from doorward.stores.events import new_event
from doorward.stores.factor_records import EnrolmentTicket
from doorward.stores.prerequisites import require_principal
from doorward.stores.protocols import Stores
from doorward.stores.records import CertificateFilter
from doorward.stores.services import Services
from doorward.wire.base64url import render_base64url

FIRST_LIFETIME = timedelta(minutes=15)
"""Long enough to install a certificate and to open the portal with it."""

DEFAULT_LIFETIME = timedelta(hours=24)
LONGEST_LIFETIME = timedelta(days=7)
"""As for invitations: links stay in mailboxes and chats."""

TOKEN_BYTES = 32
MAX_TOKEN_CHARACTERS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorInvitation:
    """`token` (base64url, 43 characters) is shown once and not stored.

    `has_certificate`: whether the person has a valid certificate; without one the link does not work.
    `ended`: how many open tickets were voided.
    """

    token: str
    ticket: EnrolmentTicket
    has_certificate: bool
    ended: int

    def __repr__(self) -> str:
        # Printed values end up in logs; the token must not.
        return f"FactorInvitation(ticket={self.ticket.id})"


def invite_to_enrol(
    services: Services, name: str, *, lifetime: timedelta = DEFAULT_LIFETIME, actor: str
) -> FactorInvitation:
    """Let an active person enrol one factor with a link; open tickets are voided.

    Args:
        services: the ports of this process.
        name: the name of the person.
        lifetime: more than 0, at most 7 days.
        actor: who invites.

    Raises:
        NotFound: `principal-unknown`.
        RequestRefused: `principal-suspended`, `factors-for-persons`, `lifetime-refused`.
    """
    if not timedelta(0) < lifetime <= LONGEST_LIFETIME:
        raise RequestRefused(
            "lifetime-refused",
            f"an invitation cannot be open for {describe_time(lifetime)}",
            hint=f"choose more than 0 seconds and at most {LONGEST_LIFETIME.days} days",
        )
    now = services.clock.now()
    token = render_base64url(services.random.token(TOKEN_BYTES))
    with services.work.change() as stores:
        person = require_person(require_principal(stores, name))
        ended = len(stores.enrolment_tickets.open_for(person.id, now))
        stores.enrolment_tickets.void_all(person.id, now)
        ticket = add_ticket(services, stores, person.id, now=now, lifetime=lifetime, token=token)
        stores.outbox.add(describe_ticket(services, ticket, person.name, actor))
        valid = CertificateFilter(principal_id=person.id, state=CertificateState.VALID)
        has_certificate = any(one.not_after > now for one in stores.certificates.list(valid))
    return FactorInvitation(token=token, ticket=ticket, has_certificate=has_certificate, ended=ended)


def require_person(principal: Principal) -> Principal:
    """Return the principal if it is an active person; raise `RequestRefused` (`factors-for-persons`, `principal-suspended`)."""
    if principal.kind is not PrincipalKind.PERSON:
        raise RequestRefused(
            "factors-for-persons",
            f"{principal.name} is a {principal.kind.value}, and only a person has second factors",
            hint="devices and services are identified by their certificate alone",
        )
    if principal.state is not PrincipalState.ACTIVE:
        raise RequestRefused(
            "principal-suspended",
            f"{principal.name} is {principal.state.value}",
            hint=f"`doorward person resume {principal.name}` comes first",
        )
    return principal


def open_first_enrolment(
    services: Services, stores: Stores, principal_id: str, certificate_id: str, *, actor: str
) -> EnrolmentTicket | None:
    """Let a certificate that was just issued to a person enrol the first factor, in the caller's transaction.

    Returns:
        The ticket; None if the principal is not a person, or has a factor already: a stolen invitation must not replace it.
    """
    principal = stores.directory.get(principal_id)
    if principal is None or principal.kind is not PrincipalKind.PERSON or _has_factor(stores, principal_id):
        return None
    ticket = add_ticket(
        services,
        stores,
        principal_id,
        now=services.clock.now(),
        lifetime=FIRST_LIFETIME,
        certificate_id=certificate_id,
    )
    stores.outbox.add(describe_ticket(services, ticket, principal.name, actor))
    return ticket


def find_ticket(stores: Stores, caller: Caller, token: str, now: datetime) -> EnrolmentTicket | None:
    """Return a ticket that this caller may use now; None if there is none.

    Args:
        stores: of a transaction.
        caller: who wants to enrol.
        token: of an administrator's link; empty if there is none.
        now: aware, UTC.
    """
    if token:
        found = stores.enrolment_tickets.by_token(hash_token(token))
        good = (
            found is not None
            and found.principal_id == caller.principal_id
            and found.used_at is None
            and now < found.expires_at
        )
        return found if good else None
    if _has_factor(stores, caller.principal_id):
        return None
    for ticket in stores.enrolment_tickets.open_for(caller.principal_id, now):
        if not ticket.token_sha256 and ticket.certificate_id in ("", caller.certificate_id):
            return ticket
    return None


def use_ticket(stores: Stores, ticket: EnrolmentTicket, now: datetime) -> None:
    """Mark a ticket as used and void the person's other tickets; raise `RequestRefused` (`enrolment-closed`) if not open."""
    if not stores.enrolment_tickets.use(ticket.id, now):
        raise refuse_closed()
    stores.enrolment_tickets.void_all(ticket.principal_id, now)


def refuse_closed() -> RequestRefused:
    """Return the error for a person who has neither an enrolment ticket nor a factor to show."""
    return RequestRefused(
        "enrolment-closed",
        "the time to enrol a first factor is over, or this certificate may not enrol one",
        hint="ask an administrator: `doorward factor invite NAME`",
    )


def hash_token(token: str) -> str:
    """Return the stored form of a token: its SHA-256, lower-case hex."""
    return hashlib.sha256(token[:MAX_TOKEN_CHARACTERS].encode("utf-8", "surrogatepass")).hexdigest()


def _has_factor(stores: Stores, principal_id: str) -> bool:
    return any(one.kind is not FactorKind.RECOVERY for one in stores.factors.of_principal(principal_id))


def add_ticket(
    services: Services,
    stores: Stores,
    principal_id: str,
    *,
    now: datetime,
    lifetime: timedelta,
    certificate_id: str = "",
    token: str = "",
    strongest: FactorKind = FactorKind.WEBAUTHN,
) -> EnrolmentTicket:
    """Store a ticket in the caller's transaction."""
    ticket = EnrolmentTicket(
        id=services.new_id("enr"),
        tenant=TENANT,
        principal_id=principal_id,
        certificate_id=certificate_id,
        token_sha256=hash_token(token) if token else "",
        strongest=strongest,
        created_at=now,
        expires_at=now + lifetime,
    )
    stores.enrolment_tickets.add(ticket)
    return ticket


def describe_ticket(services: Services, ticket: EnrolmentTicket, name: str, actor: str) -> Event:
    """Return the event for a new ticket."""
    return new_event(
        services,
        EventType.FACTOR_INVITED,
        actor=actor,
        at=ticket.created_at,
        data={
            "principal": ticket.principal_id,
            "enrolment": ticket.id,
            "certificate": ticket.certificate_id,
            "expires_at": ticket.expires_at,
        },
        personal={"name": name},
    )
