"""A flood in the access log: bounded leaves, exact counts, honest lines in their place, a full disk."""

from __future__ import annotations

import json

import pytest

from doorward.audit.counting import PER_KEY
from doorward.audit.events import EventType
from doorward.core.errors import Unavailable
from doorward.enforcement.envoy.names import ENROL_CHAIN
from doorward.gateway.access_log import ingest as module
from doorward.gateway.access_log import selection
from tests.support.access_log import GATEWAY, Log, line

CERTIFICATE = "crt_" + "c" * 20


def hello(source: str = "192.0.2.9", name: str = "wiki") -> str:
    """A line about an unknown server name."""
    value = {
        "kind": "handshake",
        "flags": "NR",
        "failure": None,
        "remote": f"{source}:1",
        "server_name": name,
    }
    return json.dumps(value) + "\n"


def counted(log: Log) -> list[tuple[str, int]]:
    """The counts, oldest first: the source and the number."""
    found = log.world.events(EventType.EVENTS_COUNTED)
    return [(one.personal.get("source", ""), int(str(one.data["number"]))) for one in found]


def test_a_flood_is_counted_and_honest_lines_are_taken(log: Log) -> None:
    """2,000 hellos of one source are 20 leaves and one count; what comes between them is recorded."""
    log.write(hello() * 1000 + line(1) + hello() * 1000 + line(2))
    log.take()
    assert log.taken() == ["r1", "r2"]
    assert len(log.world.events(EventType.HANDSHAKE_FAILED)) == PER_KEY
    log.ingest.record_counts()
    assert counted(log) == []
    log.world.clock.turn(seconds=60)
    log.ingest.record_counts()
    log.ingest.record_counts()
    assert counted(log) == [("192.0.2.9", 2000 - PER_KEY)]
    (event,) = log.world.events(EventType.EVENTS_COUNTED)
    assert event.data["types"] == ("handshake:failed",)
    assert event.personal["claimed_server_name"] == "wiki"


def test_a_thousand_sources_write_no_more(log: Log) -> None:
    """Sources beyond those that are kept apart have one count together; all add up."""
    sources = [f"127.0.{one >> 8}.{one & 255}" for one in range(1000)]
    log.write("".join(hello(source) * 3 for source in sources))
    log.take()
    log.ingest.record_counts(final=True)
    single = len(log.world.events(EventType.HANDSHAKE_FAILED))
    assert single + sum(number for _, number in counted(log)) == 3000
    assert single + len(counted(log)) <= 301
    assert log.world.events(EventType.EVENTS_COUNTED)[-1].data["reason"] == "too-many-sources"


@pytest.mark.parametrize(
    ("changed", "limited"),
    [
        ({}, False),
        ({"certificate": None}, True),
        ({"certificate": "-"}, True),
        ({"certificate": ["crt_" + "c" * 20]}, True),
        ({"application": ENROL_CHAIN}, True),
        ({"flags": "RL"}, True),
    ],
)
def test_who_is_limited(log: Log, changed: dict[str, object], *, limited: bool) -> None:
    """Requests without a certificate that was found good, and what Envoy refused for its rate."""
    log.write("".join(line(number, **changed) for number in range(PER_KEY + 3)))
    log.take()
    assert len(log.taken()) == (PER_KEY if limited else PER_KEY + 3)
    log.ingest.record_counts(final=True)
    assert [number for _, number in counted(log)] == ([3] if limited else [])


def test_what_cannot_be_read_is_limited_too(log: Log) -> None:
    """A peer that makes Envoy write unreadable lines does not fill the disk with them."""
    log.write("no json\n" * 50 + '{"kind":["x"]}\n' + "[1]\n")
    log.take()
    log.ingest.record_counts(final=True)
    assert len(log.unreadable()) + counted(log)[0][1] == 52
    assert len(log.unreadable()) == PER_KEY


def test_counts_survive_a_crash(log: Log) -> None:
    """Position and counts are of one transaction: after a crash nothing is lost and nothing doubled."""
    log.write(hello() * 50)
    log.take()
    log.start()
    log.write(hello() * 50)
    log.take()
    log.ingest.record_counts(final=True)
    assert len(log.world.events(EventType.HANDSHAKE_FAILED)) == PER_KEY
    assert counted(log) == [("192.0.2.9", 100 - PER_KEY)]


