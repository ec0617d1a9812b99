"""/metrics: only for the addresses of the settings, and one reading a second."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from doorward.web.app import build_surface
from doorward.web.metrics import MetricsSurface
from doorward.web.pool import UseCasePool

TEXT = b"doorward_build 1\n"


def reader(pool: UseCasePool, address: str, *networks: str, readings: list[int] | None = None) -> TestClient:
    """A client at an address, of a listener with metrics that some networks may read."""

    def render() -> bytes:
        if readings is not None:
            readings.append(1)
        return TEXT

    app = build_surface(list(MetricsSurface(render, pool, networks).routes()))
    return TestClient(app, client=(address, 40000))


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("127.0.0.1", "127.0.0.1/32"),
        ("10.4.7.7", "10.4.0.0/16"),
        ("::ffff:10.4.7.7", "10.4.0.0/16"),
        ("fd00::7", "fd00::/8"),
    ],
)
def test_a_named_address_reads_the_metrics(pool: UseCasePool, address: str, network: str) -> None:
    """Also through a listener of IPv6, which names an IPv4 address in another way."""
    answer = reader(pool, address, "192.0.2.1/32", network).get("/metrics")
    assert (answer.status_code, answer.content) == (200, TEXT)
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("address", ["10.5.0.1", "::1", "testclient", "::ffff:10.5.0.1"])
def test_any_other_address_gets_404(pool: UseCasePool, address: str) -> None:
    """And nothing is read for it, whatever it writes into headers."""
    readings: list[int] = []
    client = reader(pool, address, "10.4.0.0/16", readings=readings)
    headers = {"X-Forwarded-For": "10.4.0.1", "Forwarded": "for=10.4.0.1", "X-Real-IP": "10.4.0.1"}
    assert client.get("/metrics", headers=headers).status_code == 404
    assert readings == []


def test_readers_share_the_numbers_of_one_second(pool: UseCasePool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many readers cost the database one reading a second."""
    monkeypatch.setattr("doorward.web.metrics.SHARED_SECONDS", 3600.0)
    readings: list[int] = []
    client = reader(pool, "10.4.0.1", "10.4.0.0/16", readings=readings)
    assert [client.get("/metrics").status_code for _ in range(5)] == [200] * 5
    assert len(readings) == 1
