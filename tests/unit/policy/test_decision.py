"""policy.decision: decisions about connections and requests."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from doorward.core.entities import Outcome, PrincipalState, Reason
from doorward.policy.decision import (
    ConnectionPermissions,
    Request,
    check_admission,
    decide,
    decide_anonymous,
    loses_permissions,
    permissions_of,
)
from doorward.policy.grants import GRANTS_LIMIT_BYTES, grant_id, grants_fit, render_grants
from doorward.policy.model import (
    AppPolicy,
    Effect,
    HttpUpstream,
    RequestPattern,
    Residual,
    Rule,
)
from doorward.policy.normalisation import PathFault, PathRefused
from doorward.policy.paths import PathPattern
from doorward.policy.request_headers import HeaderOptions
from doorward.policy.selectors.table import select
from doorward.policy.subject import Subject
from tests.support import records
from tests.support.grants import decide_by_grants

TENANT, APP_ID = "ten_1", "app_1"


def rule(effect: Effect, group: str, *paths: str, methods: str = "") -> Rule:
    """Return a rule about a group, named after its content."""
    return Rule(
        name=f"{effect.value} {group} {' '.join(paths)}".strip(),
        effect=effect,
        selector=select({"groups": frozenset({group})}),
        residual=Residual(
            methods=frozenset(methods.split()) or None,
            paths=tuple(PathPattern(one) for one in paths or ["/**"]),
        ),
    )


def app(*rules: Rule) -> AppPolicy:
    """An application with these rules."""
    return AppPolicy(
        name="pay", hosts=("pay.test",), upstream=HttpUpstream(host="127.0.0.1", port=9000), rules=rules
    )


def person(
    *groups: str, state: PrincipalState = PrincipalState.ACTIVE, tenant: str = TENANT, partner: str = ""
) -> Subject:
    """A person in these groups."""
    who = records.principal(
        f"{partner}/alice" if partner else "alice",
        tenant=tenant,
        id="per_1",
        state=state,
        groups=groups,
        partner="ptn_1" if partner else "",
    )
    return Subject(principal=who)


def permissions(policy: AppPolicy, *groups: str) -> ConnectionPermissions:
    """Return the permissions of a person in these groups."""
    return permissions_of(policy, TENANT, APP_ID, person(*groups))


READ = rule(Effect.ALLOW, "tellers", "/accounts/**", methods="GET HEAD")
ALL = rule(Effect.ALLOW, "admins")
NO_REPORTS = rule(Effect.DENY, "contractors", "/accounts/reports/**")
POLICY = app(READ, ALL, NO_REPORTS)


def test_ids_are_never_shared() -> None:
    """Tenant, application, effect and selector each make another id; the same four make the same one."""
    selector = select({"groups": frozenset({"x"})})
    calls = [
        ("ten_1", "app_1", Effect.ALLOW, selector),
        ("ten_2", "app_1", Effect.ALLOW, selector),
        ("ten_1", "app_2", Effect.ALLOW, selector),
        ("ten_1", "app_1", Effect.DENY, selector),
        ("ten_1", "app_1", Effect.ALLOW, select({"persons": frozenset({"x"})})),
    ]
    ids = [grant_id(*call) for call in calls]
    assert len(set(ids)) == len(ids)
    assert grant_id("ten_1", "app_1", Effect.ALLOW, select({"groups": frozenset({"x"})})) == ids[0]
    assert {one[0] for one in ids} == {"g", "c"}
    assert all(len(one) == 21 and one.isalnum() and one == one.lower() for one in ids)


def test_grants_are_only_positive_evidence() -> None:
    """A principal that an allow rule selects has its grant; one that a deny rule does NOT select has its clearance."""
    ids = {one.name: grant_id(TENANT, APP_ID, one.effect, one.selector) for one in POLICY.rules}
    assert set(permissions(POLICY, "tellers").grants) == {ids[READ.name], ids[NO_REPORTS.name]}
    assert set(permissions(POLICY, "tellers", "contractors").grants) == {ids[READ.name]}
    assert set(permissions(POLICY).grants) == {ids[NO_REPORTS.name]}
    assert list(permissions(POLICY, "tellers").grants) == sorted(permissions(POLICY, "tellers").grants)


@pytest.mark.parametrize(
    ("who", "status"),
    [
        (person("tellers", state=PrincipalState.SUSPENDED), Reason.PRINCIPAL_SUSPENDED),
        (person("tellers", state=PrincipalState.REMOVED), Reason.PRINCIPAL_REMOVED),
        (person("tellers", tenant="ten_2"), Reason.PRINCIPAL_UNKNOWN),
    ],
)
def test_no_permissions_without_an_active_principal(who: Subject, status: Reason) -> None:
    """A principal that is not active in this tenant has no grant, and no clearance either."""
    found = permissions_of(POLICY, TENANT, APP_ID, who)
    assert (found.grants, found.allowed, found.denied) == ((), frozenset(), frozenset())
    assert check_admission(found).outcome is Outcome.BAD
    assert check_admission(found).reasons == (status,)
    decision = decide(POLICY, TENANT, APP_ID, who, Request(method="GET", raw_path="/accounts/7"))
    assert decision.outcome is Outcome.BAD
    assert decision.reasons == (status,)
    assert {one.why for one in decision.findings} == {f"not evaluated: {status.value}"}


def test_admission() -> None:
    """A connection is admitted if some allowed pattern is not denied; otherwise the reasons say why not."""
    active = Reason.PRINCIPAL_ACTIVE
    denied = app(READ, rule(Effect.DENY, "tellers"))
    for policy, groups, outcome, reasons in (
        (POLICY, ["tellers"], Outcome.GOOD, (active, Reason.RULE_ALLOWS)),
        (POLICY, ["tellers", "contractors"], Outcome.GOOD, (active, Reason.RULE_ALLOWS)),
        (POLICY, [], Outcome.BAD, (active, Reason.NO_RULE_MATCHED)),
        (POLICY, ["contractors"], Outcome.BAD, (active, Reason.NO_RULE_MATCHED, Reason.RULE_DENIES)),
        (denied, ["tellers"], Outcome.BAD, (active, Reason.RULE_DENIES)),
        (app(), ["tellers"], Outcome.BAD, (active, Reason.NO_RULE_MATCHED)),
    ):
        admission = check_admission(permissions(policy, *groups))
        assert (admission.outcome, admission.reasons) == (outcome, reasons)


def test_grants_are_limited() -> None:
    """A connection with too many grants for Envoy is refused; grants are never cut short."""
    many = app(*(rule(Effect.ALLOW, f"g{at}") for at in range(200)))
    groups = [f"g{at}" for at in range(200)]
    held = permissions(many, *groups)
    assert check_admission(held).reasons[-1] is Reason.GRANTS_TOO_LARGE
    request = Request(method="GET", raw_path="/")
    decision = decide(many, TENANT, APP_ID, person(*groups), request)
    assert decision.reasons[-1] is Reason.GRANTS_TOO_LARGE
    assert decide_by_grants(many, TENANT, APP_ID, held.grants, request) is Outcome.BAD
    fitting = permissions(many, *groups[:185]).grants
    assert grants_fit(fitting)
    assert len(render_grants([*fitting, "t" * 21])) <= GRANTS_LIMIT_BYTES
    assert not grants_fit(permissions(many, *groups[:186]).grants)


def test_grants_are_delimited_on_both_sides() -> None:
    """No id can hide inside another's: each stands between commas, and no grants match none."""
    assert render_grants(["ga", "gb"]) == ",ga,gb,"
    assert render_grants([]) == ","


