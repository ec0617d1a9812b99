"""One-time invitations: a link becomes a certificate, once.

A token is 256 random bits in base64url. Only its SHA-256 is kept: a reader of the database cannot redeem
anything. A plain hash is right here, since there is nothing to guess in 256 bits.

The life of an invitation: open --redeem--> used (by exactly one caller, ever); open --time--> expired;
open --void--> voided, for good: by hand, by a newer invitation, by suspending or removing the principal.
- A principal has at most one open invitation; resuming a suspended principal brings none back.
- Redeeming (`InvitationClaim`) is one conditional UPDATE in the transaction that records the intent to issue. Of
  two callers one wins; a certificate without a redeemed invitation, or two for one, cannot be.
- After a crash between intent and signature the invitation is used and its certificate stays an
  intent that is never valid: nobody got in, and the operator invites again.

Not here: what the holder of a link is told (`enrolment.invitation`), the link around the token (web, cli), and
who may invite (each process that can write the database).
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING

from doorward.audit.events import EventType
from doorward.core.entities import TENANT, Principal, PrincipalState
from doorward.core.errors import NotFound, RequestRefused
from doorward.stores.events import write_event
from doorward.stores.protocols import Stores
from doorward.stores.records import CertificateRecord, InvitationRecord
from doorward.stores.services import Services
from doorward.stores.standing import require_principal

if TYPE_CHECKING:
    from doorward.authority.issuing import Right

DEFAULT_LIFETIME = timedelta(hours=24)
LONGEST_LIFETIME = timedelta(days=7)
"""A link lies in mailboxes and chats: what is not used within a week is forgotten or found by another."""

TOKEN_BYTES = 32

TOKEN_LIMIT = 256
"""Characters that are looked at; what is longer cannot be one of ours."""


class VoidReason(Enum):
    """Why an invitation was voided; in its event."""

    SUPERSEDED = "superseded"
    PRINCIPAL_SUSPENDED = "principal-suspended"
    PRINCIPAL_REMOVED = "principal-removed"
    WITHDRAWN = "withdrawn"


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

    def examine(self, stores: Stores, now: datetime) -> Right:  # noqa: ARG002  as the claim has it
        """Return the principal's right; raises as `authority.issuing.right_of`."""
        from doorward.authority.issuing import right_of  # noqa: PLC0415  most commands only list (record 0049)

        return right_of(stores, self.holder)

    def redeem(self, services: Services, stores: Stores, record: CertificateRecord) -> None:
        """Use the invitation up; raise `RequestRefused` (`invitation-invalid`) if it is not open any more."""
        if not stores.invitations.redeem(self.invitation.id, record.id, services.clock.now()):
            hint = "ask for a new one"
            raise RequestRefused("invitation-invalid", "this invitation cannot be used", hint=hint)
        event = write_event(
            services,
            EventType.INVITATION_REDEEMED,
            actor=self.actor,
            data={"invitation": self.invitation.id, "principal": self.holder, "certificate": record.id},
            personal={"name": self.name},
        )
        stores.outbox.add(event)

    def settle(self, services: Services, stores: Stores, record: CertificateRecord) -> None:
        """Do nothing: the invitation was used up before the signature."""


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
    from doorward.pki.profiles import profile_for  # noqa: PLC0415  as in `examine`

    now = services.clock.now()
    token = base64.urlsafe_b64encode(services.random.token(TOKEN_BYTES)).rstrip(b"=").decode("ascii")
    with services.work.change() as stores:
        # In the transaction: an invitation that is made while its principal is suspended would outlive that.
        principal = require_principal(stores, principal_name)
        _require_invitable(principal)
        notes = void_open(services, stores, principal, VoidReason.SUPERSEDED, actor=actor, now=now)
        record = InvitationRecord(
            id=services.new_id("inv"),
            tenant=TENANT,
            principal_id=principal.id,
            token_sha256=hash_token(token),
            created_at=now,
            expires_at=now + lifetime,
        )
        stores.invitations.add(record)
        event = write_event(
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


def list_open(services: Services, principal_name: str | None = None) -> list[tuple[InvitationRecord, str]]:
    """Return the open invitations and their principals' names, oldest first; `NotFound` (`principal-unknown`)."""
    now = services.clock.now()
    with services.work.read() as stores:
        of = require_principal(stores, principal_name).id if principal_name else None
        found = []
        for record in stores.invitations.open_at(now, of):
            principal = stores.directory.get(record.principal_id)
            found.append((record, principal.name if principal else ""))
        return found


def withdraw(services: Services, invitation_id: str, *, actor: str) -> InvitationRecord:
    """Void an invitation for good, with its event; one that was voided before is returned as it is.

    Raises:
        NotFound: `invitation-unknown`.
        RequestRefused: `invitation-not-open`: it was used, or is expired; nothing changes.
    """
    now = services.clock.now()
    with services.work.change() as stores:
        record = stores.invitations.get(invitation_id)
        principal = stores.directory.get(record.principal_id) if record else None
        if record is None or principal is None:
            raise NotFound(
                "invitation-unknown",
                "there is no such invitation",
                hint="`doorward invitation list` shows those that are open",
            )
        if record.voided_at is not None:  # what was asked for is so already
            return record
        why = find_fault(record, now)
        if why:
            raise RequestRefused(
                "invitation-not-open",
                f"this link works no longer: {why}",
                hint="where a certificate came of it: `doorward cert list --of NAME`, `doorward cert revoke ID`",
            )
        _void(services, stores, record, principal, VoidReason.WITHDRAWN, actor=actor, now=now)
    return replace(record, voided_at=now)


def void_open(
    services: Services, stores: Stores, principal: Principal, reason: VoidReason, *, actor: str, now: datetime
) -> tuple[str, ...]:
    """Void every open invitation of a principal, in the caller's transaction; return what to tell."""
    found = stores.invitations.open_at(now, principal.id)
    count = sum(_void(services, stores, one, principal, reason, actor=actor, now=now) for one in found)
    return (f"{count} open link{'s were' if count != 1 else ' was'} withdrawn",) if count else ()


def find_fault(invitation: InvitationRecord, now: datetime) -> str:
    """Return why an invitation cannot be redeemed, in a word for the record; empty if it can."""
    if invitation.used_at is not None:
        return "invitation-used"
    if invitation.voided_at is not None:
        return "invitation-voided"
    return "invitation-expired" if now >= invitation.expires_at else ""


def hash_token(token: str) -> str:
    """Return what is kept of a token: its SHA-256, lower-case hex."""
    return hashlib.sha256(token[:TOKEN_LIMIT].encode("utf-8", "surrogatepass")).hexdigest()


def _void(
    services: Services,
    stores: Stores,
    invitation: InvitationRecord,
    principal: Principal,
    reason: VoidReason,
    *,
    actor: str,
    now: datetime,
) -> bool:
    """Void one invitation with its event; False, and no event, if it was used or voided already."""
    if not stores.invitations.void(invitation.id, now):
        return False
    event = write_event(
        services,
        EventType.INVITATION_VOIDED,
        actor=actor,
        at=now,
        data={"invitation": invitation.id, "principal": principal.id, "reason": reason.value},
        personal={"name": principal.name},
    )
    stores.outbox.add(event)
    return True


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
