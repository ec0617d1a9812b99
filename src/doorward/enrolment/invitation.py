"""The exchange behind a one-time link: a token and a request become a certificate.

To the peer every refusal of a token is one word, `invitation-invalid`, after the same work: it learns
nothing about which tokens exist. The event tells the operator which it was. A request that is malformed or
refused does not use the token up.

Not here: the life of an invitation (`directory.invitations`), the HTTP around it and how many may try in a
second (web).
"""

from __future__ import annotations

from doorward.audit.events import EventType, printable
from doorward.authority.issuing import Issued, issue
from doorward.core.entities import Principal
from doorward.core.errors import RequestRefused
from doorward.directory.invitations import find_fault, hash_token
from doorward.directory.inviting import InvitationClaim
from doorward.stores.events import write_event
from doorward.stores.records import InvitationRecord
from doorward.stores.services import Services


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
        source_address: where the request came from, for the record.
        if_wrong: what a wrong token is answered with, without an event of its own: too many came from
            there. None answers with `invitation-invalid` and records why.

    Returns:
        The certificate, durably recorded.

    Raises:
        RequestRefused: `invitation-invalid` for a token that is unknown, used, voided or expired;
            `principal-suspended`, `principal-removed`; `certificate-refused`.
        MalformedInput: as `pki.csr.parse_csr`; the token can be used again.
        Unavailable: nothing was issued; the token can be used again unless its use was stored.
    """
    with services.work.read() as stores:
        invitation = stores.invitations.by_token(hash_token(token))
        principal = stores.directory.get(invitation.principal_id) if invitation else None
        why = find_fault(stores, invitation, services.clock.now()) if invitation else ""
    if invitation is None or principal is None:
        raise if_wrong or _refuse(services, "invitation-unknown", invitation, principal, source_address)
    if why:
        raise if_wrong or _refuse(services, why, invitation, principal, source_address)
    try:
        return issue(services, csr, InvitationClaim(invitation=invitation, name=principal.name))
    except RequestRefused as refusal:
        if refusal.code != "invitation-invalid":
            raise
        # Another caller redeemed or voided it, or its time ended, between our look and our UPDATE.
        with services.work.read() as stores:
            now_as = stores.invitations.get(invitation.id)
            why = find_fault(stores, now_as, services.clock.now()) if now_as is not None else ""
        raise _refuse(services, why or "invitation-used", invitation, principal, source_address) from refusal


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
