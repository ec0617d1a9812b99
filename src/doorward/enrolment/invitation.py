"""One-time invitations: a link becomes a certificate, once.

A token is 256 random bits in base64url. Only its SHA-256 is kept: whoever reads the database
cannot redeem anything. A plain hash is right here, since there is nothing to guess in 256 bits.

The life of an invitation: open --redeem--> used (by exactly one caller, ever); open --time--> expired;
open --withdraw--> voided (by hand, by a newer invitation, by suspending or removing; for good).
- The request is parsed and the registration rules are asked before the token is claimed: a malformed
  request or a refusal does not use it up.
- The claim (compare and set) is in the transaction that records the intent to issue. Of two callers
  one wins; a certificate without a claim, or two for one claim, cannot be.
- After a crash between intent and signature the invitation is used and its certificate stays an
  intent that is never valid: nobody got in, and the operator invites again.

To the peer every refusal of a token is one word, `invitation-invalid`, after the same work: it learns
nothing about which tokens exist. The event tells the operator which it was.

Not here: the link around the token (web, cli), who may invite (whoever can write the database), and
how many may try in a second (web).
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from doorward.audit.events import EventType, printable
from doorward.core.entities import TENANT, Principal, PrincipalState
from doorward.core.errors import NotFound, RequestRefused
from doorward.directory.invitations import VoidReason, void_one, void_open
from doorward.directory.principals import require_principal
from doorward.stores.events import write_event
from doorward.stores.records import InvitationRecord
from doorward.stores.services import Services

if TYPE_CHECKING:
    from doorward.authority.issuing import Issued

DEFAULT_LIFETIME = timedelta(hours=24)
LONGEST_LIFETIME = timedelta(days=7)
"""A link lies in mailboxes and chats: what is not used within a week is forgotten or found by another."""

TOKEN_BYTES = 32

TOKEN_LIMIT = 256
"""Characters that are looked at; what is longer cannot be one of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """`token` (base64url, 43 characters) is shown once and kept nowhere; `notes` are for whoever invited."""

    token: str
    record: InvitationRecord
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        # What is printed ends in logs; the token must not.
        return f"Invitation(record={self.record.id})"


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
    from doorward.pki.profiles import profile_for  # noqa: PLC0415  as in `redeem`

    now = services.clock.now()
    token = base64.urlsafe_b64encode(services.random.token(TOKEN_BYTES)).rstrip(b"=").decode("ascii")
    with services.work.change() as stores:
        # In the transaction: an invitation that is made while its principal is suspended would outlive that.
        principal = require_principal(stores, principal_name)
        _require_active(principal)
        _require_own(principal)
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


def _require_own(principal: Principal) -> None:
    """Refuse a partner's: its own authority gives it certificates, and two would be two identities."""
    if principal.partner:
        raise RequestRefused(
            "principal-of-a-partner",
            f"{principal.name} has its certificates from its own authority",
            hint="it needs no link: it connects with the certificate it has",
        )


def list_open(services: Services, principal_name: str | None = None) -> list[tuple[InvitationRecord, str]]:
    """Return the open invitations with whose they are, oldest first; raise `NotFound` (`principal-unknown`)."""
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
        why = _find_fault(record, principal, now)
        if why:
            raise RequestRefused(
                "invitation-not-open",
                f"this link works no longer: {why}",
                hint="where a certificate came of it: `doorward cert list --of NAME`, `doorward cert revoke ID`",
            )
        void_one(services, stores, record, principal, VoidReason.WITHDRAWN, actor=actor, now=now)
    return replace(record, voided_at=now)


def _require_active(principal: Principal) -> None:
    if principal.state is not PrincipalState.ACTIVE:
        raise RequestRefused(
            "principal-suspended",
            f"{principal.name} is suspended",
            hint=f"`doorward {principal.kind.value} resume {principal.name}` comes first",
        )


def redeem(
    services: Services,
    token: str,
    csr: bytes,
    *,
    source_address: str = "",
    if_wrong: RequestRefused | None = None,
) -> Issued:
    """Turn a token and a request into a certificate, once.

    Args:
        services: the ports of this process.
        token: from the link.
        csr: PKCS#10, PEM or DER, at most 16 KiB; only its key counts.
        source_address: whose request it is, for the record.
        if_wrong: what a wrong token is answered with, without an event of its own: too many came from
            there. None answers with `invitation-invalid` and records why.

    Returns:
        The certificate, durably recorded.

    Raises:
        RequestRefused: `invitation-invalid` for a token that is unknown, used, voided or expired;
            `principal-suspended`, `principal-removed`; `certificate-refused`.
        MalformedInput: as `pki.csr.parse_csr`; the token can be used again.
        Unavailable: nothing was issued; the token can be used again unless its claim was stored.
    """
    now = services.clock.now()
    with services.work.read() as stores:
        invitation = stores.invitations.by_token(hash_token(token))
        principal = stores.directory.get(invitation.principal_id) if invitation else None
    why = _find_fault(invitation, principal, now)
    if why or invitation is None or principal is None:
        raise if_wrong or _refuse(services, why, invitation, principal, source_address)
    try:
        from doorward.authority.issuing import issue  # noqa: PLC0415  most commands only list (record 0049)

        return issue(services, principal, csr, actor=invitation.id, invitation_id=invitation.id)
    except RequestRefused as refusal:
        if refusal.code != "invitation-invalid":
            raise
        # Somebody else claimed or voided it between our look and our claim.
        with services.work.read() as stores:
            why = _find_fault(stores.invitations.get(invitation.id), principal, now)
        raise _refuse(services, why or "invitation-used", invitation, principal, source_address) from refusal


def hash_token(token: str) -> str:
    """Return what is kept of a token: its SHA-256, lower-case hex."""
    return hashlib.sha256(token[:TOKEN_LIMIT].encode("utf-8", "surrogatepass")).hexdigest()


def _find_fault(invitation: InvitationRecord | None, principal: Principal | None, now: datetime) -> str:
    """Return why a token cannot be redeemed, in a word for the record; empty where it can."""
    if invitation is None or principal is None:
        return "invitation-unknown"
    if invitation.used_at is not None:
        return "invitation-used"
    if invitation.voided_at is not None:
        return "invitation-voided"
    return "invitation-expired" if now >= invitation.expires_at else ""


def _refuse(
    services: Services,
    why: str,
    invitation: InvitationRecord | None,
    principal: Principal | None,
    source_address: str,
) -> RequestRefused:
    """Record the reason and return the one error that every peer gets."""
    event = write_event(
        services,
        EventType.INVITATION_REFUSED,
        actor=invitation.id if invitation else "system",
        data={
            "reason": why,
            "invitation": invitation.id if invitation else "",
            "principal": principal.id if principal else "",
        },
        personal={"name": principal.name if principal else "", "source": printable(source_address)},
    )
    services.work.record([event])
    return RequestRefused(
        "invitation-invalid",
        "this invitation cannot be used: it is unknown, used, withdrawn or expired",
        hint="ask whoever invited you for a new one",
    )
