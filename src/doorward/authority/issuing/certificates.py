"""The six steps of issuing, for principals and for gateways' orders; see the package for the order's reasons.

Not here: what a certificate will say (drafts).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from doorward.audit.events import EventType
from doorward.authority.gateways import require_order
from doorward.authority.inventory import require_certificate
from doorward.authority.issuing.drafts import (
    Draft,
    draft_client,
    draft_server,
    load_press,
    write_draft_event,
    write_refusal_event,
)
from doorward.authority.issuing.registration import require_active, require_hosts, require_renewable
from doorward.authority.status.answers import replace_answers
from doorward.core.certificate import CertificateState
from doorward.core.entities import Principal
from doorward.core.errors import DoorwardError, MalformedInput, RequestRefused
from doorward.pki.csr import parse_csr
from doorward.pki.minting import sign
from doorward.stores.events import write_event
from doorward.stores.protocols import Stores
from doorward.stores.records import CertificateRecord, ChangeKind, OrderRecord, OrderState
from doorward.stores.services import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A certificate that is in the inventory and valid; `chain_der`: leaf first, without the root."""

    record: CertificateRecord
    chain_der: tuple[bytes, ...]
    seq: int


def issue(
    services: Services,
    principal: Principal,
    csr: bytes,
    *,
    actor: str,
    replaces: str = "",
    invitation_id: str = "",
) -> Issued:
    """Issue a client certificate to a principal.

    Args:
        services: the ports of this process.
        principal: who it is for; its state is read anew.
        csr: PKCS#10, PEM or DER, at most 16 KiB; only its key counts, the names are the directory's.
        actor: who acts.
        replaces: the id of the certificate that it succeeds (use `renew`).
        invitation_id: the invitation to claim with it.

    Returns:
        The certificate, durably recorded.

    Raises:
        MalformedInput: as `pki.csr.parse_csr`.
        RequestRefused: `principal-suspended`, `principal-removed`, `certificate-not-renewable`,
            `invitation-invalid` (claimed meanwhile), `certificate-refused` (lint).
        NotFound: `not-founded`, `principal-unknown`.
        Unavailable: `keys-unavailable`, or the database is away: nothing was issued.
    """
    return _issue_client(
        services,
        principal.id,
        principal.name,
        csr,
        actor=actor,
        replaces=replaces,
        invitation_id=invitation_id,
    )


def renew(services: Services, certificate_id: str, csr: bytes, *, actor: str) -> Issued:
    """Issue the successor of a valid certificate to the same principal; the old one stays valid meanwhile.

    Raises:
        NotFound: `certificate-unknown`, and as `issue` does.
        RequestRefused: `certificate-not-renewable`, and as `issue` does.
    """
    with services.work.read() as stores:
        record = require_certificate(stores, certificate_id)
    return _issue_client(
        services, record.principal_id, record.subject_name, csr, actor=actor, replaces=record.id
    )


def issue_server(services: Services, order_id: str, *, actor: str) -> Issued:
    """Fill a gateway's order with a server certificate.

    Raises:
        NotFound: `order-unknown`, `not-founded`.
        RequestRefused: `order-not-open`; `host-not-ours` and `certificate-refused`, after which the
            order says so too.
        Unavailable: nothing was issued and the order is still open.
    """
    with services.work.read() as stores:
        order = _require_open(stores, order_id)

    def draft() -> Draft:
        request = parse_csr(order.csr)
        with services.work.read() as stores:
            press = load_press(services, stores)
            require_hosts(stores, press.tenant, order.hosts)
        return draft_server(services, press, order, request, actor=actor)

    def intend(stores: Stores, drafted: Draft) -> None:
        _require_open(stores, order_id)
        require_hosts(stores, drafted.press.tenant, order.hosts)

    def settle(stores: Stores, drafted: Draft) -> None:
        # Another process may have filled it meanwhile; then this intent comes to nothing.
        _require_open(stores, order_id)
        stores.orders.fill(order_id, drafted.record.id)
        stores.changes.note(ChangeKind.ORDER, order_id, drafted.record.created_at)

    try:
        return _issue(
            services, draft, intend, settle, actor=actor, holder=order.gateway_id, name=order.hosts[0]
        )
    except (MalformedInput, RequestRefused) as refusal:
        _refuse_order(services, order_id, refusal)
        raise


