"""The values of the PDP: the context of a connection, its assessment, and the decision.

Not here: deciding (`deciding`), and the event of a decision (`decision_events`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from doorward.audit.events import Event
from doorward.core.entities import Outcome, Principal, Reason, Verdict
from doorward.core.errors import MalformedInput
from doorward.partners.judging import PendingRegistration
from doorward.policy.decision import ConnectionPermissions
from doorward.policy.model import AppPolicy
from doorward.policy.subject import Subject
from doorward.stores.policy_snapshot import PolicySnapshot
from doorward.stores.records import CertificateRecord
from doorward.verification.partner import PartnerJudgement
from doorward.verification.revocation.evidence_index import EvidenceIndex
from doorward.verification.steps import GOOD_REASONS, CertificateJudgement

_FOR_IT = GOOD_REASONS | {Reason.APPLICATION_KNOWN, Reason.RULE_ALLOWS}
"""Reasons that do not refuse a connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionContext:
    """The facts about a connection before it is judged; they stay the same until the connection ends.

    Args:
        connection_id: the gateway's name for the connection: printable ASCII without spaces.
        application_id: the application of the filter chain (`app_…`), never a name that the peer sent.
        source_address: the peer's address as the kernel sees it.
        opened_at: aware, UTC.
    """

    connection_id: str
    application_id: str
    source_address: str
    opened_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStatus:
    """Second-factor sessions of one principal at one application.

    Args:
        epoch: only tokens of this epoch are accepted (stores.epochs).
        last_end: when the last open session of the certificate there ends; None if there is none, or if no rule requires
            a factor.
    """

    epoch: str = "0.0.0"
    last_end: datetime | None = None


NO_SESSIONS = SessionStatus()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionAssessment:
    """What the PDP found about one connection in one transaction.

    Args:
        verdict: good if the certificate is good, the application is known, and some request could pass.
        judgement: the judgement of the certificate alone.
        registration: what is to be written down before a partner's certificate is judged again.
        record: the certificate's row in the inventory.
        subject: set only if the certificate is good.
        permissions: what the rules allow; None if they were not evaluated.
        snapshot: the policy in force.
        policy: the application's part of it; None if there is none.
        seq: the number of the transaction in the change sequence.
        sessions: the holder's sessions at this application.
    """

    verdict: Verdict
    judgement: CertificateJudgement
    registration: PendingRegistration | None
    record: CertificateRecord | None
    subject: Subject | None
    permissions: ConnectionPermissions | None
    snapshot: PolicySnapshot
    policy: AppPolicy | None
    seq: int
    sessions: SessionStatus = NO_SESSIONS

    @property
    def partner_id(self) -> str:
        """The partner that issued the certificate; empty for our own authority."""
        found = self.judgement
        return found.partner.id if isinstance(found, PartnerJudgement) and found.partner is not None else ""

    @property
    def evidence_index(self) -> EvidenceIndex | None:
        """The evidence of that partner by which the certificate was judged."""
        found = self.judgement
        return found.evidence_index if isinstance(found, PartnerJudgement) else None

    @property
    def admitted(self) -> bool:
        """Whether the connection is admitted with a good certificate."""
        return self.verdict.outcome is Outcome.GOOD

    @property
    def anonymous(self) -> bool:
        """Whether the connection is admitted without a good certificate: for public paths, or for a page."""
        return not self.admitted and self.policy is not None and self.policy.admits_anonymous


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessDecision:
    """The decision about a connection: whether it is admitted, why, until when, and by which state of the database.

    Args:
        verdict: GOOD admits; any other outcome refuses, unless the connection is `anonymous`.
        anonymous: admitted without a good certificate, because the application answers such connections.
        subject: set only if the certificate is good.
        certificate: set if it is in the inventory.
        grants: ids of rules; none for an anonymous connection.
        permissions: what the connection may do.
        revision: the number of the policy revision in force.
        policy: the application's part of the document, None if there is none.
        deadline: when the connection must end; for a refused one, the time of the decision.
        seq: the number in the change sequence at which the database was read.
        event: `connection:admitted`, `connection:refused` or `connection:anonymous`.
        partner_id: the partner that issued the certificate; empty for our own authority.
        evidence_index: the evidence by which the certificate was judged (`AccessDecider.is_current`).
        sessions: the holder's sessions at this application.
        ends: when the certificate, its path or the evidence about it ends; None if that is not known.
    """

    verdict: Verdict
    anonymous: bool
    subject: Subject | None
    certificate: CertificateRecord | None
    grants: tuple[str, ...]
    permissions: ConnectionPermissions | None
    revision: int
    policy: AppPolicy | None
    deadline: datetime
    seq: int
    event: Event
    partner_id: str = ""
    evidence_index: EvidenceIndex | None = None
    sessions: SessionStatus = NO_SESSIONS
    ends: datetime | None = None

    @property
    def principal(self) -> Principal | None:
        """The holder of the connection; None without a good certificate."""
        return self.subject.principal if self.subject is not None else None

    def holder(self) -> tuple[Subject, CertificateRecord]:
        """Return the admitted subject and its certificate.

        Raises:
            MalformedInput: `decision-incomplete` if the decision does not admit the holder of a certificate.
        """
        if self.verdict.outcome is not Outcome.GOOD or self.subject is None or self.certificate is None:
            raise MalformedInput("decision-incomplete", "the decision admits no holder of a certificate")
        return self.subject, self.certificate

    @property
    def refusal(self) -> Reason | None:
        """The first reason that refuses the connection, in the order of the steps; None if the verdict is good."""
        if self.verdict.outcome is Outcome.GOOD:
            return None
        return next((reason for reason in self.verdict.reasons if reason not in _FOR_IT), None)

    def accounting_key(self, source: str) -> str:
        """Return the key by which the decision is counted: its certificate's id, or `source`.

        A certificate has a counter of its own if it is in the inventory, which for a partner's means that a path was
        good once. Anybody can make any number of other certificates, so those are counted by source.
        """
        return source if self.certificate is None else self.certificate.id
