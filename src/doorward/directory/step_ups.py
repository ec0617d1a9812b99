"""Step-up: an application sends a person to the portal for a second factor; the person returns with a one-use code.

    begin_step_up     store where the person came from; the return path is never in a link
    make_code         after the check, make a code for this application, certificate and request
    find_code_fault   compare all bindings of a code that the callback received, within 30 seconds

The code has 256 random bits and is stored as its SHA-256 (without salt: it cannot be guessed). A code with a wrong binding
is used up all the same: it was stolen from another person.
Not here: the session that a code opens (sessions), checking a factor (factors), HTTP (web).
"""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import datetime, timedelta

from doorward.core.entities import TENANT
from doorward.core.errors import NotFound, RequestRefused
from doorward.core.names import PORTAL_APPLICATION
from doorward.directory.callers import Caller
from doorward.stores.factor_records import SessionCodeRecord, SessionRecord, StepUpRecord
from doorward.stores.policy_snapshot import PolicySnapshots
from doorward.stores.protocols import Stores
from doorward.stores.services import Services
from doorward.wire.base64url import render_base64url

STEP_UP_LIFETIME = timedelta(minutes=5)
"""The same time as the cookie that the door set when the step-up began."""

CODE_LIFETIME = timedelta(seconds=30)
CODE_BYTES = 32
MAX_RETURN_PATH = 20_000
"""Characters. Envoy accepts headers of 60 KiB in total, and browsers accept URLs of 32,000 to 2,000,000 characters."""

HTTPS_PORT = 443

_RETURN_PATH = re.compile(r"/[!-~]*")
_REQUEST = re.compile(r"[A-Za-z0-9-]{1,64}")


def begin_step_up(
    services: Services,
    snapshots: PolicySnapshots,
    caller: Caller,
    *,
    application_id: str,
    authority: str,
    request: str,
    return_path: str,
    port: int,
) -> StepUpRecord:
    """Store for five minutes where a person came from.

    Args:
        services: the ports of this process.
        snapshots: the policy in force.
        caller: the person.
        application_id: the application that the person came from.
        authority: its host, with `:port` if that is not 443, as the browser sent it.
        request: id of the request that was redirected; the browser has it in a cookie.
        return_path: path and query on that host; begins with `/`, at most 20,000 printable ASCII characters.
        port: the public port of the door.

    Raises:
        NotFound: `application-unknown`.
        RequestRefused: `step-up-refused`: the authority does not belong to the application, or another value is malformed.
    """
    # Only printable ASCII: appended to `https://host`, it can neither name another host nor break a header.
    fits = len(return_path) <= MAX_RETURN_PATH and _RETURN_PATH.fullmatch(return_path)
    if not fits or not _REQUEST.fullmatch(request):
        raise _refused_step_up()
    now = services.clock.now()
    with services.work.change(traffic=True) as stores:
        snapshot, _ = snapshots.current(stores)
        app = snapshot.policies.get(application_id)
        # The portal has a policy like an application, but is not one: its own checks lead back without a host
        # (`begin_own_check`), so a return path from an attacker's link, such as `//evil.example/`, would leave the portal.
        if app is None or application_id == PORTAL_APPLICATION:
            raise NotFound(
                "application-unknown", "there is no such application here", hint="open the application again"
            )
        if authority not in {with_port(host, port) for host in app.hosts}:
            raise _refused_step_up()
        step_up = StepUpRecord(
            id=services.new_id("stp"),
            tenant=TENANT,
            principal_id=caller.principal_id,
            certificate_sha256=caller.certificate_sha256,
            application_id=application_id,
            host=authority,
            request=request,
            return_path=return_path,
            created_at=now,
            expires_at=now + STEP_UP_LIFETIME,
        )
        stores.step_ups.add(step_up)
    return step_up


def begin_own_check(services: Services, caller: Caller, *, return_path: str) -> StepUpRecord:
    """Store which page of the portal asked for a factor; `return_path` is a constant of our code, not of a request."""
    now = services.clock.now()
    step_up = StepUpRecord(
        id=services.new_id("stp"),
        tenant=TENANT,
        principal_id=caller.principal_id,
        certificate_sha256=caller.certificate_sha256,
        application_id=PORTAL_APPLICATION,
        host="",
        request="",
        return_path=return_path,
        created_at=now,
        expires_at=now + STEP_UP_LIFETIME,
    )
    with services.work.change(traffic=True) as stores:
        stores.step_ups.add(step_up)
    return step_up