def _issue_client(
    services: Services,
    principal_id: str,
    name: str,
    csr: bytes,
    *,
    actor: str,
    replaces: str,
    invitation_id: str = "",
) -> Issued:
    """What issuing to a principal adds to the six steps; `name` is for the record of a refusal."""

    def require(stores: Stores) -> Principal:
        if replaces:
            require_renewable(stores, replaces, services.clock.now())
        return require_active(stores, principal_id)

    def draft() -> Draft:
        request = parse_csr(csr)
        with services.work.read() as stores:
            principal = require(stores)
            press = load_press(services, stores)
        return draft_client(services, press, principal, request, actor=actor, replaces=replaces)

    def intend(stores: Stores, drafted: Draft) -> None:
        principal = require(stores)
        if invitation_id:
            _claim(services, stores, drafted, invitation_id, principal)

    def settle(stores: Stores, drafted: Draft) -> None:
        # The principal may have been removed since the intent: its certificates were revoked then,
        # and this one was not among them yet.
        require_active(stores, principal_id)
        if replaces:
            stores.outbox.add(write_draft_event(services, EventType.CERTIFICATE_RENEWED, drafted))

    return _issue(services, draft, intend, settle, actor=actor, holder=principal_id, name=name)


def _issue(
    services: Services,
    draft: Callable[[], Draft],
    intend: Callable[[Stores, Draft], None],
    settle: Callable[[Stores, Draft], None],
    *,
    actor: str,
    holder: str,
    name: str,
) -> Issued:
    """The six steps; `intend` and `settle` are what one kind of certificate adds to the transactions."""
    try:
        # 1. rules, 2. prepare
        drafted = draft()
        # 3. the intent
        with services.work.change() as stores:
            intend(stores, drafted)
            stores.certificates.add_intended(drafted.record)
            stores.outbox.add(write_draft_event(services, EventType.CERTIFICATE_INTENDED, drafted))
        # 4. sign
        minted = sign(drafted.prepared, drafted.press.key)
        # 5. the record
        record = replace(
            drafted.record, state=CertificateState.VALID, sha256=minted.facts.sha256, der=minted.der
        )
        signer = drafted.press.signer
        answers = signer.sign(record, record.created_at) if signer else ()
        with services.work.change() as stores:
            settle(stores, drafted)
            stores.certificates.complete(record.id, sha256=record.sha256, der=record.der)
            replace_answers(stores, record.id, answers, record.created_at)
            issued = EventType.CERTIFICATE_ISSUED
            stores.outbox.add(write_draft_event(services, issued, drafted, facts=minted.facts))
            seq = stores.changes.note(ChangeKind.CERTIFICATE, record.id, services.clock.now())
    except (MalformedInput, RequestRefused) as refusal:
        services.work.record([write_refusal_event(services, refusal, actor=actor, holder=holder, name=name)])
        raise
    # 6. hand out
    return Issued(record=record, chain_der=(record.der, drafted.press.authority.der), seq=seq)


def _claim(
    services: Services, stores: Stores, drafted: Draft, invitation_id: str, principal: Principal
) -> None:
    """Use an invitation up, for exactly this certificate; of several callers one gets past here."""
    if not stores.invitations.claim(invitation_id, services.clock.now()):
        raise RequestRefused("invitation-invalid", "this invitation cannot be used", hint="ask for a new one")
    stores.invitations.bind(invitation_id, drafted.record.id)
    event = write_event(
        services,
        EventType.INVITATION_REDEEMED,
        actor=drafted.actor,
        data={"invitation": invitation_id, "principal": principal.id, "certificate": drafted.record.id},
        personal={"name": principal.name},
    )
    stores.outbox.add(event)


def _require_open(stores: Stores, order_id: str) -> OrderRecord:
    order = require_order(stores, order_id)
    if order.state is not OrderState.OPEN:
        raise RequestRefused("order-not-open", f"this order is {order.state.value} already")
    return order


def _refuse_order(services: Services, order_id: str, refusal: DoorwardError) -> None:
    """Tell the gateway; an order that somebody else filled meanwhile stays filled."""
    with services.work.change() as stores:
        if require_order(stores, order_id).state is OrderState.OPEN:
            stores.orders.refuse(order_id, refusal.detail)
            stores.changes.note(ChangeKind.ORDER, order_id, services.clock.now())
