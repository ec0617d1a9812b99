"""Gateways' orders: placed by a gateway, filled once by `serve`."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from doorward.access import policies
from doorward.audit.events import EventType
from doorward.authority import issuing, orders
from doorward.core.certificate import CertificateState
from doorward.core.errors import MalformedInput, NotFound, RequestRefused, Unavailable
from doorward.stores.records import CertificateFilter, ChangeKind, OrderState
from tests.support.interleaving import before_change
from tests.support.refusals import refused
from tests.support.world import DOCUMENT, OPERATOR


def test_order_is_placed_once(world):
    """Two equal orders are one order; it is a change, which wakes `serve`."""
    gateway, csr = world.gateway(), world.csr()
    order = orders.place_order(
        world.services, gateway.id, "apps", ["B.example", "a.example", "a.example"], csr
    )
    assert order.hosts == ("a.example", "b.example")
    assert orders.place_order(world.services, gateway.id, "apps", ["a.example", "b.example"], csr) == order
    assert orders.open_orders(world.services) == [order]
    with world.work.read() as stores:
        (change,) = stores.changes.since(stores.changes.head() - 1)
    assert (change.kind, change.subject) == (ChangeKind.ORDER, order.id)
    status = orders.order_status(world.services, order.id)
    assert (status.order, status.chain_der) == (order, ())


def test_newer_order_replaces_the_open_one(world):
    """A restarted gateway has a new key: its old order is refused, one with another purpose stays."""
    gateway = world.gateway()
    old = orders.place_order(world.services, gateway.id, "apps", ["a.example"], world.csr())
    kept = orders.place_order(world.services, gateway.id, "portal", ["a.example"], world.csr())
    new = orders.place_order(world.services, gateway.id, "apps", ["a.example"], world.csr())
    assert {one.id for one in orders.open_orders(world.services)} == {kept.id, new.id}
    old_order = orders.order_status(world.services, old.id).order
    assert (old_order.state, old_order.refusal) == (OrderState.REFUSED, "replaced by a newer order")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"purpose": ""}, "purpose-malformed"),
        ({"purpose": "two words"}, "purpose-malformed"),
        ({"hosts": []}, "hosts-malformed"),
        ({"hosts": ["a.example"] * 101}, "hosts-malformed"),
        ({"hosts": ["a b"]}, "dns-name-malformed"),
        ({"csr": b"nonsense"}, "csr-malformed"),
    ],
)
def test_bad_order_is_refused(world, change, code):
    """An order that can never be filled is refused when it is placed."""
    gateway = world.gateway()
    arguments = {"purpose": "apps", "hosts": ["a.example"], "csr": world.csr(), **change}
    with refused(MalformedInput, code):
        orders.place_order(world.services, gateway.id, **arguments)
    assert orders.open_orders(world.services) == []


def test_order_of_a_stranger_is_refused(world):
    """Only a registered gateway may order."""
    with refused(NotFound, "gateway-unknown"):
        orders.place_order(world.services, "gtw_nobody", "apps", ["a.example"], world.csr())
    with refused(NotFound, "order-unknown"):
        orders.order_status(world.services, "ord_nothing")


def place(world, *hosts, purpose="applications"):
    """Place an order for hosts."""
    gateway = world.gateway()
    return orders.place_order(world.services, gateway.id, purpose, hosts, world.csr())


def test_order_is_filled_with_a_server_certificate(world):
    """A gateway gets a certificate for hosts of the document and for our own two hosts."""
    hosts = ("payments.corp.example", "enroll.corp.example", "portal.corp.example")
    order = place(world, *hosts)
    issued = orders.fill_order(world.services, order.id, actor="system")
    certificate = x509.load_der_x509_certificate(issued.record.der)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(names.get_values_for_type(x509.DNSName)) == set(hosts)
    purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [ExtendedKeyUsageOID.SERVER_AUTH]
    status = orders.order_status(world.services, order.id)
    assert status.order.state is OrderState.FILLED
    assert status.chain_der == issued.chain_der
    assert orders.open_orders(world.services) == []
    assert issued.record.principal_id == ""
    assert world.events(EventType.CERTIFICATE_ISSUED)[-1].data["principal"] == order.gateway_id


def test_long_host_is_cut_in_the_common_name_only(world):
    """A long host is cut in the common name and complete in the SAN."""
    host = ".".join(["a" * 30] * 3) + ".example"
    policies.apply_document(
        world.services, DOCUMENT.replace("payments.corp.example", host), file="x.yaml", actor=OPERATOR
    )
    issued = orders.fill_order(world.services, place(world, host).id, actor="system")
    names = (
        x509.load_der_x509_certificate(issued.record.der)
        .extensions.get_extension_for_class(x509.SubjectAlternativeName)
        .value
    )
    assert names.get_values_for_type(x509.DNSName) == [host]


def test_foreign_host_is_refused_and_the_order_says_so(world):
    """A gateway gets no certificate for a host that is not in the document."""
    order = place(world, "payments.corp.example", "www.bank.example")
    before = world.head()
    with refused(RequestRefused, "host-not-ours") as refusal:
        orders.fill_order(world.services, order.id, actor="system")
    assert "www.bank.example" in refusal.value.detail
    status = orders.order_status(world.services, order.id)
    assert status.order.state is OrderState.REFUSED
    assert "www.bank.example" in status.order.refusal
    assert world.head() == before + 1
    assert world.events(EventType.CERTIFICATE_REFUSED)[-1].data["reasons"] == ("host-not-ours",)


def test_order_is_filled_once(world):
    """A filled order is not filled again."""
    order = place(world, "payments.corp.example")
    orders.fill_order(world.services, order.id, actor="system")
    with refused(RequestRefused, "order-not-open"):
        orders.fill_order(world.services, order.id, actor="system")
    assert orders.order_status(world.services, order.id).order.state is OrderState.FILLED
    with pytest.raises(NotFound):
        orders.fill_order(world.services, "ord_nothing", actor="system")


def test_two_processes_fill_one_order_with_one_certificate(world):
    """If two processes fill an order at once, one certificate becomes valid."""
    order = place(world, "payments.corp.example")
    before_change(world, 2, lambda: orders.fill_order(world.services, order.id, actor="system"))
    with refused(RequestRefused, "order-not-open"):
        orders.fill_order(world.services, order.id, actor="system")
    assert orders.order_status(world.services, order.id).order.state is OrderState.FILLED
    with world.work.read() as stores:
        (intent,) = stores.certificates.list(CertificateFilter(state=CertificateState.INTENDED))
    assert intent.profile == "server"


def test_server_certificate_is_not_renewed_by_hand(world):
    """A server certificate cannot be renewed; gateways place an order instead."""
    issued = orders.fill_order(world.services, place(world, "payments.corp.example").id, actor="system")
    claim = issuing.RenewalClaim(actor=OPERATOR, certificate=issued.record)
    with refused(RequestRefused, "certificate-not-renewable"):
        issuing.issue(world.services, world.csr(), claim)


def test_order_stays_open_if_the_keys_are_missing(world):
    """A fault of this process does not refuse the order."""
    order = place(world, "payments.corp.example")
    with pytest.raises(Unavailable):
        orders.fill_order(replace(world.services, keys=None), order.id, actor="system")
    assert orders.order_status(world.services, order.id).order.state is OrderState.OPEN


def many(world, gateway, *hosts):
    """Open orders for these hosts, each for a purpose of its own."""
    wanted = [
        orders.OrderRequest(purpose=f"p{at}", hosts=[host], csr=world.csr()) for at, host in enumerate(hosts)
    ]
    return orders.place_orders(world.services, gateway.id, wanted)


def states(world, placed):
    """The state of each order."""
    return [orders.order_status(world.services, one.id).order.state for one in placed]


def test_many_orders_share_transactions(world, monkeypatch):
    """A first start with many applications costs a few transactions, not some for each certificate."""
    transactions = []
    change = world.work.change

    def counted():
        transactions.append(1)
        return change()

    monkeypatch.setattr(world.work, "change", counted)
    hosts = ["payments.corp.example", "sensors.corp.example"] * 20
    placed = many(world, world.gateway(), *hosts)
    assert len({one.id for one in placed}) == len(hosts)
    transactions.clear()
    assert orders.fill_orders(world.services, placed, actor="system") == {}
    assert len(transactions) == 2
    assert states(world, placed) == [OrderState.FILLED] * len(hosts)
    assert len(world.events(EventType.CERTIFICATE_ISSUED)) == len(hosts)


def test_a_refused_order_does_not_stop_the_others(world):
    """Of orders that are filled together, a refused one is refused alone, and is told of."""
    placed = many(world, world.gateway(), "payments.corp.example", "evil.example", "sensors.corp.example")
    found = orders.fill_orders(world.services, placed, actor="system")
    assert {one: error.code for one, error in found.items()} == {placed[1].id: "host-not-ours"}
    assert states(world, placed) == [OrderState.FILLED, OrderState.REFUSED, OrderState.FILLED]
    assert len(world.events(EventType.CERTIFICATE_REFUSED)) == 1


def test_an_order_that_another_process_fills_meanwhile_gets_one_certificate(world):
    """If one of the orders is answered between the two transactions, none gets a second certificate."""
    placed = many(world, world.gateway(), "payments.corp.example", "sensors.corp.example")
    before_change(world, 2, lambda: orders.fill_order(world.services, placed[0].id, actor="system"))
    found = orders.fill_orders(world.services, placed, actor="system")
    assert {one: error.code for one, error in found.items()} == {placed[0].id: "order-not-open"}
    assert states(world, placed) == [OrderState.FILLED] * 2
    with world.work.read() as stores:
        valid = stores.certificates.list(CertificateFilter(state=CertificateState.VALID, limit=9))
    assert len(valid) == 2


def test_answered_orders_are_found_together(world):
    """Open orders are left out, and an unknown one is named as unknown."""
    placed = many(world, world.gateway(), "payments.corp.example", "evil.example", "sensors.corp.example")
    assert orders.answered_orders(world.services, [one.id for one in placed]) == {}
    orders.fill_orders(world.services, placed[:2], actor="system")
    found = orders.answered_orders(world.services, [*(one.id for one in placed), "ord_unknown"])
    assert found == {
        placed[0].id: orders.order_status(world.services, placed[0].id),
        placed[1].id: orders.order_status(world.services, placed[1].id),
        "ord_unknown": None,
    }
    assert found[placed[0].id].chain_der
