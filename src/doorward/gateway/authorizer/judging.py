"""The authorizer: Envoy asks one question for each connection, and the authorizer answers yes or no.

Not here: the judgement (`access.deciding`), certificates that were admitted before, of which many are answered together
(`rounds`), and the server that Envoy asks (`server`).

The steps:
1. read application, run of Envoy and kernel socket from the call's metadata, which only our own configuration
   writes; never from SNI or announced addresses. A run of Envoy that was replaced enforces an older policy: its
   connections are refused;
2. the socket must be established: without its cookie the cutter could not cut it later;
3. register it as pending, so that any change from now on finds it;
4. the change sequence must have been read within `max_staleness`; if the certificate is not in the inventory, there
   must be a budget for judging it (`JudgementBudget`);
5. judge; if Envoy enforces another policy for the application, wait until it enforces this one (`PolicyGate`);
6. admit the connection to the registry. That fails if a change since the judgement may affect it: judge again. Judge
   again also if newer evidence of revocation was loaded meanwhile, because that has no number in the change sequence;
7. make the decision durable, before it takes effect;
8. answer, unless a change ended the connection meanwhile.
Without a good certificate the connection is refused, except at an application that answers anonymous connections or
explains refusals: there the steps go on, and the answer is the anonymous one (`anonymous`).
Every other way out than step 8 is a refusal, also an exception. If the application explains refusals by a page and a
part of Doorward is unavailable, Envoy gets only that fact and answers by itself.
"""

from __future__ import annotations

import base64
import hashlib
import time
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import structlog

from doorward.access.deciding import AccessDecider
from doorward.access.decision import AccessDecision, ConnectionContext
from doorward.audit.counting import UNKNOWN_SOURCE, source_key
from doorward.audit.events import Event, EventType
from doorward.core.entities import Outcome, Reason
from doorward.core.errors import DoorwardError, RequestRefused, Unavailable
from doorward.core.ports import Clock
from doorward.enforcement.envoy.names import JUDGED, ConnectionFact
from doorward.gateway.access_log.counting import CertificateRateLimiter, ConnectionEventLimiter, LogLimiter
from doorward.gateway.authorizer.anonymous import UNKNOWN_FACTS
from doorward.gateway.authorizer.assertions import AssertionSigner
from doorward.gateway.authorizer.calls import CheckResult
from doorward.gateway.authorizer.facts import FactsBuilder
from doorward.gateway.authorizer.gate import PolicyGate
from doorward.gateway.authorizer.identifying import begin_pending, read_identity
from doorward.gateway.authorizer.judgement_budget import JudgementBudget
from doorward.gateway.authorizer.measuring import ALLOWED, ANONYMOUS, ConnectionMeter, Step
from doorward.gateway.connections.connection import LiveConnection, PendingConnection
from doorward.gateway.connections.endpoints import Endpoint
from doorward.gateway.connections.registry import ConnectionRegistry, source_of
from doorward.gateway.connections.sockdiag import SocketFacts
from doorward.stores.certificate_choice import CertificateChoice

ATTEMPTS = 20
"""Judgements of one connection before it is refused; a further judgement needs a change in between."""

GATE_SECONDS = 3.0
"""Longest total wait for Envoy to enforce new policies; each takes about 0.15 s. Envoy waits 5 s for our answer."""

INTERNAL_ERROR = "internal-error"

LARGEST_CERTIFICATE = 64 * 1024
"""Of URL-encoded PEM; a leaf with a 8192-bit RSA key is under 8 KiB."""

_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"

