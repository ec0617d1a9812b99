"""Rules as native RBAC: the ids of a connection are in its filter state, the rest is in the request.

    decide = (OR over allow rules: residual AND judged AND id)
             AND (AND over deny rules: clearance id OR NOT residual)

Two filters enforce the two halves, both with action ALLOW: a request that no policy names is refused, and a request for
which a matcher fails is refused too. So the log tells which half refused. A route without a deny rule switches the filter of
the second half off, by name, because each filter of rules costs every request, and so does its result in the log (docs/design/0108). A route that says
nothing has it, with a base that refuses everything.

An id is never negated: a connection that was judged before a new deny rule lacks its clearance, and is refused. Only the
residual of a deny rule is negated, and `{principal}` in its path is not even negated (`owners`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from doorward.enforcement.envoy.extension import build_extension, build_typed, switch_off
from doorward.enforcement.envoy.names import (
    ALLOW_FILTER,
    ALLOW_STATISTICS,
    DENY_FILTER,
    DENY_STATISTICS,
    DESTINATION_FILTER,
    DESTINATION_STATISTICS,
    JUDGED,
    STEP_UP_FILTER,
    ConnectionFact,
)
from doorward.enforcement.envoy.owners import build_owner_slice, is_not_owner, is_owner
from doorward.enforcement.envoy.sessions import is_met
from doorward.enforcement.envoy.step_up import name_challenges
from doorward.enforcement.plan import DoorRule
from doorward.enforcement.transition import DECISION_PREFIX
from doorward.policy.model import ECHOING_METHODS, Effect, unnamed_echoing_methods
from doorward.policy.paths import Exact, Form, PathPattern, Prefix, Regex
from doorward.policy.request_headers import DESTINATION

Matcher = dict[str, Any]

CLEARED = "cleared"
"""Name of the one policy of the deny filter."""
NO_RULE = "no-rule"
"""Name of the policy of routes without a rule, such as fixed refusals."""

_ANY: Matcher = {"any": True}
_AUTHORITY = "(?i:https?://[a-z0-9.-]+(?::[0-9]{1,5})?)?"
"""Scheme and host of a Destination; earlier routes have refused every other host."""

MatchPath = Callable[[Form], Matcher]
"""Builds the matcher of a path form for one part of the request: its path, or its Destination."""


def build_filters(*, destination: bool = False) -> list[dict[str, Any]]:
    """Return the RBAC filters of a connection manager: without a route's slice they refuse everything.

    Args:
        destination: whether there is a third filter, which judges the path in `Destination`.
    """
    names = [(DENY_FILTER, DENY_STATISTICS), (ALLOW_FILTER, ALLOW_STATISTICS)]
    names += [(DESTINATION_FILTER, DESTINATION_STATISTICS)] if destination else []
    return [
        build_extension(
            name,
            "extensions.filters.http.rbac.v3.RBAC",
            rules=_rules({}),
            rules_stat_prefix=prefix,
        )
        for name, prefix in names
    ]


def unnamed_methods(rules: Iterable[DoorRule]) -> frozenset[str]:
    """Return the echoing methods that no rule of an application allows by name."""
    return unnamed_echoing_methods((rule.effect, rule.residual) for rule in rules)


def build_slice(rules: Sequence[DoorRule], echoing: Collection[str] = ()) -> dict[str, Any]:
    """Return the slice of one route of a protected door, as its `typed_per_filter_config`.

    Args:
        rules: the rules of the route.
        echoing: methods that reach the rules, and that a rule allows only by name.
    """
    denies, allows = _parted(rules)
    places = (at for rule in rules for pattern in rule.residual.paths for at in pattern.owned)
    cleared = [_cleared(one, _path) for one in denies]
    return {
        **build_owner_slice(places),
        DENY_FILTER: _per_route({CLEARED: _policy([_all_of(cleared)])}) if cleared else switch_off(),
        ALLOW_FILTER: _per_route(
            {
                one: _policy([_granted(rule, _path, echoing) for rule in allows if rule.id == one])
                for one in sorted({rule.id for rule in allows})
            }
        ),
    }


def build_destination_slice(rules: Sequence[DoorRule]) -> dict[str, Any]:
    """Return the slice of a virtual host that judges the path in `Destination` by every rule.

    Not here: a Destination on another host or a path that is not normalised; an earlier route has refused it.
    """
    denies, allows = _parted(rules)
    echoing = ECHOING_METHODS - unnamed_methods(rules)
    absent = _no_destination()
    granted = [_granted(rule, _destination, echoing) for rule in allows]
    passes = [*(_cleared(one, _destination) for one in denies), *([_any_of(granted)] if granted else [])]
    judged = [absent, _all_of(passes)] if granted else [absent]
    return {DESTINATION_FILTER: _per_route({DESTINATION: _policy(judged)})}


def build_step_up_slice(
    rules: Sequence[DoorRule], echoing: Collection[str] = (), *, destination: bool = False
) -> dict[str, Any]:
    """Return the shadow rules of one route: the requests that it would allow if the factors were shown.

    Args:
        rules: the rules of the route.
        echoing: as for `build_slice`.
        destination: whether the path in that header is judged too. Requests with the header are not matched: their second
            path may be refused for another reason, and then no factor helps.
    """
    denies, allows = _parted(rules)
    asking = [rule for rule in allows if rule.residual.requirements]
    names = name_challenges([rule.residual.requirements for rule in asking])
    first = [_cleared(one, _path) for one in denies]
    first += [_no_destination()] if destination else []
    policies = {
        name: _policy(
            [
                _all_of([*first, _granted(rule, _path, echoing, met=True)])
                for rule in asking
                if rule.residual.requirements == asked
            ]
        )
        for asked, name in names.items()
    }
    shadow = {"shadow_rules": _rules(policies)}
    return {STEP_UP_FILTER: build_typed("extensions.filters.http.rbac.v3.RBACPerRoute", rbac=shadow)}


def _parted(rules: Iterable[DoorRule]) -> tuple[list[DoorRule], list[DoorRule]]:
    """Return the deny rules and the allow rules."""
    parts: dict[Effect, list[DoorRule]] = {Effect.DENY: [], Effect.ALLOW: []}
    for rule in rules:
        parts[rule.effect].append(rule)
    return parts[Effect.DENY], parts[Effect.ALLOW]


def build_connection_rules(rules: Sequence[DoorRule]) -> dict[str, Matcher]:
    """Return the policies of a TCP application's network filter, which are about whole connections.

    There is one policy: judged good, the clearance of each deny rule, and the grant of one allow rule. Without an allow rule
    there is no policy, and every connection is refused.
    """
    denies, allows = _parted(rules)
    if not allows:
        return {}
    granted = _any_of([_holds(one.accepted) for one in allows])
    return {CLEARED: _policy([_all_of([_judged(), *(_holds(one.accepted) for one in denies), granted])])}


def build_open_slice() -> dict[str, Any]:
    """Return the slice of a route that is for everybody, such as fixed refusals and the enrolment door."""
    return {name: _per_route({NO_RULE: _policy([_ANY])}) for name in (DENY_FILTER, ALLOW_FILTER)}


def build_open_destination() -> dict[str, Any]:
    """Return the slice of a fixed refusal, if `Destination` is judged."""
    return {DESTINATION_FILTER: _per_route({NO_RULE: _policy([_ANY])})}


def _granted(
    rule: DoorRule, match_path: MatchPath, echoing: Collection[str], *, met: bool = False
) -> Matcher:
    """Return the matcher of an allow rule: residual, judged, id and requirements; with `met`, without the requirements.

    What depends on the request comes first: most rules of a route are about other paths, and a test of a path costs less than
    one of filter state.
    """
    within = _within(rule, match_path)
    if rule.residual.methods is None and echoing:
        within.append({"not_id": _any_of([_method(one) for one in sorted(echoing)])})
    factors = [] if met else [is_met(one) for one in sorted(rule.residual.requirements, key=str)]
    return _all_of([*within, _judged(), _holds(rule.accepted), *factors])


def _cleared(rule: DoorRule, match_path: MatchPath) -> Matcher:
    outside = _outside(rule, match_path)
    return _any_of([*outside, _holds(rule.accepted)])


def _no_destination() -> Matcher:
    return {"not_id": {"header": {"name": DESTINATION, "present_match": True}}}


def _judged() -> Matcher:
    return _state(ConnectionFact.JUDGED, {"exact": JUDGED})


def _holds(accepted: Iterable[str]) -> Matcher:
    return _any_of([_shows(one) for one in accepted])


def _shows(one: str) -> Matcher:
    """Return the matcher of an id or class token among the grants, or of the decision that admitted the connection."""
    if one.startswith(DECISION_PREFIX):
        return _state(ConnectionFact.DECISION, {"exact": one})
    # With a comma on both sides: otherwise an id could be found inside another one.
    return _state(ConnectionFact.GRANTS, {"contains": f",{one},"})


def _state(fact: ConnectionFact, match: Matcher) -> Matcher:
    return {"filter_state": {"key": fact.state_key, "string_match": match}}


def _within(rule: DoorRule, match_path: MatchPath) -> list[Matcher]:
    """Return the conditions of a residual, which must all hold; none if every request is within it."""
    residual = rule.residual
    conditions = []
    if not _takes_every_path(rule):
        plain = [form for pattern in residual.paths if not pattern.owned for form in pattern.forms()]
        owned = [
            _all_of([_any_of([match_path(form) for form in pattern.forms()]), *map(is_owner, pattern.owned)])
            for pattern in residual.paths
            if pattern.owned
        ]
        conditions.append(_any_of([*(match_path(form) for form in plain), *owned]))
    if residual.methods is not None:
        conditions.append(_any_of([_method(one) for one in sorted(residual.methods)]))
    return conditions


def _outside(rule: DoorRule, match_path: MatchPath) -> list[Matcher]:
    """Return conditions; one of them holds if a request is certainly not within a residual.

    With `{principal}` in a path this is not the negation of `_within`: a comparison that is not possible gives neither.
    """
    if not any(pattern.owned for pattern in rule.residual.paths):
        within = _within(rule, match_path)
        return [{"not_id": _all_of(within)}] if within else []
    outside = []
    if not _takes_every_path(rule):
        outside.append(_all_of([_outside_path(pattern, match_path) for pattern in rule.residual.paths]))
    if rule.residual.methods is not None:
        outside.append({"not_id": _any_of([_method(one) for one in sorted(rule.residual.methods)])})
    return outside


def _outside_path(pattern: PathPattern, match_path: MatchPath) -> Matcher:
    elsewhere = {"not_id": _any_of([match_path(form) for form in pattern.forms()])}
    return _any_of([elsewhere, *map(is_not_owner, pattern.owned)])


def _takes_every_path(rule: DoorRule) -> bool:
    return any(Prefix("/") in pattern.forms() for pattern in rule.residual.paths)


def _method(method: str) -> Matcher:
    return {"header": {"name": ":method", "string_match": {"exact": method}}}


def _path(form: Form) -> Matcher:
    return {"url_path": {"path": build_string_matcher(form)}}


def _destination(form: Form) -> Matcher:
    path = form.text if isinstance(form, Regex) else re.escape(form.text)
    regex = f"{_AUTHORITY}{path}{'.*' if isinstance(form, Prefix) else ''}"
    return {"header": {"name": DESTINATION, "string_match": {"safe_regex": {"regex": regex}}}}


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
