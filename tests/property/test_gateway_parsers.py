"""The gateway's parsers are total, and what they accept comes back."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from doorward.access.decision import SessionStatus
from doorward.core.errors import MalformedInput
from doorward.gateway.connections.connection import LiveConnection
from doorward.gateway.connections.endpoints import Endpoint, parse_endpoint, shorten
from doorward.gateway.connections.journal import (
    NOT_KEPT,
    Followed,
    parse_followed,
    parse_journal,
    parse_line,
    render_entry,
)
from doorward.gateway.envoy.admin import parse_statistics

endpoints = st.one_of(
    st.builds(Endpoint, st.binary(min_size=4, max_size=4), st.integers(0, 65535)),
    st.builds(
        Endpoint,
        st.binary(min_size=16, max_size=16).filter(lambda address: shorten(address) == address),
        st.integers(0, 65535),
        st.integers(0, 0xFFFF_FFFF),
    ),
)
words = st.text(st.characters(codec="ascii"), max_size=80)
ids = st.text("abcdefghijklmnopqrstuvwxyz234567_", min_size=1, max_size=30)
moments = st.integers(0, 2**33).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
entries = st.builds(
    LiveConnection,
    cookie=st.integers(0, 2**64 - 1),
    connection_id=words,
    epoch=st.integers(0, 2**40),
    local=endpoints,
    remote=endpoints,
    sha256=words,
    certificate_id=words,
    principal_id=words,
    application_id=words,
    revision=st.integers(0, 2**40),
    grants=st.lists(ids, max_size=8).map(tuple),
    decision=words,
    shown=st.frozensets(ids, max_size=2),
    sessions=st.builds(SessionStatus, epoch=words, last_end=st.none()),
    judged_grants=st.lists(ids, max_size=8).map(tuple),
    judged_by=st.integers(-1, 2**40),
    deadline=moments,
    opened_at=moments,
    **{name: st.just(value) for name, value in NOT_KEPT.items()},
    adopted=st.just(value=True),
)


@given(endpoints)
def test_every_endpoint_comes_back(endpoint: Endpoint) -> None:
    """An endpoint's text gives the endpoint."""
    assert parse_endpoint(str(endpoint)) == endpoint


@given(st.text(max_size=100) | st.from_regex(r"\[?[0-9a-f:.%]{0,60}\]?:[0-9]{0,6}"))
def test_any_text_is_an_endpoint_or_malformed(text: str) -> None:
    """Any text gives an endpoint or MalformedInput."""
    with suppress(MalformedInput):
        parse_endpoint(text)


@given(entries)
def test_every_entry_comes_back(entry: LiveConnection) -> None:
    """A line of the journal gives its entry."""
    assert parse_line(render_entry(entry)) == entry


@given(st.binary(max_size=200), entries, st.data())
def test_any_bytes_are_a_line_or_malformed(noise: bytes, entry: LiveConnection, data: st.DataObject) -> None:
    """Any bytes, also a damaged line, give a value or MalformedInput, and never spoil a whole journal."""
    line = bytearray(render_entry(entry))
    place = data.draw(st.integers(0, len(line) - 1))
    line[place : place + 3] = noise[:3]
    for one in (noise, bytes(line)):
        with suppress(MalformedInput):
            parse_line(one)
        assert isinstance(parse_followed(b'{"followed":' + one), Followed | None)
        assert isinstance(parse_journal([b'{"journal":1,"boot":"b"}\n', one], "b"), dict)


@given(st.text(max_size=300))
def test_any_text_has_statistics(text: str) -> None:
    """Any text gives a table of whole numbers."""
    assert all(value >= 0 for value in parse_statistics(text).values())