_log = structlog.get_logger("doorward.authorizer")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizerPorts:
    """The parts of the gateway that the authorizer uses.

    Args:
        find: asks the kernel for a connection.
        record: returns when an event is durable.
        fresh: whether the change sequence was read within `max_staleness`.
        epoch: the present run of Envoy.
        application_name: the audience of assertions for an application's id.
        event_limiter: decides which refusals are recorded singly.
        rate_limiter: limits how many connections a certificate may open.
        note_over_limit: called with the reason if a connection was refused because of a limit of its holder.
        refuse_once: whether this certificate is to be refused once, because the person wants to show another one.
        admitted: called for each admission, with the certificate as Envoy sent it; never raises (`rounds`).
    """

    find: Callable[[Endpoint, Endpoint], SocketFacts | None]
    record: Callable[[Event], None]
    fresh: Callable[[], bool]
    epoch: Callable[[], int]
    application_name: Callable[[str], str]
    event_limiter: ConnectionEventLimiter
    rate_limiter: CertificateRateLimiter
    note_over_limit: Callable[[AccessDecision, ConnectionContext, Reason], None] = lambda *_: None
    refuse_once: Callable[[CertificateChoice], bool] = lambda _: False
    admitted: Callable[[str, LiveConnection, AccessDecision, Mapping[str, str]], None] = lambda *_: None