@pytest.mark.parametrize(
    ("groups", "method", "path", "reason", "determining"),
    [
        (["tellers"], "GET", "/accounts/7", Reason.RULE_ALLOWS, (READ.name,)),
        (["tellers", "admins"], "GET", "/accounts/7", Reason.RULE_ALLOWS, (READ.name, ALL.name)),
        (["tellers"], "POST", "/accounts/7", Reason.NO_RULE_MATCHED, ()),
        (["tellers"], "GET", "/transfers", Reason.NO_RULE_MATCHED, ()),
        (["tellers"], "GET", "/accounts/%2e%2e/transfers", Reason.NO_RULE_MATCHED, ()),
        (["tellers", "contractors"], "GET", "/accounts/reports/q1", Reason.RULE_DENIES, (NO_REPORTS.name,)),
        (["tellers", "contractors"], "GET", "/accounts/%72eports", Reason.RULE_DENIES, (NO_REPORTS.name,)),
        (["contractors"], "GET", "/accounts/7", Reason.NO_RULE_MATCHED, ()),
        ([], "GET", "/accounts/7", Reason.NO_RULE_MATCHED, ()),
    ],
)
def test_decisions(
    groups: list[str], method: str, path: str, reason: Reason, determining: tuple[str, ...]
) -> None:
    """Deny overrides allow, nothing matched is deny, and the determining rules are named."""
    request = Request(method=method, raw_path=path)
    decision = decide(POLICY, TENANT, APP_ID, person(*groups), request)
    good = reason is Reason.RULE_ALLOWS
    assert decision.outcome is (Outcome.GOOD if good else Outcome.BAD)
    assert decision.reasons == (Reason.PRINCIPAL_ACTIVE, reason)
    assert decision.determining == determining
    grants = permissions(POLICY, *groups).grants
    assert decide_by_grants(POLICY, TENANT, APP_ID, grants, request) is decision.outcome


