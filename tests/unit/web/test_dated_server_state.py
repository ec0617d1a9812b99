"""The Date header of our servers, which no timer renders."""

from __future__ import annotations

from doorward.web.serving import DatedServerState


def test_the_date_is_rendered_once_for_each_second() -> None:
    """Within a second every answer gets the same list, and afterwards a new one: nothing else keeps the date right."""
    now = [1_000_000_000.25]
    state = DatedServerState(lambda: now[0])
    first = state.default_headers
    assert first == [(b"date", b"Sun, 09 Sep 2001 01:46:40 GMT")]
    now[0] += 0.5
    assert state.default_headers is first
    now[0] += 0.5
    assert state.default_headers == [(b"date", b"Sun, 09 Sep 2001 01:46:41 GMT")]


def test_a_clock_that_is_set_back_is_followed() -> None:
    """The header shows the present time, also if that is earlier than before."""
    now = [1_000_000_000.0]
    state = DatedServerState(lambda: now[0])
    assert state.default_headers
    now[0] -= 3600
    assert state.default_headers == [(b"date", b"Sun, 09 Sep 2001 00:46:40 GMT")]


def test_what_uvicorn_sets_is_ignored() -> None:
    """Uvicorn begins with no fields, and an answer without a date would be wrong."""
    state = DatedServerState(lambda: 0.0)
    state.default_headers = []
    assert state.default_headers == [(b"date", b"Thu, 01 Jan 1970 00:00:00 GMT")]
