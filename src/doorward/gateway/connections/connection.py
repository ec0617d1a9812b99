"""A connection of the door in its two states: being judged (pending), and admitted (live).

The facts of a connection before its judgement (`ConnectionContext`) are made once, by the authorizer. A pending
connection adds the facts of the kernel and of Envoy, a live connection those of the decision.

Not here: keeping them (registry), the file of live connections (journal), deciding (`access.deciding`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from typing import Any

from doorward.access.decision import NO_SESSIONS, AccessDecision, ConnectionContext, SessionStatus
from doorward.gateway.connections.endpoints import Endpoint
from doorward.policy.decision import ConnectionPermissions
from doorward.policy.subject import Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingConnection(ConnectionContext):
    """A connection that is being judged.

    Args:
        cookie: the kernel's name of the socket.
        connection_id: Envoy's id, unique within `epoch`.
        epoch: the run of Envoy that accepted it.
        local: the listener's side, as the kernel sees it.
        remote: the peer's side, as the kernel sees it.
    """

    cookie: int
    epoch: int
    local: Endpoint
    remote: Endpoint
    source_address: str = field(init=False)

    def __post_init__(self) -> None:
        """Set the source to the remote side's address."""
        object.__setattr__(self, "source_address", self.remote.host)


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveConnection(PendingConnection):
    """An admitted connection.

    Args:
        certificate_id: `crt_…`; empty for an anonymous connection, which holds no grants.
        sha256: hex digest of the leaf; for an anonymous connection, of the certificate that it showed, empty if none.
        principal_id: the principal of the certificate.
        subject: this principal in full, with the other facts that rules use; None for adopted connections.
        revision: the revision of the policy document by which it was admitted.
        grants: the ids that Envoy got.
        permissions: what the policy gives it; None for adopted ones, until they are judged again.
        deadline: when it must end at the latest, UTC; see `ends_at`.
        partner_id: the partner that issued the certificate; empty for our own authority, and for adopted ones.
        decision: the id of the decision that admitted it, which Envoy has too; empty for anonymous ones.
        judged_grants: the ids that the last judgement by the database gave it; a comparison with newer rules (follower)
            does not change them.
        judged_by: the revision of the policy document that this judgement used; -1 if it is not known.
        adopted: whether an earlier process admitted it, and this process has not judged it yet.
        shown: for an anonymous connection, the ids of the certificate that it showed and of its principal, if the
            inventory has them: it ends once that certificate is good.
        sessions: the sessions of its holder at this application: it ends with the last of them, so that a
            running stream does not outlive the second factor.
    """

    certificate_id: str
    sha256: str
    principal_id: str
    subject: Subject | None
    revision: int
    grants: tuple[str, ...]
    permissions: ConnectionPermissions | None
    deadline: datetime
    partner_id: str = ""
    decision: str = ""
    judged_grants: tuple[str, ...] = ()
    judged_by: int = -1
    adopted: bool = False
    shown: frozenset[str] = frozenset()
    sessions: SessionStatus = NO_SESSIONS

    @classmethod
    def admitted(cls, pending: PendingConnection, decision: AccessDecision) -> LiveConnection:
        """Return the live connection that a decision makes of a pending one.

        Raises:
            MalformedInput: `decision-incomplete` if the decision admits nothing.
        """
        context: dict[str, Any] = {
            one.name: getattr(pending, one.name) for one in fields(PendingConnection) if one.init
        }
        subject, certificate = (None, None) if decision.anonymous else decision.holder()
        record = decision.certificate
        shown = {record.id, record.principal_id} - {""} if record and subject is None else ()
        deadline = decision.deadline
        if subject is not None:
            deadline = whole_minute(deadline, pending.opened_at)
        return cls(
            **context,
            certificate_id=certificate.id if certificate else "",
            sha256=record.sha256 if record else str(decision.event.data.get("claimed_sha256", "")),
            shown=frozenset(shown),
            sessions=decision.sessions,
            principal_id=subject.principal.id if subject else "",
            subject=subject,
            revision=decision.revision,
            grants=decision.grants,
            permissions=decision.permissions,
            deadline=deadline,
            partner_id=decision.partner_id if subject else "",
            decision=decision.event.id if subject else "",
            judged_grants=decision.grants,
            judged_by=decision.revision,
        )

    def judged_again(self, decision: AccessDecision, *, lifetime: timedelta) -> LiveConnection:
        """Return the connection after a newer judgement by which it lost nothing.

        Args:
            decision: one decision is used for many connections, also for ones that were opened later than this one.
            lifetime: how long a connection may last at most.
        """
        deadline = self.deadline
        if self.partner_id:  # the deadline of our own certificates never changes
            deadline = whole_minute(min(decision.deadline, self.opened_at + lifetime), self.opened_at)
        return replace(
            self,
            subject=decision.subject,
            permissions=decision.permissions,
            deadline=deadline,
            sessions=decision.sessions,
            judged_grants=decision.grants,
            judged_by=decision.revision,
        )

    def restored(self, decision: AccessDecision, *, lifetime: timedelta) -> LiveConnection:
        """Return an adopted connection with the facts of a judgement; the arguments are as in `judged_again`."""
        known = replace(self, partner_id=decision.partner_id, adopted=False)
        return known.judged_again(decision, lifetime=lifetime)

    def past_deadline(self) -> LiveConnection:
        """Return an adopted connection that was condemned: it must end, whatever a judgement says."""
        return replace(self, deadline=self.opened_at)

    @property
    def was_condemned(self) -> bool:
        """Whether an earlier process condemned it."""
        return self.adopted and self.deadline <= self.opened_at

    @property
    def ends_at(self) -> datetime:
        """When it must end, UTC: at its deadline, with its last session, or when time alone takes a permission away."""
        loses_at = self.permissions.loses_at if self.permissions is not None else None
        last_end = self.sessions.last_end
        if loses_at is None and last_end is None:  # nearly always
            return self.deadline
        return min(one for one in (self.deadline, loses_at, last_end) if one is not None)

    @property
    def changes_at(self) -> datetime | None:
        """When it must be judged again because of the time alone, UTC; None for never."""
        return self.permissions.changes_at if self.permissions is not None else None

    @property
    def anonymous(self) -> bool:
        """Whether it has no good certificate."""
        return not self.certificate_id


def whole_minute(deadline: datetime, now: datetime) -> datetime:
    """Round a deadline down to the minute, so that equal assertions can be shared; never into the past."""
    rounded = deadline.replace(second=0, microsecond=0)
    return rounded if rounded > now + timedelta(minutes=1) else deadline.replace(microsecond=0)