def test_every_rule_says_why() -> None:
    """Each rule is listed with whether it was selected, whether it held, and why in words."""
    request = Request(method="POST", raw_path="/accounts/7?x=1")
    decision = decide(POLICY, TENANT, APP_ID, person("tellers", "contractors"), request)
    assert decision.path == "/accounts/7"
    assert [(one.rule, one.selected, one.holds) for one in decision.findings] == [
        (READ.name, True, False),
        (ALL.name, False, False),
        (NO_REPORTS.name, True, False),
    ]
    assert [one.why for one in decision.findings] == [
        "method POST is not among GET, HEAD",
        "alice is not in admins",
        "path /accounts/7 is not within /accounts/reports/**",
    ]
    held = decide(POLICY, TENANT, APP_ID, person("admins"), request).findings[1]
    assert (held.holds, held.why) == (True, "alice is selected, POST /accounts/7 is within the rule")


def test_ambiguous_paths_reach_no_rule() -> None:
    """A path without one clear meaning is refused, even with permission for everything."""
    request = Request(method="GET", raw_path="/a;b")
    decision = decide(POLICY, TENANT, APP_ID, person("admins"), request)
    assert decision.outcome is Outcome.BAD
    assert decision.path_refused == PathRefused(PathFault.FORBIDDEN_CHARACTER)
    assert decision.findings[1].selected
    assert decision.findings[1].why == "not evaluated: path-forbidden-character"
    grants = permissions(POLICY, "admins").grants
    assert decide_by_grants(POLICY, TENANT, APP_ID, grants, request) is Outcome.BAD


@pytest.mark.parametrize("method", ["get", "Get", "", "GET ", "G\u00c9T", "A" * 33])
def test_odd_methods_reach_no_rule(method: str) -> None:
    """A method in another case is refused, even with permission for everything: no deny rule would match it."""
    request = Request(method=method, raw_path="/a")
    decision = decide(POLICY, TENANT, APP_ID, person("admins"), request)
    assert decision.outcome is Outcome.BAD
    assert decision.reasons[-1] is Reason.METHOD_AMBIGUOUS
    assert decision.findings[1].why == "not evaluated: method-ambiguous"
    grants = permissions(POLICY, "admins").grants
    assert decide_by_grants(POLICY, TENANT, APP_ID, grants, request) is Outcome.BAD


def test_old_grants_know_no_new_deny() -> None:
    """A connection that was judged before a deny rule came lacks its clearance and is refused."""
    before = app(ALL)
    grants = permissions(before, "admins").grants
    request = Request(method="GET", raw_path="/a")
    assert decide_by_grants(before, TENANT, APP_ID, grants, request) is Outcome.GOOD
    after = app(ALL, rule(Effect.DENY, "contractors"))
    assert decide_by_grants(after, TENANT, APP_ID, grants, request) is Outcome.BAD


