"""Making an invitation, and redeeming it as a claim to a certificate.

Not here: the life of an invitation, listing and voiding (`invitations`), a person's own for another device (`added_devices`).
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import datetime, timedelta

from doorward.audit.events import EventType
from doorward.authority.issuing import Entitlement, entitlement_of
from doorward.core.entities import TENANT, Principal, PrincipalState
from doorward.core.errors import RequestRefused
from doorward.directory.factors.enrolment_tickets import open_first_enrolment
from doorward.directory.invitations import VoidReason, has_lost_its_device, hash_token, void_open
from doorward.pki.profiles import profile_for
from doorward.stores.events import new_event
from doorward.stores.prerequisites import require_principal
from doorward.stores.protocols import Stores
from doorward.stores.records import CertificateRecord, InvitationRecord
from doorward.stores.services import Services

DEFAULT_LIFETIME = timedelta(hours=24)
LONGEST_LIFETIME = timedelta(days=7)
"""A link lies in mailboxes and chats: what is not used within a week is forgotten or found by another."""

TOKEN_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """`token` (base64url, 43 characters) is shown once and kept nowhere; `notes` are for the operator."""

    token: str
    record: InvitationRecord
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        # What is printed ends in logs; the token must not.
        return f"Invitation(record={self.record.id})"


@dataclass(frozen=True, slots=True, kw_only=True)
class InvitationClaim:
    """An invitation as a claim (`authority.issuing.claims`): it is good for one certificate of its principal.

    Args:
        invitation: found by its token.
        name: the principal's.
    """

    invitation: InvitationRecord
    name: str

    @property
    def actor(self) -> str:
        """The invitation's id: more is not known of who holds the link."""
        return self.invitation.id

    @property
    def holder(self) -> str:
        """The principal's id."""
        return self.invitation.principal_id

    def examine(self, stores: Stores, now: datetime) -> Entitlement:  # noqa: ARG002  as the claim has it
        """Return the principal's right.

        Raises:
            RequestRefused: as `authority.issuing.entitlement_of`; `invitation-invalid` if it was made from a device whose
                certificate is not valid any more.
        """
        self._require_device(stores)
        return entitlement_of(stores, self.holder)

    def redeem(self, services: Services, stores: Stores, record: CertificateRecord) -> None:
        """Use the invitation up; raise `RequestRefused` (`invitation-invalid`) if it is not open any more."""
        if not stores.invitations.redeem(self.invitation.id, record.id, services.clock.now()):
            raise _refuse_invalid()
        event = new_event(
            services,
            EventType.INVITATION_REDEEMED,
            actor=self.actor,
            data={"invitation": self.invitation.id, "principal": self.holder, "certificate": record.id},
            personal={"name": self.name},
        )
        stores.outbox.add(event)

    def settle(self, services: Services, stores: Stores, record: CertificateRecord) -> None:
        """Let a person's new certificate enrol a first second factor; the invitation was used up before.

        The device from which it was made may have been reported lost since the intent: no certificate becomes valid then.
        """
        self._require_device(stores)
        open_first_enrolment(services, stores, self.holder, record.id, actor=self.actor)

    def _require_device(self, stores: Stores) -> None:
        if has_lost_its_device(stores, self.invitation):
            raise _refuse_invalid()


def invite(
    services: Services, principal_name: str, *, lifetime: timedelta = DEFAULT_LIFETIME, actor: str
) -> Invitation:
    """Make an invitation for an active principal; those that it had open are voided in the same transaction.

    Args:
        services: the ports of this process.
        principal_name: who may redeem it.
        lifetime: more than nothing, at most 7 days.
        actor: who invites.

    Raises:
        NotFound: `principal-unknown`.
        RequestRefused: `principal-suspended`, `principal-of-a-partner`, `lifetime-refused`.
    """
    if not timedelta(0) < lifetime <= LONGEST_LIFETIME:
        raise RequestRefused(
            "lifetime-refused",
            "an invitation cannot be open that long or short",
            hint=f"choose at most {LONGEST_LIFETIME.days} days",
        )
    with services.work.change() as stores:
        # In the transaction: an invitation that is made while its principal is suspended would outlive that.
        principal = require_principal(stores, principal_name)
        return invite_within(services, stores, principal, lifetime=lifetime, actor=actor)


def invite_within(
    services: Services,
    stores: Stores,
    principal: Principal,
    *,
    lifetime: timedelta,
    actor: str,
    made_from: str = "",
) -> Invitation:
    """Do what `invite` does, for a lifetime that was checked, in the caller's transaction.

    Args:
        services: the ports of this process.
        stores: of that transaction.
        principal: as it is in that transaction.
        lifetime: how long it is open.
        actor: who invites.
        made_from: the certificate of the device from which its holder makes it; empty if an operator does.

    Raises:
        RequestRefused: `principal-suspended`, `principal-of-a-partner`.
    """
    _require_invitable(principal)
    now = services.clock.now()
    token = base64.urlsafe_b64encode(services.random.token(TOKEN_BYTES)).rstrip(b"=").decode("ascii")
    notes = void_open(services, stores, principal, VoidReason.SUPERSEDED, actor=actor, now=now)
    record = InvitationRecord(
        id=services.new_id("inv"),
        tenant=TENANT,
        principal_id=principal.id,
        token_sha256=hash_token(token),
        created_at=now,
        expires_at=now + lifetime,
        certificate_id=made_from,
    )
    stores.invitations.add(record)
    event = new_event(
        services,
        EventType.INVITATION_CREATED,
        actor=actor,
        at=now,
        data={
            "invitation": record.id,
            "principal": principal.id,
            "expires_at": record.expires_at,
            "profile": profile_for(principal.kind).name,
        },
        personal={"name": principal.name},
    )
    stores.outbox.add(event)
    return Invitation(token=token, record=record, notes=notes)


def _refuse_invalid() -> RequestRefused:
    return RequestRefused("invitation-invalid", "this invitation cannot be used", hint="ask for a new one")


def _require_invitable(principal: Principal) -> None:
    """Refuse who is suspended, and a partner's: its own authority certifies it, and two would be two identities."""
    if principal.state is not PrincipalState.ACTIVE:
        raise RequestRefused(
            "principal-suspended",
            f"{principal.name} is suspended",
            hint=f"`doorward {principal.kind.value} resume {principal.name}` comes first",
        )
    if principal.partner:
        raise RequestRefused(
            "principal-of-a-partner",
            f"{principal.name} has its certificates from its own authority",
            hint="it needs no link: it connects with the certificate it has",
        )
