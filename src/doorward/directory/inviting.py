"""Making an invitation, and redeeming it as a claim to a certificate.

Not here: states of an invitation, listing, voiding (`invitations`), invitations for a person's own device (`added_devices`).
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import datetime, timedelta

from doorward.audit.events import EventType
from doorward.authority.issuing import Entitlement, entitlement_of
from doorward.core.entities import TENANT, Principal, PrincipalState
from doorward.core.errors import RequestRefused
from doorward.core.time_text import describe_time
from doorward.directory.factors.enrolment_tickets import open_first_enrolment
from doorward.directory.fleets.lapsing import lapse_for_link
from doorward.directory.invitations import (
    VoidReason,
    has_lost_its_device,
    hash_token,
    is_for_own_device,
    void_open,
)
from doorward.pki.profiles import profile_for
from doorward.stores.events import new_event
from doorward.stores.prerequisites import require_principal
from doorward.stores.protocols import Stores
from doorward.stores.records import CertificateRecord, InvitationRecord
from doorward.stores.services import Services

DEFAULT_LIFETIME = timedelta(hours=24)
LONGEST_LIFETIME = timedelta(days=7)
"""Links stay in mailboxes and chats: after a week an unused link is more likely found by an attacker than used."""

TOKEN_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """`token` (base64url, 43 characters) is shown once and not stored; `notes` are for the operator."""

    token: str
    record: InvitationRecord
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        # Printed values end up in logs; the token must not.
        return f"Invitation(record={self.record.id})"


@dataclass(frozen=True, slots=True, kw_only=True)
class InvitationClaim:
    """An invitation as a claim (`authority.issuing.claims`) to one certificate of its principal.

    Args:
        invitation: the invitation, found by its token.
        name: the name of the principal.
    """

    invitation: InvitationRecord
    name: str

    @property
    def actor(self) -> str:
        """The id of the invitation: nothing else is known about the holder of the link."""
        return self.invitation.id

    @property
    def holder(self) -> str:
        """The principal's id."""
        return self.invitation.principal_id

    def examine(self, stores: Stores, now: datetime) -> Entitlement:  # noqa: ARG002  as the claim has it
        """Return the entitlement of the principal.

        Raises:
            RequestRefused: as `authority.issuing.entitlement_of`; `invitation-invalid` if the certificate that made it is
                no longer valid.
        """
        self._require_device(stores)
        return entitlement_of(stores, self.holder)

    def redeem(self, services: Services, stores: Stores, record: CertificateRecord) -> None:
        """Mark the invitation as used; raise `RequestRefused` (`invitation-invalid`) if it is no longer open."""
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
        """Let a person's new certificate enrol a first second factor; `redeem` has marked the invitation as used.

        If the device that made the invitation was reported lost since the intent, no certificate becomes valid. An
        invitation that a person made never leads to a first factor: the person had one. If it was removed since, a thief
        who made the invitation in time would enrol a factor of his own.
        """
        self._require_device(stores)
        if is_for_own_device(self.invitation):
            return
        open_first_enrolment(services, stores, self.holder, record.id, actor=self.actor)

    def _require_device(self, stores: Stores) -> None:
        if has_lost_its_device(stores, self.invitation):
            raise _refuse_invalid()


def invite(
    services: Services, principal_name: str, *, lifetime: timedelta = DEFAULT_LIFETIME, actor: str
) -> Invitation:
    """Make an invitation for an active principal; its open invitations are voided in the same transaction.

    Args:
        services: the ports of this process.
        principal_name: the principal that gets the certificate.
        lifetime: more than 0, at most 7 days.
        actor: who invites.

    Raises:
        NotFound: `principal-unknown`.
        RequestRefused: `principal-suspended`, `principal-of-a-partner`, `lifetime-refused`.
    """
    if not timedelta(0) < lifetime <= LONGEST_LIFETIME:
        raise RequestRefused(
            "lifetime-refused",
            f"an invitation cannot be open for {describe_time(lifetime)}",
            hint=f"choose more than 0 seconds and at most {LONGEST_LIFETIME.days} days",
        )
    with services.work.change() as stores:
        # Inside the transaction: otherwise an invitation could be made while its principal is being suspended.
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
        made_from: id of the certificate of the device that makes it; empty if an operator does.

    Raises:
        RequestRefused: `principal-suspended`, `principal-of-a-partner`.
    """
    _require_invitable(principal)
    now = services.clock.now()
    token = base64.urlsafe_b64encode(services.random.token(TOKEN_BYTES)).rstrip(b"=").decode("ascii")
    notes = void_open(services, stores, principal, VoidReason.SUPERSEDED, actor=actor, now=now)
    notes += lapse_for_link(services, stores, principal.id)
    record = InvitationRecord(
        id=services.new_id("inv"),
        tenant=TENANT,
        principal_id=principal.id,
        token_sha256=hash_token(token),
        created_at=now,
        expires_at=now + lifetime,
        made_from=made_from,
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
            **({"certificate": made_from} if made_from else {}),
        },
        personal={"name": principal.name},
    )
    stores.outbox.add(event)
    return Invitation(token=token, record=record, notes=notes)


def _refuse_invalid() -> RequestRefused:
    return RequestRefused("invitation-invalid", "this invitation cannot be used", hint="ask for a new one")


def _require_invitable(principal: Principal) -> None:
    """Refuse suspended principals, and those of partners: their own authority certifies them."""
    if principal.state is not PrincipalState.ACTIVE:
        raise RequestRefused(
            "principal-suspended",
            f"{principal.name} is suspended",
            hint=f"`doorward {principal.kind.value} resume {principal.name}` comes first",
        )
    if principal.partner:
        raise RequestRefused(
            "principal-of-a-partner",
            f"{principal.name} gets its certificates from the authority of its partner",
            hint="no link is needed: it connects with the certificate that it has",
        )
