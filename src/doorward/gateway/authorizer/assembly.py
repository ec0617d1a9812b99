"""The authorizer as the gateway uses it: rounds for known certificates, and threads for all other calls.

Not here: the server (server), the judgement of one connection (judging), rounds (rounds).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from doorward.access.deciding import AccessDecider
from doorward.access.known_admissions import KnownAdmissions
from doorward.gateway.authorizer.admission_recorder import AdmissionRecorder
from doorward.gateway.authorizer.answering import ThreadedAnswerer
from doorward.gateway.authorizer.assertions import AssertionSigner
from doorward.gateway.authorizer.calls import Call
from doorward.gateway.authorizer.facts import FactsBuilder
from doorward.gateway.authorizer.gate import PolicyGate
from doorward.gateway.authorizer.judging import Authorizer, AuthorizerPorts
from doorward.gateway.authorizer.own_judging import OwnJudge
from doorward.gateway.authorizer.rounds import RoundParts, Rounds
from doorward.gateway.authorizer.templates import AdmissionTemplate, keep_admission
from doorward.gateway.connections.registry import ConnectionRegistry
from doorward.gateway.connections.sockdiag import find_all
from doorward.gateway.precedence import Precedence
from doorward.stores.services import Services


class AssembledAuthorizer:
    """Answers the calls of the server's loop; `start`, then `stop`.

    Args:
        services: the use cases' ports.
        ports: the parts of the gateway that the authorizer uses; `admitted` is set here.
        decider: judges connections.
        connections: the registry.
        gate: the policies that Envoy enforces.
        signer: signs assertions.
        precedence: the follower takes it; the threads that judge one connection at a time wait meanwhile.
    """

    def __init__(
        self,
        services: Services,
        ports: AuthorizerPorts,
        decider: AccessDecider,
        *,
        connections: ConnectionRegistry,
        gate: PolicyGate,
        signer: AssertionSigner,
        precedence: Precedence,
    ) -> None:
        self._work = services.work
        self._known = KnownAdmissions[AdmissionTemplate]()
        ports = replace(ports, admitted=lambda *admitted: keep_admission(self._known, *admitted))
        authorizer = Authorizer(
            ports, decider, connections=connections, gate=gate, signer=signer, clock=services.clock
        )
        self.authorizer, self.meter = authorizer, authorizer.meter
        self._alone = ThreadedAnswerer(authorizer.check, services.clock, give_way=precedence.give_way)
        facts = FactsBuilder(signer, ports.application_name)
        parts = RoundParts(
            ports=ports,
            find_all=find_all,
            work=services.work,
            decider=decider,
            connections=connections,
            gate=gate,
            facts=facts,
            recorder=AdmissionRecorder(services),
            clock=services.clock,
        )
        judge = OwnJudge(decider, gate, facts)
        self._rounds = Rounds(parts, authorizer, self._known, self._alone, judge)

    def start(self) -> None:
        """Read where the change sequence is, and start the threads.

        Raises:
            Unavailable: the database cannot be read.
        """
        with self._work.read() as stores:
            self._known.confirm(stores)
        self._alone.start()

    def stop(self) -> None:
        """Refuse what waits, and end the threads."""
        self._alone.stop()

    def answer_all(self, calls: Sequence[Call]) -> None:
        """Answer the calls of one turn of the loop (`calls.Answerer`)."""
        self._rounds.answer_all(calls)