class Authorizer:
    """Answers one connection at a time; safe to call from many threads."""

    def __init__(
        self,
        ports: AuthorizerPorts,
        decider: AccessDecider,
        *,
        connections: ConnectionRegistry,
        gate: PolicyGate,
        signer: AssertionSigner,
        clock: Clock,
    ) -> None:
        self._ports = ports
        self._decider = decider
        self._connections = connections
        self._gate = gate
        self._facts = FactsBuilder(signer, ports.application_name)
        self._clock = clock
        self._log_limiter = LogLimiter(clock)
        self._budget = JudgementBudget(clock)
        self.meter = ConnectionMeter()

    def check(self, certificate: str, metadata: Mapping[str, str]) -> CheckResult:
        """Judge one connection.

        Args:
            certificate: the leaf as Envoy sends it, URL-encoded PEM; empty if none was presented.
            metadata: the call's metadata (`enforcement.envoy.names.AuthorizerMetadata`).

        Returns:
            The result; this never raises.
        """
        with self.meter.measure(Step.WHOLE):
            result = self._check(certificate, metadata)
        self.count(result)
        return result

    def count(self, result: CheckResult) -> None:
        """Count an answer by its first reason."""
        self.meter.count(_outcome(result))

    def _check(self, certificate: str, metadata: Mapping[str, str]) -> CheckResult:
        pending: PendingConnection | None = None
        try:
            pending = self._identify(metadata)
            self._connections.begin(pending)
            return self._judge(pending, certificate)
        except Exception as error:  # noqa: BLE001  fail closed after any error, and go on serving
            return self.refuse_for(pending, error)

    def refuse_for(self, pending: PendingConnection | None, error: Exception) -> CheckResult:
        """Refuse a connection because of an error, undo what was registered, and count it."""
        if not isinstance(error, DoorwardError):
            _log.error("the authorizer failed; the connection is refused", exc_info=error)
            return self.refuse(pending, INTERNAL_ERROR)
        self._note_refusal(pending, error)
        refusal = self.refuse(pending, error.code)
        if not isinstance(error, Unavailable) or pending is None:
            return refusal
        explains = self._gate.has_refusal_page(pending.application_id)
        return replace(refusal, facts=UNKNOWN_FACTS) if explains else refusal

    def _note_refusal(self, pending: PendingConnection | None, error: DoorwardError) -> None:
        """Count a refusal without a judgement, which has no event of its own, and log some of them."""
        source = source_key(pending.remote.host) if pending is not None else UNKNOWN_SOURCE
        self._ports.event_limiter.count(EventType.CONNECTION_REFUSED, source, error.code)
        if self._log_limiter.allows(f"{error.code} {source}"):
            _log.warning("connection refused", code=error.code, detail=error.detail)

    def _identify(self, metadata: Mapping[str, str]) -> PendingConnection:
        epoch = self._ports.epoch()
        identity = read_identity(metadata, epoch)
        facts = self._ports.find(identity.local, identity.remote)
        return begin_pending(identity, facts, epoch, self._clock.now())

    def _judge(self, pending: PendingConnection, certificate: str) -> CheckResult:
        presented = decode_certificate(certificate)
        digest = hashlib.sha256(presented).hexdigest() if presented is not None else ""
        self.check_choice(CertificateChoice.of(pending.application_id, digest, pending.source_address))
        wait_until = self._clock.monotonic() + GATE_SECONDS
        before = self._gate.recently_enforced(pending.application_id)
        counted = False
        for _ in range(ATTEMPTS):
            if not self._ports.fresh():
                raise Unavailable(Reason.KNOWLEDGE_STALE.value, "the change sequence was not read lately")
            with self.meter.measure(Step.JUDGE):
                decision = self._decide(pending, presented)
            if decision.verdict.outcome is not Outcome.GOOD and not decision.anonymous:
                self._record(pending, decision)
                return self.refuse(pending, *(reason.value for reason in decision.verdict.reasons))
            if not self._is_enforced(pending, decision, wait_until):
                if self._gate.revision < decision.revision:
                    break  # no time is left for another wait, or Envoy refused that revision
                continue
            live = LiveConnection.admitted(pending, decision)
            # Both looks: Envoy may enforce a policy for a moment before it says so, and many may pass during the wait.
            meanwhile = self._gate.recently_enforced(pending.application_id)
            facts = self._facts.build(live, decision, (*meanwhile, *before))
            if not counted:
                self.check_rate(live, decision)
                counted = True
            result = self._conclude(pending, certificate, live, decision, facts)
            if result is not None:
                return result
        raise Unavailable(
            Reason.KNOWLEDGE_STALE.value,
            "Envoy does not enforce the newest policy yet; the connection may be opened again",
        )

    def _conclude(
        self,
        pending: PendingConnection,
        certificate: str,
        live: LiveConnection,
        decision: AccessDecision,
        facts: Mapping[str, str],
    ) -> CheckResult | None:
        """Steps 6 to 8; None if the connection must be judged again."""
        if not self._admit(live, decision):
            is_pending = self._connections.is_pending(pending.cookie)
            return None if is_pending else self.refuse(pending, "connection-gone")
        if not self._decider.is_current(decision):
            self._connections.begin(pending)
            return None
        self._record(pending, decision)
        if self._connections.get(pending.cookie) is None:
            return self.refuse(pending, "connection-gone")
        self._ports.admitted(certificate, live, decision, facts)
        return CheckResult(facts=facts, reasons=())

    def check_choice(self, choice: CertificateChoice) -> None:
        """Refuse once a certificate that the person no longer wants to show: the alert makes the browser ask again.

        Raises:
            RequestRefused: `another-certificate-wanted`.
        """
        if self._ports.refuse_once(choice):
            raise RequestRefused(
                "another-certificate-wanted",
                "the person wants to show another certificate; the browser asks for one at the next connection",
            )

    def _record(self, pending: PendingConnection, decision: AccessDecision) -> None:
        """Record a decision; without a good certificate only up to a limit, beyond it count (docs/design/0045)."""
        key = decision.accounting_key(source_key(pending.remote.host))
        good = decision.verdict.outcome is Outcome.GOOD
        if good or self._ports.event_limiter.admit(decision.event.type, key):
            try:
                with self.meter.measure(Step.RECORD):
                    self._ports.record(decision.event)
            except DoorwardError as error:
                if not good:
                    self._ports.event_limiter.count(decision.event.type, key, error.code)
                raise
            if decision.event.type is EventType.CONNECTION_REFUSED:
                _log.warning(
                    "refused: connection",
                    decision=decision.event.id,
                    source=pending.remote.host,
                    **_log_fields(decision),
                )

    def _decide(self, pending: PendingConnection, presented: bytes | None) -> AccessDecision:
        """Second half of step 4, and step 5. Without a certificate a judgement costs little."""
        if presented is None:
            return self._decider.decide(pending, None)
        source = source_of(pending.remote)
        if not self._budget.allows(source) and not self._decider.knows(presented):
            raise RequestRefused(
                Reason.JUDGEMENT_EXHAUSTED.value,
                f"judging unknown certificates from {pending.source_address} cost too much processor time; try again later",
            )
        began = time.thread_time()
        decision = self._decider.decide(pending, presented)
        if decision.verdict.outcome is not Outcome.GOOD and decision.certificate is None:
            self._budget.charge(source, time.thread_time() - began)
        return decision

    def check_rate(self, live: LiveConnection, decision: AccessDecision) -> None:
        """Count a connection for its certificate, once for each connection.

        Raises:
            RequestRefused: `certificate-rate-exceeded`.
        """
        if live.certificate_id and not self._ports.rate_limiter.allows(live.certificate_id):
            self._ports.note_over_limit(decision, live, Reason.CERTIFICATE_RATE_EXCEEDED)
            raise RequestRefused(
                Reason.CERTIFICATE_RATE_EXCEEDED.value,
                f"certificate {live.certificate_id} opens too many connections a minute",
            )

    def _admit(self, live: LiveConnection, decision: AccessDecision) -> bool:
        """Step 6."""
        try:
            return self._connections.admit(live, judged_at=decision.seq)
        except RequestRefused:
            self._ports.note_over_limit(decision, live, Reason.PRINCIPAL_CONNECTIONS_EXHAUSTED)
            raise

    def _is_enforced(self, pending: PendingConnection, decision: AccessDecision, wait_until: float) -> bool:
        """Step 5: wait until Envoy enforces the policy that the decision used."""
        left = max(0.0, wait_until - self._clock.monotonic())
        with self.meter.measure(Step.ENFORCE):
            return decision.policy is not None and self._gate.wait(
                decision.revision, pending.application_id, decision.policy, left
            )

    def refuse(self, pending: PendingConnection | None, *reasons: str) -> CheckResult:
        """Refuse a connection and undo what was registered."""
        if pending is not None:
            self._connections.refuse(pending.cookie)
            # Undo an admission if its record could not be made durable. A condemned connection is
            # neither pending nor live: it stays condemned until it is cut.
            if self._connections.get(pending.cookie) is not None:
                self._connections.forget(pending.cookie)
        return CheckResult(facts=None, reasons=reasons)


