"""Claims: issuing accepts a claim of a kind that it does not know, and uses it up once."""

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
from tests.support.refusals import refused


@dataclass
class Order:
    """An order of another protocol: the names that it allows, and whether it was used."""

    name: str = "broker.corp.example"
    lifetime: timedelta = timedelta(days=7)
    certificate_id: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True, kw_only=True)
class OrderClaim:
    """A claim as a new protocol would add it, without a change to issuing."""

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


def test_a_claim_of_another_kind_gives_its_entitlement(world):
    """Names, profile and actor come from the claim; only the key comes from the request."""
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
def test_an_entitlement_limits_the_lifetime(world, days):
    """A certificate is valid no longer than its entitlement and its profile allow."""
    issued = issuing.issue(
        world.services, world.csr(), OrderClaim(order=Order(lifetime=timedelta(days=days)))
    )
    assert issued.record.not_after == NOON + timedelta(days=min(days, 30))


def test_a_claim_that_was_redeemed_gets_no_signature(world):
    """A second certificate for one claim is not even intended; the claim's refusal is an event."""
    claim = OrderClaim(order=Order())
    issuing.issue(world.services, world.csr(), claim)
    before = len(world.events(EventType.CERTIFICATE_INTENDED))
    with refused(RequestRefused, "order-finalised"):
        issuing.issue(world.services, world.csr(), claim)
    assert len(world.events(EventType.CERTIFICATE_INTENDED)) == before
    event = world.events(EventType.CERTIFICATE_REFUSED)[-1]
    assert (event.actor, event.data["reasons"]) == ("acc_1", ("order-finalised",))


def test_an_entitlement_that_changed_meanwhile_is_refused(world):
    """A prepared certificate is not signed if a name was withdrawn in between."""
    order = Order()
    before_change(world, 1, lambda: setattr(order, "name", "other.corp.example"))
    with refused(RequestRefused, "certificate-refused"):
        issuing.issue(world.services, world.csr(), OrderClaim(order=order))
    assert order.certificate_id == ""
    with world.work.read() as stores:
        assert stores.certificates.list(CertificateFilter()) == []


def test_a_redemption_that_fails_later_in_its_transaction_is_undone(world):
    """If the intent cannot be recorded, the invitation stays open: both are one transaction."""
    from doorward.directory.inviting import InvitationClaim, invite

    invited = invite(world.services, "alice", actor="os:1000")
    held = world.issue("alice")
    claim = InvitationClaim(invitation=invited.record, name="alice")

    class SameSerial:
        """A random source that repeats serial numbers."""

        def token(self, length):
            return held.record.serial.to_bytes(20)[-length:]

    services = replace(world.services, random=SameSerial())
    with pytest.raises(IntegrityError):
        issuing.issue(services, world.csr(), claim)
    with world.work.read() as stores:
        assert stores.invitations.get(invited.record.id) == invited.record
