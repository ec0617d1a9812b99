"""Strict-Transport-Security: on every host of ours that is not of this machine alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from tests.support.resources import build_resources
from tests.unit.enforcement.plans import door, door_rule, small_plan

YEAR = {"key": "strict-transport-security", "value": "max-age=31536000"}


def told(table: dict[str, Any]) -> dict[str, list[Any]]:
    """Return for each name the headers that its virtual host adds to answers."""
    return {
        name: [one["header"] for one in host.get("response_headers_to_add", ())]
        for host in table["virtual_hosts"]
        for name in host["domains"]
    }


def test_every_host_tells_it() -> None:
    """RFC 6797 section 7.2: applications and enrolment, for a year, without includeSubDomains."""
    for table in build_resources(small_plan()).routes.values():
        assert all(headers == [YEAR] for name, headers in told(table).items() if name != "*")
        assert told(table)["*"] == []
        own = table["virtual_hosts"][0]
        assert own["response_headers_to_add"][-1]["append_action"] == "ADD_IF_ABSENT"


def test_names_of_this_machine_do_not() -> None:
    """RFC 6761 section 6.3; a name beside them is told all the same, with the same routes."""
    mixed = replace(door(door_rule("g1")), hosts=("a.localhost", "a.test", "localhost"))
    table = build_resources(small_plan(doors=(mixed,))).routes[mixed.id]
    assert told(table) == {"a.test": [YEAR], "a.localhost": [], "localhost": [], "*": []}
    first, second, _ = table["virtual_hosts"]
    assert first["routes"] == second["routes"]
    assert first["name"] != second["name"]
    local = replace(door(door_rule("g1")), hosts=("a.localhost",))
    table = build_resources(small_plan(doors=(local,))).routes[local.id]
    assert [host["name"] for host in table["virtual_hosts"]] == [local.id, "misdirected"]


def test_it_can_be_left_out_or_be_shorter() -> None:
    """A setting; zero tells nothing, and does not tell browsers to forget."""
    plan = small_plan()
    for table in build_resources(replace(plan, hsts=timedelta())).routes.values():
        assert not any(told(table).values())
    (table, *_) = build_resources(replace(plan, hsts=timedelta(days=1))).routes.values()
    assert {"key": YEAR["key"], "value": "max-age=86400"} in told(table)["pay.test"]
