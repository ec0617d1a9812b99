"""What the metrics make of the report of a gateway."""

from __future__ import annotations

import json

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from doorward.gateway.authorizer.measuring import ConnectionMeter, Step
from doorward.runtime.metrics import gateway_metrics
from doorward.stores.records import GatewayRecord
from tests.support.ports import NOON


def shown(*reports: str) -> list[str]:
    """Return the lines of the metrics of gateways with these reports: gateway-0, gateway-1, ..."""
    gateways = [
        GatewayRecord(
            id=f"gwy_{number}",
            tenant="ten_a",
            name=f"gateway-{number}",
            confirmed_seq=0,
            seen_at=NOON,
            status=report,
            assertion_jwk="{}",
        )
        for number, report in enumerate(reports)
    ]

    class Collector:
        def collect(self) -> object:
            return gateway_metrics(gateways, 0, NOON)

        def describe(self) -> object:
            return ()

    registry = CollectorRegistry()
    registry.register(Collector())  # type: ignore[arg-type]
    return generate_latest(registry).decode().splitlines()


def good() -> str:
    """A report as a gateway writes it."""
    meter = ConnectionMeter()
    meter.count("allowed")
    meter.note(Step.WHOLE, 0.002)
    numbers = {"connections": 3, "accepts": 10_000}
    return json.dumps({**numbers, "trouble": ["one"], "refused": [], "measured": meter.report()})


@pytest.mark.parametrize(
    "other",
    [
        "",
        "5",
        "[" * 100_000,
        '{"connections": "many", "accepts": "all", "trouble": 5, "refused": null, "measured": 5}',
        json.dumps({"connections": 10**400}),
        '{"measured": {"answers": {"allowed": "x"}, "steps": {}}}',
        '{"measured": {"answers": {"\\ud800": 1}, "steps": {}}}',
        json.dumps({"measured": {"answers": {"a": 10**400}, "steps": {}}}),
        '{"measured": {"answers": {}, "steps": {"whole": {"buckets": [1], "sum": 1}}}}',
        '{"measured": {"answers": {}, "steps": {"whole": 5}}}',
        '{"measured": {"answers": {}}}',
    ],
)
def test_a_gateway_of_another_version_hides_no_other(other: str) -> None:
    """What has another form is left out; the numbers of the other gateways are all there, and that it is up."""
    lines = shown(other, good())
    assert 'doorward_gateway_up{gateway="gateway-0"} 1.0' in lines
    assert 'doorward_gateway_connections{gateway="gateway-1"} 3.0' in lines
    assert 'doorward_gateway_connections_accepted{gateway="gateway-1"} 10000.0' in lines
    assert 'doorward_gateway_troubles{gateway="gateway-1"} 1.0' in lines
    assert 'doorward_connections_answered_total{gateway="gateway-1",reason="allowed"} 1.0' in lines
    whole = 'doorward_authorizer_step_seconds_bucket{gateway="gateway-1",le="+Inf",step="whole"} 1.0'
    assert whole in lines
    assert not any('"gateway-0"' in one for one in lines if one.startswith("doorward_connections_answered"))
