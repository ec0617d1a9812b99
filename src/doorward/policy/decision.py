"""The access decision for connections and requests. A deny rule overrides every allow rule; without a rule, deny.

Not here: whether a certificate is good (verification), and how Envoy enforces the answer (enforcement). This module
makes every access decision: for the authorizer (access.deciding), for the follower that compares permissions, and for
`policy explain`.

The steps of a decision:
1. the principal belongs to the tenant, is active, and the application trusts the authority that issued its
   certificate; otherwise the connection has no permissions at all;
2. each rule's selector holds for the subject, does not hold, or is undetermined; an allow rule that holds gives its
   *grant*, a deny rule that certainly does NOT hold gives its *clearance* (only positive evidence). Rules with a selector
   that certainly does not hold are found by an index, and not judged (`AppPolicy.rules_about`);
3. the request path is normalised, or refused as ambiguous before any rule is evaluated;
4. a public path is open to everyone; no deny rule is about one (`model.AppPolicy`);
5. `OR over allow rules (grant AND residual) AND over deny rules (clearance OR NOT residual)`; the residual of an
   allow rule is method, path and requirements (a second factor and its age); if no deny rule holds, and an allow rule
   would hold but for its requirements, the reason is `factor-missing`;
6. if the application has `Destination` judged, step 5 is done for the path in that header too; otherwise a request with
   the header is refused before any rule is evaluated.

`decide` evaluates the rules directly, and Envoy evaluates the equation in step 5. A property test proves that both agree.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from doorward.core.entities import Outcome, Principal, PrincipalState, Reason
from doorward.core.factor_kinds import FactorKind
from doorward.core.shown_factors import NOTHING_SHOWN, ShownFactors
from doorward.policy.findings import (
    RuleFinding,
    find_for_connection,
    find_for_refused_request,
    find_for_request,
    find_unevaluated,
    selects,
)
from doorward.policy.grants import clearance_ids, grant_id, grants_fit
from doorward.policy.model import ECHOING_METHODS, METHOD, AppPolicy, Effect, RequestPattern
from doorward.policy.normalisation import NormalisedPath, PathRefused, normalise
from doorward.policy.paths import owner_segment, pattern_of
from doorward.policy.request_paths import find_open_path, name_paths
from doorward.policy.requirements import Requirement, all_met_with, effort
from doorward.policy.subject import Subject

LOOK_AHEAD = timedelta(days=1)
"""How far ahead a loss of permissions is looked for; connections live for half a day."""

MOST_CHANGES = 16
"""How many moments are looked at: a few time windows open and close twice a day each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The parts of a request that decide: method and raw path as received (query allowed), `Destination`, and factors.

    `destination` is None if the request has no such header. `shown` are the factors of the session if the request has a
    good session token that is bound to the connection's certificate; otherwise there are none.
    """

    method: str
    raw_path: str
    destination: str | None = None
    shown: ShownFactors = NOTHING_SHOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionPermissions:
    """What one connection may do: sorted ids for Envoy, and patterns by which two values are compared.

    `principal_status` is `PRINCIPAL_ACTIVE`, or the reason why the principal may have no permissions. `changes_at` is
    the first moment (UTC) at which the connection must be judged again although no fact changed. `loses_at` is the
    first moment at which it may have fewer permissions than now. Both are None if there is no such moment.
    """

    grants: tuple[str, ...]
    allowed: frozenset[RequestPattern]
    denied: frozenset[RequestPattern]
    principal_status: Reason
    changes_at: datetime | None = None
    loses_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionVerdict:
    """Whether a connection is admitted, and every reason."""

    outcome: Outcome
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The decision about a request: outcome, reasons, the rules that determined it, and a finding for every rule.

    `path` is the normalised path; it is empty if `path_refused` says why there is none. With the reason
    `factor-missing`, `missing` has the requirements of the rule that needs the least; each finding has its own.
    """

    outcome: Outcome
    reasons: tuple[Reason, ...]
    determining: tuple[str, ...]
    findings: tuple[RuleFinding, ...]
    path: str
    path_refused: PathRefused | None = None
    missing: frozenset[Requirement] = frozenset()

    def missing_for(self, enrolled: Collection[FactorKind]) -> frozenset[Requirement]:
        """Return the requirements that a person with these kinds of factors can meet; `missing` if there are none."""
        choices = [one.missing for one in self.findings if self.missing and one.missing]
        possible = [one for one in choices if not any(each.kinds.isdisjoint(enrolled) for each in one)]
        return min(possible, key=effort, default=self.missing)


