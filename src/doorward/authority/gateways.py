"""The gateways: how far each has followed the changes, and their orders for server certificates.

Not here: filling an order (issuing), what a gateway does with a change (gateway), and the event
`gateway:started`, which the gateway records itself, since it alone knows what it can do.

An order: OPEN --issue_server--> FILLED or REFUSED; a newer order of the same gateway and purpose
replaces an open one, because a gateway that starts again has a new key.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from doorward.core.entities import TENANT
from doorward.core.errors import MalformedInput, NotFound
from doorward.core.names import parse_dns_name, parse_principal_name
from doorward.stores.protocols import Stores
from doorward.stores.records import ChangeKind, GatewayRecord, OrderRecord, OrderState
from doorward.stores.services import Services
from doorward.stores.standing import issuing_chain, require_tenant

FRESH_WITHIN = timedelta(seconds=15)
"""A gateway that was not heard of for three times its longest staleness (5 s) counts as away."""

HOSTS_LIMIT = 100
"""Host names of one certificate; the precedent is the public CAs' limit."""

JWK_LIMIT = 4096
STATUS_LIMIT = 65_536
"""Characters: with fifty applications that do not answer, and everything wrong at once, it is 15,000."""

_PURPOSE = re.compile(r"[a-z0-9][a-z0-9_.:-]{0,62}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """Whether one gateway enforces everything up to a number; `fresh` is whether it was heard of lately.

    A gateway that is neither confirmed nor fresh is away: by DESIGN 2 it refuses new connections itself.
    """

    gateway: GatewayRecord
    confirmed: bool
    fresh: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderStatus:
    """An order, and once it is filled the chain: DER, leaf first, without the root."""

    order: OrderRecord
    chain_der: tuple[bytes, ...]


def register_gateway(services: Services, *, name: str, assertion_jwk: str) -> GatewayRecord:
    """Add a gateway, or take over the one of that name; `gateway:started`, its own event, names who started it.

    Args:
        services: the ports of this process.
        name: `[a-z0-9][a-z0-9._-]{0,62}`, for people.
        assertion_jwk: the public key of its assertions, JSON, at most 65,536 characters.

    Raises:
        MalformedInput: `name-malformed`, `jwk-too-large`.
        NotFound: `not-founded`.
    """
    parse_principal_name(name)
    if len(assertion_jwk) > JWK_LIMIT:
        raise MalformedInput("jwk-too-large", f"a gateway's public key has at most {JWK_LIMIT} characters")
    with services.work.change() as stores:
        require_tenant(stores)
        known = next((one for one in stores.gateways.list() if name == one.name), None)
        gateway = GatewayRecord(
            id=known.id if known else services.new_id("gtw"),
            tenant=TENANT,
            name=name,
            confirmed_seq=known.confirmed_seq if known else 0,
            seen_at=services.clock.now(),
            status="starting",
            assertion_jwk=assertion_jwk,
        )
        stores.gateways.save(gateway)
    return gateway


def confirm(services: Services, gateway_id: str, seq: int, status: str) -> None:
    """Note that a gateway enforces everything up to `seq`; `status` is its own JSON, at most 4096 characters.

    Raises:
        MalformedInput: `status-too-large`.
    """
    if len(status) > STATUS_LIMIT:
        raise MalformedInput("status-too-large", f"a gateway's status has at most {STATUS_LIMIT} characters")
    with services.work.change() as stores:
        stores.gateways.confirm(gateway_id, seq, services.clock.now(), status)


def deregister_gateway(services: Services, gateway_id: str) -> None:
    """Forget a gateway that was stopped in order, so that nobody waits for it."""
    with services.work.change() as stores:
        stores.gateways.remove(gateway_id)


def find_gateway(services: Services, name: str) -> GatewayRecord | None:
    """Return the gateway of this name, None where there is none."""
    with services.work.read() as stores:
        return next((one for one in stores.gateways.list() if one.name == name), None)


def withdraw_registration(services: Services, gateway_id: str, former: GatewayRecord | None) -> None:
    """Undo the registration of a gateway whose start failed: nobody waits for it.

    Args:
        services: the ports of this process.
        gateway_id: what the registration gave.
        former: what was registered before. It comes back, for a gateway that died may have left
            connections behind: it goes on to count as away, and not as one that never was.
    """
    with services.work.change() as stores:
        if former is None:
            stores.gateways.remove(gateway_id)
        else:
            stores.gateways.save(former)


def confirmations(services: Services, seq: int) -> list[Confirmation]:
    """Return for every gateway, sorted by name, whether it enforces everything up to `seq`."""
    now = services.clock.now()
    with services.work.read() as stores:
        return [
            Confirmation(
                gateway=one, confirmed=one.confirmed_seq >= seq, fresh=now - one.seen_at <= FRESH_WITHIN
            )
            for one in stores.gateways.list()
        ]


def place_order(
    services: Services, gateway_id: str, purpose: str, hosts: Sequence[str], csr: bytes
) -> OrderRecord:
    """Ask for a server certificate; the issuing side is woken by the change and fills it.

    Args:
        services: the ports of this process.
        gateway_id: who asks; it must be registered.
        purpose: what the certificate is for, a word of the gateway's own (`[a-z0-9_.:-]`, 63 characters).
        hosts: 1 to 100 DNS names; which ones are allowed is judged when the order is filled.
        csr: PKCS#10, PEM or DER, at most 16 KiB.

    Returns:
        The open order; the same one where the very same was placed before and is still open.

    Raises:
        MalformedInput: `purpose-malformed`, `hosts-malformed`, `dns-name-malformed`, and those of `parse_csr`.
        NotFound: `gateway-unknown`.
    """
    if not _PURPOSE.fullmatch(purpose):
        raise MalformedInput("purpose-malformed", "the purpose of an order is one short word")
    if not 0 < len(hosts) <= HOSTS_LIMIT:
        raise MalformedInput("hosts-malformed", f"an order names 1 to {HOSTS_LIMIT} hosts")
    names = tuple(sorted({parse_dns_name(host, wildcard=True) for host in hosts}))
    from doorward.pki.csr import parse_csr  # noqa: PLC0415  commands only ask how far the gateways are (record 0049)

    request = parse_csr(csr)
    now = services.clock.now()
    with services.work.change() as stores:
        if all(one.id != gateway_id for one in stores.gateways.list()):
            raise NotFound(
                "gateway-unknown", "this gateway is not registered", hint="start the gateway again"
            )
        for open_order in stores.orders.open():
            if (open_order.gateway_id, open_order.purpose) != (gateway_id, purpose):
                continue
            if (open_order.hosts, open_order.csr) == (names, request.der):
                return open_order
            stores.orders.refuse(open_order.id, "replaced by a newer order")
        order = OrderRecord(
            id=services.new_id("ord"),
            tenant=TENANT,
            gateway_id=gateway_id,
            purpose=purpose,
            hosts=names,
            csr=request.der,
            state=OrderState.OPEN,
            created_at=now,
        )
        stores.orders.add(order)
        stores.changes.note(ChangeKind.ORDER, order.id, now)
    return order


def open_orders(services: Services) -> list[OrderRecord]:
    """Return the open orders, oldest first."""
    with services.work.read() as stores:
        return stores.orders.open()


def order_status(services: Services, order_id: str) -> OrderStatus:
    """Return where an order stands; raise `NotFound` (`order-unknown`)."""
    with services.work.read() as stores:
        order = require_order(stores, order_id)
        if order.state is not OrderState.FILLED:
            return OrderStatus(order=order, chain_der=())
        from doorward.authority.inventory import require_certificate  # noqa: PLC0415  as in `place_order`

        record = require_certificate(stores, order.certificate_id)
        return OrderStatus(order=order, chain_der=(record.der, *issuing_chain(stores, record.authority_id)))


def require_order(stores: Stores, order_id: str) -> OrderRecord:
    """Return the order; raise `NotFound` (`order-unknown`)."""
    order = stores.orders.get(order_id)
    if order is None:
        raise NotFound("order-unknown", "there is no such order", hint="place the order again")
    return order
