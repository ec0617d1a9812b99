"""Sessions in the compiled resources: one filter for all chains, and slices only on routes with a required factor."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from doorward.core.factor_kinds import FactorKind
from doorward.enforcement.envoy.names import (
    ALLOW_FILTER,
    BOUND_FILTER,
    SESSION_FILTER,
    SESSIONS_CLUSTER,
    STEP_UP_FILTER,
)
from doorward.enforcement.envoy.routes import build_door_table
from doorward.enforcement.envoy.sessions import VERIFIED
from doorward.enforcement.envoy.step_up import name_challenges
from doorward.policy.request_headers import HeaderOptions
from doorward.policy.requirements import Requirement
from tests.support.resources import build_resources, changed
from tests.unit.enforcement.plans import (
    PASSKEY,
    SESSION_KEY,
    SESSIONS,
    door,
    door_rule,
    every,
    small_plan,
    tcp_door,
)

ANY = Requirement()
ASKING = door(door_rule("gread"), door_rule("gvault", "/vault/**", require=(PASSKEY, ANY)))


def routes_of(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The routes of a table for its own hosts."""
    routes: list[dict[str, Any]] = found["virtual_hosts"][0]["routes"]
    return routes


def forwarding(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The routes that lead to the application."""
    return [one for one in routes_of(found) if one.get("route", {}).get("cluster") == "app_pay"]


def test_a_first_rule_that_asks_changes_no_chain() -> None:
    """Nor the filter that verifies: routes only, so that no connection ends."""
    plan = small_plan(sessions=SESSIONS)
    before, after = build_resources(plan), build_resources(replace(plan, doors=(ASKING, plan.doors[1])))
    assert changed(before, after) == ["RouteConfiguration/app_pay"]


def test_another_key_changes_one_resource() -> None:
    """A rotation is the shared filter's alone."""
    plan = small_plan(sessions=SESSIONS)
    rotated = replace(SESSIONS, jwks=(SESSION_KEY.replace('"k1"', '"k2"'), SESSION_KEY))
    before, after = build_resources(plan), build_resources(replace(plan, sessions=rotated))
    assert changed(before, after) == [f"TypedExtensionConfig/{SESSION_FILTER}"]


def test_another_application_leaves_the_filter_as_it_is() -> None:
    """Each chain has a copy of it in memory, so it names no application."""
    plan = small_plan(sessions=SESSIONS)
    fewer = build_resources(replace(plan, doors=plan.doors[:1])).extensions[SESSION_FILTER]
    assert fewer == build_resources(plan).extensions[SESSION_FILTER]
    config = fewer["typed_config"]
    (provider,) = config["providers"].values()
    assert json.loads(provider["local_jwks"]["inline_string"]) == {"keys": [json.loads(SESSION_KEY)]}
    assert set(config["requirement_map"]) == set(config["providers"]) == {VERIFIED}
    assert "rules" not in config


def test_a_session_is_bound_to_one_application() -> None:
    """The audience is compared with the application's id, because the filter compares none."""
    vault, _ = forwarding(build_door_table(ASKING, SESSIONS))
    (entry, _) = vault["typed_per_filter_config"][BOUND_FILTER]["on_request_headers"]
    expression = entry["format_string"]["text_format_source"]["inline_string"]
    assert expression.startswith("%CEL(request.headers['doorward-session-aud'] == 'app_pay' && ")


@pytest.mark.parametrize("jwks", [(), ("x",), ('{"kty":"RSA"}', "{}")])
def test_without_a_good_key_nothing_is_verified(jwks: tuple[str, ...]) -> None:
    """An empty set would be refused by Envoy, and the former keys stay in force."""
    plan = small_plan(sessions=replace(SESSIONS, jwks=jwks))
    config = build_resources(plan).extensions[SESSION_FILTER]["typed_config"]
    assert "providers" not in config
    assert config["requirement_map"][VERIFIED] == {"allow_missing_or_failed": {}}


def test_a_bad_key_does_not_shut_out_a_good_one() -> None:
    """It is left out."""
    plan = small_plan(sessions=replace(SESSIONS, jwks=("x", SESSION_KEY)))
    assert build_resources(plan).extensions == build_resources(small_plan(sessions=SESSIONS)).extensions


def test_where_no_chain_is_of_requests_there_is_no_filter() -> None:
    """Its file would never be confirmed."""
    assert (
        SESSION_FILTER not in build_resources(small_plan(doors=(tcp_door(),), sessions=SESSIONS)).extensions
    )


def test_without_sessions_a_rule_that_asks_allows_nothing() -> None:
    """No filter, no redirect, no surface: the rule matches a word that nothing says."""
    plan = small_plan(doors=(ASKING,))
    resources = build_resources(plan)
    assert not resources.extensions
    assert SESSIONS_CLUSTER not in {one["name"] for one in resources.clusters}
    for route in forwarding(build_door_table(ASKING)):
        assert {BOUND_FILTER, SESSION_FILTER, STEP_UP_FILTER}.isdisjoint(route["typed_per_filter_config"])
        assert "max_stream_duration" not in route["route"]
    assert ",webauthn.300," in json.dumps(build_door_table(ASKING))


def test_only_routes_with_such_a_rule_verify() -> None:
    """The route of the vault does; that of all else has only the rule that asks for nothing."""
    vault, rest = forwarding(build_door_table(ASKING, SESSIONS))
    assert vault["typed_per_filter_config"][SESSION_FILTER]["requirement_name"] == VERIFIED
    assert {BOUND_FILTER, SESSION_FILTER, STEP_UP_FILTER}.isdisjoint(rest["typed_per_filter_config"])
    assert "request_headers_to_add" not in rest
    (header,) = vault["request_headers_to_add"]
    assert header["header"]["key"] == "doorward-assertion"
    keys = [one["object_key"] for one in vault["typed_per_filter_config"][BOUND_FILTER]["on_request_headers"]]
    assert keys == ["doorward.session", "doorward.session.assertion"]
    assert "',any,webauthn.300,'" in json.dumps(vault["typed_per_filter_config"][BOUND_FILTER])
    assert "doorward-session-fp" in vault["request_headers_to_remove"]


def test_a_rule_needs_all_that_it_asks_for() -> None:
    """Each requirement is one more matcher beside the word of the judgement and the grant."""
    vault, _ = forwarding(build_door_table(ASKING, SESSIONS))
    allowed = vault["typed_per_filter_config"][ALLOW_FILTER]["rbac"]["rules"]["policies"]["gvault"]
    asked = {(one["key"], *one["string_match"].items()) for one in every(allowed, "filter_state")}
    assert asked == {
        ("doorward.judged", ("exact", "1")),
        ("doorward.grants", ("contains", ",gvault,")),
        ("doorward.session", ("contains", ",any,")),
        ("doorward.session", ("contains", ",webauthn.300,")),
    }


@pytest.mark.parametrize(
    ("require", "lifetime", "longest"),
    [
        ((PASSKEY, ANY), timedelta(hours=8), "300s"),
        ((ANY,), timedelta(hours=8), "28800s"),
        ((PASSKEY,), timedelta(seconds=90), "90s"),
    ],
)
def test_streams_end_with_what_the_route_accepts(
    require: tuple[Requirement, ...], lifetime: timedelta, longest: str
) -> None:
    """The shortest age of its rules, or the session's end."""
    asking = door(door_rule("gread"), door_rule("gvault", "/vault/**", require=require))
    vault, rest = forwarding(build_door_table(asking, replace(SESSIONS, lifetime=lifetime)))
    assert vault["route"]["max_stream_duration"] == {"max_stream_duration": longest}
    assert "max_stream_duration" not in rest["route"]


class TestChallenges:
    """The names of shadow policies are the parameters of the challenge, the weakest first."""

    def test_the_weakest_comes_first(self) -> None:
        """By level, then by age; Envoy takes the first policy that fits, by name."""
        hour = Requirement(within=timedelta(hours=1))
        five = Requirement(within=timedelta(minutes=5))
        password = Requirement(factor=FactorKind.PASSWORD)
        sets = [frozenset({one}) for one in (PASSKEY, five, hour, password)]
        names = name_challenges(sets)
        assert [names[one] for one in reversed(sets)] == sorted(names.values())
        assert sorted(names.values()) == [
            '00 acr_values="urn:doorward:level:2"',
            '01 acr_values="urn:doorward:level:2", max_age="3600"',
            '02 acr_values="urn:doorward:level:2", max_age="300"',
            '03 acr_values="urn:doorward:level:3", max_age="300"',
        ]

    def test_several_requirements_of_one_rule_are_one_challenge(self) -> None:
        """The highest level and the shortest age."""
        both = frozenset({PASSKEY, Requirement(within=timedelta(minutes=1))})
        assert name_challenges([both])[both] == '00 acr_values="urn:doorward:level:3", max_age="60"'

    def test_a_second_path_is_not_challenged(self) -> None:
        """It may be refused for good, and then no factor helps."""
        asking = replace(ASKING, headers=HeaderOptions(destination=True))
        vault, _ = forwarding(build_door_table(asking, SESSIONS))
        shadow = vault["typed_per_filter_config"][STEP_UP_FILTER]["rbac"]["shadow_rules"]
        (policy,) = shadow["policies"].values()
        assert {"name": "destination", "present_match": True} in list(every(policy, "header"))


class TestOwnSurface:
    """The callback and the sign-out are there if a rule asks, for judged connections."""

    def test_they_lead_to_our_own_socket(self) -> None:
        """With the application's id from the route, and our cookies left in."""
        plan = small_plan(doors=(ASKING,), sessions=SESSIONS)
        clusters = {one["name"]: one for one in build_resources(plan).clusters}
        assert SESSIONS.sessions_socket in json.dumps(clusters[SESSIONS_CLUSTER])
        own = [
            one for one in routes_of(build_door_table(ASKING, SESSIONS)) if one.get("name") == "own-surface"
        ]
        assert [one["match"]["path"] for one in own] == [
            "/_doorward/callback",
            "/_doorward/sign-out",
            "/_doorward/signed-out",
        ]
        for route in own:
            assert route["match"]["filter_state"]
            assert route["request_headers_to_add"][0]["header"] == {
                "key": "doorward-application",
                "value": "app_pay",
            }
            assert route["typed_per_filter_config"]["doorward.cookies"]["disabled"]

    def test_an_application_that_asks_for_nothing_has_none(self) -> None:
        """The whole prefix is refused."""
        routes = routes_of(build_door_table(door(door_rule("gread")), SESSIONS))
        assert "own-surface" not in {one.get("name") for one in routes}


@pytest.mark.parametrize(
    "changed",
    [
        {"portal_origin": "http://portal.test"},
        {"portal_origin": "https://portal.test/x"},
        {"portal_origin": "https://portal.test%REQ(X)%"},
        {"issuer": "corp.example"},
        {"sessions_socket": "relative"},
        {"lifetime": timedelta()},
    ],
)
def test_a_plan_of_sessions_refuses_what_would_be_put_into_headers(changed: dict[str, Any]) -> None:
    """The origin is a constant of every redirect: it holds no path and no formatter."""
    with pytest.raises(ValueError, match=r"."):
        replace(SESSIONS, **changed)