def permissions_of(
    app: AppPolicy, tenant: str, application_id: str, subject: Subject
) -> ConnectionPermissions:
    """Return what a connection may do, by the connection part of every rule.

    Args:
        app: the application's part of the document.
        tenant: the tenant's id.
        application_id: the application's id (`app_…`), not its name.
        subject: the facts about the connection.

    Returns:
        The permissions; empty if the principal is not an active one of this tenant, or if the application does not
        trust the principal's authority.
    """
    permissions = _permissions_now(app, tenant, application_id, subject)
    if permissions.principal_status is not Reason.PRINCIPAL_ACTIVE:
        return permissions
    changes_at = moment = _next_change(app, subject)
    for _ in range(MOST_CHANGES):
        if moment is None or subject.time is None:
            return replace(permissions, changes_at=changes_at)
        later = replace(subject, time=moment)
        if moment - subject.time > LOOK_AHEAD:
            break
        if loses_permissions(permissions, _permissions_now(app, tenant, application_id, later)):
            break
        moment = _next_change(app, later)
    # Later moments are not looked at: the connection is judged again before them.
    return replace(permissions, changes_at=changes_at, loses_at=moment)


def _next_change(app: AppPolicy, subject: Subject) -> datetime | None:
    changes = (rule.selector.next_change(subject) for rule in app.timed)
    return min((moment for moment in changes if moment is not None), default=None)


def _permissions_now(
    app: AppPolicy, tenant: str, application_id: str, subject: Subject
) -> ConnectionPermissions:
    status = _principal_status(app, tenant, subject.principal)
    if status is not Reason.PRINCIPAL_ACTIVE:
        return ConnectionPermissions(
            grants=(), allowed=frozenset(), denied=frozenset(), principal_status=status
        )
    owner = owner_segment(subject.principal.name)
    grants = set(clearance_ids(tenant, application_id, app.denying))
    patterns: dict[Effect, set[RequestPattern]] = {
        Effect.ALLOW: set(public_patterns(app)),
        Effect.DENY: set(),
    }
    for rule in app.rules_about(subject):
        if not selects(rule, subject):
            continue
        id_ = grant_id(tenant, application_id, rule.effect, rule.selector)
        if rule.effect is Effect.ALLOW:
            grants.add(id_)
        else:
            grants.discard(id_)
        patterns[rule.effect] |= rule.residual.patterns_of(owner)
    return ConnectionPermissions(
        grants=tuple(sorted(grants)),
        allowed=frozenset(patterns[Effect.ALLOW]),
        denied=frozenset(patterns[Effect.DENY]),
        principal_status=status,
    )


