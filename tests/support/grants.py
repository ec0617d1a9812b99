"""The second judge: one request by grants and residuals alone, as Envoy decides it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from doorward.core.entities import Outcome, Reason
from doorward.policy.decision import Request
from doorward.policy.grants import grant_id, grants_fit
from doorward.policy.model import METHOD, AppPolicy, Effect
from doorward.policy.normalisation import PathRefused, normalise
from doorward.policy.paths import NO_OWNER
from doorward.policy.request_paths import find_open_path, name_paths
from doorward.policy.requirements import find_missing


def decide_by_grants(
    app: AppPolicy,
    tenant: str,
    application_id: str,
    grants: Iterable[str],
    request: Request,
    *,
    owner: str = NO_OWNER,
    time: datetime | None = None,
) -> Outcome:
    """Judge one request as Envoy does: by grants and residuals alone, knowing no more than a name of the principal.

    Args:
        app: the application's part of the document.
        tenant: the tenant of the judgement.
        application_id: the application's id (`app_…`).
        grants: the ids that the connection holds; unknown ones do nothing.
        request: what is asked.
        owner: the principal's segment in paths (`paths.owner_segment`).
        time: the moment at which the age of a factor is looked at; None if it is not known.

    Returns:
        GOOD or BAD: some allow rule with a grant, all of it met, and no deny rule without its clearance.
    """
    held = frozenset(grants)
    path = normalise(request.raw_path, keep_slashes=app.keeps_slashes)
    open_path = find_open_path(app, request.method, path)
    if open_path and request.destination is None:
        return Outcome.GOOD
    if isinstance(path, PathRefused) or not METHOD.fullmatch(request.method) or not grants_fit(held):
        return Outcome.BAD
    paths = name_paths(app, path, request.destination)
    if isinstance(paths, Reason) or request.method in app.methods_refused:
        return Outcome.BAD
    ids = {rule.name: grant_id(tenant, application_id, rule.effect, rule.selector) for rule in app.rules}
    passes = all(
        any(
            rule.effect is Effect.ALLOW
            and ids[rule.name] in held
            and rule.covers(request.method, one, owner)
            and not find_missing(rule.residual.requirements, request.shown, time)
            for rule in app.rules
        )
        and not any(
            rule.effect is Effect.DENY
            and ids[rule.name] not in held
            and rule.covers(request.method, one, owner)
            for rule in app.rules
        )
        for one in (paths[1:] if open_path else paths)
    )
    return Outcome.GOOD if passes else Outcome.BAD
