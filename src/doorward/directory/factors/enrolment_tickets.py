"""Who may enrol a factor without having shown one: a ticket, used once.

  it comes from                       it is for                    it is open for
  a certificate issued by invitation  that certificate             15 minutes, if the person has no factor then
  a recovery code                     the certificate it came with 15 minutes
  `doorward factor invite`            the person, with a link      24 hours, 7 days at most

A ticket by a recovery code goes no further than what was lost: a code that was made with a password gives no passkey.
The first factor that is enrolled ends all of them. A ticket without a token is good only while the person has no
factor; an administrator's link also adds one to others, for example a passkey where there is a password only.

Not here: what is enrolled (`enrolling`). This module loads no library of factors: issuing calls it.
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
from doorward.directory.callers import Caller
from doorward.stores.events import new_event
from doorward.stores.factor_records import EnrolmentTicket
from doorward.stores.prerequisites import require_principal
from doorward.stores.protocols import Stores
from doorward.stores.records import CertificateFilter
from doorward.stores.services import Services
from doorward.wire.base64url import render_base64url

FIRST_LIFETIME = timedelta(minutes=15)
"""Long enough to install a certificate and to come back with it."""

DEFAULT_LIFETIME = timedelta(hours=24)
LONGEST_LIFETIME = timedelta(days=7)
"""As for invitations: a link lies in mailboxes and chats."""

TOKEN_BYTES = 32
MAX_TOKEN_CHARACTERS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorInvitation:
    """`token` (base64url, 43 characters) is shown once and kept nowhere.

    `has_certificate`: whether the person has a valid one; without it the link opens nothing.
    `ended`: how many tickets and links were open, and are void now.
    """

    token: str
    ticket: EnrolmentTicket
    has_certificate: bool
    ended: int

    def __repr__(self) -> str:
        # What is printed ends in logs; the token must not.
        return f"FactorInvitation(ticket={self.ticket.id})"


def invite_to_enrol(
    services: Services, name: str, *, lifetime: timedelta = DEFAULT_LIFETIME, actor: str
) -> FactorInvitation:
    """Let an active person enrol one factor, with a link; tickets that were open are void.

    Args:
        services: the ports of this process.
        name: the person's.
        lifetime: more than nothing, at most 7 days.
        actor: who invites.

    Raises:
        NotFound: `principal-unknown`.
        RequestRefused: `principal-suspended`, `factors-for-persons`, `lifetime-refused`.
    """
    if not timedelta(0) < lifetime <= LONGEST_LIFETIME:
        raise RequestRefused(
            "lifetime-refused",
            "an invitation cannot be open that long or short",
            hint=f"choose at most {LONGEST_LIFETIME.days} days",
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
    """Return an active person; raise `RequestRefused` (`factors-for-persons`, `principal-suspended`) for another."""
    if principal.kind is not PrincipalKind.PERSON:
        raise RequestRefused(
            "factors-for-persons",
            f"{principal.name} is a {principal.kind.value}, and only a person has second factors",
            hint="a device or service is its certificate's key",
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
    """Let the certificate that was just issued to a person enrol the first factor; within the caller's transaction.

    Returns:
        The ticket; None if the principal is no person, or has a factor already: a stolen invitation must not replace it.
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
        token: of an administrator's link; empty where there is none.
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
    """Use a ticket up, and every other of that person; raise `RequestRefused` (`enrolment-closed`) if it is not open."""
    if not stores.enrolment_tickets.use(ticket.id, now):
        raise refuse_closed()
    stores.enrolment_tickets.void_all(ticket.principal_id, now)


def refuse_closed() -> RequestRefused:
    """Return the refusal of a person without a ticket to enrol and without a factor to show."""
    return RequestRefused(
        "enrolment-closed",
        "the time to enrol a first factor is over, or this certificate has no right to it",
        hint="ask an administrator: `doorward factor invite NAME`",
    )


def hash_token(token: str) -> str:
    """Return what is kept of a token: its SHA-256, lower-case hex."""
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
    """Keep a ticket, within the caller's transaction."""
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
    """Return the event that tells of a ticket."""
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