def permissions_by_grants(
    app: AppPolicy, tenant: str, application_id: str, grants: Collection[str], owner: str
) -> ConnectionPermissions:
    """Return what an active principal might do at the moment when a judgement by this policy gave it these ids.

    The ids name the rules that selected it, so the other facts of that moment are not needed.

    Args:
        app: the application's part of the document that was used by that judgement.
        tenant: the tenant's id.
        application_id: the application's id (`app_…`).
        grants: the ids that `permissions_of` gave then.
        owner: the principal's segment in paths (`paths.owner_segment`).
    """
    allowed, denied = set(public_patterns(app)), set[RequestPattern]()
    for rule in app.rules:
        is_held = grant_id(tenant, application_id, rule.effect, rule.selector) in grants
        if rule.effect is Effect.ALLOW and is_held:
            allowed |= rule.residual.patterns_of(owner)
        elif rule.effect is Effect.DENY and not is_held:
            denied |= rule.residual.patterns_of(owner)
    return ConnectionPermissions(
        grants=tuple(sorted(grants)),
        allowed=frozenset(allowed),
        denied=frozenset(denied),
        principal_status=Reason.PRINCIPAL_ACTIVE,
    )


def anonymous_permissions(app: AppPolicy) -> ConnectionPermissions:
    """Return the permissions of a connection without a good certificate: the public paths only."""
    return ConnectionPermissions(
        grants=(), allowed=public_patterns(app), denied=frozenset(), principal_status=Reason.ANONYMOUS
    )


def public_patterns(app: AppPolicy) -> frozenset[RequestPattern]:
    """Return the public paths as patterns: every method on each."""
    return frozenset(RequestPattern("*", pattern.text) for pattern in app.public)


def loses_permissions(old: ConnectionPermissions, new: ConnectionPermissions) -> bool:
    """Return whether `new` may refuse a request that `old` allowed.

    Conservative: a loss is never missed. A rule with the same meaning but other patterns may count as a loss.
    """
    # A deny pattern takes nothing away if it overlaps with nothing that was allowed, or if it was there before. So only
    # new patterns are compared: a document may have thousands.
    added = new.denied - old.denied
    biting = frozenset(one for one in added if any(_overlap(one, other) for other in old.allowed))
    return not _all_covered(old.allowed, by=new.allowed) or not _all_covered(biting, by=old.denied)


def check_admission(permissions: ConnectionPermissions) -> AdmissionVerdict:
    """Return whether a connection with these permissions is admitted: could any request pass?

    Conservative in the other direction: a connection is admitted unless every allowed pattern is denied.
    """
    if permissions.principal_status is not Reason.PRINCIPAL_ACTIVE:
        return AdmissionVerdict(outcome=Outcome.BAD, reasons=(permissions.principal_status,))
    if not permissions.allowed:
        reasons = (Reason.NO_RULE_MATCHED, *((Reason.RULE_DENIES,) if permissions.denied else ()))
        return AdmissionVerdict(outcome=Outcome.BAD, reasons=(permissions.principal_status, *reasons))
    if _all_covered(permissions.allowed, by=permissions.denied):
        return AdmissionVerdict(
            outcome=Outcome.BAD, reasons=(permissions.principal_status, Reason.RULE_DENIES)
        )
    if not grants_fit(permissions.grants):
        return AdmissionVerdict(
            outcome=Outcome.BAD, reasons=(permissions.principal_status, Reason.GRANTS_TOO_LARGE)
        )
    return AdmissionVerdict(outcome=Outcome.GOOD, reasons=(permissions.principal_status, Reason.RULE_ALLOWS))


