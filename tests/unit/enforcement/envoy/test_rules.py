"""Compiled rules give the same decisions as Python, and never test for the absence of an id."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from hypothesis import given, settings

from doorward.core.entities import Outcome, Reason
from doorward.core.shown_factors import NOTHING_SHOWN, ShownFactors
from doorward.enforcement.envoy.names import (
    ALLOW_FILTER,
    DENY_FILTER,
    JUDGED,
    NOBODY,
    OWNER_FILTER,
    ConnectionFact,
)
from doorward.enforcement.envoy.routes import build_door_table
from doorward.enforcement.envoy.rules import build_filters, build_open_slice, build_slice
from doorward.enforcement.plan import build_door
from doorward.policy.decision import Request, decide, decide_anonymous, permissions_of
from doorward.policy.grants import render_grants
from doorward.policy.model import AppPolicy, Effect
from doorward.policy.normalisation import PathRefused, normalise
from doorward.policy.paths import owner_segment
from doorward.policy.requirements import ANY_FACTOR, SECOND_FACTORS
from doorward.policy.subject import Subject
from tests.support.examples import examples
from tests.support.grants import decide_by_grants
from tests.support.policies import APP_ID, TENANT, apps, requests, showing_requests, subjects
from tests.support.ports import NOON
from tests.support.resources import static_rendering
from tests.unit.enforcement.plans import CERTIFICATE, SESSIONS, TRUST, door, door_rule, every, small_plan
from tests.unit.enforcement.rbac import FORWARDED, BoundSession, answer_of, challenge_of
from tests.unit.enforcement.test_resources import compiled


def state_of(*ids: str, judged: str = JUDGED, owner: str = NOBODY) -> dict[str, str]:
    """Filter state of a connection with these grants."""
    return {
        ConnectionFact.GRANTS.state_key: render_grants(ids),
        ConnectionFact.JUDGED.state_key: judged,
        ConnectionFact.OWNER.state_key: owner,
    }


@settings(max_examples=examples(400), deadline=None)
@given(apps, subjects, requests)
def test_the_compiled_table_decides_as_the_judge_does(
    app: AppPolicy, subject: Subject, request: Request
) -> None:
    """`OR (grant AND residual) AND (clearance OR NOT residual)`, for every policy, person and request."""
    grants = permissions_of(app, TENANT, APP_ID, subject).grants
    table = build_door_table(build_door(app, TENANT, APP_ID, CERTIFICATE, trust=TRUST))
    path = normalise(request.raw_path)
    if isinstance(path, PathRefused):
        return
    headers = {} if request.destination is None else {"destination": request.destination}
    owner = owner_segment(subject.principal.name)
    state = state_of(*grants, owner=owner or NOBODY)
    status, _ = answer_of(table, "app.test", request.method, path.text, state, headers=headers)
    expected = decide_by_grants(app, TENANT, APP_ID, grants, request, owner=owner)
    assert (status == FORWARDED) is (expected is Outcome.GOOD)


def session_of(request: Request, time: datetime) -> BoundSession | None:
    """The bound session in which the factors of a request were shown; none if there were none."""
    times = {kind.value: int(at.timestamp()) for kind, at in request.shown.times}
    latest = request.shown.latest(SECOND_FACTORS)
    if latest is not None:
        times[ANY_FACTOR] = int(latest.timestamp())
    return BoundSession(times, time) if times else None


@settings(max_examples=examples(400), deadline=None)
@given(apps, subjects, showing_requests)
def test_sessions_decide_as_the_judge_does(app: AppPolicy, subject: Subject, request: Request) -> None:
    """Factors of a bound session, none without one; and a factor would help exactly if the judge says so."""
    path = normalise(request.raw_path)
    if isinstance(path, PathRefused):
        return
    headers = {} if request.destination is None else {"destination": request.destination}
    time = (subject.time or NOON).replace(microsecond=0)
    request = replace(
        request,
        shown=ShownFactors(tuple((kind, at.replace(microsecond=0)) for kind, at in request.shown.times)),
    )
    grants = permissions_of(app, TENANT, APP_ID, subject).grants
    table = build_door_table(build_door(app, TENANT, APP_ID, CERTIFICATE, trust=TRUST), SESSIONS)
    owner = owner_segment(subject.principal.name)
    state = state_of(*grants, owner=owner or NOBODY)
    for session, shown in ((session_of(request, time), request.shown), (None, NOTHING_SHOWN)):
        status, _ = answer_of(
            table, "app.test", request.method, path.text, state, headers=headers, session=session
        )
        asked = replace(request, shown=shown)
        expected = decide_by_grants(app, TENANT, APP_ID, grants, asked, owner=owner, time=time)
        assert (status == FORWARDED) is (expected is Outcome.GOOD)
        if status == FORWARDED or request.destination is not None:
            continue
        decision = decide(app, TENANT, APP_ID, replace(subject, time=time), asked)
        helps = bool(challenge_of(table, "app.test", request.method, path.text, state))
        if permissions_of(app, TENANT, APP_ID, replace(subject, time=time)).grants == grants:
            assert helps is (Reason.FACTOR_MISSING in decision.reasons)


@settings(max_examples=examples(100), deadline=None)
@given(apps, subjects, requests)
def test_nothing_passes_unjudged(app: AppPolicy, subject: Subject, request: Request) -> None:
    """Grants without the fact `judged` only allow public requests."""
    path = normalise(request.raw_path)
    if isinstance(path, PathRefused):
        return
    headers = {} if request.destination is None else {"destination": request.destination}
    is_open = decide_anonymous(app, request).outcome is Outcome.GOOD
    grants = permissions_of(app, TENANT, APP_ID, subject).grants
    table = build_door_table(build_door(app, TENANT, APP_ID, CERTIFICATE, trust=TRUST))
    for judged in ("", "0", "-", "11"):
        state = state_of(*grants, judged=judged)
        status, _ = answer_of(table, "app.test", request.method, path.text, state, headers=headers)
        # Where refusals are explained, an authorizer that was away opens nothing, and the chain lets such ones through.
        assert (status == FORWARDED) is (is_open and (judged == "0" or not app.has_refusal_page))
    status, _ = answer_of(table, "app.test", request.method, path.text, {}, headers=headers)
    assert (status == FORWARDED) is is_open


@settings(max_examples=examples(100), deadline=None)
@given(apps)
def test_no_id_is_ever_negated(app: AppPolicy) -> None:
    """Absence of an id proves nothing: a connection may be older than the rule."""
    table = build_door_table(build_door(app, TENANT, APP_ID, CERTIFICATE, trust=TRUST))
    for negated in every(table, "not_id"):
        assert not list(every(negated, "filter_state"))
    assert not list(every(table, "not_rule"))


def test_the_policy_that_let_a_request_through_is_the_rules_id() -> None:
    """The access log names the deciding rule by its id."""
    table = build_door_table(door(door_rule("gread", "/a/**"), door_rule("gsend", "/b", methods=("POST",))))
    assert answer_of(table, "pay.test", "GET", "/a/x", state_of("gread", "gsend")) == (FORWARDED, "gread")
    assert answer_of(table, "pay.test", "POST", "/b", state_of("gread", "gsend")) == (FORWARDED, "gsend")
    assert answer_of(table, "pay.test", "GET", "/b", state_of("gread", "gsend")) == (403, "")


def test_the_principals_segment_is_compared() -> None:
    """A grant for one's own paths is fulfilled there, and a deny of them is not cleared there."""
    table = build_door_table(
        door(
            door_rule("gown", "/r/{principal}/**"),
            door_rule("gall", "/s/**"),
            door_rule("cown", "/s/{principal}", effect=Effect.DENY),
        )
    )
    state = state_of("gown", "gall", owner="ann")
    for path, status in (
        ("/r/ann", FORWARDED),
        ("/r/ann/x", FORWARDED),
        ("/r/ben/x", 403),
        ("/r/Ann/x", 403),
        ("/r", 403),
        ("/s/ann", 403),
        ("/s/ann/", 403),
        ("/s/ann/x", FORWARDED),
        ("/s/ben", FORWARDED),
        ("/s", FORWARDED),
    ):
        assert answer_of(table, "pay.test", "GET", path, state)[0] == status, path
    cleared = state_of("gall", "cown", owner="ann")
    assert answer_of(table, "pay.test", "GET", "/s/ann", cleared)[0] == FORWARDED


