"""The plan: impossible values, and compiling a document."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from doorward.core.factor_kinds import FactorKind
from doorward.enforcement.open_routes import ENROLMENT_ROUTES
from doorward.enforcement.plan import (
    DoorRule,
    GatewayLimits,
    GatewayPaths,
    GatewayPlan,
    OpenDoor,
    OpenRoute,
    ServerCertificate,
    SocketAddress,
    build_door,
    build_plan,
    check_socket_path,
)
from doorward.policy.grants import grant_id
from doorward.policy.model import AppPolicy, Document, Effect, HttpUpstream, Residual, Rule
from doorward.policy.requirements import Requirement
from doorward.policy.selectors.table import select
from tests.unit.enforcement.plans import CERTIFICATE, PATHS, door, door_rule, small_plan

STAFF = select({"groups": frozenset({"staff"})})
PEOPLE = select({"kind": frozenset({"person"})})
UPSTREAM = HttpUpstream(host="127.0.0.1", port=9000)
DOCUMENT = Document(
    trust_domain="corp.example",
    apps=(
        AppPolicy(
            name="web",
            hosts=("www.test", "web.test"),
            upstream=UPSTREAM,
            rules=(
                Rule(name="second", effect=Effect.DENY, selector=PEOPLE),
                Rule(name="first", effect=Effect.ALLOW, selector=STAFF),
            ),
        ),
        AppPolicy(name="pay", hosts=("pay.test",), upstream=UPSTREAM),
    ),
)
IDS = {"web": "app_web", "pay": "app_pay"}


def plan_of(**changed: Any) -> GatewayPlan:
    """Compile the document, with some arguments changed."""
    values: dict[str, Any] = {
        "tenant": "ten_default",
        "application_ids": IDS,
        "certificates": dict.fromkeys(IDS, CERTIFICATE),
        "listen": [SocketAddress(host="127.0.0.1", port=8443)],
        "trust": ["B", "A", "B"],
        "paths": PATHS,
    }
    return build_plan(DOCUMENT, **{**values, **changed})


def test_doors_hosts_and_authorities_are_sorted() -> None:
    """Equal documents give equal plans, however they were written."""
    plan = plan_of()
    assert [one.id for one in plan.doors] == ["app_pay", "app_web"]
    assert plan.doors[1].hosts == ("web.test", "www.test")
    assert plan.trust == ("A", "B")


def test_rules_carry_the_ids_that_the_judge_grants() -> None:
    """The door asks for the very ids that policy.decision hands out, rules in the document's order."""
    deny, allow = plan_of().doors[1].rules
    assert deny.id == grant_id("ten_default", "app_web", Effect.DENY, PEOPLE)
    assert allow.accepted == (grant_id("ten_default", "app_web", Effect.ALLOW, STAFF),)


def test_aliases_are_accepted_after_the_rules_own_id() -> None:
    """Class tokens join the id that they stand for, and no other."""
    one = grant_id("ten_default", "app_web", Effect.ALLOW, STAFF)
    deny, allow = plan_of(aliases={one: frozenset({"tb", "ta"})}).doors[1].rules
    assert allow.accepted == (one, "ta", "tb")
    assert deny.accepted == (deny.id,)


def test_a_rule_with_a_requirement_is_a_term_with_it() -> None:
    """The requirements of a rule are compiled with its other conditions."""
    needing = Residual(requirements=frozenset({Requirement(factor=FactorKind.WEBAUTHN)}))
    rules = (Rule(name="one", effect=Effect.ALLOW, selector=STAFF, residual=needing),)
    app = replace(DOCUMENT.apps[0], rules=rules)
    (door_rule,) = build_door(app, "ten_default", "app_web", CERTIFICATE).rules
    assert door_rule.residual == needing


def test_an_application_without_a_certificate_waits() -> None:
    """A door without a server certificate is not in the plan."""
    assert [one.id for one in plan_of(certificates={"web": CERTIFICATE}).doors] == ["app_web"]


def test_a_host_that_the_certificate_lacks_waits_alone() -> None:
    """A host that is new to an application takes nothing from the others, and no wrong certificate is shown."""
    old = replace(CERTIFICATE, hosts=("web.test", "else.test"))
    (web,) = plan_of(certificates={"web": old, "pay": replace(old, hosts=("else.test",))}).doors
    assert web.hosts == ("web.test",)


def test_certificates_are_listed_once() -> None:
    """A certificate that several doors share is one secret."""
    assert [one.name for one in small_plan().certificates] == ["enrol-1", "pay-1"]
    assert [one.name for one in small_plan(open_doors=()).certificates] == ["pay-1"]


