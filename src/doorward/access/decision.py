"""What the PDP is asked about a connection, what it finds, and what it decides.

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
"""Reasons that stand against no connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionContext:
    """What is known of a connection before it is judged; it stays the same until the connection ends.

    Args:
        connection_id: the gateway's name for the connection: printable ASCII without spaces.
        application_id: the application of the filter chain (`app_…`), never a name the peer sent.
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
        epoch: only tokens of this epoch count (stores.epochs).
        last_end: when the last of the certificate's open sessions there ends; None if there is none, or if no rule
            asks for a factor.
    """

    epoch: str = "0.0.0"
    last_end: datetime | None = None


NO_SESSIONS = SessionStatus()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionAssessment:
    """What one transaction says about one connection.

    Args:
        verdict: good if the certificate is good, the application known, and some request could pass.
        judgement: what was found of the certificate alone.
        registration: what is to be written down before a partner's certificate is judged again.
        record: its row of the inventory.
        subject: set only if the certificate is good.
        permissions: what the rules give; None if they were not reached.
        snapshot: the policy that was judged by.
        policy: what it says about the application; None if it says nothing.
        seq: the number of the transaction in the change sequence.
        sessions: where the sessions of the holder at this application stand.
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
        """Which partner's authority vouched; empty for our own."""
        found = self.judgement
        return found.partner.id if isinstance(found, PartnerJudgement) and found.partner is not None else ""

    @property
    def evidence_index(self) -> EvidenceIndex | None:
        """The evidence of that partner which was asked."""
        found = self.judgement
        return found.evidence_index if isinstance(found, PartnerJudgement) else None

    @property
    def admitted(self) -> bool:
        """Whether a good certificate is let in."""
        return self.verdict.outcome is Outcome.GOOD

    @property
    def anonymous(self) -> bool:
        """Whether the connection may live without a good certificate: for what is public, or for a page."""
        return not self.admitted and self.policy is not None and self.policy.admits_anonymous


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessDecision:
    """What may be, why, until when, and as of which change.

    Args:
        verdict: GOOD admits; any other refuses, unless the connection is `anonymous`.
        anonymous: admitted without a good certificate, since the application answers such connections.
        subject: set only if the certificate is good.
        certificate: set if it is in the inventory.
        grants: ids of rules; none for an anonymous connection.
        permissions: what the connection may do.
        revision: number of the document that was judged by.
        policy: what it says about the application, None if it says nothing.
        deadline: when the connection must end; of a refused one, the moment of judgement.
        seq: the number in the change sequence as of which was judged.
        event: `connection:admitted`, `connection:refused` or `connection:anonymous`.
        partner_id: whose authority vouched, empty for our own.
        evidence_index: the evidence that was asked (`AccessDecider.is_current`).
        sessions: where the sessions of the holder at this application stand.
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

    @property
    def principal(self) -> Principal | None:
        """Who holds the connection; None where no good certificate says so."""
        return self.subject.principal if self.subject is not None else None

    def holder(self) -> tuple[Subject, CertificateRecord]:
        """Return who is admitted, and by which certificate.

        Raises:
            MalformedInput: `decision-incomplete` if the decision admits no holder of a certificate.
        """
        if self.verdict.outcome is not Outcome.GOOD or self.subject is None or self.certificate is None:
            raise MalformedInput("decision-incomplete", "an admitting decision lacks its subject")
        return self.subject, self.certificate

    @property
    def refusal(self) -> Reason | None:
        """The first reason that stands against the connection, in the order of the steps; None if it was judged good."""
        if self.verdict.outcome is Outcome.GOOD:
            return None
        return next((reason for reason in self.verdict.reasons if reason not in _FOR_IT), None)

    def accounting_key(self, source: str) -> str:
        """Return under which key the decision is counted: its certificate's id, or `source`.

        A certificate counts for itself if it is in the inventory, and so if a path was found good;
        anybody can make any other, and as many of them as there are decisions.
        """
        return source if self.certificate is None else self.certificate.id
