"""A request that nothing allows is refused, at every layer, whichever part is missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from doorward.enforcement.envoy.extension import switch_off
from doorward.enforcement.envoy.names import ALLOW_FILTER, DENY_FILTER, ENROL_CHAIN, OWNER_FILTER
from doorward.policy.model import Rule
from tests.posture.witness import Witness
from tests.support.attacks import HTTP, TLS, Edit, altered, changed, every_value, found, without
from tests.support.compiled_door import CompiledDoor, CompiledDoors, Kept
from tests.support.door_site import APPS, AUDITOR, CLEARED, TELLER, allow, deny
from tests.support.envoy_process import facts_of

pytestmark = pytest.mark.xdist_group("posture-default-deny")


PAY = ("routes", "app_pay", "virtual_hosts", "app_pay", "routes", "*")
BASES = [
    without(*HTTP, "http_filters", name, "typed_config", "rules") for name in (DENY_FILTER, ALLOW_FILTER)
]
EMPTY: Mapping[str, Sequence[Rule]] = {"pay": (), "other": (allow("all", "tellers"),)}
ALL = facts_of(TELLER, AUDITOR, CLEARED)


class TestSlices:
    """Item 9: RBAC without rules allows everything; a route without a slice meets a base that refuses."""

    SLICE = without(*PAY, "typed_per_filter_config")

    def test_every_compiled_route_states_its_slice(self, doors: CompiledDoors) -> None:
        """Each route of each application's table has both filters' rules, with action ALLOW, or none to deny by."""
        resources = doors.site.resources(APPS)
        for name, table in resources.routes.items():
            if name == ENROL_CHAIN:
                continue
            for route in found(table, "virtual_hosts", "*", "routes", "*"):
                slices = route["typed_per_filter_config"]
                assert set(slices) == {DENY_FILTER, ALLOW_FILTER}, route
                assert slices[ALLOW_FILTER]["rbac"]["rules"]["action"] == "ALLOW"
                deny = slices[DENY_FILTER]
                assert deny == switch_off() or deny["rbac"]["rules"]["action"] == "ALLOW"

    def test_only_a_route_without_a_deny_rule_runs_without_that_filter(self, doors: CompiledDoors) -> None:
        """A deny rule that may hold for a path is in the slice of the route of that path."""
        paths = ("/a/x", "/b/**", "/**")
        for denied in paths:
            rules = (*(allow(f"allows {one}", "tellers", one) for one in paths), deny("no", "others", denied))
            table = doors.site.resources({"pay": rules}).routes["app_pay"]
            off = {
                route["match"].get("path_separated_prefix", "/")
                for route in found(table, "virtual_hosts", "app_pay", "routes", "*")
                if route["typed_per_filter_config"][DENY_FILTER] == switch_off()
            }
            reached = {"/a/x": {"/a"}, "/b/**": {"/b"}, "/**": {"/", "/a", "/b"}}[denied]
            assert off == {"/", "/a", "/b"} - reached

    def test_no_filter_is_without_rules(self, doors: CompiledDoors) -> None:
        """No RBAC of the whole configuration lacks rules, is disabled, only logs, or denies by name."""
        resources = doors.site.resources(APPS)
        whole = [*resources.routes.values(), *resources.listeners]
        for key, value in every_value(whole):
            assert key not in {"shadow_rules", "shadow_matcher", "is_optional"}
            if value == switch_off():
                assert key == DENY_FILTER  # see above
            elif isinstance(value, dict) and "disabled" in value:
                assert value["name"] == OWNER_FILTER  # without it there is no owner, so less is allowed
            if isinstance(value, dict) and str(value.get("@type", "")).endswith("rbac.v3.RBACPerRoute"):
                assert value["rbac"]["rules"]["action"] == "ALLOW"
            if isinstance(value, dict) and str(value.get("@type", "")).endswith("rbac.v3.RBAC"):
                assert value["rules"] == {"action": "ALLOW", "policies": {}}

    def test_a_route_without_its_slice_refuses(self, kept: Kept, witness: Witness) -> None:
        """A route that lost its slice falls back to a base that names nothing, so nothing passes."""
        mark = len(witness.requests)
        door = kept(self.SLICE)
        door.authorizer.facts = ALL
        assert {door.site.ask("GET", path).status for path in ("/accounts/7", "/", "/x")} <= {403}
        assert witness.since(mark) == []

    def test_without_the_bases_rules_it_allows_everything(self, kept: Kept) -> None:
        """A base without `rules` is a filter that allows: the same route answers 200 to a stranger."""
        door = kept(self.SLICE, *BASES)
        door.authorizer.facts = {}
        assert door.site.ask("DELETE", "/anything").status == 200

    @pytest.mark.parametrize("base", BASES, ids=["deny", "allow"])
    def test_one_base_with_rules_is_enough(self, kept: Kept, base: Edit) -> None:
        """The two filters refuse independently of each other."""
        door = kept(self.SLICE, base)
        door.authorizer.facts = ALL
        assert door.site.ask("GET", "/accounts/7").status == 403


class TestApplicationsWithoutRules:
    """Item 9: no rule is no access."""

    RULES = without(*PAY, "typed_per_filter_config", "*", "rbac", "rules")

    @pytest.mark.parametrize("facts", [ALL, facts_of(), {}], ids=["all", "no grants", "nothing"])
    def test_it_admits_no_request(self, kept: Kept, witness: Witness, facts: dict[str, str]) -> None:
        """An application without rules answers 403 to every client, with any grants."""
        mark = len(witness.requests)
        door = kept(name="no rules", apps=EMPTY)
        door.authorizer.facts = facts
        for method, path in (("GET", "/"), ("POST", "/accounts"), ("OPTIONS", "/"), ("GET", "/x?y")):
            assert door.site.ask(method, path).status == 403
        assert witness.since(mark) == []

    def test_without_rules_in_the_slice_it_admits_every_request(self, kept: Kept) -> None:
        """If the RBAC of a slice has no `rules`, the filter is off for that route."""
        door = kept(self.RULES, name="no rules at all", apps=EMPTY)
        door.authorizer.facts = {}
        assert door.site.ask("GET", "/").status == 200

    def test_an_empty_policy_has_no_door_at_all(self, kept: Kept) -> None:
        """With no application the listener serves the enrolment host and closes every other name."""
        door = kept(name="no applications", apps={})
        assert door.site.alert("pay.test") in {"reset", "closed", "UNEXPECTED_EOF_WHILE_READING"}
        assert door.site.ask("GET", "/accounts/7", host="enroll.test", certificate=None).status == 404


class TestNoCertificate:
    """Item 2: RBAC `authenticated: {}` matches a TLS client that has no certificate."""

    ASKED = changed(*TLS, "require_client_certificate", to=False)

    def test_the_handshake_fails(self, door: CompiledDoor) -> None:
        """Without a certificate no request gets as far as a rule."""
        assert "CERTIFICATE_REQUIRED" in door.site.alert("pay.test", None)

    def test_without_the_field_it_succeeds_and_rules_still_refuse(self, kept: Kept) -> None:
        """Without `require_client_certificate` the handshake ends well; no grants, so 403."""
        door = kept(self.ASKED)
        door.authorizer.facts = {}
        assert door.site.alert("pay.test", None) == ""
        assert door.site.ask("GET", "/accounts/7", certificate=None).status == 403

    def test_with_authenticated_as_principal_it_is_let_in(self, kept: Kept) -> None:
        """The principal that reads like "has a certificate" lets a client without one read accounts."""
        everybody = [{"authenticated": {}}]
        edits = [
            changed(*PAY, "typed_per_filter_config", name, "rbac", "rules", "policies", to=_with(everybody))
            for name in (DENY_FILTER, ALLOW_FILTER)
        ]
        door = kept(self.ASKED, *edits)
        door.authorizer.facts = {}
        assert door.site.ask("GET", "/accounts/7", certificate=None).status == 200

    def test_it_is_never_emitted(self, doors: CompiledDoors) -> None:
        """No matcher of the configuration looks at a certificate: grants in filter state decide, alone."""
        resources = doors.site.resources(APPS)
        forbidden = {"authenticated", "mtls_authenticated", "principal_name", "metadata", "sourced_metadata"}
        keys = {key for key, _ in every_value([*resources.routes.values(), *resources.listeners])}
        assert not keys & forbidden


def _with(principals: list[dict[str, Any]]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda policies: {
        name: {**one, "principals": principals} for name, one in (policies or {"x": _ANY}).items()
    }


_ANY: dict[str, Any] = {"permissions": [{"any": True}]}


class TestOnlyPositiveEvidence:
    """Section 10, row "id is in grants": a deny rule is a clearance that must be there, never an absence."""

    def test_grants_are_never_negated(self, doors: CompiledDoors) -> None:
        """Nothing negated anywhere in the configuration holds an id."""
        resources = doors.site.resources(APPS)
        for key, value in every_value(list(resources.routes.values())):
            assert key != "not_rule"
            if key in {"not_id", "invert_match"}:
                assert "filter_state" not in str(value)

    def test_a_connection_that_knows_nothing_of_a_new_deny_is_refused(
        self, door: CompiledDoor, witness: Witness
    ) -> None:
        """A connection judged before the rule was added lacks its clearance."""
        door.authorizer.facts = facts_of(TELLER, AUDITOR)
        mark = len(witness.requests)
        assert door.site.ask("GET", "/accounts/secret/1").status == 403
        assert witness.since(mark) == []

    def test_written_as_an_absence_the_deny_is_passed(self, kept: Kept) -> None:
        """The same rule as "the id of the denied is not in the grants" lets that connection on."""

        def absent(policies: dict[str, Any]) -> dict[str, Any]:
            holds = {"filter_state": {"key": "doorward.grants", "string_match": {"contains": ",denied,"}}}
            return {name: {**one, "principals": [{"not_id": holds}]} for name, one in policies.items()}

        place = (*PAY, "typed_per_filter_config", DENY_FILTER, "rbac", "rules", "policies")
        door = kept(changed(*place, to=absent))
        door.authorizer.facts = facts_of(TELLER, AUDITOR)
        assert door.site.ask("GET", "/accounts/secret/1").status == 200


def test_edits_fail_if_a_field_is_missing(doors: CompiledDoors) -> None:
    """The tests' own tool: an edit of a field that the compiler no longer writes is an error."""
    resources = doors.site.resources(APPS)
    for edit in (without(*HTTP, "normalise_path"), changed(*HTTP, "normalize_path", to=True)):
        with pytest.raises(AssertionError):
            altered(resources, edit)
