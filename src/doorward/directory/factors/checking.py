"""A person shows a factor: what is judged, in which order, and what is kept of it.

1. A look, and one transaction: is a try admitted? It is counted at once, before it is judged: a thousand at the same
   time are a thousand. The person's factors are read.
2. Outside of any transaction: the factor is judged. One password hash is made, also where there is no password.
3. One transaction: a good try clears its count, and the factor's counter moves (compare and set: of two uses of one
   code, one wins); the event. A wrong one stays counted; the event, or the count of many.

Who is asked learns whether it was good, or from when on to try again. What was wrong is in the record only.
Not here: passkeys (`passkeys`), the session that a good check opens (`directory.portal_sessions`).
Standard: OWASP ASVS 5.0 sections 6.3 and 6.6; NIST SP 800-63B-4 section 3.2.2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NoReturn

from doorward.audit.events import Event, EventType
from doorward.core.errors import AccessDenied, Unavailable
from doorward.core.factor_kinds import FactorKind
from doorward.directory.callers import Caller
from doorward.directory.factors import attempts
from doorward.directory.factors.context import FactorContext
from doorward.directory.factors.failure_events import describe_counts
from doorward.directory.factors.recovering import open_after_recovery
from doorward.directory.sealing import open_sealed
from doorward.factors import password, totp
from doorward.factors.recovery import hash_recovery_code
from doorward.factors.throttling import AttemptAdmission
from doorward.factors.verdict import FactorFault
from doorward.stores.events import new_event
from doorward.stores.factor_records import FactorRecord
from doorward.stores.protocols import Stores


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedFactor:
    """What came of showing a factor.

    Args:
        kind: which.
        at: when.
        faults: why not, for the record; empty if it was good.
        until: from when on another try is taken, where this one was not.
        factor: which factor it was, if it was good.
    """

    kind: FactorKind
    at: datetime
    faults: tuple[FactorFault, ...] = ()
    until: datetime | None = None
    factor: FactorRecord | None = None

    @property
    def good(self) -> bool:
        """Whether the factor was shown."""
        return not self.faults

    @property
    def locked(self) -> bool:
        """Whether no more tries of this kind are taken from this certificate."""
        return FactorFault.LOCKED in self.faults

    def __bool__(self) -> NoReturn:
        raise TypeError("ask a check for .good, or .require() it")

    def require(self) -> FactorRecord:
        """Return the factor; raise `AccessDenied` with the faults if the check was not good."""
        if self.factor is None:
            raise AccessDenied(
                "the factor was not shown", reasons=[fault.value for fault in self.faults], hint="try again"
            )
        return self.factor


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorJudgement:
    """What step 2 found: faults, or the factor with its new counter, and a secret that replaces the kept one."""

    faults: tuple[FactorFault, ...] = ()
    factor: FactorRecord | None = None
    counter: int = 0
    new_secret: bytes | None = None


def check_password(context: FactorContext, caller: Caller, text: str) -> CheckedFactor:
    """Judge a password as it was typed.

    Raises:
        Unavailable: `too-busy`: it was not judged, and not counted.
        MalformedInput: `password-hash-malformed`.
    """

    def judge(kept: Sequence[FactorRecord]) -> FactorJudgement:
        factor = kept[0] if kept else None
        stored = factor.secret.decode("ascii", "replace") if factor else None
        verdict = context.budget.run(
            caller.source, lambda: password.check_password(text, stored, context.cost)
        )
        if factor is None:
            return FactorJudgement(faults=(FactorFault.NOT_ENROLLED,))
        if not verdict.good:
            return FactorJudgement(faults=verdict.faults)
        if not verdict.require().outdated:
            return FactorJudgement(factor=factor)
        return FactorJudgement(factor=factor, new_secret=_hash_again(context, caller, text))

    return check(context, caller, FactorKind.PASSWORD, judge)


def _hash_again(context: FactorContext, caller: Caller, text: str) -> bytes | None:
    """Return the hash of a right password at today's cost; None while there is no place for it."""
    secret = password.normalise_password(text) or b""
    salt = context.services.random.token(password.SALT_BYTES)
    try:
        made = context.budget.run(caller.source, lambda: password.hash_password(secret, salt, context.cost))
    except Unavailable:
        return None
    return made.encode("ascii")


def check_totp(context: FactorContext, caller: Caller, text: str) -> CheckedFactor:
    """Judge a code of an authenticator app as it was typed; a person may have several apps.

    Raises:
        IntegrityError: `secret-unreadable`.
    """
    now = context.services.clock.now()

    def judge(kept: Sequence[FactorRecord]) -> FactorJudgement:
        if not kept:
            return FactorJudgement(faults=(FactorFault.NOT_ENROLLED,))
        found: FactorFault = FactorFault.WRONG
        good = None
        for factor in kept:  # all of them: which one it was is not to be read from the time
            secret = open_sealed(context.services, factor.secret, context=totp_place(factor.id))
            verdict = totp.check_totp(secret, text, now=now, last_step=factor.counter)
            if verdict.good:
                good = FactorJudgement(factor=factor, counter=verdict.require())
            elif FactorFault.REPLAYED in verdict.faults:
                found = FactorFault.REPLAYED
        return good or FactorJudgement(faults=(found,))

    return check(context, caller, FactorKind.TOTP, judge)


