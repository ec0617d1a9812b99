"""The event limiter of connections, and the event about a count."""

from __future__ import annotations

import pytest

from doorward.audit.counting import OTHERS, WINDOW, EventCount, EventLimits
from doorward.audit.events import EventType
from doorward.core.errors import MalformedInput
from doorward.gateway.access_log.counting import ConnectionEventLimiter, describe_count, parse_stored_limiter
from tests.support.ports import NOON, FakeClock

GATEWAY = "gtw_" + "a" * 20
LIMITS = EventLimits(per_key=1)


@pytest.mark.parametrize(
    ("key", "reason", "data", "personal"),
    [
        ("192.0.2.7", "source-over-limit", {}, {"source": "192.0.2.7", "claimed_server_name": "a\\x00b"}),
        (
            "crt_" + "c" * 20,
            "certificate-over-limit",
            {"certificate": "crt_" + "c" * 20},
            {"claimed_server_name": "a\\x00b"},
        ),
        (OTHERS, "too-many-sources", {}, {"claimed_server_name": "a\\x00b"}),
    ],
)
def test_a_count_is_one_event(key: str, reason: str, data: dict[str, str], personal: dict[str, str]) -> None:
    """A source is personal, a certificate's id is not, and what a peer said is called claimed."""
    count = EventCount(
        key=key, number=7, first=NOON, last=NOON + WINDOW, kinds=("handshake:failed",), claimed="a\0b"
    )
    told = describe_count(count, GATEWAY)
    assert told.type is EventType.EVENTS_COUNTED
    assert told.data == {
        "gateway": GATEWAY,
        "reason": reason,
        "number": 7,
        "from_at": NOON,
        "to_at": NOON + WINDOW,
        "types": ["handshake:failed"],
        **data,
    }
    assert told.personal == personal


def test_counts_are_due_when_their_window_is_over_and_until_they_are_settled() -> None:
    """Counts that could not be recorded stay due, and nothing is counted twice."""
    clock = FakeClock()
    event_limiter = ConnectionEventLimiter(clock, LIMITS)
    assert event_limiter.admit(EventType.CONNECTION_REFUSED, "a")
    assert not event_limiter.admit(EventType.CONNECTION_REFUSED, "a", claimed="wiki")
    assert event_limiter.due() == ()
    clock.turn(seconds=60)
    assert [one.number for one in event_limiter.due()] == [1]
    assert event_limiter.admit(EventType.CONNECTION_CUT, "a")  # of the next window
    assert [one.number for one in event_limiter.due()] == [1]
    event_limiter.clear_due()
    assert event_limiter.due() == ()


def test_the_end_makes_everything_due() -> None:
    """A gateway that stops records the counts of the window that is still open."""
    event_limiter = ConnectionEventLimiter(FakeClock(), EventLimits(per_key=0))
    event_limiter.admit(EventType.CONNECTION_CUT, "a")
    assert event_limiter.due() == ()
    assert [one.kinds for one in event_limiter.due(final=True)] == [("connection:cut",)]


def test_the_state_is_told_once_for_each_change() -> None:
    """Nothing is stored again and again while nothing comes."""
    event_limiter = ConnectionEventLimiter(FakeClock(), LIMITS)
    assert event_limiter.changed_state() is None
    event_limiter.admit(EventType.CONNECTION_CUT, "a")
    state = event_limiter.changed_state()
    assert state
    assert event_limiter.changed_state() is None


def test_what_an_earlier_run_counted_is_due_at_once() -> None:
    """A crash loses at most the counts since the state was stored."""
    former = ConnectionEventLimiter(FakeClock(), EventLimits(per_key=0))
    former.admit(EventType.CONNECTION_REFUSED, "a")
    event_limiter = ConnectionEventLimiter(FakeClock())
    event_limiter.restore(former.changed_state() or "")
    assert [one.number for one in event_limiter.due()] == [1]
    with pytest.raises(MalformedInput):
        event_limiter.restore("{")


def test_what_cannot_be_read_is_an_empty_limiter() -> None:
    """A damaged state does not stop the recording of the log."""
    assert parse_stored_limiter("{").close() == ()
