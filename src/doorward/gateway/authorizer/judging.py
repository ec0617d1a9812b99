"""The authorizer: the one question that Envoy asks per connection, answered yes or no.

Not here: the judgement (`access.deciding`) and the gRPC server around it (`server`).

The steps:
1. which application, which run of Envoy and which kernel socket: from the call's metadata, which
   only our own configuration writes, never from SNI or announced addresses. Another run than the
   present one enforces an older policy: its connections are not admitted any more;
2. the socket must be alive: what cannot be named by its cookie could not be cut later;
3. register it as pending, so that a change from now on meets it;
4. our knowledge must be fresh (DESIGN 2), and a certificate that is not in the inventory must be within what judging
   strangers may cost (`JudgementBudget`);
5. judge; a judgement by another policy than Envoy enforces for the application waits (`PolicyGate`);
6. admit it to the registry, which fails if anything changed since the judgement: judge again; the same
   where newer evidence of revocation was put in place meanwhile, which no number of a change tells;
7. make the decision durable, before it takes effect;
8. answer, unless a change ended the connection meanwhile.
Without a good certificate the connection is refused, except at an application that answers anonymous
connections or explains refusals: there the steps go on, and the answer is the anonymous one (`anonymous`).
Every way out that is not step 8 is a refusal, also an exception. Where refusals are explained by a page, and nothing could be
found out because something is away, Envoy is told just that, and answers by itself.
"""

from __future__ import annotations

import base64
import hashlib
import re
import time
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog

from doorward.access.deciding import AccessDecider
from doorward.access.decision import AccessDecision, ConnectionContext
from doorward.audit.counting import UNKNOWN_SOURCE, source_key
from doorward.audit.events import Event, EventType
from doorward.core.entities import TENANT, Outcome, Reason
from doorward.core.errors import DoorwardError, MalformedInput, RequestRefused, Unavailable
from doorward.core.ports import Clock
from doorward.enforcement.envoy.names import JUDGED, NOBODY, NOT_REFUSED, AuthorizerMetadata, ConnectionFact
from doorward.enforcement.transition import class_token
from doorward.gateway.access_log.counting import CertificateRateLimiter, ConnectionEventLimiter, LogLimiter
from doorward.gateway.authorizer.anonymous import UNKNOWN_FACTS, anonymous_facts
from doorward.gateway.authorizer.assertions import AssertionSigner
from doorward.gateway.authorizer.gate import PolicyGate
from doorward.gateway.authorizer.judgement_budget import JudgementBudget
from doorward.gateway.connections.connection import LiveConnection, PendingConnection
from doorward.gateway.connections.endpoints import Endpoint, parse_endpoint
from doorward.gateway.connections.registry import ConnectionRegistry, source_of
from doorward.gateway.connections.sockdiag import SocketFacts, TcpState
from doorward.policy.decision import permissions_of
from doorward.policy.grants import GRANTS_LIMIT_BYTES, grants_fit, render_grants
from doorward.policy.model import AppPolicy
from doorward.policy.paths import owner_segment
from doorward.stores.certificate_choice import CertificateChoice
from doorward.wire.client_cert import render_client_cert
from doorward.wire.header_text import encode_header_text

ATTEMPTS = 20
"""Judgements of one connection before it is refused: each further one needs a change in between."""

GATE_SECONDS = 3.0
"""Longest wait, in all, for Envoy to enforce new policies; each takes about 0.15 s. Envoy gives us 5 s."""

LARGEST_CERTIFICATE = 64 * 1024
"""Of URL-encoded PEM; a leaf with a 8192-bit RSA key is under 8 KiB."""

_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
_APPLICATION = re.compile(r"app_[a-z0-9]{1,40}")
_CONNECTION = re.compile(r"[0-9]{1,20}")

