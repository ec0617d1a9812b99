"""The one judge: rules and grants agree, lost authority is never missed, nothing allowed is turned away."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from doorward.core.entities import Outcome, PrincipalState, Reason
from doorward.policy.decision import (
    Request,
    anonymous_permissions,
    check_admission,
    decide,
    decide_anonymous,
    loses_permissions,
    permissions_by_grants,
    permissions_of,
)
from doorward.policy.model import AppPolicy, Effect
from doorward.policy.paths import owner_segment
from doorward.policy.subject import Subject
from tests.support.examples import examples
from tests.support.grants import decide_by_grants
from tests.support.policies import APP_ID, TENANT, apps, requests, showing_requests, subjects


def good(app: AppPolicy, subject: Subject, request: Request) -> bool:
    """Whether the rules let a request through."""
    return decide(app, TENANT, APP_ID, subject, request).outcome is Outcome.GOOD


def is_open(app: AppPolicy, request: Request) -> bool:
    """Whether a connection without a good certificate gets a request through."""
    return decide_anonymous(app, request).outcome is Outcome.GOOD


@given(apps, subjects, showing_requests)
@settings(max_examples=examples(500))
def test_what_is_public_is_for_everybody(app: AppPolicy, subject: Subject, request: Request) -> None:
    """No client gets more access without its certificate."""
    if is_open(app, request):
        assert good(app, subject, request)
        assert app.public


@given(apps, subjects, showing_requests)
@settings(max_examples=examples(1000))
def test_rules_and_grants_agree(app: AppPolicy, subject: Subject, request: Request) -> None:
    """Judging by rules, and by the equation on grants and residuals, is the same for every input."""
    grants = permissions_of(app, TENANT, APP_ID, subject).grants
    owner = owner_segment(subject.principal.name)
    by_grants = decide_by_grants(app, TENANT, APP_ID, grants, request, owner=owner, time=subject.time)
    assert by_grants is decide(app, TENANT, APP_ID, subject, request).outcome


@given(apps, subjects, showing_requests)
@settings(max_examples=examples(500))
def test_what_is_allowed_is_admitted(app: AppPolicy, subject: Subject, request: Request) -> None:
    """A connection for which some request could pass is never refused; without an active principal only public paths remain."""
    if good(app, subject, request):
        if decide_anonymous(app, request).outcome is Outcome.GOOD:
            return
        assert check_admission(permissions_of(app, TENANT, APP_ID, subject)).outcome is Outcome.GOOD
        assert subject.principal.state is PrincipalState.ACTIVE
        assert subject.principal.tenant == TENANT


@given(apps, apps, subjects, subjects, showing_requests)
@settings(max_examples=examples(1000))
def test_loss_is_never_missed(
    old: AppPolicy, new: AppPolicy, before: Subject, after: Subject, request: Request
) -> None:
    """Where anything allowed before is refused now, authority was lost."""
    then = permissions_of(old, TENANT, APP_ID, before)
    now = permissions_of(new, TENANT, APP_ID, after)
    assert not loses_permissions(then, then)
    if good(old, before, request) and not good(new, after, request) and then.allowed:
        assert loses_permissions(then, now)
    if is_open(old, request) and not is_open(new, request):
        assert loses_permissions(anonymous_permissions(old), anonymous_permissions(new))


@given(apps, subjects)
@settings(max_examples=examples(300))
def test_ids_tell_what_was_permitted(app: AppPolicy, subject: Subject) -> None:
    """Without the facts, the ids that a judgement gave name the rules that selected the subject then."""
    then = permissions_of(app, TENANT, APP_ID, subject)
    assume(then.principal_status is Reason.PRINCIPAL_ACTIVE)
    owner = owner_segment(subject.principal.name)
    told = permissions_by_grants(app, TENANT, APP_ID, then.grants, owner)
    assert told == replace(then, changes_at=None, loses_at=None)


@given(apps, subjects, showing_requests)
@settings(max_examples=examples(500))
def test_findings_explain_the_outcome(app: AppPolicy, subject: Subject, request: Request) -> None:
    """Every rule has a finding, and the determining ones are those that hold and decide."""
    decision = decide(app, TENANT, APP_ID, subject, request)
    assert [one.rule for one in decision.findings] == [rule.name for rule in app.rules]
    assert all(one.why for one in decision.findings)
    holding = {one.rule: one.effect for one in decision.findings if one.holds}
    if Reason.PUBLIC_PATH in decision.reasons:
        assert not holding
        assert is_open(app, request)
    wanted = Effect.ALLOW if decision.outcome is Outcome.GOOD else Effect.DENY
    assert set(decision.determining) == {rule for rule, effect in holding.items() if effect is wanted}


@given(apps, requests, st.lists(st.text(alphabet="gc2345abc", min_size=21, max_size=21), max_size=3))
def test_unknown_grants_do_nothing(app: AppPolicy, request: Request, grants: list[str]) -> None:
    """Made-up ids open nothing that is not open to everybody."""
    assert decide_by_grants(app, TENANT, APP_ID, grants, request) is decide_anonymous(app, request).outcome
