"""`time`: windows are read and written, judged and explained."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from doorward.core.entities import TENANT
from doorward.core.errors import ConfigurationError
from doorward.policy.decision import permissions_of
from doorward.policy.document import parse_document, render_document
from doorward.policy.model import AppPolicy
from doorward.policy.selectors.times import TIME
from doorward.policy.subject import Subject, Truth
from doorward.policy.time_windows import TimeWindow
from tests.support import records

ALICE = records.principal("alice", id="per_a")
OFFICE = TimeWindow(days=(0, 1, 2, 3, 4), begin=480, end=1080, zone="Europe/Berlin")


def document(*rules: str) -> str:
    """A document with these rules."""
    lines = "".join(f"      - {{{rule}}}\n" for rule in rules)
    return (
        "trust_domain: test\napps:\n  app:\n    hosts: [app.test]\n    upstream: http://127.0.0.1:1\n    rules:\n"
        + lines
    )


def app(*rules: str) -> AppPolicy:
    """The application of that document."""
    return parse_document(document(*rules), file="test.yaml").apps[0]


def window(text: str) -> TimeWindow:
    """The window that a document says."""
    found = app(f"allow: {{time: {text}}}").rules[0].selector.value("time")
    assert isinstance(found, TimeWindow)
    return found


def at(text: str) -> datetime:
    """A moment, UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("{days: [mon-fri], from: 08:00, to: 18:00, zone: Europe/Berlin}", OFFICE),
        ("{days: [fri, mon-thu], from: 08:00, to: 18:00, zone: Europe/Berlin}", OFFICE),
        ("{days: sat-mon, zone: UTC}", TimeWindow(days=(0, 5, 6), begin=0, end=1440, zone="UTC")),
        (
            "{from: 22:00, to: 06:00, zone: UTC}",
            TimeWindow(days=tuple(range(7)), begin=1320, end=360, zone="UTC"),
        ),
        (
            "{from: 22:00, to: 00:00, zone: UTC}",
            TimeWindow(days=tuple(range(7)), begin=1320, end=1440, zone="UTC"),
        ),
        (
            "{to: 24:00, from: 22:00, zone: UTC}",
            TimeWindow(days=tuple(range(7)), begin=1320, end=1440, zone="UTC"),
        ),
    ],
)
def test_windows_are_read_and_written(text: str, read: TimeWindow) -> None:
    """Days are lists and ranges, the end of a day is 24:00 or 00:00, and a rendered window parses back."""
    assert window(text) == read
    assert window(TIME.render(read)) == read
    whole = parse_document(document(f"allow: {{time: {text}}}"), file="test.yaml")
    assert parse_document(render_document(whole), file="test.yaml") == whole


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{days: [mon-fri]}", "missing-key"),
        ("{zone: Mars/Olympus, from: 08:00}", "time-zone-unknown"),
        ("{zone: right/UTC, from: 08:00}", "time-zone-unknown"),
        ("{zone: [UTC], from: 08:00}", "wrong-type"),
        ("{zone: UTC, days: [monday]}", "unknown-value"),
        ("{zone: UTC, days: []}", "wrong-type"),
        ("{zone: UTC, from: 8:00}", "window-malformed"),
        ("{zone: UTC, from: 24:00}", "window-malformed"),
        ("{zone: UTC, to: 24:01}", "window-malformed"),
        ("{zone: UTC, from: [1]}", "window-malformed"),
        ("{zone: UTC, from: 08:00, to: 08:00}", "window-malformed"),
        ("{zone: UTC}", "window-malformed"),
        ("{zone: UTC, until: 08:00}", "unknown-key"),
        ("08:00", "wrong-type"),
    ],
)
def test_what_is_no_window_is_a_fault(text: str, code: str) -> None:
    """Each has a code; nothing is guessed."""
    with pytest.raises(ConfigurationError) as caught:
        window(text)
    assert code in [one.code for one in caught.value.faults]


def test_what_the_clock_shows_is_explained() -> None:
    """Judged by the moment of the subject; without one, or without the zone, there is no answer."""
    friday, saturday = (Subject(principal=ALICE, time=at(f"2026-01-{day} 12:00")) for day in (16, 17))
    assert TIME.judge(OFFICE, friday) is Truth.TRUE
    assert TIME.judge(OFFICE, saturday) is Truth.FALSE
    assert TIME.explain(OFFICE, saturday).startswith(
        "time: it is sat 13:00 in Europe/Berlin, the rule needs {days: [mon"
    )
    gone = TimeWindow(days=(0,), begin=0, end=60, zone="Mars/Olympus")
    for value, subject in ((OFFICE, Subject(principal=ALICE)), (gone, friday)):
        assert TIME.judge(value, subject) is Truth.UNDETERMINED
        assert "cannot be determined" in TIME.explain(value, subject)
    assert TIME.next_change(gone, at("2026-01-16 12:00")) is None


def permissions(*rules: str, now: str = "2026-01-16 12:00"):
    """Return the permissions of alice, of the group `tellers`, at a moment."""
    who = records.principal("alice", id="per_a", groups=("tellers",))
    return permissions_of(app(*rules), TENANT, "app_1", Subject(principal=who, time=at(now)))


DAY = "time: {from: 08:00, to: 18:00, zone: UTC}"
NIGHT = "time: {from: 18:00, to: 08:00, zone: UTC}"
ALWAYS = "name: always, allow: {groups: [tellers]}"


@pytest.mark.parametrize(
    ("rules", "turns", "loses"),
    [
        ((ALWAYS,), None, None),
        ((f"allow: {{{DAY}}}",), "2026-01-16 18:00", "2026-01-16 18:00"),
        ((ALWAYS, f"deny: {{{NIGHT}}}"), "2026-01-16 18:00", "2026-01-16 18:00"),
        # It is no loss if another rule gives it too, or if the window closes for no principal of ours.
        ((ALWAYS, f"allow: {{groups: [managers], {DAY}}}"), None, None),
        (
            (f"name: a, allow: {{{DAY}}}", f"name: b, allow: {{{NIGHT}}}"),
            "2026-01-16 18:00",
            "2026-01-17 18:00",
        ),
        # A window that opens is no loss; that it closes again is one.
        ((ALWAYS, f"allow: {{{NIGHT}}}, to: {{methods: [TRACE]}}"), "2026-01-16 18:00", "2026-01-17 18:00"),
    ],
)
def test_time_alone_takes_away(rules: tuple[str, ...], turns: str | None, loses: str | None) -> None:
    """The next moment that must be judged, and the first at which something is lost, are known beforehand."""
    found = permissions(*rules)
    assert found.changes_at == (turns and at(turns))
    if loses == "2026-01-17 18:00":  # not looked that far: some moment before which nothing is lost
        assert found.loses_at is None or found.loses_at > at("2026-01-17 07:59")
    else:
        assert found.loses_at == (loses and at(loses))


def test_a_loss_beyond_many_turns_is_bounded_by_the_last_one_looked_at() -> None:
    """So many windows begin that the judge stops looking: the connection ends there at the latest."""
    begins = [f"allow: {{time: {{from: '00:{at:02}', to: '24:00', zone: UTC}}}}" for at in range(1, 20)]
    found = permissions(ALWAYS, *begins, now="2026-01-15")
    assert found.changes_at == at("2026-01-15 00:01")
    assert found.loses_at == at("2026-01-15 00:17")