def test_without_a_comparison_neither_holds() -> None:
    """A connection without a principal owns no path, and a deny rule with `{principal}` is not cleared for it."""
    table = build_door_table(
        door(
            door_rule("gown", "/r/{principal}/**"),
            door_rule("gall", "/s/**"),
            door_rule("cown", "/s/{principal}", effect=Effect.DENY),
        )
    )
    state = state_of("gown", "gall")
    del state[ConnectionFact.OWNER.state_key]
    for path in ("/r/ann", "/r/-/x", "/s/ann", "/s/-"):
        assert answer_of(table, "pay.test", "GET", path, state)[0] == 403, path
    assert answer_of(table, "pay.test", "GET", "/s/ann/x", state)[0] == FORWARDED


def test_only_what_is_asked_is_compared() -> None:
    """Each position once, and nothing if no rule uses `{principal}`."""
    assert OWNER_FILTER not in build_slice([door_rule("g", "/a/*")])
    built = build_slice([door_rule("g", "/a/{principal}"), door_rule("h", "/{principal}/{principal}")])
    assert len(built[OWNER_FILTER]["on_request_headers"]) == 2


def test_rules_of_one_id_are_one_policy() -> None:
    """Rules with one id allow different requests to the same principals."""
    built = build_slice([door_rule("gsame", "/a"), door_rule("gsame", "/b"), door_rule("gother", "/c")])
    assert set(built[ALLOW_FILTER]["rbac"]["rules"]["policies"]) == {"gsame", "gother"}