def decide(app: AppPolicy, tenant: str, application_id: str, subject: Subject, request: Request) -> Decision:
    """Decide about one request by evaluating the rules.

    Args:
        app: the application's part of the document.
        tenant: the tenant's id.
        application_id: the application's id (`app_…`).
        subject: the facts about the connection.
        request: the request.

    Returns:
        The decision with every reason; BAD unless an allow rule holds and no deny rule does.
    """
    permissions = permissions_of(app, tenant, application_id, subject)
    path = normalise(request.raw_path, keep_slashes=app.keeps_slashes)
    open_path = find_open_path(app, request.method, path)
    if open_path and request.destination is None:
        return _public(app, permissions.principal_status, open_path)
    if permissions.principal_status is not Reason.PRINCIPAL_ACTIVE:
        return _refusal(app, subject, permissions.principal_status, permissions.principal_status)
    if not grants_fit(permissions.grants):
        return _refusal(app, subject, permissions.principal_status, Reason.GRANTS_TOO_LARGE)
    if not METHOD.fullmatch(request.method):
        return _refusal(app, subject, permissions.principal_status, Reason.METHOD_AMBIGUOUS)
    if isinstance(path, PathRefused):
        return _refusal(app, subject, permissions.principal_status, Reason.PATH_AMBIGUOUS, path)
    if request.method in app.methods_refused:
        return _refusal(app, subject, permissions.principal_status, Reason.METHOD_REFUSED)
    paths = name_paths(app, path, request.destination)
    if isinstance(paths, Reason):
        return _refusal(app, subject, permissions.principal_status, paths)
    judged = [
        _judged(app, subject, permissions.principal_status, request, one)
        for one in (paths[1:] if open_path else paths)
    ]
    refused = [one for one in judged if one.outcome is not Outcome.GOOD]
    # If the other path is refused for another reason, a factor would not help.
    return next((one for one in refused if not one.missing), refused[0] if refused else judged[-1])


def decide_connection(app: AppPolicy, tenant: str, application_id: str, subject: Subject) -> Decision:
    """Decide about one connection to a TCP application, which has no requests.

    Args:
        app: the application's part of the document.
        tenant: the tenant's id.
        application_id: the application's id (`app_…`).
        subject: the facts about the connection.

    Returns:
        The decision with every reason; BAD unless an allow rule holds and no deny rule does.
    """
    permissions = permissions_of(app, tenant, application_id, subject)
    if permissions.principal_status is not Reason.PRINCIPAL_ACTIVE:
        return _refusal(app, subject, permissions.principal_status, permissions.principal_status)
    if not grants_fit(permissions.grants):
        return _refusal(app, subject, permissions.principal_status, Reason.GRANTS_TOO_LARGE)
    findings = tuple(find_for_connection(rule, subject) for rule in app.rules)
    outcome, reason, determining = _combine(findings)
    return Decision(
        outcome=outcome,
        reasons=(permissions.principal_status, reason),
        determining=determining,
        findings=findings,
        path="",
    )


def refuse_anonymous(app: AppPolicy) -> Decision:
    """Refuse a connection to a TCP application without a good certificate: it has nothing that is public."""
    return Decision(
        outcome=Outcome.BAD,
        reasons=(Reason.ANONYMOUS, Reason.NO_RULE_MATCHED),
        determining=(),
        findings=tuple(find_unevaluated(rule, Reason.ANONYMOUS) for rule in app.rules),
        path="",
    )


def decide_anonymous(app: AppPolicy, request: Request) -> Decision:
    """Decide about one request of a connection without a good certificate: only public paths are allowed."""
    path = normalise(request.raw_path, keep_slashes=app.keeps_slashes)
    open_path = find_open_path(app, request.method, path)
    if open_path and request.destination is None:
        return _public(app, Reason.ANONYMOUS, open_path)
    reason, refused = Reason.NO_RULE_MATCHED, path if isinstance(path, PathRefused) else None
    if not METHOD.fullmatch(request.method):
        reason = Reason.METHOD_AMBIGUOUS
    elif isinstance(path, PathRefused):
        reason = Reason.PATH_AMBIGUOUS
    elif request.method in app.methods_refused:
        reason = Reason.METHOD_REFUSED
    elif isinstance(paths := name_paths(app, path, request.destination), Reason):
        reason = paths
    return Decision(
        outcome=Outcome.BAD,
        reasons=(Reason.ANONYMOUS, reason),
        determining=(),
        findings=tuple(find_unevaluated(rule, Reason.ANONYMOUS) for rule in app.rules),
        path="" if isinstance(path, PathRefused) else path.text,
        path_refused=refused,
    )


