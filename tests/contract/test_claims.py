"""One claim, one certificate: claims that many threads redeem at once, over every kind of store."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from doorward.access.policies import apply_document
from doorward.authority.founding import found
from doorward.authority.gateways import register_gateway
from doorward.authority.issuing import Issued, issue, renew
from doorward.authority.orders import fill_order, order_status, place_order
from doorward.core.certificate import CertificateState
from doorward.core.entities import PrincipalKind
from doorward.core.errors import RequestRefused
from doorward.core.ports import KeyKind
from doorward.directory.fleets.admission import EnrolmentPending, enrol
from doorward.directory.fleets.approving import approve
from doorward.directory.fleets.manufacturers import import_manufacturer
from doorward.directory.inviting import invite
from doorward.directory.principals import add_principal, find_principal
from doorward.enrolment.invitation import redeem
from doorward.pki.csr import build_csr
from doorward.runtime.world import SystemRandom
from doorward.stores.protocols import UnitOfWork
from doorward.stores.records import CertificateFilter
from doorward.stores.services import Services
from tests.support.factory import new_factory
from tests.support.ports import FakeClock, MemoryKeyStore, PlainKeys
from tests.support.world import DOCUMENT, OPERATOR, STATUS_URL, TRUST_DOMAIN, operator_claim

AT_ONCE = 4


@pytest.fixture
def services(work: UnitOfWork) -> Services:
    """A founded authority over the store, with alice, a document and real randomness (ids must differ)."""
    made = Services(
        work=work, clock=FakeClock(), random=SystemRandom(), factory=PlainKeys(), keys=MemoryKeyStore()
    )
    found(made, trust_domain=TRUST_DOMAIN, status_url=STATUS_URL, actor=OPERATOR)
    add_principal(made, PrincipalKind.PERSON, "alice", actor=OPERATOR)
    apply_document(made, DOCUMENT, file="test.yaml", actor=OPERATOR)
    return made


def csr() -> bytes:
    """A request for a key of its own."""
    return build_csr(PlainKeys().generate(KeyKind.P256), "whoever")


def race(attempt: Callable[[], Issued]) -> tuple[list[Issued], list[str]]:
    """Try at once in many threads; return what was issued, and the codes of the refusals."""
    issued: list[Issued] = []
    refused: list[str] = []
    start = threading.Barrier(AT_ONCE)

    def run() -> None:
        start.wait()
        try:
            issued.append(attempt())
        except RequestRefused as refusal:
            refused.append(refusal.code)

    threads = [threading.Thread(target=run) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return issued, refused


def test_one_link_becomes_one_certificate(services: Services) -> None:
    """If many threads redeem one link at once, one gets a certificate, and only one was ever intended."""
    invited = invite(services, "alice", actor=OPERATOR)
    requests = iter([csr() for _ in range(AT_ONCE)])
    issued, refused = race(lambda: redeem(services, invited.token, next(requests)))
    assert refused == ["invitation-invalid"] * (AT_ONCE - 1)
    with services.work.read() as stores:
        (row,) = stores.certificates.list(CertificateFilter())
        kept = stores.invitations.get(invited.record.id)
    assert [one.record for one in issued] == [row]
    assert row.state is CertificateState.VALID
    assert kept is not None
    assert kept.certificate_id == row.id


def test_one_order_becomes_one_certificate(services: Services) -> None:
    """If many threads fill one order at once, one succeeds; the others' certificates never become valid."""
    gateway = register_gateway(services, name="gateway-1", assertion_jwk="{}")
    order = place_order(services, gateway.id, "apps", ["payments.corp.example"], csr())
    issued, refused = race(lambda: fill_order(services, order.id, actor="system"))
    assert refused == ["order-not-open"] * (AT_ONCE - 1)
    with services.work.read() as stores:
        valid = stores.certificates.list(CertificateFilter(state=CertificateState.VALID))
    assert [one.record for one in issued] == valid
    assert order_status(services, order.id).order.certificate_id == valid[0].id


@pytest.mark.parametrize("keys", ["one key", "many keys"])
def test_one_approval_becomes_one_certificate(services: Services, keys: str) -> None:
    """If a device and its clones ask at once after the approval, one certificate becomes valid."""
    factory = new_factory()
    import_manufacturer(services, "acme", anchors=[factory.root.der], actor=OPERATOR)
    device = factory.device()
    same = csr()
    with pytest.raises(EnrolmentPending) as waits:
        enrol(services, factory.chain(device), same, source="192.0.2.7")
    approve(services, waits.value.enrolment_id, name="sensor-1", actor=OPERATOR)
    requests = iter([same, *(same if keys == "one key" else csr() for _ in range(AT_ONCE - 1))])

    def attempt() -> Issued:
        try:
            return enrol(services, factory.chain(device), next(requests), source="192.0.2.7")
        except EnrolmentPending as soon:
            raise RequestRefused("waits", str(soon)) from soon

    issued, refused = race(attempt)
    assert set(refused) <= {"waits", "enrolment-used", "device-refused"}
    with services.work.read() as stores:
        rows = stores.certificates.list(CertificateFilter())
    assert {one.record.id for one in issued} == {
        one.id for one in rows if one.state is CertificateState.VALID
    }
    assert len(rows) == 1 if keys == "one key" else len(rows) <= 1  # a clone that is faster ends the approval


def test_one_certificate_has_one_successor(services: Services) -> None:
    """Many threads with one key get one certificate; with keys of their own, one gets one and the others are superseded."""
    add_principal(services, PrincipalKind.DEVICE, "sensor-1", actor=OPERATOR)
    principal = find_principal(services, "sensor-1")
    claim = operator_claim(principal)
    first, same = issue(services, csr(), claim).record, csr()
    issued, refused = race(lambda: renew(services, first, same, actor=principal.id))
    assert refused == []
    assert len({one.record.id for one in issued}) == 1
    second, requests = issue(services, csr(), claim).record, iter([csr() for _ in range(AT_ONCE)])
    issued, refused = race(lambda: renew(services, second, next(requests), actor=principal.id))
    assert (len(issued), refused) == (1, ["renewal-superseded"] * (AT_ONCE - 1))
    with services.work.read() as stores:
        valid = stores.certificates.list(CertificateFilter(state=CertificateState.VALID))
        (suspicion,) = stores.suspected_clones.list()
    assert len(valid) == 4
    assert (suspicion.certificate_id, suspicion.number) == (issued[0].record.id, AT_ONCE - 1)
