"""The condition of an identity, for people and for monitoring: from the folder and from what the agent remembers.

It turns bad before the certificate ends: a renewal that is late needs attention while a third of the time between its due
time and the end is left. It asks no server.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from doorward.agent import schedule
from doorward.agent.generations import IdentityGenerations
from doorward.agent.keeper import dates_of
from doorward.agent.state import AgentState, Problem, load_state
from doorward.core.errors import DoorwardError


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """The condition of one identity.

    Args:
        directory: its folder.
        name: the holder; empty if the folder cannot be read.
        serial: of the certificate, hex.
        ends_at: the first end in its chain.
        renew_at: when the renewal is due.
        next_try: if a pause is kept after a failure or at the server's wish: when the server is asked again.
        state: what the agent remembers.
        attention: what a person should look at, as sentences; empty if all is well.
    """

    directory: Path
    name: str = ""
    serial: str = ""
    ends_at: datetime | None = None
    renew_at: datetime | None = None
    next_try: datetime | None = None
    state: AgentState
    attention: tuple[str, ...] = ()

    @property
    def word(self) -> str:
        """The condition in one or two words."""
        if not self.attention:
            return "good"
        if self.ends_at is None:
            return "no identity"
        if self.state.refused:
            return "refused"
        if self.state.deploy_problems:
            return "not deployed"
        return "needs attention"


def read_condition(directory: Path, now: datetime) -> Condition:
    """Return the condition of an identity; never raises for what is wrong with it."""
    remembered = load_state(directory)
    try:
        identity = IdentityGenerations(directory).load()
    except DoorwardError as error:
        return Condition(
            directory=directory, state=remembered, attention=(_sentence(error.detail, error.hint),)
        )
    dates = dates_of(identity)
    state = schedule.begin(remembered, dates, now)
    certificate = identity.credential.certificate
    due = schedule.due_at(state, dates)
    waiting = state.not_before is not None and state.not_before > now
    return Condition(
        directory=directory,
        name=identity.credential.name,
        serial=f"{certificate.serial_number:x}",
        ends_at=dates.last,
        renew_at=due,
        next_try=state.not_before if waiting else None,
        state=state,
        attention=tuple(_faults(state, dates, now)),
    )


def _faults(state: AgentState, dates: schedule.Dates, now: datetime) -> list[str]:
    found = []
    if now >= dates.last:
        found.append(f"the certificate ended at {dates.last:%Y-%m-%d %H:%M}Z")
    elif schedule.is_late(state, dates, now):
        found.append(f"the renewal is late: the certificate ends at {dates.last:%Y-%m-%d %H:%M}Z")
    if state.problem and (state.refused or found or state.problem.code in schedule.LOCAL):
        found.append(_problem(state.problem))
    found += [f"not deployed to {name}: {problem}" for name, problem in sorted(state.deploy_problems.items())]
    ahead = timedelta(seconds=state.clock_ahead_seconds)
    if abs(ahead) > schedule.WRONG_CLOCK:
        found.append(f"the clock of this machine is {describe_offset(ahead)} the server's; set it")
    return found


def describe_offset(ahead: timedelta) -> str:
    """Return how far a clock is from another, in its largest unit: `5 h behind`."""
    seconds = abs(ahead).total_seconds()
    for size, unit in ((86400, "days"), (3600, "h"), (60, "minutes")):
        if seconds >= 2 * size or (unit != "days" and seconds >= size):
            return f"{round(seconds / size)} {unit} {'ahead of' if ahead > timedelta(0) else 'behind'}"
    return f"{round(seconds)} s {'ahead of' if ahead > timedelta(0) else 'behind'}"


def _problem(problem: Problem) -> str:
    return _sentence(f"{problem.detail} ({problem.code})", problem.hint)


def _sentence(detail: str, hint: str) -> str:
    return f"{detail}; {hint}" if hint else detail
