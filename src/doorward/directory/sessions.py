"""Sessions at applications: a one-use code opens one, and a sign-out ends it.

    redeem_code    1. take the code; 2. compare its bindings; 3. check that certificate and account are still good;
                   4. open a session, or continue the one that this browser has; 5. return what the token will say
    sign_out       at one application, or everywhere: the session epoch is raised, so every gateway refuses all earlier
                   tokens, and live connections are judged again and cut

Steps 1 to 5 are one transaction: of two callers with the same code one succeeds, and after a sign-out none does.
Not here: the code (step_ups), the portal's own sessions (portal_sessions), signing the token.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from doorward.audit.events import Event, EventType, printable
from doorward.core.certificate import CertificateState
from doorward.core.entities import TENANT, PrincipalState
from doorward.core.errors import NotFound, RequestRefused
from doorward.core.factor_kinds import level_of
from doorward.core.names import PORTAL_APPLICATION
from doorward.directory.callers import Caller
from doorward.directory.session_ending import end_sessions
from doorward.directory.step_ups import find_code_fault, hash_code
from doorward.stores.change_result import ChangeResult
from doorward.stores.events import new_event
from doorward.stores.factor_records import SessionCodeRecord, SessionRecord
from doorward.stores.protocols import Stores
from doorward.stores.records import ChangeKind
from doorward.stores.services import Services

LIFETIME = timedelta(hours=8)
MAX_OPEN = 20
"""Sessions of one principal at one application; at the limit the oldest session is continued."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedSession:
    """The result of a good code: the session, the epoch for its token, and the path where the person was."""

    session: SessionRecord
    epoch: str
    return_path: str


def redeem_code(
    services: Services,
    caller: Caller,
    *,
    code: str,
    application_id: str,
    host: str,
    begin: str,
    lifetime: timedelta = LIFETIME,
) -> OpenedSession:
    """Exchange a code for a session; a code works once.

    Args:
        services: the ports of this process.
        caller: the caller with the code, as the door of the application identified it.
        code: as received; it is used up, even if it is not good here.
        application_id: the application that was asked.
        host: the host that was asked, with its port if that is not 443.
        begin: the cookie of the request that began the step-up; empty for none.
        lifetime: of the session; the certificate's end may come first.

    Raises:
        RequestRefused: `session-code-refused`, for every reason; the event says which.
    """
    now = services.clock.now()
    with services.work.change(traffic=True) as stores:
        taken = stores.session_codes.take(hash_code(code))
        why = find_code_fault(
            taken, caller, application_id=application_id, host=host, begin=begin, now=now
        ) or _find_withdrawal(stores, caller, now)
        if taken is not None and not why:
            opened, event = _open(services, stores, caller, taken, now=now, lifetime=lifetime)
            stores.outbox.add(event)
            # So that gateways learn the new end of this certificate's connections, which is that of its last session.
            stores.changes.note(ChangeKind.PRINCIPAL, caller.principal_id, now)
            return opened
        stores.outbox.add(_refusal(services, caller, application_id, why))
    raise _refused(why)


def _find_withdrawal(stores: Stores, caller: Caller, now: datetime) -> str:
    """Return the fault if the certificate or the account was withdrawn since the request came in; empty if not."""
    certificate = stores.certificates.get(caller.certificate_id)
    principal = stores.directory.get(caller.principal_id)
    good = (
        certificate is not None
        and certificate.state is CertificateState.VALID
        and now < certificate.not_after
        and principal is not None
        and principal.state is PrincipalState.ACTIVE
    )
    return "" if good else "standing-lost"


def _open(
    services: Services,
    stores: Stores,
    caller: Caller,
    code: SessionCodeRecord,
    *,
    now: datetime,
    lifetime: timedelta,
) -> tuple[OpenedSession, Event]:
    known = _find_known(stores, caller, code.application_id, now=now, lifetime=lifetime)
    if known is not None:
        stores.sessions.touch(known.id, seen_at=now, factors=code.factors)
        session = known
    else:
        session = SessionRecord(
            id=services.new_id("ses"),
            tenant=TENANT,
            principal_id=caller.principal_id,
            certificate_id=caller.certificate_id,
            certificate_sha256=caller.certificate_sha256,
            application_id=code.application_id,
            source=caller.source,
            client=caller.client,
            factors=code.factors,
            created_at=now,
            seen_at=now,
            ends_at=min(now + lifetime, caller.not_after),
        )
        stores.sessions.add(session)
    epoch = stores.epochs.of(caller.principal_id, code.application_id)
    event = new_event(
        services,
        EventType.SESSION_OPENED,
        actor=caller.principal_id,
        data={
            "session": session.id,
            "principal": caller.principal_id,
            "certificate": caller.certificate_id,
            "application": code.application_id,
            "level": level_of(code.factors),
            "factors": sorted(kind.value for kind in code.factors),
            "expires_at": session.ends_at,
        },
        personal={"name": caller.name, "source": caller.source},
        at=now,
    )
    opened = replace(session, factors=code.factors, seen_at=now)
    return OpenedSession(session=opened, epoch=epoch, return_path=code.return_path), event