def test_loses_permissions() -> None:
    """A lost pattern and a new deny that overlaps are losses; equal or more permissions are not."""
    wide = permissions(app(ALL), "admins")
    read = permissions(app(READ), "tellers")
    reports = replace(read, denied=frozenset({RequestPattern("*", "/accounts/reports/**")}))
    everything_denied = replace(read, denied=frozenset({RequestPattern("*", "/**")}))
    assert not loses_permissions(read, read)
    assert not loses_permissions(read, wide)
    assert loses_permissions(wide, read)
    assert loses_permissions(read, reports)
    assert not loses_permissions(reports, read)
    assert loses_permissions(reports, everything_denied)
    assert not loses_permissions(everything_denied, reports)
    elsewhere = replace(
        read, denied=frozenset({RequestPattern("*", "/transfers"), RequestPattern("POST", "/accounts/**")})
    )
    assert not loses_permissions(read, elsewhere)
    nothing = permissions(app(ALL))
    assert loses_permissions(read, nothing)
    assert not loses_permissions(nothing, read)


def test_methods_are_covered_by_any_method() -> None:
    """`*` covers each method, and no method covers `*`."""
    anything = replace(permissions(app(ALL), "admins"), allowed=frozenset({RequestPattern("*", "/a")}))
    reading = replace(anything, allowed=frozenset({RequestPattern("GET", "/a")}))
    assert loses_permissions(anything, reading)
    assert not loses_permissions(reading, anything)


class TestTrust:
    """An application lets in no principal of an authority that it does not trust."""

    @pytest.mark.parametrize(
        ("trust", "partner", "good"),
        [
            (("own",), "", True),
            (("own",), "clinic", False),
            (("clinic",), "", False),
            (("clinic",), "clinic", True),
            (("clinic", "own"), "clinic", True),
            (("ward",), "clinic", False),
        ],
    )
    def test_the_authority_must_be_trusted(self, trust: tuple[str, ...], partner: str, *, good: bool) -> None:
        """Our own principals need `own` in `trust`, a partner's need its name; otherwise no rule is evaluated."""
        policy = replace(app(rule(Effect.ALLOW, "staff")), trust=trust)
        who = person("staff", partner=partner)
        found = permissions_of(policy, TENANT, APP_ID, who)
        assert bool(found.grants) is good
        status = Reason.PRINCIPAL_ACTIVE if good else Reason.AUTHORITY_NOT_TRUSTED
        assert check_admission(found).reasons[0] is status
        decision = decide(policy, TENANT, APP_ID, who, Request(method="GET", raw_path="/"))
        assert (decision.outcome is Outcome.GOOD) is good
        assert decision.reasons[0] is status

    def test_trust_taken_away_is_a_loss(self) -> None:
        """A principal of an authority loses everything when the application no longer trusts that authority."""
        policy = replace(app(rule(Effect.ALLOW, "staff")), trust=("clinic", "own"))
        who = person("staff", partner="clinic")
        narrowed = replace(policy, trust=("own",))
        before, after = (permissions_of(one, TENANT, APP_ID, who) for one in (policy, narrowed))
        assert loses_permissions(before, after)

    def test_an_own_name_with_the_words_of_a_partner(self) -> None:
        """One of our own principals is never a partner's, with any name."""
        policy = replace(app(rule(Effect.ALLOW, "staff")), trust=("alice",))
        assert not permissions_of(policy, TENANT, APP_ID, person("staff")).grants

    def test_trust_is_sorted_and_somebody(self) -> None:
        """An application without a trusted authority, or with one twice, is impossible."""
        for trust in ((), ("own", "own"), ("own", "clinic")):
            with pytest.raises(ValueError, match="trusted authorities"):
                replace(app(), trust=trust)


MOVABLE = replace(POLICY, headers=HeaderOptions(destination=True))


@pytest.mark.parametrize(
    ("policy", "method", "destination", "reason"),
    [
        (POLICY, "COPY", "/accounts/8", Reason.DESTINATION_REFUSED),
        (MOVABLE, "COPY", "https://other.test/accounts/8", Reason.DESTINATION_AMBIGUOUS),
        (MOVABLE, "COPY", "/accounts/../x", Reason.DESTINATION_AMBIGUOUS),
        (MOVABLE, "COPY", "", Reason.DESTINATION_AMBIGUOUS),
        (POLICY, "TRACE", None, Reason.METHOD_REFUSED),
    ],
)
def test_what_asks_for_more_than_the_request_line_reaches_no_rule(
    policy: AppPolicy, method: str, destination: str | None, reason: Reason
) -> None:
    """A Destination that is not judged or is ambiguous, and TRACE, are refused for any permissions."""
    request = Request(method=method, raw_path="/a", destination=destination)
    decision = decide(policy, TENANT, APP_ID, person("admins"), request)
    assert decision.outcome is Outcome.BAD
    assert decision.reasons[-1] is reason
    grants = permissions(policy, "admins").grants
    assert decide_by_grants(policy, TENANT, APP_ID, grants, request) is Outcome.BAD


