"""Rounds over the world of `conftest`: many sockets, and what happens in the world between two steps of a round."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from doorward.access.decision import AccessDecision
from doorward.access.known_admissions import KnownAdmissions
from doorward.audit.events import Event
from doorward.core.errors import DoorwardError, Unavailable
from doorward.enforcement.envoy.names import AuthorizerMetadata, ConnectionFact
from doorward.gateway.authorizer.admission_recorder import AdmissionRecorder, RepeatedAdmission
from doorward.gateway.authorizer.assertions import AssertionSigner
from doorward.gateway.authorizer.calls import Call, CheckResult
from doorward.gateway.authorizer.facts import FactsBuilder
from doorward.gateway.authorizer.judging import Authorizer, AuthorizerPorts
from doorward.gateway.authorizer.own_judging import OwnJudge
from doorward.gateway.authorizer.rounds import RoundParts, Rounds
from doorward.gateway.authorizer.templates import AdmissionTemplate, keep_admission
from doorward.gateway.connections.endpoints import Endpoint, parse_endpoint
from doorward.gateway.connections.registry import ConnectionRegistry
from doorward.gateway.connections.sockdiag import SocketFacts, TcpState
from doorward.stores.certificate_choice import CertificateChoice
from tests.support.world import Held
from tests.unit.gateway.authorizer.conftest import KEY, Place, url_pem
from tests.unit.gateway.live import LOCAL

Moment = Callable[[], object]


@dataclass
class Hooks:
    """What happens between the steps of the next round, each once."""

    before_begin: list[Moment] = field(default_factory=list)
    before_confirm: list[Moment] = field(default_factory=list)
    before_admit: list[Moment] = field(default_factory=list)
    before_commit: list[Moment] = field(default_factory=list)
    after_commit: list[Moment] = field(default_factory=list)

    def run(self, name: str) -> None:
        moments = getattr(self, name)
        while moments:
            moments.pop()()


class HookedRecorder(AdmissionRecorder):
    """The real recorder, with something before and after its commit."""

    def __init__(self, place: RoundPlace) -> None:
        super().__init__(place.inner.world.services)
        self._hooks = place.hooks

    def record(self, admissions: Sequence[RepeatedAdmission], at: object) -> list[DoorwardError | None]:
        self._hooks.run("before_commit")
        done = super().record(admissions, at)  # type: ignore[arg-type]  # passed through
        self._hooks.run("after_commit")
        return done


class Alone:
    """Judges one call at a time, at once; counts them."""

    def __init__(self, place: RoundPlace) -> None:
        self._place = place
        self.calls: list[Call] = []
        self.is_busy = False

    def answer_all(self, calls: Sequence[Call]) -> None:
        for call in calls:
            self.calls.append(call)
            if self.is_busy:
                call.reply(CheckResult(facts=None, reasons=("authorizer-busy",)))
            else:
                call.reply(self._place.authorizer.check(call.certificate, call.metadata))


class RoundPlace:
    """Rounds with everything around them in reach."""

    def __init__(self, inner: Place) -> None:
        self.inner = inner
        self.hooks = Hooks()
        self.name_of: Callable[[str], str] = inner.name_of
        self.note_over_limit: Callable[[AccessDecision], object] = inner.over_limit.append
        self.known = KnownAdmissions[AdmissionTemplate]()
        self.confirm()
        signer = AssertionSigner(KEY, issuer="https://corp.example/gateway-1")
        self.ports = AuthorizerPorts(
            find=lambda local, remote: inner.sockets.get((local, remote)),
            record=inner.record,
            fresh=self._fresh,
            epoch=lambda: 3,
            application_name=inner.name_of,
            event_limiter=inner.event_limiter,
            rate_limiter=inner.rate_limiter,
            refuse_once=self._refuse_once,
            note_over_limit=lambda decision, _context, _reason: self._note(decision),
            admitted=lambda *admitted: keep_admission(self.known, *admitted),
        )
        self.authorizer = Authorizer(
            self.ports,
            inner.decider,  # type: ignore[arg-type]  # the real one inside
            connections=inner.connections,
            gate=inner.gate,
            signer=signer,
            clock=inner.world.clock,
        )
        self.alone = Alone(self)
        facts = FactsBuilder(signer, lambda one: self.name_of(one))  # noqa: PLW0108  tests change it
        parts = RoundParts(
            ports=self.ports,
            find_all=self._find_all,
            work=inner.world.work,
            decider=inner.decider,  # type: ignore[arg-type]  # as above
            connections=inner.connections,
            gate=inner.gate,
            facts=facts,
            recorder=HookedRecorder(self),
            clock=inner.world.clock,
        )
        self.judge_seconds = 0.0
        judge = OwnJudge(parts.decider, inner.gate, facts, thread_time=self._thread_time)
        self.rounds = Rounds(parts, self.authorizer, self.known, self.alone, judge)
        self.errors: dict[Endpoint, Unavailable] = {}
        self.asked: list[Endpoint] = []
        self._recorded = 0

    def _thread_time(self) -> float:
        """Each judgement of a round takes `judge_seconds`."""
        return len(self.inner.decider.in_rounds) * self.judge_seconds

    def confirm(self) -> int:
        """Read the change sequence."""
        with self.inner.world.work.read() as stores:
            return self.known.confirm(stores)

    def _note(self, decision: AccessDecision) -> None:
        self.note_over_limit(decision)

    def _fresh(self) -> bool:
        self.hooks.run("before_confirm")
        return self.inner.is_fresh

    def _refuse_once(self, choice: CertificateChoice) -> bool:
        self.hooks.run("before_admit")
        return choice in self.inner.chosen

    def _find_all(self, pairs: Sequence[tuple[Endpoint, Endpoint]]) -> list[SocketFacts | Unavailable | None]:
        self.hooks.run("before_begin")
        self.asked += [remote for _, remote in pairs]
        return [self.errors.get(pair[1]) or self.inner.sockets.get(pair) for pair in pairs]

    @property
    def connections(self) -> ConnectionRegistry:
        return self.inner.connections

    def open(self, number: int) -> Endpoint:
        """Open a socket with this number as its cookie; return the peer's side."""
        remote = parse_endpoint(f"198.51.100.7:{40000 + number}")
        self.inner.sockets[LOCAL, remote] = SocketFacts(number, 9, TcpState.ESTABLISHED, LOCAL, remote)
        return remote

    def call(self, held: Held | None, number: int, answers: dict[int, CheckResult], **changed: str) -> Call:
        """A call about a new socket; its answer comes into `answers` under the number."""
        remote = self.open(number)
        metadata = self.inner.metadata(CONNECTION=str(number), REMOTE=str(remote), **changed)

        def reply(result: CheckResult) -> None:
            assert number not in answers, "a call is answered once"
            answers[number] = result

        return Call(
            certificate=url_pem(held.der) if held else "",
            metadata=metadata,
            reply=reply,
            received_at=self.inner.world.clock.monotonic(),
        )

    def ask(self, held: Held | None, *numbers: int, **changed: str) -> dict[int, CheckResult]:
        """Ask about new sockets of one certificate in one round; return each answer."""
        answers: dict[int, CheckResult] = {}
        self.rounds.answer_all([self.call(held, number, answers, **changed) for number in numbers])
        assert answers.keys() == set(numbers)
        return answers

    def ask_alone(self, held: Held | None, number: int, **changed: str) -> CheckResult:
        """Ask about a new socket without rounds."""
        call = self.call(held, number, {}, **changed)
        return self.authorizer.check(call.certificate, call.metadata)

    def learn(self, held: Held, **changed: str) -> None:
        """Let the certificate be judged once, so that it is known; its connection ends."""
        self.ask(held, 9_999, **changed)
        self.connections.forget(9_999)
        assert len(self.known) >= 1
        self.alone.calls.clear()
        self.inner.recorded.clear()
        self.inner.decider.judgements.clear()
        self.inner.decider.in_rounds.clear()
        self._recorded = len(self.inner.world.work.events)

    def events(self) -> list[Event]:
        """Return the durable events of rounds since `learn`."""
        events = self.inner.world.work.events[self._recorded :]
        return [one for one in events if one.type.value == "connection:admitted"]

    @property
    def judged(self) -> list[AccessDecision]:
        """The decisions of single judgements since `learn`."""
        return self.inner.decider.judgements

    @property
    def judged_together(self) -> list[AccessDecision]:
        """The decisions that were made within rounds since `learn`."""
        return self.inner.decider.in_rounds


def application(place: RoundPlace, name: str) -> dict[str, str]:
    """The metadata of a call to another application."""
    return {AuthorizerMetadata.APPLICATION.name: place.inner.world.application_id(name)}


def decision_of(result: CheckResult) -> str:
    """The id of the decision in an answer."""
    assert result.facts is not None
    return result.facts[ConnectionFact.DECISION.value]