@pytest.mark.parametrize(
    "changed",
    [
        {"listen": ()},
        {"trust": ()},
        {"doors": (door(id_="app_b"), door(id_="app_a", name="other"))},
        {"doors": (door(id_="app_a"), door(id_="app_a", name="other"))},
        {"doors": (door(id_="app_a"), door(id_="app_b"))},
        {"doors": (door(name="enroll"),)},
    ],
)
def test_an_impossible_plan_is_refused(changed: dict[str, Any]) -> None:
    """No listener, no trust, disorder, or one host for two doors: refused when made."""
    with pytest.raises(ValueError, match=r"\w"):
        small_plan(**changed)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "/enrol"),
        ("", "/enrol"),
        ("GET", ""),
        ("GET", "enrol"),
        ("GET", "/a/"),
        ("GET", "/a/**"),
        ("GET", "/{Name}"),
        ("GET", "/a{b}"),
        ("GET", "/{}"),
        ("GET", "/a b"),
        ("GET", "/%2e"),
        ("GET", "/*"),
    ],
)
def test_an_open_route_is_narrow(method: str, path: str) -> None:
    """An open route has one method and one path, and `{name}` matches one segment."""
    with pytest.raises(ValueError, match="open route"):
        OpenRoute(method=method, path=path)


OPEN_VALUES = {
    "id": "doorward_enrol",
    "name": "enrolment",
    "host": "e",
    "socket": "/s",
    "certificate": CERTIFICATE,
    "routes": ENROLMENT_ROUTES,
    "connections": 1,
    "body_bytes": 1,
}


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (DoorRule, {"id": "g", "effect": Effect.ALLOW, "residual": Residual(), "accepted": ()}),
        (DoorRule, {"id": "g", "effect": Effect.ALLOW, "residual": Residual(), "accepted": ("t", "g")}),
        (DoorRule, {"id": "g,", "effect": Effect.ALLOW, "residual": Residual(), "accepted": ("g,",)}),
        (ServerCertificate, {"name": "a/b", "chain_path": "/c", "key_path": "/k", "hosts": ("h",)}),
        (OpenDoor, {**OPEN_VALUES, "routes": ()}),
        (OpenDoor, {**OPEN_VALUES, "id": "../x"}),
        (OpenDoor, {**OPEN_VALUES, "lifetime": timedelta(minutes=1)}),
        (GatewayPaths, {"authorizer_socket": "relative", "discovery_socket": "/d", "log_file": "/l"}),
        (GatewayPaths, {"authorizer_socket": "/a", "discovery_socket": "relative", "log_file": "/l"}),
        (GatewayLimits, {"connections": 0}),
        (GatewayLimits, {"handshake": timedelta()}),
    ],
)
def test_impossible_parts_are_refused(kind: Any, values: dict[str, Any]) -> None:
    """Constructors refuse values that the compiler would otherwise have to check."""
    with pytest.raises(ValueError, match=r"\w"):
        kind(**values)


def test_a_door_has_a_host_and_a_plain_id() -> None:
    """An id is also a file name and a part of expressions."""
    for changed in ({"hosts": ()}, {"id": "../x"}):
        values = {"id": "app_a", "name": "a", "hosts": ("a.test",), "upstream": UPSTREAM, "rules": ()}
        with pytest.raises(ValueError, match=r"\w"):
            type(door())(**{**values, "certificate": CERTIFICATE, **changed})


def test_socket_paths_have_a_length() -> None:
    """108 bytes do not fit into sun_path together with its final zero."""
    check_socket_path("/" + "a" * 106)
    with pytest.raises(ValueError, match="107"):
        check_socket_path("/" + "ä" * 54)


def test_a_term_keeps_what_it_was_given() -> None:
    """The helper of these tests builds the described rule."""
    assert door_rule("g", "/a", methods=("GET",)).residual.methods == frozenset({"GET"})


@pytest.mark.parametrize(
    ("source", "principal", "share"),
    [(4096, 512, 512), (600, 512, 300), (2, 512, 32), (2, 5, 5), (100_000, 100_000, 50_000)],
)
def test_one_principal_takes_half_of_an_address_at_most(source: int, principal: int, share: int) -> None:
    """One principal never takes all connections of one address, for any settings; a single browser still gets enough."""
    limits = GatewayLimits(connections_per_source=source, connections_per_principal=principal)
    assert limits.share_of_principal == share


@pytest.mark.parametrize(
    ("limits", "share"),
    [
        (GatewayLimits(), (5_000, 500)),
        (GatewayLimits(connections=1_000, connections_per_source=100), (100, 100)),
        (GatewayLimits(connections=5, connections_per_source=1), (1, 1)),
        (GatewayLimits(connections=20_000, connections_per_source=20_000), (2_000, 2_000)),
        (GatewayLimits(open_files=20_000), (1_000, 500)),
    ],
)
def test_anonymous_connections_have_a_small_share(limits: GatewayLimits, share: tuple[int, int]) -> None:
    """A tenth of all at most; behind a balancer every client has its address, and one source may have the share."""
    assert limits.anonymous_share == share


@pytest.mark.parametrize(
    ("limits", "accepted", "per_door"),
    [
        (GatewayLimits(), 100_000, 50_000),
        (GatewayLimits(open_files=262_144), 100_000, 50_000),
        (GatewayLimits(open_files=20_000), 10_000, 9_000),
        (GatewayLimits(connections=100, open_files=20_000), 100, 50),
        (GatewayLimits(connections=1_000_000), 1_000_000, 500_000),
        (GatewayLimits(connections=1, open_files=1), 1, 1),
    ],
)
def test_clients_have_half_of_the_open_files(limits: GatewayLimits, accepted: int, per_door: int) -> None:
    """The other half is for applications and the log; of few files one application leaves a tenth to the others."""
    assert (limits.accepted, limits.connections_per_door) == (accepted, per_door)
