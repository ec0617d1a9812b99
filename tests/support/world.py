"""A founded authority on the memory store, with people, groups and a document.

    world = found_world()
    alice = world.issue("alice")                     # a certificate, with its key
    world.decide(alice.der, "payments")              # what a gateway would be told

`PEOPLE` says who is in which group, `DOCUMENT` what they may do. Time stands still at `NOON` until
`world.clock.turn(...)`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

from doorward.access import policies
from doorward.access.deciding import AccessDecider
from doorward.access.decision import AccessDecision, ConnectionContext
from doorward.audit.events import Event, EventType
from doorward.authority import founding, gateways, issuing
from doorward.core.entities import Principal, PrincipalKind
from doorward.core.ports import KeyKind, PrivateKey
from doorward.directory import principals as directory
from doorward.partners.evidence_cache import EvidenceCache
from doorward.pki.csr import build_csr
from doorward.stores.policy_snapshot import PolicySnapshot, PolicySnapshots, load_snapshot
from doorward.stores.records import CertificateRecord, GatewayRecord
from doorward.stores.services import Services
from tests.support.memory_store import MemoryUnitOfWork
from tests.support.ports import FakeClock, FakeRandom, MemoryKeyStore, PlainKeys

OPERATOR = "os:1000"
TRUST_DOMAIN = "corp.example"
STATUS_URL = "http://pki.corp.example"

PEOPLE: tuple[tuple[PrincipalKind, str, tuple[str, ...]], ...] = (
    (PrincipalKind.PERSON, "alice", ("tellers",)),
    (PrincipalKind.PERSON, "bob", ("tellers", "contractors")),
    (PrincipalKind.PERSON, "carol", ()),
    (PrincipalKind.DEVICE, "sensor-1", ("sensors",)),
    (PrincipalKind.SERVICE, "ledger", ("services",)),
)

DOCUMENT = """\
trust_domain: corp.example
apps:
  payments:
    hosts: [payments.corp.example]
    upstream: http://127.0.0.1:9000
    rules:
      - name: tellers read accounts
        allow: {groups: [tellers]}
        to: {methods: [GET, HEAD], paths: ["/accounts/**"]}
      - name: no contractors in reports
        deny: {groups: [contractors]}
        to: {paths: ["/accounts/reports/**"]}
  sensors:
    hosts: [sensors.corp.example, telemetry.corp.example]
    upstream: http://127.0.0.1:9001
    rules:
      - name: sensors report
        allow: {groups: [sensors]}
