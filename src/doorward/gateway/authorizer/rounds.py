"""Rounds: calls that came together are answered together, if they repeat a known admission or take few look-ups.

The steps are those of `judging`, each done once for all calls of a round:
1. read application, run of Envoy and both ends from each call's metadata;
2. ask the kernel for all sockets in one batch; each must be established;
3. register all as pending, under one lock;
4. the change sequence must have been read within `max_staleness`;
5. in one transaction: confirm at which number the known admissions are still true (`access.known_admissions`), and look each
   one up again; judge the certificates of our own that are not known (own_judging). Envoy must enforce the policy of each
   now. Make each answer: what cannot be answered is not recorded as admitted;
6. admit all under one lock, with one write to the journal, at that number;
7. make all decisions durable: one block, one commit;
8. look again: answer each connection, unless a change ended it meanwhile.
A call is handed to the threads that judge one connection at a time (`answering`) if its certificate is neither known nor picked,
if its admission was forgotten, if its judgement is no admission that may be repeated, if Envoy does not enforce its policy yet,
or if a change between the steps 5 and 6 concerns it. So a slow judgement delays no round. An error of one call refuses that call; an error of a common step refuses the calls of its round.

Not here: the judgement (`access.deciding`, judging), and what is kept of an admission (templates).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from doorward.access.deciding import AccessDecider
from doorward.access.known_admissions import KnownAdmissions
from doorward.core.entities import Reason
from doorward.core.errors import DoorwardError, RequestRefused, Unavailable
from doorward.core.ports import Clock
from doorward.enforcement.envoy.names import AuthorizerMetadata
from doorward.gateway.authorizer.admission_recorder import AdmissionRecorder, RepeatedAdmission
from doorward.gateway.authorizer.answering import LONGEST_WAIT_SECONDS, TOO_LATE
from doorward.gateway.authorizer.calls import Answerer, Call, CheckResult
from doorward.gateway.authorizer.facts import FactsBuilder
from doorward.gateway.authorizer.gate import PolicyGate
from doorward.gateway.authorizer.identifying import CallIdentity, begin_pending, read_identity
from doorward.gateway.authorizer.judging import Authorizer, AuthorizerPorts
from doorward.gateway.authorizer.measuring import ALLOWED, ConnectionMeter, Step
from doorward.gateway.authorizer.own_judging import OwnJudge
from doorward.gateway.authorizer.templates import AdmissionTemplate, keep_template
from doorward.gateway.connections.connection import LiveConnection, PendingConnection
from doorward.gateway.connections.endpoints import Endpoint
from doorward.gateway.connections.registry import ConnectionRegistry
from doorward.gateway.connections.sockdiag import SocketFacts
from doorward.stores.certificate_choice import CertificateChoice
from doorward.stores.protocols import Stores, UnitOfWork

MOST_TOGETHER = 128
"""Calls of one round: the follower waits for the registry's lock for at most two milliseconds."""

_APPLICATION = AuthorizerMetadata.APPLICATION.value

_log = structlog.get_logger("doorward.authorizer")

Find = Callable[[Sequence[tuple[Endpoint, Endpoint]]], list[SocketFacts | Unavailable | None]]


@dataclass(slots=True)
class _Entry:
    """A call on its way through a round; each step sets one field more.

    Args:
        presented: the certificate in DER, if it is not known and was picked.
        is_new: the template was made in this round.
        done: it was answered or handed over.
    """

    call: Call
    presented: bytes | None = None
    identity: CallIdentity | None = None
    pending: PendingConnection | None = None
    template: AdmissionTemplate | None = None
    deadline: datetime | None = None
    live: LiveConnection | None = None
    answer: CheckResult | None = None
    is_new: bool = False
    done: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundParts:
    """What rounds share with the authorizer that judges one connection at a time.

    Args:
        ports: the same as the authorizer's.
        find_all: asks the kernel for many connections.
        work: the database.
        facts: builds facts and signs assertions.
        recorder: makes decisions durable.
    """

    ports: AuthorizerPorts
    find_all: Find
    work: UnitOfWork
    decider: AccessDecider
    connections: ConnectionRegistry
    gate: PolicyGate
    facts: FactsBuilder
    recorder: AdmissionRecorder
    clock: Clock


