"""When the agent does what: pure functions of what it remembers, the certificate's dates, and the time.

    decide         what is to be done now, or when to look again
    after_…        what is remembered after it

Rules:
- The wall clock decides. A machine that slept past the time finds the renewal due as soon as it wakes.
- A renewal is due at two thirds of the life, spread by the certificate's digest (`pki.lifecycle.renewal_time`), or
  earlier if the server says so. The life ends with the first certificate of the chain that ends.
- After a failure the agent waits: one minute, then twice as long each time, at most six hours and at most an eighth of the
  time that is left, each a fifth longer or shorter. A delay that the server asks for (Retry-After) is obeyed, at most
  a week, also across restarts.
- After a final refusal the agent asks once a day whether the refusal still holds.
- A certificate is renewed at most once a day, or in a tenth of its life if that is shorter, whatever the server says.
- If the clock was set back, what was remembered as a time of waiting no longer counts.

A fleet in one process: give each `keeper.Keeper` the same stepped clock, call `step(now)` of the one with the earliest time,
and turn the clock to the earliest time that they return.

Not here: doing it (`keeper`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from doorward.agent.renewal import Advice
from doorward.agent.state import AgentState, Problem
from doorward.core.errors import DoorwardError
from doorward.core.pauses import double_pause
from doorward.core.spread import fraction_of
from doorward.pki.lifecycle import renewal_time

FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=1), timedelta(hours=6)
LONGEST_DELAY = timedelta(days=7)
"""The longest Retry-After that is obeyed: a longer one is a mistake, and the certificate would end."""

FINAL_PAUSE = timedelta(days=1)
WRONG_CLOCK = timedelta(minutes=5)
"""Certificates are backdated by some minutes: a smaller difference has no effect."""

FINAL = frozenset(
    {
        "certificate-not-renewable",
        "renewal-superseded",
        "proof-invalid",
        "principal-suspended",
        "principal-removed",
        "principal-of-a-partner",
    }
)
"""The server's refusals that another try does not change."""

_MOST_SECONDS = 10**9
LOCAL = frozenset(
    {
        "renewal-differs",
        "certificate-of-another-key",
        "certificate-not-trusted",
        "certificate-not-for-clients",
        "pair-unusable",
        "owner-not-kept",
        "links-unsupported",
        "password-file-unusable",
    }
)
"""What the agent itself refused, and what only a person can mend: `agent status` says so long before the end."""

_SHARE = 8
_OFTEN = 10
_LATE = 2 / 3
"""The part of the time between due and end after which a renewal is late: only a third of it is left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dates:
    """A certificate as the schedule sees it.

    Args:
        sha256: of its DER, hex.
        first: its begin.
        last: the first end in its chain.
    """

    sha256: str
    first: datetime
    last: datetime


class Action(Enum):
    """What is to be done."""

    RENEW = "renew"
    DEPLOY = "deploy"
    REPORT = "report"
    WAIT = "wait"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What is to be done now; for `WAIT`, `at` says until when."""

    action: Action
    at: datetime


def begin(state: AgentState, dates: Dates, now: datetime) -> AgentState:
    """Return the state with which a step begins: for the certificate that the folder has now, and for this clock."""
    if state.certificate != dates.sha256:
        # Another tool renewed it, or the agent sees this folder for the first time.
        state = AgentState(
            certificate=dates.sha256,
            renewed_at=state.renewed_at,
            old=state.old,
            clock_ahead_seconds=state.clock_ahead_seconds,
        )
    elif state.checked_at is not None and now + WRONG_CLOCK < state.checked_at:
        state = replace(state, not_before=None, report_at=None, deploy_at=None)
    if state.renewed_at is not None and state.renewed_at > now:
        state = replace(state, renewed_at=None)
    return replace(state, checked_at=now)


def due_at(state: AgentState, dates: Dates) -> datetime:
    """Return when the renewal is due, without the pauses after failures."""
    due = renewal_time(dates.first, dates.last, dates.sha256)
    if state.renew_at is not None:
        due = min(due, state.renew_at)
    if state.renewed_at is not None:
        # A short-lived issuer, or a server that always says "now", must not cause a renewal at each step.
        due = max(due, state.renewed_at + min(FINAL_PAUSE, abs(dates.last - dates.first) / _OFTEN))
    return due


