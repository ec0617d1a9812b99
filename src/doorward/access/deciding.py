"""The PDP: decides whether a connection is admitted, and what it may do.

The steps of a decision, all on one snapshot of the database; the decision carries the snapshot's number:
1. the presented certificate is looked up in the inventory by its SHA-256, and its principal in the directory;
2. the certificate is judged, and every reason is kept: our own by the inventory (verification.verifier), a partner's
   by path and evidence if the application trusts the partner (partners.judging); a partner's certificate that is new
   here is recorded and then judged again;
3. the application is found in the current revision of the policy document;
4. if the certificate is good, the connection part of every rule is judged (policy.decision);
5. the outcome is good only if the certificate is good, the application is known and some request could pass; the
   deadline is the earliest of these: the end of the certificate, of its path, of required evidence, of the lifetime; a
   time window may close before it (`ConnectionPermissions.loses_at`);
6. the event is built; the caller makes it durable *before* it answers Envoy.

Not here: the live connections (gateway), and single requests: Envoy enforces the grants.
Not checked: that the peer holds the private key (TLS did), and whether the change sequence moved after
`seq` (the gateway's registry compares).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509

from doorward.access.decision import (
    NO_SESSIONS,
    AccessDecision,
    ConnectionAssessment,
    ConnectionContext,
    SessionStatus,
)
from doorward.access.decision_events import write_admitted, write_refused
from doorward.access.inventory_rows import describe_known, describe_verified
from doorward.core.addresses import parse_address
from doorward.core.certificate import CertificateState
from doorward.core.entities import TENANT, Outcome, Reason, Verdict
from doorward.partners.evidence_cache import EvidenceCache
from doorward.partners.judging import PendingRegistration, judge_for_partners
from doorward.partners.registration import register
from doorward.partners.trust import load_partners
from doorward.policy.decision import anonymous_permissions, check_admission, permissions_of
from doorward.policy.model import AppPolicy
from doorward.policy.subject import Subject
from doorward.stores.policy_snapshot import PolicySnapshot, PolicySnapshots
from doorward.stores.protocols import Stores
from doorward.stores.records import CertificateRecord
from doorward.stores.services import Services
from doorward.verification.certificate_cache import CertificateCache
from doorward.verification.partner import PartnerTrust
from doorward.verification.steps import CertificateJudgement, PresentedCertificate
from doorward.verification.verifier import (
    KnownIssuer,
    VerificationContext,
    judge_certificate,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Issuers:
    """The trusted authorities of one policy snapshot: our own, by subject and by id, and those of partners."""

    snapshot: PolicySnapshot
    own: Mapping[bytes, KnownIssuer]
    own_sha256: Mapping[str, str]
    partners: Mapping[str, PartnerTrust]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyBasis:
    """The policy in force with its authorities, for all judgements of one transaction, and its number `seq`."""

    issuers: _Issuers
    seq: int


class AccessDecider:
    """The PDP; safe to share between threads.

    Args:
        services: the use cases' ports.
        evidence_cache: the evidence about partners; its owner fills it. None for a cache that stays empty.
        snapshots: the policy snapshot that this process shares; None for one of its own.
        gateway_id: the gateway that asks (`gtw_…`).
        lifetime: the longest lifetime of a connection.
        anonymous_lifetime: the same for a connection without a good certificate, if the application has public paths.
        refused_lifetime: the same if the connection only gets a page: the person connects again with a good certificate.
    """

    def __init__(
        self,
        services: Services,
        evidence_cache: EvidenceCache | None = None,
        snapshots: PolicySnapshots | None = None,
        *,
        gateway_id: str,
        lifetime: timedelta,
        anonymous_lifetime: timedelta,
        refused_lifetime: timedelta = timedelta(seconds=60),
    ) -> None:
        self._services = services
        self._evidence_cache = evidence_cache or EvidenceCache(services.work)
        self._snapshots = snapshots or PolicySnapshots()
        self._issuers: _Issuers | None = None
        self._gateway_id = gateway_id
        self._lifetime = lifetime
        self._anonymous_lifetime = anonymous_lifetime
        self._refused_lifetime = refused_lifetime
        self._certificate_cache = CertificateCache()

    def decide(self, context: ConnectionContext, presented: bytes | None) -> AccessDecision:
        """Judge a new connection.

        Args:
            context: the facts about the connection.
            presented: the peer's leaf certificate in DER, None if it showed none.

        Raises:
            NotFound: `not-founded`.
            Unavailable: the database cannot be read; the caller refuses (fail closed).
        """
        assessment = self._find(context, presented)
        if assessment.registration is not None:
            register(self._services, assessment.registration, context.opened_at)
            assessment = self._find(context, presented)  # also if another thread has registered it first
        return self._conclude(assessment, context, presented, context.opened_at)

    def prepare(self) -> None:
        """Read changed issuers, documents and partners now, so that no connection waits for them.

        Raises:
            NotFound: `not-founded`.
            Unavailable: the database cannot be read.
        """
        with self._services.work.read() as stores:
            self._basis(stores)

    def prepared(self, stores: Stores) -> PolicyBasis | None:
        """Return what judgements of this transaction are based on; None if it must be read first (`prepare`).

        Args:
            stores: an open read transaction.
        """
        found, kept = self._snapshots.loaded(stores), self._issuers
        if found is None or kept is None or kept.snapshot is not found[0]:
            return None
        return PolicyBasis(issuers=kept, seq=found[1])

    def are_own(self, digests: Sequence[str]) -> list[bool]:
        """Return for each certificate whether it is one of the inventory that an authority of ours issued and that is valid.

        It costs one look-up for each, and judges nothing: the answer may be outdated at once.

        Args:
            digests: SHA-256 in hexadecimal digits.

        Raises:
            Unavailable: the database cannot be read.
        """
        kept = self._issuers
        if kept is None:
            return [False] * len(digests)
        with self._services.work.read() as stores:
            records = [stores.certificates.by_sha256(one) for one in digests]
        return [
            one is not None and one.state is CertificateState.VALID and one.authority_id in kept.own_sha256
            for one in records
        ]

    def decide_own(
        self, stores: Stores, basis: PolicyBasis, context: ConnectionContext, presented: bytes
    ) -> AccessDecision | None:
        """Judge a new connection within a transaction of the caller, if its certificate is of our own inventory.

        Args:
            stores: an open read transaction.
            basis: from `prepared` in this transaction.
            context: the facts about the connection.
            presented: the peer's leaf certificate in DER.

        Returns:
            What `decide` would return; None if the certificate is none of our own, also if a partner may have issued it.

        Raises:
            Unavailable: the database cannot be read.
        """
        record = stores.certificates.by_sha256(hashlib.sha256(presented).hexdigest())
        if record is None or record.authority_id not in basis.issuers.own_sha256:
            return None
        now = context.opened_at
        assessment = self._judge(stores, record, presented, context, now, basis=basis)
        return self._conclude(assessment, context, presented, now)

    def knows(self, presented: bytes | None) -> bool:
        """Return whether a presented certificate is in the inventory, in any state; True if there is no certificate."""
        if presented is None:
            return True
        with self._services.work.read() as stores:
            return stores.certificates.by_sha256(hashlib.sha256(presented).hexdigest()) is not None

    def is_current(self, decision: AccessDecision) -> bool:
        """Return whether the evidence of a decision is still the newest evidence here.

        Call it after the connection was registered: from then on, newer evidence is applied to the connection.
        """
        return decision.evidence_index is None or decision.evidence_index is self._evidence_cache.of(
            decision.partner_id
        )

    def deadline_of(self, decision: AccessDecision, opened_at: datetime) -> datetime:
        """Return the deadline of a connection that repeats a decision (`known_admissions`), by the same rule as the first."""
        return self._deadline(decision.ends, opened_at)

    def _find(self, context: ConnectionContext, presented: bytes | None) -> ConnectionAssessment:
        sha256 = hashlib.sha256(presented).hexdigest() if presented is not None else ""
        with self._services.work.read() as stores:
            record = stores.certificates.by_sha256(sha256) if sha256 else None
            return self._judge(
                stores, record, presented, context, context.opened_at, basis=self._basis(stores)
            )

    def reassess_all(
        self, connections: Iterable[tuple[ConnectionContext, str]], now: datetime
    ) -> list[AccessDecision]:
        """Judge live connections again on one snapshot.

        Args:
            connections: each with the SHA-256 of its certificate in hexadecimal digits.
            now: aware, UTC.

        Returns:
            A decision for each connection, in this order. Most events say the same as before; the caller records only
            those that are new.
        """
        decisions = []
        with self._services.work.read() as stores:
            for context, sha256 in connections:
                record = stores.certificates.by_sha256(sha256)
                presented = record.der if record is not None else None
                assessment = self._judge(stores, record, presented, context, now, basis=self._basis(stores))
                decisions.append(self._conclude(assessment, context, presented, now))
        return decisions

    def _judge(
        self,
        stores: Stores,
        record: CertificateRecord | None,
        presented: bytes | None,
        context: ConnectionContext,
        now: datetime,
        *,
        basis: PolicyBasis,
    ) -> ConnectionAssessment:
        """Steps 1 to 5, without the deadline."""
        issuers, seq = basis.issuers, basis.seq
        snapshot = issuers.snapshot
        app = snapshot.policies.get(context.application_id)
        # 1. and 2. the certificate
        judgement, registration = self._judge_certificate(
            stores, record, presented, app=app, issuers=issuers, now=now
        )
        reasons = list(judgement.verdict.reasons)
        outcome = judgement.verdict.outcome
        # 3. the application
        reasons.append(Reason.APPLICATION_UNKNOWN if app is None else Reason.APPLICATION_KNOWN)
        # 4. the rules, 5. the outcome
        subject = permissions = None
        if outcome is Outcome.GOOD and judgement.principal is not None:
            verified = describe_verified(record, judgement)
            subject = Subject(
                principal=judgement.principal,
                certificate=verified,
                source=parse_address(context.source_address),
                time=now,
            )
        if app is None:
            outcome = Outcome.BAD
        elif subject is not None:
            permissions = permissions_of(app, TENANT, context.application_id, subject)
            admission = check_admission(permissions)
            outcome = admission.outcome
            reasons += admission.reasons
        sessions = NO_SESSIONS
        if outcome is Outcome.GOOD and subject is not None and record is not None and app is not None:
            sessions = _find_sessions(stores, subject, record, app, context.application_id)
        verdict = Verdict(
            outcome=outcome,
            reasons=tuple(dict.fromkeys(reasons)),
            judged_at=now,
            evidence=(*judgement.verdict.evidence, ("revision", str(snapshot.revision))),
        )
        return ConnectionAssessment(
            verdict=verdict,
            judgement=judgement,
            registration=registration,
            record=record,
            subject=subject,
            permissions=permissions,
            snapshot=snapshot,
            policy=app,
            seq=seq,
            sessions=sessions,
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
        context = VerificationContext(
            certificate=describe_known(record, issuers.own_sha256.get(record.authority_id, ""))
            if record
            else None,
            principal=principal,
            issuers=issuers.own,
            trust_domain=issuers.snapshot.trust_domain,
        )
        # Only certificates of the inventory: foreign certificates must not push our own out of the cache.
        vouched = self._certificate_cache if record is not None else None
        return judge_certificate(PresentedCertificate(der=presented), context, now, certificate_cache=vouched)

    def _judge_certificate(
        self,
        stores: Stores,
        record: CertificateRecord | None,
        presented: bytes | None,
        *,
        app: AppPolicy | None,
        issuers: _Issuers,
        now: datetime,
    ) -> tuple[CertificateJudgement, PendingRegistration | None]:
        """Judge by partners' authorities if one of them issued the certificate, otherwise by our own inventory."""
        own = record is not None and record.authority_id in issuers.own_sha256
        partners = [issuers.partners[name] for name in app.trust if name in issuers.partners] if app else []
        if partners and not own:
            found, registration = judge_for_partners(
                stores,
                PresentedCertificate(der=presented),
                record,
                partners=partners,
                evidence_cache=self._evidence_cache,
                now=now,
                trust_domain=issuers.snapshot.trust_domain,
                certificate_cache=self._certificate_cache,
            )
            if Reason.ISSUER_UNKNOWN not in found.verdict.reasons:
                return found, registration
        return self._judge_own(stores, record, presented, issuers, now), None

    def _conclude(
        self,
        assessment: ConnectionAssessment,
        context: ConnectionContext,
        presented: bytes | None,
        now: datetime,
    ) -> AccessDecision:
        """Compute the deadline, and do step 6."""
        deadline, permissions = now, assessment.permissions
        if assessment.admitted:
            deadline = self._deadline(assessment.judgement.ends, context.opened_at)
            event = write_admitted(
                self._services,
                self._gateway_id,
                assessment,
                context,
                at=now,
                until=self._until(assessment, deadline),
            )
        else:
            if assessment.anonymous and assessment.policy is not None:
                longest = (
                    self._anonymous_lifetime if assessment.policy.opens_something else self._refused_lifetime
                )
                deadline = context.opened_at + min(self._lifetime, longest)
                permissions = anonymous_permissions(assessment.policy)
            event = write_refused(self._services, self._gateway_id, assessment, context, presented, at=now)
        return AccessDecision(
            verdict=assessment.verdict,
            anonymous=assessment.anonymous,
            subject=assessment.subject,
            certificate=assessment.record,
            grants=permissions.grants if assessment.admitted and permissions is not None else (),
            permissions=permissions,
            revision=assessment.snapshot.revision,
            policy=assessment.policy,
            deadline=deadline,
            seq=assessment.seq,
            event=event,
            partner_id=assessment.partner_id,
            evidence_index=assessment.evidence_index,
            sessions=assessment.sessions,
            ends=assessment.judgement.ends,
        )

    def _until(self, assessment: ConnectionAssessment, deadline: datetime) -> datetime:
        """Return when the connection ends if no fact changes."""
        loses_at = assessment.permissions.loses_at if assessment.permissions is not None else None
        return deadline if loses_at is None else min(deadline, loses_at)

    def _deadline(self, ends: datetime | None, opened_at: datetime) -> datetime:
        longest = opened_at + self._lifetime
        return longest if ends is None else min(longest, ends)

    def _basis(self, stores: Stores) -> PolicyBasis:
        snapshot, seq = self._snapshots.current(stores)
        kept = self._issuers
        if kept is None or kept.snapshot is not snapshot:
            kept = self._issuers = _load_issuers(stores, snapshot)
        return PolicyBasis(issuers=kept, seq=seq)


def _find_sessions(
    stores: Stores,
    subject: Subject,
    record: CertificateRecord,
    app: AppPolicy,
    application_id: str,
) -> SessionStatus:
    """Return the epoch, which every connection needs, and the end of the last session, if a rule requires a factor."""
    return SessionStatus(
        epoch=stores.epochs.of(subject.principal.id, application_id),
        last_end=stores.sessions.latest_end(record.id, application_id, subject.time)
        if app.requires_factors and subject.time
        else None,
    )


def _load_issuers(stores: Stores, snapshot: PolicySnapshot) -> _Issuers:
    own, digests = {}, {}
    for authority in snapshot.issuers:
        name = x509.load_der_x509_certificate(authority.der).subject.public_bytes()
        digests[authority.id] = hashlib.sha256(authority.der).hexdigest()
        own[name] = KnownIssuer(sha256=digests[authority.id], id=authority.id)
    return _Issuers(snapshot=snapshot, own=own, own_sha256=digests, partners=load_partners(stores))