class Rounds:
    """Answers calls; for the one thread of the server's loop.

    Args:
        parts: see there.
        authorizer: refuses, and counts.
        known: the admissions that may be repeated.
        alone: answers the other calls, one connection at a time.
        judge: judges certificates of our own that are not known.
    """

    def __init__(
        self,
        parts: RoundParts,
        authorizer: Authorizer,
        known: KnownAdmissions[AdmissionTemplate],
        alone: Answerer,
        judge: OwnJudge,
    ) -> None:
        self._judge = judge
        self._parts = parts
        self._authorizer = authorizer
        self._known = known
        self._alone = alone
        self._meter: ConnectionMeter = authorizer.meter
        self._later: list[Call] = []

    def answer_all(self, calls: Sequence[Call]) -> None:
        """Answer the calls; the newest are answered first, as Envoy gives up what waits long."""
        now = self._parts.clock.now()
        unknown = [call for call in calls if self._known.find(_key(call), now) is None]
        picked = self._judge.pick(unknown) if unknown else {}
        others = [call for place, call in enumerate(unknown) if place not in picked]
        if others:
            self._alone.answer_all(others)
        left_out = {id(call) for call in others}
        presented = {id(unknown[place]): der for place, der in picked.items()}
        together = [_Entry(call, presented.get(id(call))) for call in calls if id(call) not in left_out]
        for end in range(len(together), 0, -MOST_TOGETHER):
            self._answer_some(together[max(0, end - MOST_TOGETHER) : end])

    def _answer_some(self, entries: Sequence[_Entry]) -> None:
        began = time.perf_counter()
        try:
            self._run(entries)
        except Exception as error:  # noqa: BLE001  fail closed after any error, and go on serving
            for one in entries:
                if not one.done:
                    self._refuse_for(one, error)
        finally:  # a call that is handed over belongs to this round, also if it ends by an error
            later, self._later = self._later, []
            if later:
                self._alone.answer_all(later)
        seconds = time.perf_counter() - began
        self._meter.note(Step.WHOLE, seconds, len(entries))

    def _run(self, entries: Sequence[_Entry]) -> None:
        began = time.perf_counter()
        left = self._begin(self._find_sockets(self._identify(self._in_time(entries))))
        if not left:
            return
        # 4. freshness, 5. what is known
        if not self._parts.ports.fresh():
            raise Unavailable(Reason.KNOWLEDGE_STALE.value, "the change sequence was not read lately")
        with self._parts.work.read() as stores:
            seq = self._known.confirm(stores)
            self._find_templates(left, stores)
        left = self._prepare(self._enforced(left))
        self._meter.note(Step.JUDGE, time.perf_counter() - began, len(left))
        left = self._record(self._admit(left, seq))
        self._answer(left)

    def _in_time(self, entries: Sequence[_Entry]) -> list[_Entry]:
        """Refuse what waited too long: no answer reaches Envoy, or the client has given up."""
        now = self._parts.clock.monotonic()
        left = []
        for one in entries:
            if now >= min(one.call.received_at + LONGEST_WAIT_SECONDS, one.call.expires_at):
                self._reply(one, TOO_LATE)
            else:
                left.append(one)
        return left

    def _identify(self, entries: Sequence[_Entry]) -> list[_Entry]:
        """Step 1."""
        epoch = self._parts.ports.epoch()

        def identify(one: _Entry) -> None:
            one.identity = read_identity(one.call.metadata, epoch)

        return self._each(entries, identify)

    def _find_sockets(self, entries: Sequence[_Entry]) -> list[_Entry]:
        """Step 2. Of two calls about one socket the later one is judged alone, after this round."""
        named = [(one, one.identity) for one in entries if one.identity is not None]
        found = self._parts.find_all([(identity.local, identity.remote) for _, identity in named])
        sockets = {id(one): facts for (one, _), facts in zip(named, found, strict=True)}
        epoch, now = self._parts.ports.epoch(), self._parts.clock.now()

        def begin(one: _Entry) -> None:
            facts = sockets[id(one)]
            if isinstance(facts, Unavailable):
                raise facts
            assert one.identity is not None
            one.pending = begin_pending(one.identity, facts, epoch, now)

        left: list[_Entry] = []
        seen: set[int] = set()
        for one in self._each(entries, begin):
            assert one.pending is not None
            if one.pending.cookie in seen:
                self._hand_over(one)
            else:
                seen.add(one.pending.cookie)
                left.append(one)
        return left

    def _begin(self, entries: Sequence[_Entry]) -> list[_Entry]:
        """Step 3."""
        pending = [one.pending for one in entries if one.pending is not None]
        return self._without(entries, self._parts.connections.begin_all(pending))

    def _find_templates(self, entries: Sequence[_Entry], stores: Stores) -> None:
        """Step 5: what is still known, and what is judged now; a certificate that came twice is judged once."""
        now = self._parts.clock.now()
        judged: dict[tuple[str, str], AdmissionTemplate | None] = {}
        judgements = self._judge.begin(stores) if any(one.presented for one in entries) else None
        for one in entries:
            key = _key(one.call)
            one.template = self._known.find(key, now)
            if one.template is not None or one.presented is None or judgements is None:
                continue
            if key not in judged:
                assert one.pending is not None
                judged[key] = judgements.judge(one.pending, one.presented)
            one.template, one.is_new = judged[key], True

    def _enforced(self, entries: Sequence[_Entry]) -> list[_Entry]:
        """Step 5: hand over what has no template, or one that Envoy does not enforce."""
        enforced: dict[int, bool] = {}
        left = []
        for one in entries:
            template = one.template
            if template is not None:
                place = id(template.policy)
                if place not in enforced:
                    enforced[place] = self._enforces(one, template)
                if enforced[place]:
                    left.append(one)
                    continue
            self._drop(one)
            self._hand_over(one)
        return left

    def _drop(self, one: _Entry) -> None:
        """Forget a pending connection: if the threads are too busy for the call, no trace of it may stay."""
        if one.pending is not None:
            self._parts.connections.refuse(one.pending.cookie)

    def _enforces(self, one: _Entry, template: AdmissionTemplate) -> bool:
        policy, pending = template.policy, one.pending
        if policy is None or pending is None:
            return False
        return self._parts.gate.enforces(template.decision.revision, pending.application_id, policy)

    def _prepare(self, entries: Sequence[_Entry]) -> list[_Entry]:
        """Refuse a certificate that is not wanted, or that opens too many connections; make live connections and answers."""
        ids = iter(self._parts.recorder.new_ids(len(entries)))
        names: dict[str, str] = {}

        def prepare(one: _Entry) -> None:
            template, pending = one.template, one.pending
            assert template is not None
            assert pending is not None
            self._authorizer.check_choice(
                CertificateChoice(application_id=pending.application_id, shown=template.sha256)
            )
            one.deadline = self._parts.decider.deadline_of(template.decision, pending.opened_at)
            live = template.admit(pending, one.deadline, next(ids))
            self._authorizer.check_rate(live, template.decision)
            audience = names.get(live.application_id)
            if audience is None:
                audience = names[live.application_id] = self._parts.facts.name_of(live.application_id)
            one.answer = template.answer(live, self._parts.facts, audience)
            one.live = live

        return self._each(entries, prepare)

    def _admit(self, entries: Sequence[_Entry], seq: int) -> list[_Entry]:
        """Step 6."""
        connections = self._parts.connections
        outcomes = connections.admit_all([one.live for one in entries if one.live], judged_at=seq)
        left = []
        for one, outcome in zip(entries, outcomes, strict=True):
            if outcome is True:
                left.append(one)
            elif isinstance(outcome, RequestRefused):
                self._note_over_limit(one, outcome)
            elif one.pending is not None and connections.is_pending(one.pending.cookie):
                self._parts.ports.rate_limiter.give_back(one.live.certificate_id if one.live else "")
                self._drop(one)
                self._hand_over(one)
            else:
                self._refuse(one, "connection-gone")
        return left

    def _note_over_limit(self, one: _Entry, refusal: RequestRefused) -> None:
        error: Exception = refusal
        try:
            if one.template is not None and one.live is not None:
                reason = Reason.PRINCIPAL_CONNECTIONS_EXHAUSTED
                self._parts.ports.note_over_limit(one.template.decision, one.live, reason)
        except Exception as failed:  # noqa: BLE001  the connection is refused in any case
            error = failed
        self._refuse_for(one, error)

    def _record(self, entries: Sequence[_Entry]) -> list[_Entry]:
        """Step 7."""
        if not entries:
            return []
        began = time.perf_counter()
        events = [
            RepeatedAdmission(
                leaf=one.template.leaf,
                event_id=one.live.decision,
                connection_id=one.live.connection_id,
                deadline=one.deadline,
                source=one.live.source_address,
            )
            for one in entries
            if one.template is not None and one.live is not None and one.deadline is not None
        ]
        at = entries[0].live.opened_at if entries[0].live is not None else self._parts.clock.now()
        errors = self._parts.recorder.record(events, at)
        self._meter.note(Step.RECORD, time.perf_counter() - began, len(entries))
        return self._without(entries, errors)

    def _answer(self, entries: Sequence[_Entry]) -> None:
        """Step 8."""
        cookies = [one.live.cookie if one.live else 0 for one in entries]
        answered = 0
        new: dict[tuple[str, str], AdmissionTemplate] = {}
        for one, kept in zip(entries, self._parts.connections.get_all(cookies), strict=True):
            answer, live = one.answer, one.live
            if answer is None or live is None or kept is None or kept.decision != live.decision:
                self._refuse(one, "connection-gone")
                continue
            answered += 1
            self._reply(one, answer, counted=True)
            if one.is_new and one.template is not None:
                new[_key(one.call)] = one.template
        for key, template in new.items():
            keep_template(self._known, key, template)
        if answered:
            self._meter.count(ALLOWED, answered)

    # one call

    def _each(self, entries: Sequence[_Entry], step: Callable[[_Entry], None]) -> list[_Entry]:
        """Do a step for each call; return those for which it succeeded. An error refuses that call alone."""
        left = []
        for one in entries:
            try:
                step(one)
                left.append(one)
            except Exception as error:  # noqa: BLE001  one call must not refuse its neighbours
                self._refuse_for(one, error)
        return left

    def _without(self, entries: Sequence[_Entry], errors: Sequence[DoorwardError | None]) -> list[_Entry]:
        left = []
        for one, error in zip(entries, errors, strict=True):
            if error is None:
                left.append(one)
            else:
                self._refuse_for(one, error)
        return left

    def _hand_over(self, one: _Entry) -> None:
        """Let the threads judge this call from the beginning, after this round."""
        one.done = True
        self._later.append(one.call)

    def _refuse(self, one: _Entry, reason: str) -> None:
        self._reply(one, self._authorizer.refuse(one.pending, reason))

    def _refuse_for(self, one: _Entry, error: Exception) -> None:
        self._reply(one, self._authorizer.refuse_for(one.pending, error))

    def _reply(self, one: _Entry, result: CheckResult, *, counted: bool = False) -> None:
        one.done = True
        if not counted:
            self._authorizer.count(result)
        one.call.reply(result)


def _key(call: Call) -> tuple[str, str]:
    """Return the key of a known admission: the application, and the certificate as Envoy sends it."""
    return call.metadata.get(_APPLICATION, ""), call.certificate
