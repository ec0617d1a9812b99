"""A connection of the door in its two states: being judged, and admitted.

What is known of a connection before it is judged (`ConnectionContext`) is made once, by the authorizer. A pending
connection adds what the kernel and Envoy know, a live one what was decided.

Not here: holding them (registry), writing them down (journal), deciding (`access.deciding`).
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
        """The source is the remote side's address, and no other."""
        object.__setattr__(self, "source_address", self.remote.host)


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveConnection(PendingConnection):
    """An admitted connection.

    Args:
        certificate_id: `crt_…`; empty for an anonymous connection, which holds no grants.
        sha256: hex digest of the leaf; of an anonymous one of what it showed, empty for nothing.
        principal_id: whom the certificate is for.
        subject: the same in full, and what else rules ask of it; None for connections adopted from the journal.
        revision: number of the document that it was judged by.
        grants: the ids that Envoy was told.
        permissions: what the policy gave it; None for adopted ones, which cannot be compared with a
            new policy: any change that touches them ends them.
        deadline: when it must end, UTC, whatever its rules say; see `ends_at`.
        partner_id: whose authority vouches; empty for our own, and for adopted ones.
        decision: the id of the decision that admitted it, which Envoy knows too; empty for adopted and
            anonymous ones.
        adopted: whether an earlier process admitted it.
        shown: of an anonymous connection, the ids of the certificate that it showed and of its principal, if the
            inventory has them: it ends once they are good enough for more.
        sessions: where the sessions of the holder at this application stand: it ends with the last of them, so that
            what still streams does not outlive the factor.
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
    adopted: bool = False
    shown: frozenset[str] = frozenset()
    sessions: SessionStatus = NO_SESSIONS

    @classmethod
    def admitted(cls, pending: PendingConnection, decision: AccessDecision) -> LiveConnection:
        """Return a pending connection as a decision admits it.

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
        )

    def judged_again(self, decision: AccessDecision, *, lifetime: timedelta) -> LiveConnection:
        """Return the connection as it is by a newer judgement, by which it lost nothing.

        Args:
            decision: one judgement serves many connections, also such as opened later than this one.
            lifetime: how long a connection may last at most.
        """
        deadline = self.deadline
        if self.partner_id:  # that of our own certificates never moves
            deadline = whole_minute(min(decision.deadline, self.opened_at + lifetime), self.opened_at)
        return replace(
            self,
            subject=decision.subject,
            permissions=decision.permissions,
            deadline=deadline,
            sessions=decision.sessions,
        )

    @property
    def ends_at(self) -> datetime:
        """When it must end, UTC: at its deadline, with its last session, or when time alone takes a permission away."""
        loses_at = self.permissions.loses_at if self.permissions is not None else None
        return min(one for one in (self.deadline, loses_at, self.sessions.last_end) if one is not None)

    @property
    def changes_at(self) -> datetime | None:
        """When it must be judged again though nothing changed but the time, UTC; None for never."""
        return self.permissions.changes_at if self.permissions is not None else None

    @property
    def anonymous(self) -> bool:
        """Whether no good certificate stands behind it."""
        return not self.certificate_id


def whole_minute(deadline: datetime, now: datetime) -> datetime:
    """Round a deadline down to the minute, so that assertions of one minute are shared; never to the past."""
    rounded = deadline.replace(second=0, microsecond=0)
    return rounded if rounded > now + timedelta(minutes=1) else deadline.replace(microsecond=0)
