"""What may be missing in the access log, and since when."""

from __future__ import annotations

import os
from datetime import timedelta

from doorward.audit.events import EventType
from doorward.gateway.access_log.ingest import LIVE
from tests.support.access_log import GATEWAY, Log, line
from tests.support.ports import NOON


def test_a_gap_is_on_record(log: Log) -> None:
    """The interval in which requests may be missing is an event with its reason."""
    log.ingest.note_gap(NOON - timedelta(seconds=1), NOON, "envoy-died")
    (event,) = log.world.events(EventType.ACCESS_GAP)
    assert event.data["reason"] == "envoy-died"
    assert event.data["gateway"] == GATEWAY
    assert (event.data["from_at"], event.data["to_at"]) != (None, None)


def test_the_file_tells_when_envoy_last_wrote(log: Log) -> None:
    """Its time of change; None if there is no file."""
    assert log.ingest.last_written() is None
    log.write(line(1))
    os.utime(log.folder / LIVE, (NOON.timestamp(), NOON.timestamp()))
    assert log.ingest.last_written() == NOON
