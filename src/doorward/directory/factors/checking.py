"""Checking a factor that a person shows, in three steps.

1. A read, then one transaction: is a try admitted? It is counted before it is judged, so that a thousand simultaneous
   tries count as a thousand. The person's factors are read.
2. Outside of any transaction: the factor is judged. One password hash is made, even if the person has no password.
3. One transaction: a good try clears its count and moves the factor's counter (compare and set: of two uses of one code,
   one succeeds); the event is written. A wrong try stays counted; its event is written, or only counted in a flood.

The person learns whether the factor was good, or when to try again. The fault is in the event only.
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
    """The result of a check.

    Args:
        kind: of the factor.
        at: when it was checked.
        faults: the faults, for the event; empty if the check was good.
        until: when the next try is admitted, if this one was not.
        factor: the factor, if the check was good.
    """

    kind: FactorKind
    at: datetime
    faults: tuple[FactorFault, ...] = ()
    until: datetime | None = None
    factor: FactorRecord | None = None

    @property
    def good(self) -> bool:
        """Whether the check was good."""
        return not self.faults

    @property
    def locked(self) -> bool:
        """Whether this kind of factor is locked for this certificate."""
        return FactorFault.LOCKED in self.faults

    def __bool__(self) -> NoReturn:
        raise TypeError("use .good or .require() of a check, not its truth value")

    def require(self) -> FactorRecord:
        """Return the factor; raise `AccessDenied` with the faults if the check was not good."""
        if self.factor is None:
            raise AccessDenied(
                "the factor was not shown", reasons=[fault.value for fault in self.faults], hint="try again"
            )
        return self.factor


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorJudgement:
    """The result of step 2: faults, or the factor with its new counter, and perhaps a secret that replaces the stored one."""

    faults: tuple[FactorFault, ...] = ()
    factor: FactorRecord | None = None
    counter: int = 0
    new_secret: bytes | None = None


def check_password(context: FactorContext, caller: Caller, text: str) -> CheckedFactor:
    """Check a password as it was typed.

    Raises:
        Unavailable: `too-busy`: the password was neither judged nor counted.
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
    """Return the hash of a correct password at the current cost; None if the limit of hashes is reached."""
    secret = password.normalise_password(text) or b""
    salt = context.services.random.token(password.SALT_BYTES)
    try:
        made = context.budget.run(caller.source, lambda: password.hash_password(secret, salt, context.cost))
    except Unavailable:
        return None
    return made.encode("ascii")


def check_totp(context: FactorContext, caller: Caller, text: str) -> CheckedFactor:
    """Check a code of an authenticator app as it was typed; a person may have several apps.

    Raises:
        IntegrityError: `secret-unreadable`.
    """
    now = context.services.clock.now()

    def judge(kept: Sequence[FactorRecord]) -> FactorJudgement:
        if not kept:
            return FactorJudgement(faults=(FactorFault.NOT_ENROLLED,))
        found: FactorFault = FactorFault.WRONG
        good = None
        for factor in kept:  # all of them, so that the time does not tell which one matched
            secret = open_sealed(context.services, factor.secret, context=totp_context(factor.id))
            verdict = totp.check_totp(secret, text, now=now, last_step=factor.counter)
            if verdict.good:
                good = FactorJudgement(factor=factor, counter=verdict.require())
            elif FactorFault.REPLAYED in verdict.faults:
                found = FactorFault.REPLAYED
        return good or FactorJudgement(faults=(found,))

    return check(context, caller, FactorKind.TOTP, judge)


def totp_context(factor_id: str) -> str:
    """Return the context for which a TOTP secret is sealed."""
    return f"factor:{factor_id}"


def check_recovery(context: FactorContext, caller: Caller, text: str) -> CheckedFactor:
    """Check a recovery code as it was typed. Using one means that the other factors are lost.

    A good code is removed. All other factors are removed and all sessions are ended, and this certificate may enrol one
    factor within 15 minutes. A recovery code does not count as a factor of a session.
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
    """Do the three steps; `judge` does the second one."""
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
    # 3. the result
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
        # Two uses of one code or counter: the other one succeeded.
        faults = judged.faults or (FactorFault.REPLAYED,)
        for event in _describe_failure(context, caller, kind, faults[0], now):
            stores.outbox.add(event)
    return CheckedFactor(kind=kind, at=now, faults=faults)


def _use(stores: Stores, judged: FactorJudgement, now: datetime) -> FactorRecord | None:
    """Note the use of a factor; None if another use was first."""
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
    """Return the result of a try that was not admitted."""
    fault = FactorFault.LOCKED if admission.locked else FactorFault.THROTTLED
    events = _describe_failure(context, caller, kind, fault, now)
    if events:
        context.services.work.record(events)
    return CheckedFactor(kind=kind, at=now, faults=(fault,), until=admission.until)


def _describe_failure(
    context: FactorContext, caller: Caller, kind: FactorKind, fault: FactorFault, now: datetime
) -> list[Event]:
    """Return the event of a failure, unless it is only counted; and events for earlier counts that are due."""
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