def test_what_was_not_kept_is_not_counted_twice(log: Log) -> None:
    """A transaction that failed leaves the counts as they were before its lines."""
    log.write(hello() * 50)
    log.world.work.broken = Unavailable("store-busy", "busy")
    with pytest.raises(Unavailable):
        log.take()
    log.world.work.broken = None
    log.take()
    log.world.clock.turn(seconds=60)
    log.world.work.full = True
    with pytest.raises(Unavailable):
        log.ingest.record_counts()
    log.world.work.full = False
    log.ingest.record_counts()
    assert counted(log) == [("192.0.2.9", 50 - PER_KEY)]


def test_a_nearly_full_disk_counts_all_and_lets_the_file_go(log: Log) -> None:
    """Lines are taken and counted, also honest ones, by certificate; the record goes on once there is room."""
    log.world.work.full = True
    log.write(hello() * 2 + line(1) + line(2))
    log.take()
    assert "nearly full" in log.ingest.trouble()
    with log.world.work.read() as stores:
        assert stores.ingest.position(GATEWAY, "access-1.log") == (log.folder / "access.log").stat().st_size
    log.world.work.full = False
    log.write(line(3))
    log.take()
    assert log.ingest.trouble() == ""
    assert log.taken() == ["r3"]
    log.ingest.record_counts(final=True)
    assert sorted(counted(log)) == [("", 2), ("192.0.2.9", 2)]
    types = {one.data["types"] for one in log.world.events(EventType.EVENTS_COUNTED)}
    assert types == {("handshake:failed/disk-nearly-full",), ("request:answered/disk-nearly-full",)}


def test_batches_end_after_some_events(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction holds the events of two blocks, so that a withdrawal waits for few; the rest follows at once."""
    monkeypatch.setattr(selection, "BATCH_EVENTS", 3)
    log.write("".join(line(number) for number in range(8)))
    assert log.ingest.take()
    assert log.taken() == ["r0", "r1", "r2", "r3", "r4", "r5"]
    assert log.ingest.backlog() > 0
    log.take()
    assert log.taken() == [f"r{number}" for number in range(8)]
    assert log.ingest.backlog() == 0


def test_a_backlog_is_said(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backlog in the file is reported as trouble long before the disk is full."""
    monkeypatch.setattr(selection, "BATCH_EVENTS", 1)
    monkeypatch.setattr(module, "MOST_BACKLOG_BYTES", 100)
    log.write("".join(line(number) for number in range(8)))
    log.ingest.take()
    assert "behind" in log.ingest.trouble()
    log.take()
    assert log.ingest.trouble() == ""


def test_a_file_that_was_full_goes_while_an_envoy_drains(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the file of a former Envoy may still be written; a flood must not fill the disk meanwhile."""
    monkeypatch.setattr(module, "ROTATE_BYTES", 10)
    log.write(line(1))
    log.ingest.rotate()  # a new Envoy starts, the former one drains into this file
    log.write(line(2))
    log.take()
    log.ingest._rotate_when_large()
    log.settle()
    log.ingest.finish(writers=True)
    assert log.names() == ["access-1.log"]
    assert log.taken() == ["r1", "r2"]


def test_counts_of_refused_connections_are_kept_too(log: Log) -> None:
    """They are stored once a second, and on record when their window is over, or after a crash."""
    event_limiter = log.ingest._event_limiter
    for _ in range(PER_KEY + 5):
        event_limiter.admit(EventType.CONNECTION_REFUSED, "192.0.2.9")
    log.ingest.record_counts()
    event_limiter.admit(EventType.CONNECTION_REFUSED, "192.0.2.9")
    log.ingest.record_counts()  # within the second
    log.start()
    log.ingest.record_counts()
    assert counted(log) == [("192.0.2.9", 5)]
    log.ingest.record_counts()
    assert counted(log) == [("192.0.2.9", 5)]
