"""Redeeming a one-time link: a token and a certificate request become a certificate.

The peer gets the same answer, `invitation-invalid`, for every bad token, after the same work: so it cannot learn which
tokens exist. The event records the reason for the operator. A malformed or refused request does not use the token up.

Not here: making and withdrawing invitations (`directory.invitations`), HTTP and rate limits (web).
"""

from __future__ import annotations

import hmac
from collections.abc import Callable

from doorward.audit.events import EventType, printable
from doorward.authority.issuing import Claim, Issued, issue
from doorward.core.entities import Principal
from doorward.core.errors import RequestRefused
from doorward.directory.invitations import find_fault, hash_token
from doorward.directory.inviting import InvitationClaim
from doorward.stores.events import new_event
from doorward.stores.records import InvitationRecord
from doorward.stores.services import Services


def redeem(
    services: Services,
    token: str,
    csr: bytes | Callable[[], bytes],
    *,
    name: str | None = None,
    source_address: str = "",
    bad_token_error: RequestRefused | None = None,
    claimed: Callable[[InvitationClaim], Claim] | None = None,
) -> Issued:
    """Issue a certificate for a token, once.

    Args:
        services: the ports of this process.
        token: from the link.
        csr: PKCS#10, PEM or DER, at most 16 KiB; only its key is used. Or a function that makes it, which is called only
            for a good token: an unknown peer must not make us compute a key.
        name: the name that the requester states; it must be the principal's name. None if the protocol has none.
        source_address: the address of the requester, for the event.
        bad_token_error: the error for a bad token, raised without an event, if this source has tried too often. None means
            `invitation-invalid` with an event.
        claimed: makes another claim of the invitation's.

    Returns:
        The certificate, durably recorded.

    Raises:
        RequestRefused: `invitation-invalid` for a token that is unknown, used, voided, expired or for another name;
            `principal-suspended`, `principal-removed`; `certificate-refused`.
        MalformedInput: as `pki.csr.parse_csr`; the token can be used again.
        Unavailable: nothing was issued; the token can be used again unless its use was stored.
    """
    with services.work.read() as stores:
        invitation = stores.invitations.by_token(hash_token(token))
        principal = stores.directory.get(invitation.principal_id) if invitation else None
        why = find_fault(stores, invitation, services.clock.now()) if invitation else ""
    if invitation is None or principal is None:
        raise bad_token_error or _refuse(
            services, "invitation-unknown", invitation, principal, source_address
        )
    if name is not None and not hmac.compare_digest(name.encode(), principal.name.encode()):
        why = "invitation-for-another"
    if why:
        raise bad_token_error or _refuse(services, why, invitation, principal, source_address)
    try:
        claim = InvitationClaim(invitation=invitation, name=principal.name)
        return issue(services, csr, claimed(claim) if claimed else claim)
    except RequestRefused as refusal:
        if refusal.code != "invitation-invalid":
            raise
        # Another caller redeemed or voided it, or it expired, between our read and our UPDATE.
        with services.work.read() as stores:
            current = stores.invitations.get(invitation.id)
            why = find_fault(stores, current, services.clock.now()) if current is not None else ""
        raise _refuse(services, why or "invitation-used", invitation, principal, source_address) from refusal


def _refuse(
    services: Services,
    why: str,
    invitation: InvitationRecord | None,
    principal: Principal | None,
    source_address: str,
) -> RequestRefused:
    """Record the reason and return the one error that every peer gets."""
    event = new_event(
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
        hint="ask the person who invited you for a new one",
    )