def is_late(state: AgentState, dates: Dates, now: datetime) -> bool:
    """Return whether the renewal should long have been done: two thirds of the time between due and end have passed."""
    due = renewal_time(dates.first, dates.last, dates.sha256)
    if state.renewed_at is not None and now < due_at(state, dates):
        return now >= dates.last
    return now >= due + (dates.last - due) * _LATE


def decide(state: AgentState, dates: Dates, now: datetime, *, deployed: bool) -> Decision:
    """Return what is to be done now.

    Args:
        state: from `begin`.
        dates: of the certificate.
        now: aware, UTC.
        deployed: whether every target has the certificate.
    """
    free = min(state.not_before or now, now + LONGEST_DELAY)
    due = max(due_at(state, dates), free)
    if due <= now:
        return Decision(action=Action.RENEW, at=now)
    deploy = state.deploy_at or now
    if not deployed and deploy <= now:
        return Decision(action=Action.DEPLOY, at=now)
    report = max(state.report_at or now, free)
    if report <= now:
        return Decision(action=Action.REPORT, at=now)
    return Decision(action=Action.WAIT, at=min(due, report, *([] if deployed else [deploy])))


def after_renewal(
    state: AgentState, dates: Dates, advice: Advice | None, now: datetime, *, ahead: timedelta
) -> AgentState:
    """Return what is remembered after a renewal.

    Args:
        state: before it.
        dates: of the new certificate.
        advice: the server's answer to the report of the new certificate, if there was one.
        now: the time.
        ahead: by how much the clock of this machine is ahead.
    """
    renewed = AgentState(
        certificate=dates.sha256,
        checked_at=now,
        renewed_at=now,
        clock_ahead_seconds=ahead.total_seconds(),
        old=state.old,
    )
    return renewed if advice is None else after_report(renewed, advice, now)


def after_report(state: AgentState, advice: Advice, now: datetime) -> AgentState:
    """Return what is remembered after a report that was accepted."""
    return replace(
        state,
        failures=0,
        problem=None,
        refused=False,
        not_before=None,
        report_at=now + advice.check_again,
        renew_at=now if advice.now else advice.renew_at,
        reason=advice.reason,
        clock_ahead_seconds=(now - advice.time).total_seconds(),
    )


def after_failure(state: AgentState, error: DoorwardError, dates: Dates, now: datetime) -> AgentState:
    """Return what is remembered after a renewal or a report that failed."""
    failures = state.failures + 1
    final = error.code in FINAL
    asked = error.context.get("retry_after_seconds")
    if isinstance(asked, int):
        # Not earlier than the server said; a little later, so that clients do not come back together.
        pause = timedelta(seconds=min(asked, _MOST_SECONDS)) * (1.1 + _jitter(dates.sha256, failures) / 2)
    else:
        pause = FINAL_PAUSE if final else _pause(failures, dates.last - now)
        pause *= 1 + _jitter(dates.sha256, failures)
    return replace(
        state,
        failures=failures,
        problem=Problem(code=error.code, detail=error.detail, hint=error.hint),
        refused=final,
        not_before=now + min(pause, LONGEST_DELAY),
    )


def after_deployment(
    state: AgentState, done: tuple[str, ...], problems: dict[str, str], dates: Dates, now: datetime
) -> AgentState:
    """Return what is remembered after the targets were tried; `problems` says what failed, by target."""
    if not problems:
        return replace(state, deployed=done, deploy_failures=0, deploy_at=None, deploy_problems={}, old=())
    failures = state.deploy_failures + 1
    pause = _pause(failures, dates.last - now) * (1 + _jitter(dates.sha256, failures))
    return replace(
        state, deployed=done, deploy_failures=failures, deploy_at=now + pause, deploy_problems=problems
    )


def _pause(failures: int, left: timedelta) -> timedelta:
    longest = min(LONGEST_PAUSE, left / _SHARE) if left > timedelta(0) else LONGEST_PAUSE
    return max(FIRST_PAUSE, double_pause(FIRST_PAUSE, failures - 1, longest))


def _jitter(sha: str, count: int) -> float:
    """Return a number from -0.2 to 0.2 that differs between certificates and tries, and is the same in each process."""
    return 0.4 * fraction_of(f"{sha}:{count}") - 0.2
