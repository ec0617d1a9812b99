"""The target of the fuzzer in what Envoy asks of the discovery service."""

from __future__ import annotations

from doorward.gateway.publishing.discovery.api import load_api
from doorward.gateway.publishing.discovery.messages import CLUSTER, LISTENER, SECRET
from doorward.gateway.publishing.discovery.refusals import LONGEST_REFUSAL
from tests.support.discovery import render_request
from tests.support.fuzzing.mutating import Shape
from tests.support.fuzzing.targets import Harness, Target


def _discovery_request() -> Harness:
    api = load_api()

    def judge(data: bytes) -> object:
        found = api.parse_request(data)
        said = found.refusal
        assert said is None or (said and said.isprintable() and len(said) <= LONGEST_REFUSAL)
        assert all(
            one.isprintable() for one in (found.type_url, found.nonce, *found.subscribe, *found.versions)
        )
        return len(found.subscribe), len(found.unsubscribe), len(found.versions), found.nonce, said

    seeds = (
        render_request(type_url=SECRET, resource_names_subscribe=["pay-1", "trust"]),
        render_request(
            type_url=CLUSTER,
            node={"id": "door", "metadata": {"a": [1, {"b": None}]}, "extensions": [{"name": "x"}]},
            initial_resource_versions={"app_pay": "a" * 24, "app_mqtt": "b" * 24},
        ),
        render_request(
            type_url=LISTENER,
            response_nonce="7",
            resource_names_unsubscribe=["door"],
            error_detail={
                "code": 13,
                "message": 'Proto constraint validation failed (field: ["a"]):\nname: "x"',
            },
        ),
        render_request(
            type_url=SECRET,
            response_nonce="8",
            error_detail={"message": "error:0b000074:X.509:OPENSSL_internal:KEY_VALUES_MISMATCH"},
        ),
    )
    return Harness(seeds=seeds, judge=judge)


DISCOVERY_TARGETS = (
    Target(
        name="discovery-request",
        covers=(
            "gateway.publishing.discovery.api.parse_discovery_request",
            "gateway.publishing.discovery.refusals.explain_refusal",
        ),
        shape=Shape.OCTETS,
        prepare=_discovery_request,
    ),
)