def _find_known(
    stores: Stores, caller: Caller, application_id: str, *, now: datetime, lifetime: timedelta
) -> SessionRecord | None:
    """Return the open session to continue: same certificate, browser and address, and at least half of its time left.

    So a rule that wants a new check every five minutes makes one line in the list of sessions, not a hundred. Another
    address makes another line, so that people notice a session that is not theirs. The factors of the earlier token
    are not taken over: an attacker may hold the certificate's key and a weaker factor.
    """
    listed = [
        one
        for one in stores.sessions.open_at(now, caller.principal_id)
        if one.application_id == application_id and one.certificate_sha256 == caller.certificate_sha256
    ]
    for one in listed:
        same = (one.client, one.source) == (caller.client, caller.source)
        if same and one.ends_at - now > lifetime / 2:
            return one
    return listed[0] if len(listed) >= MAX_OPEN else None


def sign_out(
    services: Services, principal_id: str, *, application_id: str = "", reason: str = "signed-out", actor: str
) -> ChangeResult[int]:
    """End the sessions of a principal at one application, or everywhere if no application is named; also at the portal.

    Returns:
        How many sessions ended. Gateways confirm the number of this change when they refuse every earlier token.
    """
    now = services.clock.now()
    with services.work.change() as stores:
        ended = end_sessions(
            services, stores, principal_id, application_id=application_id, reason=reason, actor=actor, now=now
        )
        seq = stores.changes.note(ChangeKind.PRINCIPAL, principal_id, now)
    return ChangeResult(value=ended, seq=seq)


def end_session(
    services: Services, session_id: str, *, of: str = "", actor: str
) -> ChangeResult[SessionRecord]:
    """End one session. At an application, all sessions of the principal there end with it, because they share an epoch.

    Args:
        services: the ports of this process.
        session_id: id of the session.
        of: id of the principal that must own the session; empty for any.
        actor: who acts.

    Raises:
        NotFound: `session-unknown`.
        RequestRefused: `session-over`.
    """
    now = services.clock.now()
    with services.work.change() as stores:
        found = stores.sessions.get(session_id)
        if found is None or (of and found.principal_id != of):
            hint = "`doorward session list` shows the open sessions"
            raise NotFound("session-unknown", f"there is no session {printable(session_id)[:64]}", hint=hint)
        if found.ended_at is not None or found.ends_at <= now:
            hint = "nothing needs to be done; `doorward session list` shows the open sessions"
            raise RequestRefused("session-over", "this session has ended already", hint=hint)
        if found.application_id == PORTAL_APPLICATION:
            stores.sessions.end(found.id, now)
            stores.session_codes.remove_all(found.principal_id)
            stores.outbox.add(_portal_ended(services, found, actor, now))
            return ChangeResult(value=found, seq=stores.changes.head())
        end_sessions(
            services,
            stores,
            found.principal_id,
            application_id=found.application_id,
            reason="signed-out",
            actor=actor,
            now=now,
        )
        seq = stores.changes.note(ChangeKind.PRINCIPAL, found.principal_id, now)
    return ChangeResult(value=found, seq=seq)


def list_sessions(services: Services, principal_id: str | None = None) -> list[SessionRecord]:
    """Return the open sessions of one principal or all, oldest first."""
    with services.work.read() as stores:
        return stores.sessions.open_at(services.clock.now(), principal_id)


def _portal_ended(services: Services, session: SessionRecord, actor: str, now: datetime) -> Event:
    return new_event(
        services,
        EventType.SESSION_ENDED,
        actor=actor,
        data={
            "reason": "signed-out",
            "session": session.id,
            "principal": session.principal_id,
            "number": 1,
        },
        at=now,
    )


def _refusal(services: Services, caller: Caller, application_id: str, why: str) -> Event:
    return new_event(
        services,
        EventType.SESSION_REFUSED,
        actor=caller.principal_id,
        data={
            "reason": why,
            "principal": caller.principal_id,
            "certificate": caller.certificate_id,
            "application": application_id,
        },
        personal={"name": caller.name, "source": caller.source},
    )


def _refused(why: str) -> RequestRefused:
    return RequestRefused(
        "session-code-refused",
        "the one-time code for the way back to the application is not valid, or was used",
        hint="open the application again",
        reason=why,
    )
