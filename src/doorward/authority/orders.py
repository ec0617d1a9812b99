"""Gateways' orders for server certificates: place, fill, and query them.

    OPEN --fill_order--> FILLED or REFUSED
A newer order of the same gateway and purpose refuses an open one, because a gateway that starts again has a new key.
An order is answered once, by one conditional UPDATE: if two processes fill it, one of them succeeds.

Not here: the steps of issuing (issuing), what the gateway does with its certificate.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from doorward.audit.values import printable
from doorward.authority.inventory import require_certificate
from doorward.authority.issuing import Entitlement, Issued, issue, issue_each
from doorward.core.entities import TENANT
from doorward.core.errors import DoorwardError, MalformedInput, NotFound, RequestRefused
from doorward.core.names import own_hosts, parse_dns_name
from doorward.pki.csr import parse_csr
from doorward.pki.profiles import SERVER
from doorward.policy.server_certificates import OWN_CERTIFICATES, CertificateSource, CertifiedBy
from doorward.stores.acme_protocols import AcmeOrderRecord
from doorward.stores.policy_snapshot import current_document
from doorward.stores.prerequisites import issuing_chain, require_tenant
from doorward.stores.protocols import Stores
from doorward.stores.records import CertificateRecord, ChangeKind, OrderRecord, OrderState
from doorward.stores.services import Services

HOSTS_LIMIT = 100
"""Host names of one certificate; the precedent is the public CAs' limit."""

FILLED_TOGETHER = 50
"""Orders that share their transactions: a revocation waits behind them for about 50 ms."""