def test_a_destination_is_judged_like_the_path() -> None:
    """RFC 4918 section 9.8: COPY writes to the Destination, so a deny rule for that path denies it."""
    policy = replace(
        app(rule(Effect.ALLOW, "staff"), rule(Effect.DENY, "staff", "/secret/**")),
        headers=HeaderOptions(destination=True),
    )
    for source, destination, reason in (
        ("/a", "/b", Reason.RULE_ALLOWS),
        ("/a", "https://pay.test/secret/b", Reason.RULE_DENIES),
        ("/secret/a", "/b", Reason.RULE_DENIES),
    ):
        request = Request(method="COPY", raw_path=source, destination=destination)
        decision = decide(policy, TENANT, APP_ID, person("staff"), request)
        assert decision.reasons[-1] is reason
        grants = permissions(policy, "staff").grants
        assert decide_by_grants(policy, TENANT, APP_ID, grants, request) is decision.outcome


def test_losing_the_name_of_a_method_is_a_loss() -> None:
    """A rule for every method does not allow TRACE: taking the rule that names it away takes TRACE away."""
    named = app(rule(Effect.ALLOW, "staff"), rule(Effect.ALLOW, "staff", "/**", methods="TRACE"))
    plain = app(rule(Effect.ALLOW, "staff"))
    assert loses_permissions(permissions(named, "staff"), permissions(plain, "staff"))
    request = Request(method="TRACE", raw_path="/a")
    assert decide(named, TENANT, APP_ID, person("staff"), request).outcome is Outcome.GOOD
    other = app(rule(Effect.ALLOW, "staff"), rule(Effect.ALLOW, "admins", methods="TRACE"))
    decision = decide(other, TENANT, APP_ID, person("staff"), request)
    assert decision.reasons[-1] is Reason.NO_RULE_MATCHED
    assert decision.findings[0].why == "method TRACE must be named"


def permissions_with(
    *, allowed: frozenset[RequestPattern], denied: frozenset[RequestPattern]
) -> ConnectionPermissions:
    """Permissions of these patterns."""
    return ConnectionPermissions(
        grants=(), allowed=allowed, denied=denied, principal_status=Reason.PRINCIPAL_ACTIVE
    )


def test_thousands_of_terms_are_compared_in_time() -> None:
    """A follower compares each connection with each new policy: equal patterns cost nothing."""

    def patterns(word: str) -> frozenset[RequestPattern]:
        return frozenset(RequestPattern("GET", f"/{word}/{at}") for at in range(5000))

    old = permissions_with(allowed=patterns("a"), denied=patterns("d"))
    new = permissions_with(allowed=patterns("a"), denied=patterns("d") | {RequestPattern("GET", "/e")})
    began = time.process_time()
    assert not loses_permissions(old, new)
    assert loses_permissions(
        old, permissions_with(allowed=patterns("a"), denied=patterns("d") | {RequestPattern("GET", "/a/7")})
    )
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("policy", "method", "destination", "reason"),
    [
        (POLICY, "TRACE", None, Reason.METHOD_REFUSED),
        (POLICY, "COPY", "/b", Reason.DESTINATION_REFUSED),
        (MOVABLE, "COPY", "//b", Reason.DESTINATION_AMBIGUOUS),
        (MOVABLE, "COPY", "/b", Reason.NO_RULE_MATCHED),
    ],
)
def test_nobody_asks_for_more_than_the_request_line_either(
    policy: AppPolicy, method: str, destination: str | None, reason: Reason
) -> None:
    """Without a certificate too, each refusal has its own reason, also at a public path."""
    opened = replace(policy, rules=(rule(Effect.ALLOW, "admins"),), public=(PathPattern("/open/**"),))
    for path in ("/a", "/open/a"):
        request = Request(method=method, raw_path=path, destination=destination)
        decision = decide_anonymous(opened, request)
        assert (decision.outcome, decision.reasons[-1]) == (Outcome.BAD, reason)