def decode_certificate(text: str) -> bytes | None:
    """Return the DER of a URL-encoded PEM certificate; None for an empty text.

    Any other text that does not decode gives bytes that are no certificate, so that the verifier
    reports `certificate-malformed` and the refusal is recorded.
    """
    if not text:
        return None
    if len(text) > LARGEST_CERTIFICATE:
        return b""
    pem = urllib.parse.unquote(text, errors="replace").strip()
    if not pem.startswith(_BEGIN) or not pem.endswith(_END):
        return b""
    try:
        return base64.b64decode("".join(pem[len(_BEGIN) : -len(_END)].split()), validate=True)
    except ValueError:  # also for text that is not ASCII
        return b""


def _outcome(result: CheckResult) -> str:
    """Return what is counted of an answer: the first reason of a refusal, `allowed` or `anonymous`."""
    if result.reasons or result.facts is None:
        return result.reasons[0] if result.reasons else INTERNAL_ERROR
    return ALLOWED if result.facts.get(ConnectionFact.JUDGED.value) == JUDGED else ANONYMOUS


def _log_fields(decision: AccessDecision) -> dict[str, str]:
    """Return the log fields of a refusal: ids and every reason, and no name of a person."""
    data = decision.event.data
    fields = {name: str(data[name]) for name in ("application", "principal", "certificate") if name in data}
    return fields | {"reasons": ", ".join(reason.value for reason in decision.verdict.reasons)}