def test_aliases_count_as_the_id_for_both_effects() -> None:
    """A class token stands for a grant, and for a clearance."""
    rules = [
        door_rule("gnew", aliases=("told",)),
        door_rule("cnew", "/a", effect=Effect.DENY, aliases=("told",)),
    ]
    table = build_door_table(door(*rules))
    assert answer_of(table, "pay.test", "GET", "/a", state_of("told")) == (FORWARDED, "gnew")
    assert answer_of(table, "pay.test", "GET", "/a", state_of("gnew"))[0] == 403
    assert answer_of(table, "pay.test", "GET", "/a", state_of("tother"))[0] == 403


def test_a_deny_of_everything_needs_its_clearance_everywhere() -> None:
    """A deny rule without paths and methods has no residual that could fail to hold."""
    table = build_door_table(door(door_rule("g"), door_rule("c", effect=Effect.DENY)))
    assert answer_of(table, "pay.test", "GET", "/x", state_of("g"))[0] == 403
    assert answer_of(table, "pay.test", "GET", "/x", state_of("g", "c"))[0] == FORWARDED


def test_ids_are_delimited_on_both_sides() -> None:
    """No id can hide inside another one."""
    for match in every(
        build_slice([door_rule("g", aliases=("t",)), door_rule("c", effect=Effect.DENY)]), "contains"
    ):
        assert match.startswith(",")
        assert match.endswith(",")


def test_without_a_slice_the_filters_refuse_everything() -> None:
    """The base configuration is the default deny: an empty one would allow everything (measured)."""
    deny, allow = build_filters()
    assert (deny["name"], allow["name"]) == (DENY_FILTER, ALLOW_FILTER)
    for one in (deny, allow):
        assert one["typed_config"]["rules"] == {"action": "ALLOW", "policies": {}}


def test_every_route_of_a_protected_door_states_its_slice() -> None:
    """Also refusals: the default deny would turn a 421 into a 403."""
    rendering = static_rendering(compiled(small_plan(open_doors=())))
    for table in every(rendering, "route_config"):
        for host in table["virtual_hosts"]:
            for route in host["routes"]:
                assert set(route["typed_per_filter_config"]) == {DENY_FILTER, ALLOW_FILTER}


def test_only_fixed_answers_are_open() -> None:
    """A route that forwards never has the open slice."""
    for table in every(static_rendering(compiled(small_plan(open_doors=()))), "route_config"):
        for host in table["virtual_hosts"]:
            for route in host["routes"]:
                is_open = route["typed_per_filter_config"] == build_open_slice()
                assert is_open is ("direct_response" in route)
