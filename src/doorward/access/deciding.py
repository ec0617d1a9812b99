"""PDP: may this connection be, and what may it do?

The steps of a decision, all on one snapshot of the database, whose number it carries:
1. the inventory is asked for the SHA-256 of what was presented, and the directory for its principal;
2. the certificate is judged, every reason kept: by the inventory where it is our own
   (verification.verifier), by path and evidence where it is of a partner that the application trusts
   (partner_access); one of a partner's that comes for the first time is written down, and judged again;
3. the application is found in the current revision of the policy document;
4. where the certificate is good, the connection part of every rule is judged (policy.decision);
5. the outcome is good only if the certificate is good, the application known and some request could
   pass; the deadline is the end of the certificate, of its path and of required evidence, or the
   lifetime, whichever comes first.
6. The event is built; whoever asked makes it durable *before* it answers Envoy.

Not here: the live connections (gateway) and what a single request may do: Envoy enforces the grants.
Not checked: that the peer holds the private key (TLS did), and whether the change sequence moved after
`seq` (the gateway's registry compares).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509

from doorward.access.inventory_rows import describe_known, describe_verified
from doorward.access.verdict_evidence import describe_path_fault, list_status_evidence
from doorward.audit.events import Event, EventType, printable
from doorward.core.entities import TENANT, Outcome, Principal, Reason, Verdict
from doorward.partners.evidence_cache import EvidenceCache
from doorward.partners.judging import PartnerFinding, judge_for_partners
from doorward.partners.registration import register
from doorward.partners.trust import load_partners
from doorward.policy.decision import ConnectionAuthority, admits, authority_of
from doorward.policy.model import AppPolicy
from doorward.policy.subject import Subject
from doorward.stores.events import write_event
from doorward.stores.policy_snapshot import PolicySnapshot, PolicySnapshots
from doorward.stores.protocols import Stores
from doorward.stores.records import CertificateRecord
from doorward.stores.services import Services
from doorward.verification.leaves import RecentLeaves
from doorward.verification.partner import PartnerTrust
from doorward.verification.revocation.evidence_index import EvidenceIndex
from doorward.verification.steps import Presented
from doorward.verification.validity import ends_at
from doorward.verification.verifier import (
    CertificateJudgement,
    Knowledge,
    KnownIssuer,
    judge_certificate,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRequest:
    """What a gateway asks about a new connection.

    Args:
        presented: the peer's leaf certificate in DER, None where it showed none.
        application_id: the application of the filter chain (`app_…`), never a name the peer sent.
        source_address: the peer's address as the kernel sees it.
        now: aware, UTC.
        lifetime: how long a connection may last at most.
        gateway_id: who asks (`gtw_…`).
        connection_id: the gateway's name for the connection: printable ASCII without spaces.
    """

    presented: bytes | None
    application_id: str
    source_address: str
    now: datetime
    lifetime: timedelta
    gateway_id: str
    connection_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionFacts:
    """What a gateway keeps of a live connection, enough to judge it again."""

    certificate_sha256: str
    application_id: str
    source_address: str
    opened_at: datetime
    lifetime: timedelta
    gateway_id: str
    connection_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessDecision:
    """What may be, why, until when, and as of which change.

    `verdict.outcome` GOOD admits; any other refuses, or, if the application answers anonymous connections,
    admits as one of those (`anonymous`): then `grants` is empty, `authority` None unless
    the rules were reached, and `deadline` is the moment of judgement. `subject` is set only where
    the certificate is good; `certificate` whenever it is in the inventory. `event` is
    `connection:admitted`, `connection:refused` or `connection:anonymous`. `policy` is what `revision` says about the application,
    None where it says nothing. `partner_id` is whose authority vouched, empty for our own; `evidence_index` is
    the evidence that was asked (`AccessDecider.is_current`).
    """

    verdict: Verdict
    subject: Subject | None
    certificate: CertificateRecord | None
    grants: tuple[str, ...]
    authority: ConnectionAuthority | None
    revision: int
    policy: AppPolicy | None
    deadline: datetime
    seq: int
    event: Event
    partner_id: str = ""
    evidence_index: EvidenceIndex | None = None

    @property
    def principal(self) -> Principal | None:
        """Who holds the connection; None where no good certificate says so."""
        return self.subject.principal if self.subject is not None else None

    def accounted_to(self, source: str) -> str:
        """Return under which key the decision is counted: its certificate's id, or `source`.

        A certificate counts for itself if it is in the inventory, and so if a path was found good;
        anybody can make any other, and as many of them as there are decisions.
        """
        return source if self.certificate is None else self.certificate.id

    @property
    def anonymous(self) -> bool:
        """Whether the connection may live though it has no principal."""
        return _is_anonymous(self.verdict, self.policy)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Issuers:
    """Who vouches for certificates by one policy snapshot: our own authorities, by subject and by id, and partners."""

    snapshot: PolicySnapshot
    own: Mapping[bytes, KnownIssuer]
    own_sha256: Mapping[str, str]
    partners: Mapping[str, PartnerTrust]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finding:
    """What one snapshot says about one connection."""

    verdict: Verdict
    certificate: PartnerFinding
    record: CertificateRecord | None
    subject: Subject | None
    authority: ConnectionAuthority | None
    snapshot: PolicySnapshot
    seq: int

    @property
    def judgement(self) -> CertificateJudgement:
        """What was found of the certificate alone."""
        return self.certificate.judgement


class AccessDecider:
    """The PDP; safe to share between threads.

    Args:
        services: the use cases' ports.
        evidence_cache: the evidence about partners; its owner fills it. None: always empty.
        snapshots: the policy snapshot that this process shares; None: one of its own.
    """

    def __init__(
        self,
        services: Services,
        evidence_cache: EvidenceCache | None = None,
        snapshots: PolicySnapshots | None = None,
    ) -> None:
        self._services = services
        self._evidence_cache = evidence_cache or EvidenceCache(services.work)
        self._snapshots = snapshots or PolicySnapshots()
        self._issuers: _Issuers | None = None
        self._leaves = RecentLeaves()

    def decide(self, request: AccessRequest) -> AccessDecision:
        """Judge a new connection.

        Raises:
            NotFound: `not-founded`.
            Unavailable: the database cannot be read; the caller refuses (fail closed).
        """
        finding = self._find(request)
        newcomer = finding.certificate.newcomer
        if newcomer is not None:
            register(self._services, newcomer, request.now)
            finding = self._find(request)  # also where somebody else was quicker
        return self._conclude(finding, request, request.now)

    def prepare(self) -> None:
        """Read now what changed of issuers, document and partners, so that no connection waits for it.

        Raises:
            NotFound: `not-founded`.
            Unavailable: the database cannot be read.
        """
        with self._services.work.read() as stores:
            self._issuers_of(stores, self._snapshots.current(stores)[0])

    def knows(self, presented: bytes | None) -> bool:
        """Return whether a presented certificate is in the inventory, in any state; None (no certificate) counts as known."""
        if presented is None:
            return True
        with self._services.work.read() as stores:
            return stores.certificates.by_sha256(hashlib.sha256(presented).hexdigest()) is not None

    def is_current(self, decision: AccessDecision) -> bool:
        """Return whether the evidence that a decision rests on is still what is at hand.

        To be asked once the connection can be found by whoever puts newer evidence there.
        """
        return decision.evidence_index is None or decision.evidence_index is self._evidence_cache.of(
            decision.partner_id
        )

    def _find(self, request: AccessRequest) -> _Finding:
        sha256 = hashlib.sha256(request.presented).hexdigest() if request.presented is not None else ""
        with self._services.work.read() as stores:
            record = stores.certificates.by_sha256(sha256) if sha256 else None
            return self._judge(stores, record, request.presented, request.application_id, request.now)

    def reassess_all(self, connections: Iterable[ConnectionFacts], now: datetime) -> list[AccessDecision]:
        """Judge live connections again on one snapshot, in the order given.

        Their events tell the same as before and are recorded only where they are news.
        """
        decisions = []
        with self._services.work.read() as stores:
            for facts in connections:
                record = stores.certificates.by_sha256(facts.certificate_sha256)
                presented = record.der if record is not None else None
                finding = self._judge(stores, record, presented, facts.application_id, now)
                request = AccessRequest(
                    presented=presented,
                    application_id=facts.application_id,
                    source_address=facts.source_address,
                    now=facts.opened_at,
                    lifetime=facts.lifetime,
                    gateway_id=facts.gateway_id,
                    connection_id=facts.connection_id,
                )
                decisions.append(self._conclude(finding, request, now))
        return decisions

    def _judge(
        self,
        stores: Stores,
        record: CertificateRecord | None,
        presented: bytes | None,
        application_id: str,
        now: datetime,
    ) -> _Finding:
        """Steps 1 to 5, less the deadline."""
        snapshot, seq = self._snapshots.current(stores)
        issuers = self._issuers_of(stores, snapshot)
        app = snapshot.policies.get(application_id)
        # 1. and 2. the certificate
        certificate = self._judge_for_partners(stores, record, presented, app=app, issuers=issuers, now=now)
        if certificate is None:
            certificate = PartnerFinding(judgement=self._judge_own(stores, record, presented, issuers, now))
        judgement = certificate.judgement
        reasons = list(judgement.verdict.reasons)
        outcome = judgement.verdict.outcome
        # 3. the application
        reasons.append(Reason.APPLICATION_UNKNOWN if app is None else Reason.APPLICATION_KNOWN)
        # 4. the rules, 5. the outcome
        subject = authority = None
        if outcome is Outcome.GOOD and judgement.principal is not None:
            subject = Subject(
                principal=judgement.principal, certificate=describe_verified(record, certificate)
            )
        if app is None:
            outcome = Outcome.BAD
        elif subject is not None:
            authority = authority_of(app, TENANT, application_id, subject)
            admission = admits(authority)
            outcome = admission.outcome
            reasons += admission.reasons
        verdict = Verdict(
            outcome=outcome,
            reasons=tuple(dict.fromkeys(reasons)),
            judged_at=now,
            evidence=(*judgement.verdict.evidence, ("revision", str(snapshot.revision))),
        )
        return _Finding(
            verdict=verdict,
            certificate=certificate,
            record=record,
            subject=subject,
            authority=authority,
            snapshot=snapshot,
            seq=seq,
        )

    def _judge_own(
        self,
        stores: Stores,
        record: CertificateRecord | None,
        presented: bytes | None,
        issuers: _Issuers,
        now: datetime,
    ) -> CertificateJudgement:
        """Judge by the inventory and the directory."""
        principal = stores.directory.get(record.principal_id) if record and record.principal_id else None
        knowledge = Knowledge(
            certificate=describe_known(record, issuers.own_sha256.get(record.authority_id, ""))
            if record
            else None,
            principal=principal,
            issuers=issuers.own,
            trust_domain=issuers.snapshot.trust_domain,
        )
        # Only what is in the inventory: strangers' certificates must not push out those of our own.
        vouched = self._leaves if record is not None else None
        return judge_certificate(Presented(der=presented), knowledge, now, leaves=vouched)

    def _judge_for_partners(
        self,
        stores: Stores,
        record: CertificateRecord | None,
        presented: bytes | None,
        *,
        app: AppPolicy | None,
        issuers: _Issuers,
        now: datetime,
    ) -> PartnerFinding | None:
        """Return what partners' authorities say, None where it is not for them to say anything."""
        own = record is not None and record.authority_id in issuers.own_sha256
        partners = [issuers.partners[name] for name in app.trust if name in issuers.partners] if app else []
        if own or not partners:
            return None
        found = judge_for_partners(
            stores,
            Presented(der=presented),
            record,
            partners=partners,
            evidence_cache=self._evidence_cache,
            now=now,
            trust_domain=issuers.snapshot.trust_domain,
            leaves=self._leaves,
        )
        return None if Reason.ISSUER_UNKNOWN in found.judgement.verdict.reasons else found

    def _conclude(self, finding: _Finding, request: AccessRequest, now: datetime) -> AccessDecision:
        """The deadline, and step 6."""
        admitted = finding.verdict.outcome is Outcome.GOOD
        deadline = now
        if admitted and finding.record is not None:
            ends = [ends_at(finding.record.not_after), request.now + request.lifetime]
            deadline = min(ends + ([finding.certificate.ends] if finding.certificate.ends else []))
        grants = finding.authority.grants if admitted and finding.authority is not None else ()
        if admitted:
            event = self._write_admitted(finding, request, now, deadline, grants)
        else:
            anonymous = _is_anonymous(finding.verdict, finding.snapshot.policies.get(request.application_id))
            kind = EventType.CONNECTION_ANONYMOUS if anonymous else EventType.CONNECTION_REFUSED
            event = self._write_refused(kind, finding, request, now)
        return AccessDecision(
            verdict=finding.verdict,
            subject=finding.subject,
            certificate=finding.record,
            grants=grants,
            authority=finding.authority,
            revision=finding.snapshot.revision,
            policy=finding.snapshot.policies.get(request.application_id),
            deadline=deadline,
            seq=finding.seq,
            event=event,
            partner_id=finding.certificate.partner_id,
            evidence_index=finding.certificate.evidence_index,
        )

    def _write_admitted(
        self,
        finding: _Finding,
        request: AccessRequest,
        now: datetime,
        deadline: datetime,
        grants: tuple[str, ...],
    ) -> Event:
        record, principal = finding.record, finding.judgement.principal
        return write_event(
            self._services,
            EventType.CONNECTION_ADMITTED,
            actor=principal.id if principal else "system",
            at=now,
            data={
                "connection": request.connection_id,
                "gateway": request.gateway_id,
                "application": request.application_id,
                "certificate": record.id if record else "",
                "principal": principal.id if principal else "",
                "partner": finding.certificate.partner_id,
                "reasons": [reason.value for reason in finding.verdict.reasons],
                "grants": list(grants),
                "deadline": deadline,
                "revision": finding.snapshot.revision,
                "sha256": record.sha256 if record else "",
                "evidence": list_status_evidence(finding.verdict),
            },
            personal={
                "source": printable(request.source_address),
                "name": principal.name if principal else "",
            },
        )

    def _write_refused(
        self, kind: EventType, finding: _Finding, request: AccessRequest, now: datetime
    ) -> Event:
        """What the peer claimed goes under `claimed_*`: nobody has proved it."""
        facts, record = finding.judgement.facts, finding.record
        data: dict[str, str | int | list[str]] = {
            "gateway": request.gateway_id,
            "connection": request.connection_id,
            "application": request.application_id
            if request.application_id in finding.snapshot.policies
            else "",
            "reasons": [reason.value for reason in finding.verdict.reasons],
            "revision": finding.snapshot.revision,
            "certificate": record.id if record else "",
            "principal": record.principal_id if record else "",
            "partner": finding.certificate.partner_id,
            "evidence": list_status_evidence(finding.verdict),
            "detail": describe_path_fault(finding.verdict),
        }
        personal = {"source": printable(request.source_address)}
        if request.presented is not None:
            data["claimed_sha256"] = hashlib.sha256(request.presented).hexdigest()
        if facts is not None:
            data["claimed_serial"] = f"{facts.serial:x}"
            personal["claimed_subject"] = printable(facts.subject)
            personal["claimed_issuer"] = printable(facts.issuer)
            personal["claimed_san"] = printable(", ".join(facts.san))
        actor = record.principal_id if record and record.principal_id else "system"
        return write_event(self._services, kind, actor=actor, at=now, data=data, personal=personal)

    def _issuers_of(self, stores: Stores, snapshot: PolicySnapshot) -> _Issuers:
        kept = self._issuers
        if kept is None or kept.snapshot is not snapshot:
            kept = self._issuers = _load_issuers(stores, snapshot)
        return kept


def _is_anonymous(verdict: Verdict, app: AppPolicy | None) -> bool:
    return verdict.outcome is not Outcome.GOOD and app is not None and app.admits_anonymous


def _load_issuers(stores: Stores, snapshot: PolicySnapshot) -> _Issuers:
    own, digests = {}, {}
    for authority in snapshot.issuers:
        name = x509.load_der_x509_certificate(authority.der).subject.public_bytes()
        digests[authority.id] = hashlib.sha256(authority.der).hexdigest()
        own[name] = KnownIssuer(sha256=digests[authority.id], id=authority.id)
    return _Issuers(snapshot=snapshot, own=own, own_sha256=digests, partners=load_partners(stores))
