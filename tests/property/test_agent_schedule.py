"""The agent's state and schedule, for any state: the file is read as it was written, and no state makes the agent stand still."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from doorward.agent import schedule
from doorward.agent.link import parse_server, render_server
from doorward.agent.schedule import Action, Dates
from doorward.agent.state import AgentState, Problem, parse_state, render_state
from doorward.core.errors import MalformedInput, Unavailable

MOMENTS = st.integers(950_000_000, 3_700_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
EDGES = st.sampled_from([datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)])
REMEMBERED = st.none() | EDGES | MOMENTS
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NAMES = st.lists(TEXTS, max_size=3).map(tuple)
STATES = st.builds(
    AgentState,
    certificate=TEXTS,
    checked_at=REMEMBERED,
    renewed_at=REMEMBERED,
    not_before=REMEMBERED,
    failures=st.integers(0, 999_999),
    problem=st.none() | st.builds(Problem, code=TEXTS, detail=TEXTS, hint=TEXTS),
    refused=st.booleans(),
    report_at=REMEMBERED,
    renew_at=REMEMBERED,
    reason=TEXTS,
    clock_ahead_seconds=st.floats(-1e9, 1e9),
    deployed=NAMES,
    deploy_failures=st.integers(0, 999_999),
    deploy_at=REMEMBERED,
    deploy_problems=st.dictionaries(TEXTS, TEXTS, max_size=2),
    old=NAMES,
)
LIVES = st.builds(
    lambda first, seconds: Dates(sha256="ab" * 32, first=first, last=first + timedelta(seconds=seconds)),
    MOMENTS,
    st.integers(60, 86400 * 3650),
)
ODD_LIVES = LIVES | st.builds(Dates, sha256=st.just("ab" * 32), first=EDGES | MOMENTS, last=EDGES | MOMENTS)


@settings(max_examples=40)
@given(STATES)
def test_a_state_is_read_as_it_was_written(state: AgentState) -> None:
    """Every member survives a restart."""
    assert parse_state(render_state(state)) == state


@given(st.binary(max_size=200))
def test_any_bytes_are_a_state(data: bytes) -> None:
    """A damaged file is never an exception."""
    assert isinstance(parse_state(data), AgentState)


@settings(max_examples=40)
@given(st.text(max_size=80))
def test_an_address_is_read_or_refused(text: str) -> None:
    """Any text; what is read is written in the same way."""
    with suppress(MalformedInput):
        found = parse_server(text)
        assert parse_server(render_server(found)) == found


@given(state=STATES, dates=ODD_LIVES, now=MOMENTS, deployed=st.booleans())
def test_a_decision_is_for_now_or_later(
    state: AgentState, dates: Dates, now: datetime, *, deployed: bool
) -> None:
    """Waiting ends after now; everything else is done now."""
    begun = schedule.begin(state, dates, now)
    decision = schedule.decide(begun, dates, now, deployed=deployed)
    assert decision.at > now if decision.action is Action.WAIT else decision.at == now


@settings(max_examples=40)
@given(STATES, LIVES, st.integers(1, 40), st.none() | st.integers(0, 2**31))
def test_no_failure_stops_the_agent_for_more_than_a_week(
    state: AgentState, dates: Dates, failures: int, asked: int | None
) -> None:
    """After any number of failures, with any Retry-After, a request is made again within a week."""
    now = dates.last - (dates.last - dates.first) / 10
    context = {} if asked is None else {"retry_after_seconds": asked}
    begun = schedule.begin(
        replace(state, certificate=dates.sha256, checked_at=None, renewed_at=None), dates, now
    )
    for _ in range(failures):
        begun = schedule.after_failure(begun, Unavailable("busy", "no", **context), dates, now)
        assert begun.not_before is not None
        assert now <= begun.not_before <= now + schedule.LONGEST_DELAY
    later = schedule.decide(begun, dates, now + schedule.LONGEST_DELAY, deployed=True)
    assert later.action is Action.RENEW


@given(LIVES)
def test_status_is_bad_before_the_end_and_not_before_the_renewal(dates: Dates) -> None:
    """Late is after due and before the end, for every life."""
    state = schedule.begin(AgentState(), dates, dates.first)
    due = schedule.due_at(state, dates)
    assert not schedule.is_late(state, dates, due - timedelta(seconds=1))
    assert schedule.is_late(state, dates, dates.last - timedelta(seconds=1))
    assert dates.first <= due < dates.last


@settings(max_examples=40)
@given(STATES, ODD_LIVES, MOMENTS, st.integers(0, 10**30))
def test_no_date_and_no_delay_is_an_exception(
    state: AgentState, dates: Dates, now: datetime, asked: int
) -> None:
    """A certificate and a server may name the first and the last day of the calendar, in any order."""
    begun = schedule.begin(state, dates, now)
    assert isinstance(schedule.is_late(begun, dates, now), bool)
    for context in ({}, {"retry_after_seconds": asked}):
        failed = schedule.after_failure(begun, Unavailable("busy", "no", **context), dates, now)
        assert failed.not_before is not None
        assert failed.not_before <= now + schedule.LONGEST_DELAY
    schedule.after_deployment(begun, (), {"hook": "no"}, dates, now)
