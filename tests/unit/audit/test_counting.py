"""A flood writes a limited number of leaves, and every event is recorded individually or counted once."""

from __future__ import annotations

from datetime import timedelta

import pytest

from doorward.audit.counting import (
    IN_TOTAL,
    MAX_KEYS,
    OTHERS,
    PER_KEY,
    WINDOW,
    EventLimiter,
    EventLimits,
    parse_limiter,
    source_key,
)
from doorward.core.errors import MalformedInput
from tests.support.ports import NOON

KIND = "handshake:failed"
SMALL = EventLimits(per_key=2, in_total=5, max_keys=3)


def test_a_few_are_single_and_the_rest_is_counted() -> None:
    """Up to the limit of a key events are recorded individually, then counted."""
    limiter = EventLimiter(limits=SMALL)
    seconds = [timedelta(seconds=one) for one in range(5)]
    single = [limiter.admit(KIND, "192.0.2.7", NOON + one, claimed=f"n{one.seconds}") for one in seconds]
    assert single == [True, True, False, False, False]
    (count,) = limiter.close()
    assert (count.key, count.number, count.kinds) == ("192.0.2.7", 3, (KIND,))
    assert (count.first, count.last, count.claimed) == (NOON + seconds[2], NOON + seconds[4], "n2")


def test_an_event_that_did_not_happen_is_given_back() -> None:
    """It leaves room for one more, for its key and in total; what was never admitted gives nothing back."""
    limiter = EventLimiter(limits=EventLimits(per_key=1, in_total=1, max_keys=3))
    limiter.give_back("a")
    assert limiter.admit(KIND, "a", NOON)
    limiter.give_back("b")
    assert not limiter.admit(KIND, "b", NOON)
    limiter.give_back("b")
    assert not limiter.admit(KIND, "b", NOON)
    limiter.give_back("a")
    assert limiter.admit(KIND, "b", NOON)


def test_all_keys_together_have_a_limit() -> None:
    """Two events of each of three keys are six; the sixth is counted."""
    limiter = EventLimiter(limits=SMALL)
    single = [limiter.admit(KIND, key, NOON) for key in ("a", "b", "c") for _ in range(2)]
    assert single == [True] * 5 + [False]
    assert [one.key for one in limiter.close()] == ["c"]


def test_more_keys_than_are_kept_apart_are_counted_together() -> None:
    """With a limit of three keys, events of the fourth are counted together."""
    limiter = EventLimiter(limits=SMALL)
    for key in ("a", "b", "c"):
        assert limiter.admit(KIND, key, NOON)
    assert not limiter.admit(KIND, "d", NOON)
    assert not limiter.admit("request:answered", "e", NOON + timedelta(seconds=1))
    assert not limiter.admit(KIND, OTHERS, NOON)
    (count,) = limiter.close()
    assert (count.key, count.number) == (OTHERS, 3)
    assert count.kinds == (KIND, "request:answered")


def test_without_room_everything_is_counted() -> None:
    """If the disk is full, every event is counted, also the first of a key."""
    limiter = EventLimiter()
    assert not limiter.admit(KIND, "a", NOON, room=False)
    assert limiter.admit(KIND, "a", NOON)
    assert [one.number for one in limiter.close()] == [1]


def test_a_window_lasts_a_minute() -> None:
    """A window begins with its first event; it also ends if the clock is set back."""
    limiter = EventLimiter()
    assert not limiter.is_over(NOON)
    limiter.admit(KIND, "a", NOON)
    assert not limiter.is_over(NOON)
    assert not limiter.is_over(NOON + WINDOW - timedelta(microseconds=1))
    assert limiter.is_over(NOON + WINDOW)
    assert limiter.is_over(NOON - timedelta(seconds=1))
    assert limiter.close() == ()
    assert not limiter.is_over(NOON + WINDOW)


def test_the_next_window_records_individually_again() -> None:
    """In the next window a key's events are recorded individually again."""
    limiter = EventLimiter(limits=SMALL)
    for _ in range(4):
        limiter.admit(KIND, "a", NOON)
    limiter.close()
    assert limiter.admit(KIND, "a", NOON + WINDOW)


def test_a_copy_changes_by_itself() -> None:
    """A copy is independent, so a caller that cannot store can go back to it."""
    limiter = EventLimiter(limits=SMALL)
    for _ in range(3):
        limiter.admit(KIND, "a", NOON)
    copy = limiter.copy()
    assert copy == limiter
    for _ in range(3):
        copy.admit(KIND, "a", NOON)
    assert copy != limiter
    assert [one.number for one in limiter.close()] == [1]
    assert [one.number for one in copy.close()] == [4]


def test_the_state_survives_a_restart() -> None:
    """A rendered state is parsed to the same value and continues in the same way."""
    limiter = EventLimiter(limits=SMALL)
    for number in range(6):
        limiter.admit(KIND, "a", NOON + timedelta(seconds=number), claimed="x\u2028y")
    limiter.admit(KIND, "b", NOON)
    again = parse_limiter(limiter.render(), SMALL)
    assert again == limiter
    assert again.close() == limiter.close()
    assert parse_limiter(EventLimiter().render()) == EventLimiter()


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        '{"began":"x","singles":0,"keys":{}}',
        '{"began":1e99,"singles":0,"keys":{}}',
        '{"began":0,"singles":0,"keys":{"a":[]}}',
        '{"began":0,"singles":0,"keys":{"a":[1,2]}}',
        '{"began":0,"singles":null,"keys":{}}',
        '{"began":0,"singles":0,"keys":[]}',
        '{"began":67768036191676800,"singles":0,"keys":{}}',
        "[" * 100_000,
    ],
)
def test_any_other_text_is_refused(text: str) -> None:
    """The state is read from a file that an attacker may have altered."""
    with pytest.raises(MalformedInput) as caught:
        parse_limiter(text)
    assert caught.value.code == "counts-malformed"


def test_a_window_of_the_default_is_small() -> None:
    """Many sources give at most 301 leaves, and 100 keys in memory."""
    limiter = EventLimiter()
    single = sum(limiter.admit(KIND, f"10.0.{one >> 8}.{one & 255}", NOON) for one in range(5000))
    counts = limiter.close()
    assert single == MAX_KEYS
    assert single + sum(one.number for one in counts) == 5000
    single = sum(limiter.admit(KIND, f"10.0.0.{one % 100}", NOON) for one in range(50_000))
    counts = limiter.close()
    assert single == IN_TOTAL
    assert single + sum(one.number for one in counts) == 50_000
    assert len(counts) <= MAX_KEYS + 1
    assert PER_KEY < IN_TOTAL


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        (" 192.0.2.7 ", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("", "unknown"),
        ("evil", "unknown"),
        ("192.0.2.7, 10.0.0.1", "unknown"),
    ],
)
def test_a_source_is_an_ipv4_address_or_a_64(address: str, key: str) -> None:
    """RFC 6177: IPv6 counts by /64, mapped IPv4 as IPv4, and other text as one source."""
    assert source_key(address) == key