_PURPOSE = re.compile(r"[a-z0-9][a-z0-9_.:-]{0,62}")


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderStatus:
    """An order, and the chain if it is filled: DER, leaf first, without the root."""

    order: OrderRecord
    chain_der: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderClaim:
    """A gateway's order as a claim (`issuing.claims`).

    Args:
        actor: who fills it.
        order: the order; it is read again in each transaction.
        own: further hosts of this installation outside of the trust domain, such as the portal's host.
    """

    actor: str
    order: OrderRecord
    own: frozenset[str] = frozenset()

    @property
    def holder(self) -> str:
        """The gateway's id."""
        return self.order.gateway_id

    @property
    def name(self) -> str:
        """The first host."""
        return self.order.hosts[0]

    def examine(self, stores: Stores, now: datetime) -> Entitlement:  # noqa: ARG002  as the claim has it
        """Return the entitlement to a server certificate for the hosts of the order.

        Raises:
            NotFound: `order-unknown`, `not-founded`.
            RequestRefused: `order-not-open`; `host-not-ours`: an attacker who controls a gateway must not get a
                certificate for any other name.
        """
        trust_domain = require_tenant(stores).trust_domain
        order = _require_open(stores, self.order.id)
        _require_hosts(stores, trust_domain, order.hosts, self.own)
        # The common name is for people; clients check only the SAN (RFC 9525), so a long host may be cut.
        return Entitlement(
            profile=SERVER,
            subject=order.hosts[0],
            names=tuple(x509.DNSName(host) for host in order.hosts),
            lifetime=SERVER.lifetime,
        )

    def redeem(self, services: Services, stores: Stores, record: CertificateRecord) -> None:
        """Leave the order open: if this process dies before the certificate is valid, it is filled again."""

    def settle(self, services: Services, stores: Stores, record: CertificateRecord) -> None:  # noqa: ARG002  as above
        """Fill the order; raise `RequestRefused` (`order-not-open`) if another process has answered it."""
        if not stores.orders.fill(self.order.id, record.id):
            raise RequestRefused("order-not-open", f"another process has answered the order {self.order.id}")
        stores.changes.note(ChangeKind.ORDER, self.order.id, record.created_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest:
    """What a gateway asks for.

    Args:
        purpose: a word that the gateway chooses (`[a-z0-9_.:-]`, at most 63 characters).
        hosts: 1 to 100 DNS names; whether they are allowed is checked when the order is filled.
        csr: PKCS#10, PEM or DER, at most 16 KiB.
        source: who certifies the hosts: our own authority, or an ACME authority (`authority.acme` fills the order).
    """

    purpose: str
    hosts: Sequence[str]
    csr: bytes
    source: CertificateSource = OWN_CERTIFICATES


def place_order(
    services: Services,
    gateway_id: str,
    purpose: str,
    hosts: Sequence[str],
    csr: bytes,
    *,
    source: CertificateSource = OWN_CERTIFICATES,
) -> OrderRecord:
    """Order one server certificate, as `place_orders`."""
    request = OrderRequest(purpose=purpose, hosts=hosts, csr=csr, source=source)
    return place_orders(services, gateway_id, [request])[0]


def place_orders(services: Services, gateway_id: str, requests: Sequence[OrderRequest]) -> list[OrderRecord]:
    """Order server certificates in one transaction; the changes wake `serve`, which fills the orders.

    Args:
        services: the ports of this process.
        gateway_id: the gateway that asks; it must be registered.
        requests: each for another purpose.

    Returns:
        The open orders, in the same order. If an equal order is still open, that one.

    Raises:
        MalformedInput: `purpose-malformed`, `hosts-malformed`, `dns-name-malformed`, and those of `parse_csr`; none is
            placed.
        NotFound: `gateway-unknown`.
    """
    drafts = [_draft(gateway_id, one) for one in requests]
    with services.work.change() as stores:
        if all(one.id != gateway_id for one in stores.gateways.list()):
            raise NotFound(
                "gateway-unknown",
                f"no gateway {gateway_id[:64]} is registered",
                hint="start the gateway again",
            )
        there = _open_by_purpose(stores, gateway_id)
        return [
            _place(services, stores, draft, there.get(draft.purpose, ()), one.source)
            for draft, one in zip(drafts, requests, strict=True)
        ]


def _draft(gateway_id: str, request: OrderRequest) -> OrderRecord:
    """Return a checked order without id and date."""
    if not _PURPOSE.fullmatch(request.purpose):
        raise MalformedInput(
            "purpose-malformed",
            f"{printable(request.purpose, 64)} is not the purpose of an order",
            hint="use a-z, 0-9 and _.:- only, at most 63 characters",
        )
    if not 0 < len(request.hosts) <= HOSTS_LIMIT:
        raise MalformedInput(
            "hosts-malformed", f"the order names {len(request.hosts)} hosts; 1 to {HOSTS_LIMIT} are allowed"
        )
    return OrderRecord(
        id="",
        tenant=TENANT,
        gateway_id=gateway_id,
        purpose=request.purpose,
        hosts=tuple(sorted({parse_dns_name(host, wildcard=True) for host in request.hosts})),
        csr=parse_csr(request.csr).der,
        state=OrderState.OPEN,
        created_at=datetime.min.replace(tzinfo=UTC),
    )


def _open_by_purpose(stores: Stores, gateway_id: str) -> dict[str, list[OrderRecord]]:
    found: dict[str, list[OrderRecord]] = {}
    for one in stores.orders.open():
        if one.gateway_id == gateway_id:
            found.setdefault(one.purpose, []).append(one)
    return found


def _place(
    services: Services,
    stores: Stores,
    draft: OrderRecord,
    there: Sequence[OrderRecord],
    source: CertificateSource,
) -> OrderRecord:
    """Add an order, or return the equal one of the open orders for its purpose; refuse the others of these."""
    for one in there:
        if (one.hosts, one.csr) == (draft.hosts, draft.csr):
            return one
        stores.orders.refuse(one.id, "replaced by a newer order")
        stores.acme.remove_order(one.id)
    now = services.clock.now()
    order = replace(draft, id=services.new_id("ord"), created_at=now)
    stores.orders.add(order)
    if source.by is CertifiedBy.ACME:
        stores.acme.add_order(
            AcmeOrderRecord(order_id=order.id, tenant=TENANT, directory=source.directory, next_try_at=now)
        )
    stores.changes.note(ChangeKind.ORDER, order.id, now)
    return order


def fill_orders(
    services: Services, orders: Sequence[OrderRecord], *, actor: str, own: frozenset[str] = frozenset()
) -> dict[str, DoorwardError]:
    """Fill open orders, many in one transaction; return why some could not be filled, by the id of the order."""
    faults: dict[str, DoorwardError] = {}
    for at in range(0, len(orders), FILLED_TOGETHER):
        some = orders[at : at + FILLED_TOGETHER]
        claims = [(one.csr, OrderClaim(actor=actor, order=one, own=own)) for one in some]
        for order, outcome in zip(some, issue_each(services, claims), strict=True):
            if isinstance(outcome, DoorwardError):
                _refuse_order(services, order.id, outcome)
                faults[order.id] = outcome
            elif isinstance(outcome, Exception):
                raise outcome
    return faults


def fill_order(services: Services, order_id: str, *, actor: str, own: frozenset[str] = frozenset()) -> Issued:
    """Fill an order with a server certificate; `own` as in `OrderClaim`.

    Raises:
        NotFound: `order-unknown`, `not-founded`.
        RequestRefused: `order-not-open`; `order-not-ours`; `host-not-ours`, `certificate-refused`: the order is marked
            refused, with this message.
        Unavailable: nothing was issued and the order is still open.
    """
    with services.work.read() as stores:
        order = _require_open(stores, order_id)
        if stores.acme.orders([order_id]):
            raise RequestRefused("order-not-ours", f"another authority fills the order {order_id}")
    try:
        return issue(services, order.csr, OrderClaim(actor=actor, order=order, own=own))
    except DoorwardError as fault:
        _refuse_order(services, order_id, fault)
        raise


def _refuse_order(services: Services, order_id: str, fault: DoorwardError) -> None:
    """Mark an order as refused, unless it can be filled later."""
    if not isinstance(fault, MalformedInput | RequestRefused):
        return
    with services.work.change() as stores:
        if stores.orders.refuse(order_id, fault.detail):
            stores.changes.note(ChangeKind.ORDER, order_id, services.clock.now())


def open_orders(services: Services) -> list[OrderRecord]:
    """Return the open orders that our own authority fills, oldest first."""
    with services.work.read() as stores:
        found = stores.orders.open()
        others = stores.acme.orders([one.id for one in found])
        return [one for one in found if one.id not in others]


def renewal_times(services: Services, order_ids: Collection[str]) -> dict[str, datetime]:
    """Return when the certificates of these orders are due, by the order's id; only those of ACME authorities."""
    if not order_ids:
        return {}
    with services.work.read() as stores:
        found = stores.acme.orders(order_ids)
    return {one: record.renew_at for one, record in found.items() if record.renew_at is not None}


def order_status(services: Services, order_id: str) -> OrderStatus:
    """Return the status of an order; raise `NotFound` (`order-unknown`)."""
    with services.work.read() as stores:
        order = _present(stores, order_id)
        if order is None:
            raise _unknown(order_id)
        return _status(stores, order, functools.partial(issuing_chain, stores))


def answered_orders(services: Services, order_ids: Collection[str]) -> dict[str, OrderStatus | None]:
    """Return those of these orders that are not open any more, by their id.

    The status of an order is None if it is unknown, or if a later order took the place of its certificate.
    """
    with services.work.read() as stores:
        still_open = {one.id for one in stores.orders.open()}
        chain_of = functools.cache(functools.partial(issuing_chain, stores))
        return {
            one: _status(stores, order, chain_of) if (order := _present(stores, one)) else None
            for one in order_ids
            if one not in still_open
        }


def _present(stores: Stores, order_id: str) -> OrderRecord | None:
    """Return an order; None if it was filled by another authority, and that certificate was replaced since."""
    order = stores.orders.get(order_id)
    is_filled = order is not None and order.state is OrderState.FILLED and not order.certificate_id
    return None if is_filled and not stores.acme.orders([order_id]) else order


def _status(stores: Stores, order: OrderRecord, chain_of: Callable[[str], tuple[bytes, ...]]) -> OrderStatus:
    if order.state is not OrderState.FILLED:
        return OrderStatus(order=order, chain_der=())
    from_elsewhere = stores.acme.orders([order.id]).get(order.id)
    if from_elsewhere is not None:
        chain = x509.load_pem_x509_certificates(from_elsewhere.chain)
        return OrderStatus(order=order, chain_der=tuple(one.public_bytes(Encoding.DER) for one in chain))
    record = require_certificate(stores, order.certificate_id)
    return OrderStatus(order=order, chain_der=(record.der, *chain_of(record.authority_id)))


def _require_order(stores: Stores, order_id: str) -> OrderRecord:
    order = stores.orders.get(order_id)
    if order is None:
        raise _unknown(order_id)
    return order


def _unknown(order_id: str) -> NotFound:
    return NotFound("order-unknown", f"there is no order {order_id[:64]}", hint="place the order again")


def _require_open(stores: Stores, order_id: str) -> OrderRecord:
    order = _require_order(stores, order_id)
    if order.state is not OrderState.OPEN:
        raise RequestRefused("order-not-open", f"the order {order_id} is {order.state.value} already")
    return order


def _require_hosts(stores: Stores, trust_domain: str, hosts: Sequence[str], own: frozenset[str]) -> None:
    """Refuse a host that belongs to no application of the document and is not our own."""
    document, _ = current_document(stores)
    ours = {*own, *own_hosts(trust_domain), *(host for app in document.apps for host in app.hosts)}
    for host in hosts:
        if host not in ours:
            raise RequestRefused(
                "host-not-ours",
                f"no application has the host {host}",
                hint="add the application first: doorward app add, or doorward apply -f FILE",
            )
