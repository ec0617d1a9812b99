"""Chains for challenges of ACME authorities: beside the doors, for one protocol, with nothing behind them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from doorward.enforcement.plan import ChallengeDoor
from tests.support.resources import build_resources, changed
from tests.unit.enforcement.plans import small_plan


def challenge(host: str) -> ChallengeDoor:
    """Return a challenge."""
    return ChallengeDoor(name="a" * 32, host=host, chain="CHAIN", key="KEY")


PLAIN = build_resources(small_plan())
CHALLENGED = build_resources(replace(small_plan(), challenges=(challenge("new.test"), challenge("pay.test"))))


def test_only_the_listener_changes_and_no_chain_of_a_door() -> None:
    """A chain that changes would end its connections."""
    assert changed(PLAIN, CHALLENGED) == ["Listener/door"]
    before, after = (one.listeners[0]["filter_chains"] for one in (PLAIN, CHALLENGED))
    assert after[: len(before)] == before
    assert len(after) == len(before) + 2


def test_anybody_else_gets_the_door() -> None:
    """Only the offer of this one protocol selects the challenge; a host without a door has nothing else."""
    led = {
        one: resources.listeners[0]["filter_chain_matcher"]["matcher_tree"]["exact_match_map"]["map"]
        for one, resources in (("before", PLAIN), ("after", CHALLENGED))
    }
    matcher = led["after"]["pay.test"]["matcher"]
    assert matcher["on_no_match"] == led["before"]["pay.test"]
    (only,) = matcher["matcher_list"]["matchers"]
    assert only["predicate"]["single_predicate"]["value_match"] == {"exact": "'acme-tls/1'"}
    assert "on_no_match" not in led["after"]["new.test"]["matcher"]
    assert led["after"]["web.test"] == led["before"]["web.test"]


def test_there_is_nothing_behind_a_challenge() -> None:
    """No HTTP, no application: the first byte after the handshake ends the connection."""
    chain = CHALLENGED.listeners[0]["filter_chains"][-1]
    limit, silence = (one["typed_config"] for one in chain["filters"])
    assert limit["max_connections"] == 50
    assert silence["@type"].endswith("TcpProxy")
    names = {cluster["name"] for cluster in CHALLENGED.clusters} | {
        cluster["name"] for cluster in CHALLENGED.base["static_resources"]["clusters"]
    }
    assert silence["cluster"] not in names
    assert silence["upstream_connect_mode"] == "ON_DOWNSTREAM_DATA"
    assert chain["transport_socket"]["typed_config"]["common_tls_context"]["alpn_protocols"] == ["acme-tls/1"]


def test_a_plan_has_each_challenged_host_once() -> None:
    """Sorted, so that equal plans give equal bytes; a key is in no representation."""
    with pytest.raises(ValueError, match="sorted by host"):
        replace(small_plan(), challenges=(challenge("b.test"), challenge("a.test")))
    with pytest.raises(ValueError, match="too many"):
        replace(small_plan(), challenges=tuple(challenge(f"h{at:03}.test") for at in range(201)))
    assert "KEY" not in repr(challenge("a.test"))