def totp_place(factor_id: str) -> str:
    """Return the name of the place that a secret of TOTP is sealed for."""
    return f"factor:{factor_id}"


def check_recovery(context: FactorContext, caller: Caller, text: str) -> CheckedFactor:
    """Judge a recovery code as it was typed. It says that the other factors are lost.

    A good one is used up. All other factors are removed and all sessions are ended, and this certificate may enrol
    one factor within 15 minutes. It is no factor of a session.
    """

    def judge(kept: Sequence[FactorRecord]) -> FactorJudgement:
        if not kept:
            return FactorJudgement(faults=(FactorFault.NOT_ENROLLED,))
        typed = hash_recovery_code(text)
        found = [factor for factor in kept if factor.secret == typed]
        return FactorJudgement(factor=found[0]) if found else FactorJudgement(faults=(FactorFault.WRONG,))

    return check(context, caller, FactorKind.RECOVERY, judge)


def check(
    context: FactorContext,
    caller: Caller,
    kind: FactorKind,
    judge: Callable[[Sequence[FactorRecord]], FactorJudgement],
) -> CheckedFactor:
    """Do the three steps; `judge` is the second."""
    services = context.services
    now = services.clock.now()
    keys = attempts.keys_of(caller, kind)
    # 1. is a try admitted?
    with services.work.read() as stores:
        admission = attempts.ask_admission(stores, keys, now)
    if not admission.taken:
        return _refuse(context, caller, kind, admission, now)
    with services.work.change(traffic=True) as stores:
        admission = attempts.begin_attempt(stores, keys, now)
        kept = [one for one in stores.factors.of_principal(caller.principal_id) if one.kind is kind]
    if not admission.taken:  # another try came in between
        return _refuse(context, caller, kind, admission, now)
    # 2. the factor
    try:
        judged = judge(kept)
    except Unavailable:
        with services.work.change(traffic=True) as stores:
            attempts.undo_attempt(stores, keys, now)
        raise
    # 3. what came of it
    with services.work.change(traffic=True) as stores:
        used = None if judged.factor is None else _use(stores, judged, now)
        if used is not None:
            attempts.end_attempt(stores, keys, now)
            if kind is FactorKind.WEBAUTHN:
                attempts.clear_account(stores, caller.principal_id, caller.certificate_sha256)
            stores.outbox.add(_describe_good(context, caller, used, now))
            if kind is FactorKind.RECOVERY:
                open_after_recovery(services, stores, caller, used, now)
            return CheckedFactor(kind=kind, at=now, factor=used)
        # Of two uses of one code, or of one counter, this one lost.
        faults = judged.faults or (FactorFault.REPLAYED,)
        for event in _describe_failure(context, caller, kind, faults[0], now):
            stores.outbox.add(event)
    return CheckedFactor(kind=kind, at=now, faults=faults)


def _use(stores: Stores, judged: FactorJudgement, now: datetime) -> FactorRecord | None:
    """Note the use of a factor; None if another was first."""
    factor = judged.factor
    assert factor is not None
    if factor.kind is FactorKind.RECOVERY:
        return factor if stores.factors.remove(factor.id) else None
    if not stores.factors.use(factor.id, expected=factor.counter, counter=judged.counter, at=now):
        return None
    used = replace(factor, counter=judged.counter, last_used_at=now)
    if judged.new_secret is not None:
        used = replace(used, secret=judged.new_secret)
        stores.factors.remove(factor.id)
        stores.factors.add(used)
    return used


def _refuse(
    context: FactorContext, caller: Caller, kind: FactorKind, admission: AttemptAdmission, now: datetime
) -> CheckedFactor:
    """Answer a try that was not judged."""
    fault = FactorFault.LOCKED if admission.locked else FactorFault.THROTTLED
    events = _describe_failure(context, caller, kind, fault, now)
    if events:
        context.services.work.record(events)
    return CheckedFactor(kind=kind, at=now, faults=(fault,), until=admission.until)


def _describe_failure(
    context: FactorContext, caller: Caller, kind: FactorKind, fault: FactorFault, now: datetime
) -> list[Event]:
    """Return the event of a failure, unless it is only counted; and those of what was counted before and is due."""
    services = context.services
    alone, counts = context.failure_limiter.admit(fault.value, caller.certificate_id, now)
    events = describe_counts(services, counts)
    if alone:
        events.append(
            new_event(
                services,
                EventType.FACTOR_FAILED,
                actor=caller.principal_id,
                data={
                    "reason": fault.value,
                    "principal": caller.principal_id,
                    "kind": kind.value,
                    "certificate": caller.certificate_id,
                },
                personal={"name": caller.name, "source": caller.source},
                at=now,
            )
        )
    return events


def _describe_good(context: FactorContext, caller: Caller, factor: FactorRecord, now: datetime) -> Event:
    return new_event(
        context.services,
        EventType.FACTOR_CHECKED,
        actor=caller.principal_id,
        data={
            "principal": caller.principal_id,
            "kind": factor.kind.value,
            "factor": factor.id,
            "certificate": caller.certificate_id,
        },
        personal={"name": caller.name, "source": caller.source},
        at=now,
    )
