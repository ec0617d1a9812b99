"""The generator of load: what it prints is read, and the file of requests that it reads is written."""

from __future__ import annotations

from pathlib import Path

from bench.load import parse, write_requests

PRINTED = (
    '{"seconds": 2.000000, "cpu_seconds": 0.500000, "refused": 1, "lacking": 3, "why": "read: tlsv1 alert access denied", '
    '"statuses": {"200": 90, "204": 5, "403": 4}, "latency_us": {"p50": 1.5, "p95": 2.0, "p99": 3.0, "max": 4.0}}\n'
)


def test_what_the_generator_prints_is_read() -> None:
    """Only answers with 200 and 204 count as served."""
    found = parse(PRINTED)
    assert (found.ok, found.refused, found.lacking, found.why) == (
        95,
        1,
        3,
        "read: tlsv1 alert access denied",
    )
    assert found.share == 0.25
    assert found.latency_us["p99"] == 3.0


def test_the_file_of_requests_has_the_length_before_each(tmp_path: Path) -> None:
    """A request may have any bytes."""
    path = write_requests(tmp_path / "requests", [b"GET / HTTP/1.1\r\n\r\n", b"\n\x00"])
    assert path.read_bytes() == b"18\nGET / HTTP/1.1\r\n\r\n2\n\n\x00"
