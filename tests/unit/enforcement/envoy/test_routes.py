"""Route tables: the routes before the rules, and how rules are divided among routes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings

from doorward.enforcement.envoy.headers import NAMES_HEADER
from doorward.enforcement.envoy.routes import (
    MAX_SLICES,
    build_door_table,
    build_open_table,
    slice_rules,
)
from doorward.enforcement.plan import build_door
from doorward.policy.app_limits import AppLimits
from doorward.policy.model import AppPolicy, Effect
from doorward.policy.normalisation import NormalisedPath, normalise
from doorward.policy.request_headers import HeaderOptions
from tests.support.examples import examples
from tests.support.policies import APP_ID, TENANT, apps, raw_paths
from tests.support.resources import build_resources
from tests.unit.enforcement.envoy.test_rules import state_of
from tests.unit.enforcement.plans import CERTIFICATE, OPEN_DOOR, TRUST, door, door_rule, small_plan
from tests.unit.enforcement.rbac import FORWARDED, answer_of


def matches_of(*rules: object) -> list[tuple[str, list[str]]]:
    """The routes of some rules: match text, and the ids of their slice."""
    return [
        (next(iter(match.values())), [rule.id for rule in inside]) for match, inside in slice_rules(rules)
    ]


def test_rules_go_to_the_route_of_their_first_segment() -> None:
    """A request meets the rules that could concern it, and no others."""
    rules = [
        door_rule("ga", "/a/**"),
        door_rule("gb", "/b/x", "/a"),
        door_rule("gall", "/**"),
        door_rule("groot", "/"),
    ]
    assert matches_of(*rules) == [
        ("/a", ["ga", "gb", "gall"]),
        ("/b", ["gb", "gall"]),
        ("/", ["gall", "groot"]),
    ]


def test_wildcards_and_second_spellings_are_in_every_slice() -> None:
    """`*` may be any segment; `@` may arrive as `%40`: neither has a route of its own."""
    rules = [
        door_rule("ga", "/a"),
        door_rule("gstar", "/*/x"),
        door_rule("gat", "/a@b/**"),
        door_rule("gstarlit", "/%2A"),
    ]
    assert matches_of(*rules) == [
        ("/a", ["ga", "gstar", "gat", "gstarlit"]),
        ("/", ["gstar", "gat", "gstarlit"]),
    ]


def test_the_number_of_slices_is_bounded() -> None:
    """Beyond the limit the rarest first segments share the last route, and lose no rule."""
    rules = [door_rule(f"g{number}", f"/s{number}") for number in range(MAX_SLICES + 10)]
    rules.append(door_rule("gtwice", f"/s{MAX_SLICES + 9}"))
    slices = matches_of(*rules)
    assert len(slices) == MAX_SLICES + 1
    assert (f"/s{MAX_SLICES + 9}", [f"g{MAX_SLICES + 9}", "gtwice"]) in slices
    assert len(slices[-1][1]) == 10


@settings(max_examples=examples(200), deadline=None)
@given(apps, raw_paths)
def test_no_rule_is_lost_by_slicing(app: AppPolicy, raw: str) -> None:
    """The first route that takes a path has every rule that holds there."""
    path = normalise(raw)
    if not isinstance(path, NormalisedPath):
        return
    terms = build_door(app, TENANT, APP_ID, CERTIFICATE, trust=TRUST).rules
    for match, inside in slice_rules(terms):
        prefix = match.get("path_separated_prefix", "")
        if path.text == prefix or path.text.startswith(prefix + "/"):
            wanted = [rule for rule in terms if rule.residual.matches_path(path, "b")]
            assert [rule for rule in inside if rule in wanted] == wanted
            return
    raise AssertionError("no route took the path")


@pytest.mark.parametrize("path", ["/a;b", "/a%3Bb", "*", "", "/%41", "/a//b", "/%ff", "/a/../b"])
def test_ambiguous_paths_are_refused_before_rules(path: str) -> None:
    """Such a path gets 400 for any permissions of the connection."""
    table = build_door_table(door(door_rule("g")))
    assert answer_of(table, "pay.test", "GET", path, state_of("g"))[0] == 400


@pytest.mark.parametrize("path", ["/_doorward", "/_doorward/", "/_doorward/callback"])
def test_reserved_paths_are_refused_before_rules(path: str) -> None:
    """They belong to the door."""
    table = build_door_table(door(door_rule("g")))
    assert answer_of(table, "pay.test", "GET", path, state_of("g"))[0] == 404
    assert answer_of(table, "pay.test", "GET", "/_doorwards", state_of("g"))[0] == FORWARDED


def test_another_host_is_misdirected() -> None:
    """421 for any grants of the connection."""
    table = build_door_table(door(door_rule("g")))
    assert answer_of(table, "web.test", "GET", "/", state_of("g"))[0] == 421
    assert table["ignore_port_in_host_matching"] is True


def test_odd_methods_and_upgrades_that_name_other_headers_are_refused() -> None:
    """The routes stand before all that could forward it."""
    table = build_door_table(door(door_rule("g")))
    for method, headers, status in (
        ("get", {}, 400),
        ("VERSION-CONTROL", {}, FORWARDED),
        ("GET", {"connection": "upgrade, client-cert"}, 400),
        ("GET", {"connection": "keep-alive, Upgrade"}, FORWARDED),
    ):
        assert answer_of(table, "pay.test", method, "/", state_of("g"), headers=headers)[0] == status


@pytest.mark.parametrize("said", ["false", "-", ""])
def test_a_request_with_another_header_name_is_refused(said: str) -> None:
    """Only the word `true` of the door's own count lets a request go on."""
    table = build_door_table(door(door_rule("g")))
    assert answer_of(table, "pay.test", "GET", "/", state_of("g"), headers={NAMES_HEADER: said})[0] == 400


