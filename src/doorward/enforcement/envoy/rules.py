"""Rules as native RBAC: who holds which id is in connection filter state, the rest is in the request.

    decide = judged AND (OR over allow rules: id AND residual)
                    AND (AND over deny rules: clearance id OR NOT residual)

Two filters enforce the two halves, both with action ALLOW: what nothing names is refused, and a
request that makes a matcher fail is refused too. An id is never negated (DESIGN 2.1(4)): a
connection that knows nothing of a new deny rule lacks its clearance. The only thing negated is the
residual of a deny rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from doorward.enforcement.envoy.extension import build_extension, build_typed
from doorward.enforcement.envoy.names import (
    ALLOW_FILTER,
    ALLOW_STATISTICS,
    DENY_FILTER,
    DENY_STATISTICS,
    JUDGED,
    Fact,
)
from doorward.enforcement.plan import RuleTerm
from doorward.policy.model import Effect, Residual
from doorward.policy.paths import Exact, Form, Prefix

Matcher = dict[str, Any]

CLEARED = "cleared"
"""Name of the one policy of the deny filter."""
NO_RULE = "no-rule"
"""Name of the policy of answers that rest on no rule: fixed refusals."""

_ANY: Matcher = {"any": True}


def build_filters() -> list[dict[str, Any]]:
    """Return both filters as every connection manager has them: without a slice they refuse everything."""
    return [
        build_extension(
            name,
            "extensions.filters.http.rbac.v3.RBAC",
            rules=_rules({}),
            rules_stat_prefix=prefix,
        )
        for name, prefix in ((DENY_FILTER, DENY_STATISTICS), (ALLOW_FILTER, ALLOW_STATISTICS))
    ]


def build_slice(rules: Sequence[RuleTerm]) -> dict[str, Any]:
    """Return what one route of a protected door enforces, as its `typed_per_filter_config`."""
    denies = [rule for rule in rules if rule.effect is Effect.DENY]
    allows = [rule for rule in rules if rule.effect is Effect.ALLOW]
    return {
        DENY_FILTER: _per_route({CLEARED: _policy([_all_of([_judged(), *map(_cleared, denies)])])}),
        ALLOW_FILTER: _per_route(
            {one: _policy(_granted(allows, one)) for one in sorted({rule.id for rule in allows})}
        ),
    }


def build_open_slice() -> dict[str, Any]:
    """Return the slice of a route that answers everybody: fixed refusals and the enrolment door."""
    return {name: _per_route({NO_RULE: _policy([_ANY])}) for name in (DENY_FILTER, ALLOW_FILTER)}


def _granted(allows: Iterable[RuleTerm], one: str) -> list[Matcher]:
    """Rules with one id differ in what they allow, not in whom: one policy, several principals."""
    return [_all_of([*_within(rule.residual), _holds(rule.accepted)]) for rule in allows if rule.id == one]


def _cleared(rule: RuleTerm) -> Matcher:
    within = _within(rule.residual)
    if not within:
        return _holds(rule.accepted)
    return _any_of([{"not_id": _all_of(within)}, _holds(rule.accepted)])


def _judged() -> Matcher:
    return _state(Fact.JUDGED, {"exact": JUDGED})


def _holds(accepted: Iterable[str]) -> Matcher:
    # Delimited on both sides, or the id of one rule could hide inside another's.
    return _any_of([_state(Fact.GRANTS, {"contains": f",{one},"}) for one in accepted])


def _state(fact: Fact, match: Matcher) -> Matcher:
    return {"filter_state": {"key": fact.state_key, "string_match": match}}


def _within(residual: Residual) -> list[Matcher]:
    """Return the conditions of a residual, all of which must hold; none where every request is within."""
    conditions = []
    forms = [form for pattern in residual.paths for form in pattern.forms()]
    if Prefix("/") not in forms:
        conditions.append(_any_of([_path(form) for form in forms]))
    if residual.methods is not None:
        conditions.append(_any_of([_method(one) for one in sorted(residual.methods)]))
    return conditions


def _method(method: str) -> Matcher:
    return {"header": {"name": ":method", "string_match": {"exact": method}}}


def _path(form: Form) -> Matcher:
    return {"url_path": {"path": build_string_matcher(form)}}


def build_string_matcher(form: Form) -> Matcher:
    """Return a path form as Envoy's StringMatcher; all of them are case-sensitive."""
    if isinstance(form, Exact):
        return {"exact": form.text}
    if isinstance(form, Prefix):
        return {"prefix": form.text}
    return {"safe_regex": {"regex": form.text}}


def _all_of(matchers: list[Matcher]) -> Matcher:
    return matchers[0] if len(matchers) == 1 else {"and_ids": {"ids": matchers}}


def _any_of(matchers: list[Matcher]) -> Matcher:
    return matchers[0] if len(matchers) == 1 else {"or_ids": {"ids": matchers}}


def _policy(principals: list[Matcher]) -> Matcher:
    return {"permissions": [_ANY], "principals": principals}


def _rules(policies: dict[str, Matcher]) -> Matcher:
    return {"action": "ALLOW", "policies": policies}


def _per_route(policies: dict[str, Matcher]) -> Matcher:
    return build_typed("extensions.filters.http.rbac.v3.RBACPerRoute", rbac={"rules": _rules(policies)})
