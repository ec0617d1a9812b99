"""Refusals of strangers are recorded a few times and counted beyond; those without an event are counted too."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from structlog.testing import capture_logs

from doorward.audit.counting import PER_KEY
from doorward.audit.events import EventType
from doorward.authority.revocation import revoke
from doorward.core.certificate import RevocationReason
from doorward.core.errors import Unavailable
from doorward.gateway.access_log.counting import ConnectionEventLimiter
from doorward.gateway.authorizer.judging import Authorizer
from tests.support.certificates.issuing import toy_ca
from tests.unit.gateway.authorizer.conftest import Place, url_pem
from tests.unit.gateway.authorizer.test_shares import from_port

MANY = PER_KEY + 5


def stranger() -> str:
    """A certificate that is not in the inventory; a new one at each call."""
    pem = toy_ca().leaf("root").pem
    return url_pem(x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER))


def ask(place: Place, door: Authorizer, presented: str, port: int, host: str = "198.51.100.7") -> None:
    """Present something from an address."""
    assert door.check(presented, place.metadata(REMOTE=from_port(place, port, host))).facts is None


def counts(place: Place) -> dict[str, tuple[int, tuple[str, ...]]]:
    """The counts by key."""
    return {one.key: (one.number, one.kinds) for one in place.event_limiter.due(final=True)}


@pytest.fixture
def counted(place: Place) -> Place:
    """A place with an event limiter that uses its clock."""
    place.event_limiter = ConnectionEventLimiter(place.world.clock)
    place.in_force()
    return place


def test_other_certificates_of_one_source_are_one_source(counted: Place) -> None:
    """A fresh certificate for each connection does not make a fresh cause."""
    door = counted.authorizer()
    for one in range(MANY):
        ask(counted, door, stranger() if one % 5 == 0 else "", 2000 + one)
    refused = [one for one in counted.recorded if one.type is EventType.CONNECTION_REFUSED]
    assert len(refused) == PER_KEY
    assert counts(counted) == {"198.51.100.7": (5, ("connection:refused",))}


def test_addresses_of_one_network_are_one_source(counted: Place) -> None:
    """RFC 6177: a household has a /64 of IPv6."""
    door = counted.authorizer()
    for one in range(MANY):
        ask(counted, door, "", 2000 + one, f"2001:db8::{one + 1:x}")
    assert list(counts(counted)) == ["2001:db8::/64"]


def test_a_certificate_of_the_inventory_counts_for_itself(counted: Place) -> None:
    """A revoked certificate that connects again and again does not use up the share of unknown ones, from any address."""
    alice = counted.world.issue("alice")
    revoke(counted.world.services, alice.record.id, RevocationReason.SUPERSEDED, "os:0")
    counted.in_force()
    door = counted.authorizer()
    for one in range(MANY):
        ask(counted, door, url_pem(alice.der), 2000 + one, f"198.51.100.{one + 1}")
    assert counts(counted) == {alice.record.id: (5, ("connection:refused",))}


def test_what_could_not_be_recorded_is_counted(counted: Place) -> None:
    """A disk that is full loses the event and not the number."""
    counted.record_fails = Unavailable("store-full", "no room")
    ask(counted, counted.authorizer(), "", 2000)
    ((number, kinds),) = counts(counted).values()
    assert number >= 1
    assert "connection:refused/store-full" in kinds


def test_the_log_of_the_process_is_bounded_too(counted: Place) -> None:
    """Refusals without a judgement are counted, and a few of them are logged."""
    counted.is_fresh = False
    door = counted.authorizer()
    with capture_logs() as lines:
        for one in range(40):
            ask(counted, door, "", 2000 + one)
    assert 1 <= len(lines) <= 5
    assert counts(counted) == {"198.51.100.7": (40, ("connection:refused/knowledge-stale",))}