def with_port(host: str, port: int) -> str:
    """Return a host as browsers write it in a URL: with its port, unless that is 443."""
    return host if port == HTTPS_PORT else f"{host}:{port}"


def find_step_up(services: Services, caller: Caller, step_up_id: str) -> StepUpRecord:
    """Return a step-up of the caller's certificate.

    Raises:
        NotFound: `step-up-unknown`: it has ended, belongs to another certificate, or never existed.
    """
    with services.work.read() as stores:
        return _require(stores, caller, step_up_id, services.clock.now())


def make_code(
    services: Services, caller: Caller, step_up_id: str, session: SessionRecord
) -> tuple[StepUpRecord, str]:
    """End a step-up with a code for the application's callback.

    Args:
        services: the ports of this process.
        caller: the person.
        step_up_id: id from `begin_step_up`.
        session: the person's session at the portal, with the factors that were shown; it must still be open.

    Returns:
        The ended step-up, and the code.

    Raises:
        NotFound: `step-up-unknown`.
    """
    code, now = render_base64url(services.random.token(CODE_BYTES)), services.clock.now()
    with services.work.change(traffic=True) as stores:
        step_up = _require(stores, caller, step_up_id, now)
        # The session may have been ended by a sign-out or a reset since it was loaded.
        found = stores.sessions.get(session.id)
        is_open = found is not None and found.ended_at is None
        if not is_open or not stores.step_ups.remove(step_up_id):
            raise _unknown_step_up()
        stores.session_codes.add(
            SessionCodeRecord(
                code_sha256=hash_code(code),
                tenant=TENANT,
                session_id=session.id,
                principal_id=caller.principal_id,
                certificate_sha256=caller.certificate_sha256,
                application_id=step_up.application_id,
                host=step_up.host,
                request=step_up.request,
                return_path=step_up.return_path,
                factors=session.factors,
                created_at=now,
                expires_at=now + CODE_LIFETIME,
            )
        )
    return step_up, code


def end_own_check(services: Services, caller: Caller, step_up_id: str) -> StepUpRecord:
    """End a check that a page of the portal asked for; raise `NotFound` (`step-up-unknown`)."""
    with services.work.change(traffic=True) as stores:
        step_up = _require(stores, caller, step_up_id, services.clock.now())
        stores.step_ups.remove(step_up_id)
    return step_up


def find_code_fault(
    record: SessionCodeRecord | None,
    caller: Caller,
    *,
    application_id: str,
    host: str,
    begin: str,
    now: datetime,
) -> str:
    """Return why a code is not valid here, as a reason of `session:refused`; empty if it is valid.

    1. It exists; 2. its certificate is the caller's; 3. its application and host match; 4. the browser has the cookie of
    the request that began the step-up; 5. it has not expired.
    """
    if record is None:
        return "code-unknown"
    if not _same(record.certificate_sha256, caller.certificate_sha256) or (
        record.principal_id != caller.principal_id
    ):
        return "code-of-other-certificate"
    if record.application_id != application_id or record.host != host:
        return "code-of-other-application"
    if not _same(record.request, begin):
        return "code-of-other-browser"
    return "code-expired" if now >= record.expires_at else ""


def hash_code(code: str) -> str:
    """Return the SHA-256 under which a code is stored."""
    return hashlib.sha256(code.encode("utf-8", "surrogatepass")).hexdigest()


def _require(stores: Stores, caller: Caller, step_up_id: str, now: datetime) -> StepUpRecord:
    found = stores.step_ups.get(step_up_id)
    if (
        found is None
        or found.certificate_sha256 != caller.certificate_sha256
        or found.principal_id != caller.principal_id
        or now >= found.expires_at
    ):
        raise _unknown_step_up()
    return found


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode("utf-8", "surrogatepass"))


def _unknown_step_up() -> NotFound:
    return NotFound(
        "step-up-unknown",
        "this check has ended, or it was begun with another certificate",
        hint="open the application again",
    )


def _refused_step_up() -> RequestRefused:
    return RequestRefused(
        "step-up-refused",
        "the redirect does not come from an application behind this door",
        hint="open the application again",
    )
