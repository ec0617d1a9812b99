"""A person's session at the portal: which factors were shown there with this certificate, and when.

    note_factor           begin a new session after a check; it keeps the factors of the previous session
    find_portal_session   return the session of a cookie, if it belongs to this certificate and has not ended

The cookie is 256 random bits; its SHA-256 is stored. Each check makes a new cookie, and the previous cookie stops working
(OWASP ASVS 5.0 7.2.4). A session ends 15 minutes after the last request (a setting), 8 hours after the first factor, when
its certificate ends, or at a sign-out.
Not here: sessions of applications (sessions), checking a factor (factors).
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime, timedelta

from doorward.core.entities import TENANT
from doorward.core.errors import RequestRefused
from doorward.core.factor_kinds import FactorKind
from doorward.core.names import PORTAL_APPLICATION
from doorward.directory.callers import Caller
from doorward.stores.factor_records import SessionRecord
from doorward.stores.protocols import Stores
from doorward.stores.services import Services
from doorward.wire.base64url import render_base64url

IDLE = timedelta(minutes=15)
"""Precedent: NIST SP 800-63B-4: 15 minutes for the highest level (section 2.3.3), one hour for the middle one (2.2.3)."""

LONGEST = timedelta(hours=8)
"""A working day; NIST SP 800-63B-4 section 2.3.3 has 12 hours."""

TOKEN_BYTES = 32
SEEN_STEP = timedelta(seconds=30)
"""How often, at most, a request stores the time at which the session was last used."""

_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


def note_factor(
    services: Services,
    caller: Caller,
    kind: FactorKind,
    *,
    factor_id: str,
    former: str,
    idle: timedelta = IDLE,
) -> tuple[SessionRecord, str]:
    """Begin a session with this factor, shown now, and with the factors of the previous session.

    Args:
        services: the ports of this process.
        caller: the person.
        kind: the kind of factor; the calling function has checked it.
        factor_id: id of the factor.
        former: the cookie of the request; empty if there was none.
        idle: how long a session may go without a request.

    Returns:
        The session, and its cookie.

    Raises:
        RequestRefused: `factor-refused` if the factor was removed, replaced or reset since the check.
    """
    token, now = render_base64url(services.random.token(TOKEN_BYTES)), services.clock.now()
    with services.work.change(traffic=True) as stores:
        if stores.factors.get(factor_id) is None:
            raise RequestRefused(
                "factor-refused", "this factor was removed just now", hint="use another factor"
            )
        before = _find(stores, caller, former, now=now, idle=idle)
        session = SessionRecord(
            id=services.new_id("ses"),
            tenant=TENANT,
            principal_id=caller.principal_id,
            certificate_id=caller.certificate_id,
            certificate_sha256=caller.certificate_sha256,
            application_id=PORTAL_APPLICATION,
            token_sha256=hash_token(token),
            source=caller.source,
            client=caller.client,
            factors={**(before.factors if before else {}), kind: now},
            created_at=now if before is None else before.created_at,
            seen_at=now,
            ends_at=min(now + LONGEST if before is None else before.ends_at, caller.not_after),
        )
        stores.sessions.add(session)
        if before is not None:
            stores.sessions.end(before.id, now)
    return session, token


def find_portal_session(
    services: Services, caller: Caller, token: str, *, idle: timedelta = IDLE
) -> SessionRecord | None:
    """Return the session of a cookie and note its use; None if it has ended or belongs to another certificate."""
    now = services.clock.now()
    with services.work.read() as stores:
        found = _find(stores, caller, token, now=now, idle=idle)
    if found is not None and now - found.seen_at >= SEEN_STEP:
        with services.work.change(traffic=True) as stores:
            stores.sessions.touch(found.id, seen_at=now, factors=found.factors)
    return found


def hash_token(token: str) -> str:
    """Return the SHA-256 of a cookie, under which its session is stored."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _find(
    stores: Stores, caller: Caller, token: str, *, now: datetime, idle: timedelta
) -> SessionRecord | None:
    if not _TOKEN.fullmatch(token):
        return None
    found = stores.sessions.by_token(hash_token(token))
    good = (
        found is not None
        and found.ended_at is None
        and now < found.ends_at
        and now - found.seen_at < idle
        and found.certificate_sha256 == caller.certificate_sha256
        and found.principal_id == caller.principal_id
    )
    return found if good else None
