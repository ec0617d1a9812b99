"""The authorizer over a founded world: what it answers, and each way in which it refuses."""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from doorward.access.deciding import AccessDecider, PolicyBasis
from doorward.access.decision import AccessDecision, ConnectionContext
from doorward.audit.events import Event
from doorward.core.errors import DoorwardError
from doorward.core.ports import KeyKind
from doorward.enforcement.envoy.names import AuthorizerMetadata
from doorward.gateway.access_log.counting import CertificateRateLimiter, ConnectionEventLimiter
from doorward.gateway.authorizer import judging as module
from doorward.gateway.authorizer.assertions import AssertionSigner
from doorward.gateway.authorizer.calls import CheckResult
from doorward.gateway.authorizer.gate import PolicyGate
from doorward.gateway.authorizer.judging import (
    Authorizer,
    AuthorizerPorts,
)
from doorward.gateway.connections.endpoints import Endpoint, parse_endpoint
from doorward.gateway.connections.registry import ConnectionRegistry
from doorward.gateway.connections.sockdiag import SocketFacts, TcpState
from doorward.stores.certificate_choice import CertificateChoice
from doorward.stores.protocols import Stores
from tests.support.ports import FakeClock, PlainKeys
from tests.support.world import Held, World, found_world
from tests.unit.gateway.live import LOCAL

REMOTE = parse_endpoint("198.51.100.7:40000")
COOKIE = 77
GATEWAY = "gtw_" + "a" * 20
KEY = PlainKeys().generate(KeyKind.P256)


class Interrupted:
    """The real decider, and what happens in the world right after each of its judgements."""

    def __init__(self, decider: AccessDecider) -> None:
        self._decider = decider
        self.afterwards: Iterator[Callable[[], object]] = iter(())
        self.judgements: list[AccessDecision] = []
        self.in_rounds: list[AccessDecision] = []
        self.is_prepared = True

    def decide(self, context: ConnectionContext, presented: bytes | None) -> AccessDecision:
        decision = self._decider.decide(context, presented)
        self.judgements.append(decision)
        next(self.afterwards, lambda: None)()
        return decision

    def decide_own(
        self, stores: Stores, basis: PolicyBasis, context: ConnectionContext, presented: bytes
    ) -> AccessDecision | None:
        decision = self._decider.decide_own(stores, basis, context, presented)
        if decision is not None:
            self.in_rounds.append(decision)
        return decision

    def prepared(self, stores: Stores) -> PolicyBasis | None:
        return self._decider.prepared(stores) if self.is_prepared else None

    def prepare(self) -> None:
        self._decider.prepare()

    def are_own(self, digests: Sequence[str]) -> list[bool]:
        return self._decider.are_own(digests)

    def deadline_of(self, decision: AccessDecision, opened_at: datetime) -> datetime:
        return self._decider.deadline_of(decision, opened_at)

    def knows(self, presented: bytes | None) -> bool:
        return self._decider.knows(presented)

    def is_current(self, decision: AccessDecision) -> bool:
        return self._decider.is_current(decision)


@dataclass
class Place:
    """An authorizer, with everything around it in reach."""

    world: World
    connections: ConnectionRegistry
    gate: PolicyGate
    decider: Interrupted
    sockets: dict[tuple[Endpoint, Endpoint], SocketFacts]
    recorded: list[Event] = field(default_factory=list)
    record_fails: DoorwardError | None = None
    record_does: Callable[[], object] = lambda: None
    is_fresh: bool = True
    event_limiter: ConnectionEventLimiter = field(default_factory=lambda: ConnectionEventLimiter(FakeClock()))
    rate_limiter: CertificateRateLimiter = field(
        default_factory=lambda: CertificateRateLimiter(FakeClock(), 1000)
    )
    over_limit: list[AccessDecision] = field(default_factory=list)
    chosen: set[CertificateChoice] = field(default_factory=set)

    def authorizer(self) -> Authorizer:
        ports = AuthorizerPorts(
            find=lambda local, remote: self.sockets.get((local, remote)),
            record=self.record,
            fresh=lambda: self.is_fresh,
            epoch=lambda: 3,
            application_name=self.name_of,
            event_limiter=self.event_limiter,
            rate_limiter=self.rate_limiter,
            refuse_once=self.chosen.__contains__,
            note_over_limit=lambda decision, _context, reason: self.over_limit.append(decision),
        )
        signer = AssertionSigner(KEY, issuer="https://corp.example/gateway-1")
        return Authorizer(
            ports,
            self.decider,
            connections=self.connections,
            gate=self.gate,
            signer=signer,
            clock=self.world.clock,
        )

    def record(self, event: Event) -> None:
        if self.record_fails:
            raise self.record_fails
        self.record_does()
        self.recorded.append(event)

    def in_force(self) -> None:
        """Make Envoy enforce the newest policy, after the follower has read it."""
        self.decider.prepare()
        self.gate.open(self.world.snapshot())

    def name_of(self, application_id: str) -> str:
        return self.world.snapshot().names[application_id]

    def metadata(self, **changed: str) -> dict[str, str]:
        values = {
            AuthorizerMetadata.APPLICATION: self.world.application_id("payments"),
            AuthorizerMetadata.CONNECTION: "42",
            AuthorizerMetadata.EPOCH: "3",
            AuthorizerMetadata.LOCAL: str(LOCAL),
            AuthorizerMetadata.REMOTE: str(REMOTE),
        }
        named = {asked.value: text for asked, text in values.items()}
        return named | {AuthorizerMetadata[name].value: text for name, text in changed.items()}

    def check(self, held: Held | None, **changed: str) -> CheckResult:
        return self.authorizer().check(url_pem(held.der) if held else "", self.metadata(**changed))


def url_pem(der: bytes) -> str:
    """A certificate as Envoy sends it."""
    pem = x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM).decode()
    return urllib.parse.quote(pem, safe="")


@pytest.fixture
def place() -> Place:
    """A world with one open socket, its policy in force."""
    world = found_world()
    facts = SocketFacts(COOKIE, 9, TcpState.ESTABLISHED, LOCAL, REMOTE)
    made = Place(
        world=world,
        connections=ConnectionRegistry(sequence=world.head()),
        gate=PolicyGate(),
        decider=Interrupted(world.decider()),
        sockets={(LOCAL, REMOTE): facts},
    )
    made.in_force()
    return made


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """In these tests the authorizer does not wait for Envoy."""
    monkeypatch.setattr(module, "GATE_SECONDS", 0.0)


def refused(place: Place, answer: CheckResult, *reasons: str) -> None:
    """The answer is a refusal for these reasons, carries nothing, and leaves no trace in the registry."""
    assert answer.facts is None
    for reason in reasons:
        assert reason in answer.reasons
    assert len(place.connections) == 0
    assert place.connections.get(COOKIE) is None