"""


GATEWAY = "gtw_" + "a" * 20


@dataclass(frozen=True, kw_only=True)
class Held:
    """A certificate with its private key."""

    record: CertificateRecord
    chain_der: tuple[bytes, ...]
    key: PrivateKey

    @property
    def der(self) -> bytes:
        """The leaf, DER."""
        return self.record.der


@dataclass(kw_only=True)
class World:
    """The services of a founded authority and the fakes behind them."""

    services: Services
    work: MemoryUnitOfWork
    clock: FakeClock
    keys: MemoryKeyStore
    held: list[Held] = field(default_factory=list)

    def principal(self, name: str) -> Principal:
        """Return the principal."""
        return directory.find_principal(self.services, name)

    def csr(self, name: str = "whoever", key: PrivateKey | None = None) -> bytes:
        """Return a request in PEM for a new key."""
        return build_csr(key or PlainKeys().generate(KeyKind.P256), name)

    def claim(self, name: str) -> issuing.OperatorClaim:
        """Return the operator's claim to a certificate of a principal."""
        return operator_claim(self.principal(name))

    def issue(self, name: str) -> Held:
        """Issue a certificate of a principal."""
        key = PlainKeys().generate(KeyKind.P256)
        request = build_csr(key, name)
        issued = issuing.issue(self.services, request, self.claim(name))
        held = Held(record=issued.record, chain_der=issued.chain_der, key=key)
        self.held.append(held)
        return held

    def certificate(self, held: Held) -> CertificateRecord:
        """Return the record in the inventory."""
        with self.work.read() as stores:
            record = stores.certificates.get(held.record.id)
        assert record is not None
        return record

    def application_id(self, name: str) -> str:
        """Return the id of an application of the document."""
        with self.work.read() as stores:
            return next(one.id for one in stores.applications.list() if one.name == name)

    def gateway(self, name: str = "gateway-1") -> GatewayRecord:
        """Return a registered gateway."""
        return gateways.register_gateway(self.services, name=name, assertion_jwk="{}")

    def context(self, app: str = "payments", **changes: object) -> ConnectionContext:
        """Return the context of a connection; `app` is a name, `changes` replace fields."""
        fields: dict[str, object] = {
            "application_id": self.application_id(app) if "application_id" not in changes else "",
            "source_address": "192.0.2.7",
            "opened_at": self.clock.now(),
            "connection_id": "42",
            **changes,
        }
        return ConnectionContext(**fields)  # type: ignore[arg-type]  # keywords are passed through

    def decider(
        self,
        evidence_cache: EvidenceCache | None = None,
        snapshots: PolicySnapshots | None = None,
        *,
        lifetime: timedelta = timedelta(hours=12),
    ) -> AccessDecider:
        """Return a new decider of a gateway with connections of at most half a day."""
        return AccessDecider(
            self.services,
            evidence_cache,
            snapshots,
            gateway_id=GATEWAY,
            lifetime=lifetime,
            anonymous_lifetime=timedelta(hours=1),
        )

    def decide(self, der: bytes | None, app: str = "payments", **changes: object) -> AccessDecision:
        """Return a decision by a new decider."""
        return self.decider().decide(self.context(app, **changes), der)

    def events(self, kind: EventType) -> list[Event]:
        """Return the durable events of one type, oldest first."""
        return [event for event in self.work.events if event.type is kind]

    def snapshot(self) -> PolicySnapshot:
        """Return the policy snapshot in force."""
        with self.work.read() as stores:
            return load_snapshot(stores)

    def head(self) -> int:
        """Return the newest number of the change sequence."""
        with self.work.read() as stores:
            return stores.changes.head()


AnyWorld = TypeVar("AnyWorld", bound=World)


def operator_claim(principal: Principal, actor: str = OPERATOR) -> issuing.OperatorClaim:
    """Return the operator's claim to a certificate of a principal."""
    return issuing.OperatorClaim(actor=actor, holder=principal.id, name=principal.name)


def empty_world(kind: type[AnyWorld] = World, **more: Any) -> AnyWorld:
    """Services over empty stores: nothing is founded; `more` are fields of that kind of world."""
    work, clock, keys = MemoryUnitOfWork(), FakeClock(), MemoryKeyStore()
    services = Services(work=work, clock=clock, random=FakeRandom(), factory=PlainKeys(), keys=keys)
    return kind(**{"services": services, "work": work, "clock": clock, "keys": keys, **more})


def found_world(
    of: type[AnyWorld] = World,
    *,
    trust_domain: str = TRUST_DOMAIN,
    people: tuple[tuple[PrincipalKind, str, tuple[str, ...]], ...] = PEOPLE,
    document: str = DOCUMENT,
    **more: Any,
) -> AnyWorld:
    """A founded authority with people and a document in force.

    Args:
        of: the kind of world: with a partner (`PartnerSite`), with second factors (`FactorWorld`).
        trust_domain: of the authority.
        people: who is in the directory, in which groups.
        document: the policy; empty leaves it out.
        more: fields of that kind of world.
    """
    world = empty_world(of, **more)
    founding.found(world.services, trust_domain=trust_domain, status_url=STATUS_URL, actor=OPERATOR)
    for kind, name, groups in people:
        directory.add_principal(world.services, kind, name, groups=groups, actor=OPERATOR)
    if document:
        policies.apply_document(world.services, document, file="test.yaml", actor=OPERATOR)
    return world