_log = structlog.get_logger("doorward.authorizer")


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """What goes back to Envoy: `facts` is None for a refusal; `reasons` is for our log, not for the peer."""

    facts: Mapping[str, str] | None
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizerPorts:
    """What the authorizer needs of the gateway that it works in.

    `find` asks the kernel for a connection; `record` returns when an event is durable; `fresh` says
    whether the change sequence was confirmed lately; `epoch` is the present run of Envoy;
    `application_name` gives the audience of assertions; `event_limiter` says which refusals are recorded singly;
    `rate_limiter` says how many connections a certificate may still open; `note_over_limit` is called if one was
    refused because of the number of connections of its holder, with the reason; `chosen` says whether what a
    connection shows is to be refused once, because the person wants to show something else.
    """

    find: Callable[[Endpoint, Endpoint], SocketFacts | None]
    record: Callable[[Event], None]
    fresh: Callable[[], bool]
    epoch: Callable[[], int]
    application_name: Callable[[str], str]
    event_limiter: ConnectionEventLimiter
    rate_limiter: CertificateRateLimiter
    note_over_limit: Callable[[AccessDecision, ConnectionContext, Reason], None] = lambda *_: None
    chosen: Callable[[CertificateChoice], bool] = lambda _: False


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
        self._signer = signer
        self._clock = clock
        self._log_limiter = LogLimiter(clock)
        self._budget = JudgementBudget(clock)

    def check(self, certificate: str, metadata: Mapping[str, str]) -> CheckResult:
        """Judge one connection.

        Args:
            certificate: the leaf as Envoy sends it, URL-encoded PEM; empty where none was presented.
            metadata: the call's metadata (`enforcement.envoy.names.AuthorizerMetadata`).

        Returns:
            The answer; this never raises.
        """
        pending: PendingConnection | None = None
        try:
            pending = self._identify(metadata)
            self._connections.begin(pending)
            return self._judge(pending, certificate)
        except DoorwardError as error:
            self._note_refusal(pending, error)
            refusal = self._refuse(pending, error.code)
            if not isinstance(error, Unavailable) or pending is None:
                return refusal
            explains = self._gate.explains_refusal(pending.application_id)
            return replace(refusal, facts=UNKNOWN_FACTS) if explains else refusal
        except Exception:  # noqa: BLE001  fail closed, whatever happened, and keep serving
            _log.exception("the authorizer failed; the connection is refused")
            return self._refuse(pending, "internal-error")

    def _note_refusal(self, pending: PendingConnection | None, error: DoorwardError) -> None:
        """What was refused without a judgement has no event of its own: it is counted, and told at times."""
        source = source_key(pending.remote.host) if pending is not None else UNKNOWN_SOURCE
        self._ports.event_limiter.count(EventType.CONNECTION_REFUSED, source, error.code)
        if self._log_limiter.allows(f"{error.code} {source}"):
            _log.warning("connection refused", code=error.code, detail=error.detail)

    def _identify(self, metadata: Mapping[str, str]) -> PendingConnection:
        application = metadata.get(AuthorizerMetadata.APPLICATION.value, "")
        connection = metadata.get(AuthorizerMetadata.CONNECTION.value, "")
        if not _APPLICATION.fullmatch(application) or not _CONNECTION.fullmatch(connection):
            raise MalformedInput("check-malformed", "the call names no application or no connection")
        epoch = self._ports.epoch()
        if metadata.get(AuthorizerMetadata.EPOCH.value) != str(epoch):
            raise RequestRefused("envoy-replaced", "the connection is one of an Envoy that was replaced")
        local = parse_endpoint(metadata.get(AuthorizerMetadata.LOCAL.value, ""))
        remote = parse_endpoint(metadata.get(AuthorizerMetadata.REMOTE.value, ""))
        facts = self._ports.find(local, remote)
        if facts is None or facts.state is not TcpState.ESTABLISHED:
            raise MalformedInput("connection-gone", "the connection is no longer open")
        return PendingConnection(
            cookie=facts.cookie,
            connection_id=connection,
            epoch=epoch,
            local=local,
            remote=remote,
            application_id=application,
            opened_at=self._clock.now(),
        )

    def _judge(self, pending: PendingConnection, certificate: str) -> CheckResult:
        presented = decode_certificate(certificate)
        self._check_choice(pending, presented)
        patience = self._clock.monotonic() + GATE_SECONDS
        before = self._gate.enforced_lately(pending.application_id)
        for _ in range(ATTEMPTS):
            if not self._ports.fresh():
                raise Unavailable(Reason.KNOWLEDGE_STALE.value, "the change sequence was not read lately")
            decision = self._decide(pending, presented)
            if decision.verdict.outcome is not Outcome.GOOD and not decision.anonymous:
                self._record(pending, decision)
                return self._refuse(pending, *(reason.value for reason in decision.verdict.reasons))
            if not self._is_enforced(pending, decision, patience):
                if self._gate.revision < decision.revision:
                    break  # Envoy gives us no time for another wait, or refused that revision
                continue
            live = LiveConnection.admitted(pending, decision)
            facts = self._facts(live, decision, before)
            if self._admit(live, decision):
                if not self._decider.is_current(decision):
                    self._connections.begin(pending)
                    continue
                self._record(pending, decision)
                if self._connections.get(pending.cookie) is None:
                    return self._refuse(pending, "connection-gone")
                return CheckResult(facts=facts, reasons=())
            if not self._connections.is_pending(pending.cookie):
                return self._refuse(pending, "connection-gone")
        raise Unavailable(
            Reason.KNOWLEDGE_STALE.value,
            "Envoy did not come to enforce the newest policy while there was time",
        )

    def _check_choice(self, pending: PendingConnection, presented: bytes | None) -> None:
        """Refuse once what the person wants to show no more: the alert makes the browser ask again."""
        digest = hashlib.sha256(presented).hexdigest() if presented is not None else ""
        if self._ports.chosen(CertificateChoice.of(pending.application_id, digest, pending.source_address)):
            raise RequestRefused(
                "another-certificate-wanted",
                "the person wants to show another certificate, and is asked again",
            )

    def _record(self, pending: PendingConnection, decision: AccessDecision) -> None:
        """What no good certificate stands behind is counted beyond a limit (docs/design/0045)."""
        key = decision.accounted_to(source_key(pending.remote.host))
        good = decision.verdict.outcome is Outcome.GOOD
        if good or self._ports.event_limiter.admit(decision.event.type, key):
            try:
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
                    **_told(decision),
                )

    def _decide(self, pending: PendingConnection, presented: bytes | None) -> AccessDecision:
        """Step 4, second half, and step 5. Without a certificate there is nothing to judge that costs much."""
        if presented is None:
            return self._decider.decide(pending, None)
        source = source_of(pending.remote)
        if not self._budget.allows(source) and not self._decider.knows(presented):
            raise RequestRefused(
                Reason.JUDGEMENT_EXHAUSTED.value,
                f"judging certificates that are not in the inventory cost too much lately (source {pending.source_address})",
            )
        began = time.thread_time()
        decision = self._decider.decide(pending, presented)
        if decision.verdict.outcome is not Outcome.GOOD and decision.certificate is None:
            self._budget.charge(source, time.thread_time() - began)
        return decision

    def _admit(self, live: LiveConnection, decision: AccessDecision) -> bool:
        """Step 6."""
        if live.certificate_id and not self._ports.rate_limiter.allows(live.certificate_id):
            self._ports.note_over_limit(decision, live, Reason.CERTIFICATE_RATE_EXCEEDED)
            raise RequestRefused(
                Reason.CERTIFICATE_RATE_EXCEEDED.value, "the certificate opens too many connections a minute"
            )
        try:
            return self._connections.admit(live, judged_at=decision.seq)
        except RequestRefused:
            self._ports.note_over_limit(decision, live, Reason.PRINCIPAL_CONNECTIONS_EXHAUSTED)
            raise

    def _is_enforced(self, pending: PendingConnection, decision: AccessDecision, patience: float) -> bool:
        """Step 5: wait until Envoy enforces what the decision rests on."""
        left = max(0.0, patience - self._clock.monotonic())
        return decision.policy is not None and self._gate.wait(
            decision.revision, pending.application_id, decision.policy, left
        )

    def _facts(
        self, live: LiveConnection, decision: AccessDecision, before: Sequence[AppPolicy]
    ) -> Mapping[str, str]:
        """Return what Envoy is told of an admitted connection; `before` are the policies in force lately."""
        if live.anonymous:
            explains = decision.policy is not None and decision.policy.explains_refusal
            return anonymous_facts(decision.refusal if explains else None)
        subject, certificate = decision.holder()
        principal = subject.principal
        token = class_token(TENANT, live.application_id, live.revision, live.grants)
        grants = render_grants((*live.grants, *self._grants_of(before, live, decision), token))
        if len(grants) > GRANTS_LIMIT_BYTES:
            raise MalformedInput(Reason.GRANTS_TOO_LARGE.value, "the connection would hold too many grants")
        audience = self._ports.application_name(live.application_id)
        facts = {
            ConnectionFact.JUDGED: JUDGED,
            ConnectionFact.GRANTS: grants,
            ConnectionFact.PRINCIPAL: encode_header_text(f"{principal.kind.value}/{principal.name}"),
            ConnectionFact.PRINCIPAL_ID: principal.id,
            ConnectionFact.CERTIFICATE: certificate.id,
            ConnectionFact.CLIENT_CERT: render_client_cert(certificate.der),
            ConnectionFact.ASSERTION: self._signer.sign(live, principal, audience),
            ConnectionFact.OWNER: owner_segment(principal.name) or NOBODY,
            ConnectionFact.DECISION: live.decision,
            ConnectionFact.EPOCH: live.sessions.epoch,
            ConnectionFact.REASON: NOT_REFUSED,
        }
        return {fact.value: value for fact, value in facts.items()}

    def _grants_of(
        self, before: Sequence[AppPolicy], live: LiveConnection, decision: AccessDecision
    ) -> tuple[str, ...]:
        """Return the further ids by which a TCP connection passes the rules that it was accepted under.

        Envoy made its filters when it accepted it, and the policy may have changed since. Each id says something that
        is true of this subject now; the filter asks once, so that no later rule sees them (docs/design/0052).
        """
        if decision.policy is None or not decision.policy.is_tcp:
            return ()
        subject, _ = decision.holder()
        ids = live.grants
        for policy in before:
            earlier = permissions_of(policy, TENANT, live.application_id, subject).grants
            more = (*ids, *(one for one in earlier if one not in ids))
            if not grants_fit(more):
                break
            ids = more
        return ids[len(live.grants) :]

    def _refuse(self, pending: PendingConnection | None, *reasons: str) -> CheckResult:
        if pending is not None:
            self._connections.refuse(pending.cookie)
            # Take back an admission whose record could not be made durable. One that is condemned
            # is neither pending nor live: it stays condemned until it is cut.
            if self._connections.get(pending.cookie) is not None:
                self._connections.forget(pending.cookie)
        return CheckResult(facts=None, reasons=reasons)


def decode_certificate(text: str) -> bytes | None:
    """Return the DER of a URL-encoded PEM certificate, None for an empty text.

    Anything else that does not decode gives bytes that are no certificate, so that the verifier
    says `certificate-malformed` and the refusal is on record.
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
    except ValueError:  # also for what is not ASCII
        return b""


def _told(decision: AccessDecision) -> dict[str, str]:
    """Return what the log says of a refusal: ids and every reason, and no name of a person."""
    data = decision.event.data
    told = {name: str(data[name]) for name in ("application", "principal", "certificate") if name in data}
    return told | {"reasons": ", ".join(reason.value for reason in decision.verdict.reasons)}
