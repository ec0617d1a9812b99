"""Claims: issuing takes one of a kind that it does not know, gives what its right gives, and uses it up once."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from cryptography import x509

from doorward.audit.events import EventType
from doorward.authority import issuing
from doorward.core.certificate import CertificateState
from doorward.core.errors import IntegrityError, RequestRefused
from doorward.pki.profiles import SERVER
from doorward.stores.records import CertificateFilter
from tests.support.interleaving import before_change
from tests.support.ports import NOON


@dataclass
class Order:
    """A row of another protocol's orders: what it may name, and whether it was finalised."""

    name: str = "broker.corp.example"
    lifetime: timedelta = timedelta(days=7)
    certificate_id: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True, kw_only=True)
class OrderClaim:
    """A claim as a protocol server would add it, without a line of issuing."""

    order: Order
    actor: str = "acc_1"
    holder: str = "acc_1"
    name: str = "broker"

    def examine(self, stores, now):
        name = x509.DNSName(self.order.name)
        return issuing.Entitlement(
            profile=SERVER, subject=self.name, names=(name,), lifetime=self.order.lifetime
        )

    def redeem(self, services, stores, record):
        with self.order.lock:  # stands for the conditional UPDATE
            if self.order.certificate_id:
                raise RequestRefused("order-finalised", "this order was finalised before")
            self.order.certificate_id = record.id

    def settle(self, services, stores, record):
        assert stores.certificates.get(record.id).state is CertificateState.INTENDED


def test_a_claim_of_another_kind_gives_what_its_right_gives(world):
    """Names, profile and the actor of the events are the claim's; the request brings its key and no more."""
    order = Order()
    issued = issuing.issue(world.services, world.csr("root"), OrderClaim(order=order))
    certificate = x509.load_der_x509_certificate(issued.record.der)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["broker.corp.example"]
    assert certificate.subject.rfc4514_string() == "CN=broker"
    assert issued.record.profile == "server"
    assert order.certificate_id == issued.record.id
    assert world.events(EventType.CERTIFICATE_ISSUED)[-1].actor == "acc_1"


@pytest.mark.parametrize("days", [7, 4000])
def test_a_right_bounds_the_lifetime(world, days):
    """A certificate is never valid for longer than its right says, nor than its profile's default."""
    issued = issuing.issue(
        world.services, world.csr(), OrderClaim(order=Order(lifetime=timedelta(days=days)))
    )
    assert issued.record.not_after == NOON + timedelta(days=min(days, 30))


def test_a_claim_that_was_redeemed_gets_no_signature(world):
    """The second certificate for one right is not even intended; the refusal is the claim's, as an event."""
    claim = OrderClaim(order=Order())
    issuing.issue(world.services, world.csr(), claim)
    before = len(world.events(EventType.CERTIFICATE_INTENDED))
    with pytest.raises(RequestRefused) as refusal:
        issuing.issue(world.services, world.csr(), claim)
    assert refusal.value.code == "order-finalised"
    assert len(world.events(EventType.CERTIFICATE_INTENDED)) == before
    event = world.events(EventType.CERTIFICATE_REFUSED)[-1]
    assert (event.actor, event.data["reasons"]) == ("acc_1", ("order-finalised",))


def test_a_right_that_shrank_meanwhile_is_refused(world):
    """What was drafted for one right is not signed by another: a name may have been withdrawn in between."""
    order = Order()
    before_change(world, 1, lambda: setattr(order, "name", "other.corp.example"))
    with pytest.raises(RequestRefused) as refusal:
        issuing.issue(world.services, world.csr(), OrderClaim(order=order))
    assert refusal.value.code == "certificate-refused"
    assert order.certificate_id == ""
    with world.work.read() as stores:
        assert stores.certificates.list(CertificateFilter()) == []


def test_a_redemption_that_fails_later_in_its_transaction_is_undone(world):
    """Claim and intent are one transaction: where the intent cannot be recorded, the invitation stays open."""
    from doorward.directory.inviting import InvitationClaim, invite

    invited = invite(world.services, "alice", actor="os:1000")
    held = world.issue("alice")
    claim = InvitationClaim(invitation=invited.record, name="alice")

    class SameSerial:
        """Serial numbers that were used before."""

        def token(self, length):
            return held.record.serial.to_bytes(20)[-length:]

    services = replace(world.services, random=SameSerial())
    with pytest.raises(IntegrityError):
        issuing.issue(services, world.csr(), claim)
    with world.work.read() as stores:
        assert stores.invitations.get(invited.record.id) == invited.record