AUTHORITIES = {
    "pay.test": FORWARDED,
    "PAY.test": FORWARDED,
    "pay.test:1": FORWARDED,
    "pay.test:65535": FORWARDED,
    "pay.test:": 400,
    "pay.test:0": 400,
    "pay.test:00000": 400,
    "pay.test:00443": FORWARDED,
    "pay.test:000443": 400,
    f"pay.test:{'0' * 2000}443": 400,
    "pay.test:65536": 400,
    "pay.test:99999": 400,
    "pay.test:123456": 400,
    "pay.test:x@wiki.test": 400,
    "pay.test:evil.example": 400,
    "alice@pay.test": 400,
    "pay.test,pay.test": 400,
    "": 400,
    "wiki.test": 421,
    "wiki.test:8443": 421,
    "[::1]:443": 421,
    "[::1": 400,
}


@pytest.mark.parametrize(("authority", "status"), AUTHORITIES.items())
def test_only_a_host_and_a_port_pass(authority: str, status: int) -> None:
    """RFC 9112 section 3.2: a Host that is none is 400; RFC 9110 section 15.5.20: another host is 421."""
    table = build_door_table(door(door_rule("g")))
    # Envoy looks for a virtual host without case, by what stands before the last colon.
    host = authority.rpartition(":")[0].lower() if ":" in authority else authority.lower()
    assert answer_of(table, host, "GET", "/", state_of("g"), headers={":authority": authority})[0] == status


@pytest.mark.parametrize("method", ["TRACE", "TRACK"])
def test_a_method_that_repeats_the_request_has_to_be_named(method: str) -> None:
    """RFC 9110 section 9.3.8: TRACE returns the request's fields, our assertion among them; 405, with Allow."""
    table = build_door_table(door(door_rule("g")))
    assert answer_of(table, "pay.test", method, "/", state_of("g"))[0] == 405
    wanted = [{"name": ":method", "string_match": {"exact": method}}]
    routes = table["virtual_hosts"][0]["routes"]
    (route,) = (one for one in routes if one["match"].get("headers") == wanted)
    assert "GET" in route["response_headers_to_add"][0]["header"]["value"]


def test_a_named_method_opens_no_other_rule() -> None:
    """If one rule names TRACE, a rule for every method still does not allow it; a deny rule for every method covers it."""
    table = build_door_table(door(door_rule("g"), door_rule("gtrace", "/debug", methods=("TRACE",))))
    assert answer_of(table, "pay.test", "TRACE", "/debug", state_of("g"))[0] == 403
    assert answer_of(table, "pay.test", "TRACE", "/debug", state_of("gtrace"))[0] == FORWARDED
    assert answer_of(table, "pay.test", "TRACK", "/debug", state_of("gtrace"))[0] == 405
    denied = build_door_table(
        door(door_rule("gtrace", methods=("TRACE",)), door_rule("c", effect=Effect.DENY))
    )
    assert answer_of(denied, "pay.test", "TRACE", "/debug", state_of("gtrace"))[0] == 403


def test_headers_that_name_a_second_path_are_refused() -> None:
    """RFC 4918 section 10.3, and the copy sources of object stores, unless the application passes them."""
    for name in ("destination", "x-amz-copy-source", "x-copy-from"):
        table = build_door_table(door(door_rule("g")))
        assert answer_of(table, "pay.test", "COPY", "/a", state_of("g"), headers={name: "/b"})[0] == 403
    passing = replace(door(door_rule("g")), headers=HeaderOptions(passed=frozenset({"x-copy-from"})))
    table = build_door_table(passing)
    assert (
        answer_of(table, "pay.test", "PUT", "/a", state_of("g"), headers={"x-copy-from": "/b"})[0]
        == FORWARDED
    )


def test_the_enrolment_table_forwards_listed_requests_only() -> None:
    """Method and path are exact; everything else is not there."""
    routes = build_open_table(OPEN_DOOR)["virtual_hosts"][0]["routes"]
    assert [one["direct_response"]["status"] for one in routes[:2]] == [400, 400]
    routes = routes[2:]
    assert [("route" in one, next(iter(one["match"].items()))) for one in routes] == [
        (True, ("path", "/enrol")),
        (True, ("safe_regex", {"regex": "/i/[A-Za-z0-9._~-]+"})),
        (False, ("prefix", "/")),
    ]
    assert all(one["match"]["headers"][0]["name"] == ":method" for one in routes[:2])
    assert routes[-1]["direct_response"] == {"status": 404}


def test_every_door_has_a_table_of_its_own() -> None:
    """Named by the application's id."""
    assert list(build_resources(small_plan()).routes) == ["app_pay", "app_web", "doorward_enrol"]


def test_silence_is_the_application_s_to_bound() -> None:
    """An hour unless the document says otherwise; it stands in routes, so that changing it ends no connection."""
    quiet = replace(door(door_rule("g")), app_limits=AppLimits(idle=timedelta(hours=3)))
    for one, idle in ((door(door_rule("g")), "3600s"), (quiet, "10800s")):
        routes = [
            route["route"]
            for route in build_door_table(one)["virtual_hosts"][0]["routes"]
            if "route" in route
        ]
        assert routes
        assert all((route["idle_timeout"], route["flush_timeout"]) == (idle, idle) for route in routes)


def test_no_time_limit_ends_streams() -> None:
    """Envoy's default of 15 seconds would end downloads, event streams and WebSockets."""
    for table in build_resources(small_plan()).routes.values():
        for host in table["virtual_hosts"]:
            assert all(one["route"]["timeout"] == "0s" for one in host["routes"] if "route" in one)
