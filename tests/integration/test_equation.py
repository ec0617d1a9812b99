"""The door answers as the judge decides, and the comparison sees a door that does not.

3,200 triples, each of a policy with a rule about certificates; the long form is tests/prove/test_equation.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from doorward.access import deciding
from doorward.core.certificate import CertificateContent, VerifiedCertificate
from doorward.gateway.connections.ending import EndReason
from tests.support.altering import Alteration
from tests.support.doorway import Doorway, open_doorway
from tests.support.equation import ANSWERS, hold_to_the_judge

SEED = 20261123


@pytest.mark.long
def test_the_door_answers_as_the_judge_decides() -> None:
    """Status and path at the application are what the judge says, and an edit that takes nothing ends none."""
    with open_doorway() as door:
        counted = hold_to_the_judge(door, policies=40, seed=SEED)
    assert sum(counted[one] for one in ANSWERS) >= 3200
    assert min(counted[one] for one in ANSWERS) > 100, counted
    assert counted["by an older connection"] > 500, counted
    assert counted["by a factor"] > 100, counted


# a door with a fault must be seen


Resource = dict[str, Any]


def slices_of(resource: Resource) -> Iterator[dict[str, Any]]:
    """Yield what each route of a table has for its filters; nothing if it is no table."""
    for host in resource.get("virtual_hosts", []):
        for route in host["routes"]:
            yield route.get("typed_per_filter_config", {})


def rules_of(resource: Resource, filter_name: str) -> Iterator[dict[str, Any]]:
    """Yield the policies of a filter on each route that judges anything."""
    for slices in slices_of(resource):
        policies = slices.get(filter_name, {}).get("rbac", {}).get("rules", {}).get("policies", {})
        if policies and "no-rule" not in policies:
            yield policies


def lose_a_residual(resource: Resource) -> Resource:
    """Take one rule out of what each slice allows."""
    for policies in rules_of(resource, "doorward.allow"):
        policies.popitem()
    return resource


def clear_everybody(resource: Resource) -> Resource:
    """Let every deny rule count every connection as cleared."""
    for policies in rules_of(resource, "doorward.deny"):
        policies["cleared"]["principals"] = [{"any": True}]
    return resource


def believe_every_certificate(resource: Resource) -> Resource:
    """Accept a session at any certificate, also if it is bound to another one."""
    asked = "request.headers['doorward-session-fp'] == connection.sha256_peer_certificate_digest && "
    for slices in slices_of(resource):
        for word in slices.get("doorward.bound", {}).get("on_request_headers", [])[:1]:
            source = word["format_string"]["text_format_source"]
            assert asked in source["inline_string"]
            source["inline_string"] = source["inline_string"].replace(asked, "")
    return resource


def cut_everybody(door: Doorway) -> None:
    """Have the gateway end every connection at each edit."""
    follower, connections = door.gateway.follower, door.gateway.connections
    ender = door.gateway._ender
    follower._compare_with_policy = lambda: ender.end(  # type: ignore[method-assign]
        connections.all(), EndReason.AUTHORITY_WITHDRAWN
    )


def cut_nobody(door: Doorway) -> None:
    """Have the gateway keep every connection with the grants that it has."""
    door.gateway.follower._compare_with_policy = lambda: None  # type: ignore[method-assign]
    door.gateway.publishing._end_overreaching = lambda _snapshot: None  # type: ignore[method-assign]
    door.gateway.publishing._end_lacking = lambda _snapshot, _aliases: None  # type: ignore[method-assign]


@pytest.mark.parametrize("fault", [lose_a_residual, clear_everybody, believe_every_certificate])
def test_a_fault_of_the_compiler_is_seen(fault: Alteration) -> None:
    """A missing rule, a denial that holds for no connection, a stolen session: answers that differ from the judge's."""
    with open_doorway(alter=fault) as door, pytest.raises(AssertionError, match="the judge differs"):
        hold_to_the_judge(door, policies=16, seed=SEED)


@pytest.mark.parametrize(
    "seen", [None, CertificateContent(dns=(), mailboxes=(), uris=(), policies=frozenset())]
)
def test_a_wrong_fact_about_certificates_is_seen(
    monkeypatch: pytest.MonkeyPatch, seen: CertificateContent | None
) -> None:
    """A decider that tells rules nothing of the certificate, or that it says nothing, answers otherwise."""
    described = deciding.describe_verified

    def describe(*args: Any) -> VerifiedCertificate | None:
        found = described(*args)
        return replace(found, content=seen) if found is not None and seen is not None else None

    monkeypatch.setattr(deciding, "describe_verified", describe)
    with open_doorway() as door, pytest.raises(AssertionError, match="the judge differs"):
        hold_to_the_judge(door, policies=16, seed=SEED)


@pytest.mark.parametrize(
    ("fault", "seen"),
    [(cut_everybody, "an edit that takes nothing ended"), (cut_nobody, "the judge differs")],
)
def test_a_fault_of_the_gateway_is_seen(fault: Callable[[Doorway], None], seen: str) -> None:
    """Connections that end without need, and those that go on with what they had, are noticed."""
    with open_doorway() as door:
        fault(door)
        with pytest.raises(AssertionError, match=seen):
            hold_to_the_judge(door, policies=16, seed=SEED)