def _principal_status(app: AppPolicy, tenant: str, principal: Principal) -> Reason:
    """Step 1. A principal of another tenant is unknown here, in any state."""
    if principal.tenant != tenant:
        return Reason.PRINCIPAL_UNKNOWN
    if principal.state is PrincipalState.ACTIVE and not app.trusts(principal):
        return Reason.AUTHORITY_NOT_TRUSTED
    return {
        PrincipalState.ACTIVE: Reason.PRINCIPAL_ACTIVE,
        PrincipalState.SUSPENDED: Reason.PRINCIPAL_SUSPENDED,
        PrincipalState.REMOVED: Reason.PRINCIPAL_REMOVED,
    }[principal.state]


def _refusal(
    app: AppPolicy, subject: Subject, status: Reason, reason: Reason, path: PathRefused | None = None
) -> Decision:
    """Return a refusal that was decided before any rule was evaluated for the request."""
    return Decision(
        outcome=Outcome.BAD,
        reasons=(status,) if reason is status else (status, reason),
        determining=(),
        findings=tuple(
            find_for_refused_request(rule, subject, path.fault.value if path else reason.value)
            for rule in app.rules
        ),
        path="",
        path_refused=path,
    )


def _public(app: AppPolicy, status: Reason, path: NormalisedPath) -> Decision:
    return Decision(
        outcome=Outcome.GOOD,
        reasons=(status, Reason.PUBLIC_PATH),
        determining=(),
        findings=tuple(find_unevaluated(rule, Reason.PUBLIC_PATH) for rule in app.rules),
        path=path.text,
    )


def _judged(
    app: AppPolicy, subject: Subject, status: Reason, request: Request, path: NormalisedPath
) -> Decision:
    """Step 5 for one path."""
    findings = tuple(
        find_for_request(rule, subject, request.method, path, request.shown) for rule in app.rules
    )
    outcome, reason, determining = _combine(findings)
    lacking = [one.missing for one in findings if one.missing]
    if reason is Reason.NO_RULE_MATCHED and lacking:
        reason = Reason.FACTOR_MISSING
    return Decision(
        outcome=outcome,
        reasons=(status, reason),
        determining=determining,
        findings=findings,
        path=path.text,
        missing=min(lacking, key=effort) if reason is Reason.FACTOR_MISSING else frozenset(),
    )


def _combine(findings: tuple[RuleFinding, ...]) -> tuple[Outcome, Reason, tuple[str, ...]]:
    """Step 5 for the findings of all rules: deny overrides allow, and without a rule the answer is deny."""
    denying = tuple(one.rule for one in findings if one.holds and one.effect is Effect.DENY)
    if denying:
        return Outcome.BAD, Reason.RULE_DENIES, denying
    allowing = tuple(one.rule for one in findings if one.holds and one.effect is Effect.ALLOW)
    if allowing:
        return Outcome.GOOD, Reason.RULE_ALLOWS, allowing
    return Outcome.BAD, Reason.NO_RULE_MATCHED, ()


def _all_covered(patterns: frozenset[RequestPattern], *, by: frozenset[RequestPattern]) -> bool:
    """Return whether each pattern is covered by a single one of the others; more requirements cover less."""
    return all(any(_covers(wide, narrow) for wide in by) for narrow in patterns - by)


def _covers(wide: RequestPattern, narrow: RequestPattern) -> bool:
    every = wide.method == "*" and narrow.method not in ECHOING_METHODS
    if not (every or wide.method == narrow.method):
        return False
    asks_no_more = wide.requirements == narrow.requirements or all_met_with(
        wide.requirements, narrow.requirements
    )
    return asks_no_more and pattern_of(wide.pattern).covers(pattern_of(narrow.pattern))


def _overlap(one: RequestPattern, other: RequestPattern) -> bool:
    methods_meet = "*" in (one.method, other.method) or one.method == other.method
    return methods_meet and pattern_of(one.pattern).overlaps(pattern_of(other.pattern))
