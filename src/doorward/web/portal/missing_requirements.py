"""The requirements of an application's rules that a person at the portal does not meet yet.

This only chooses what the portal shows. Not here: the decision (policy.decision), and its enforcement (Envoy).
"""

from __future__ import annotations

from doorward.access.explanation import explain
from doorward.core.entities import Outcome
from doorward.core.errors import DoorwardError
from doorward.core.names import PORTAL_APPLICATION
from doorward.core.shown_factors import ShownFactors
from doorward.directory.callers import Caller
from doorward.policy.requirements import Requirement
from doorward.stores.factor_records import StepUpRecord
from doorward.stores.policy_snapshot import PolicySnapshots
from doorward.stores.services import Services


def find_missing_requirements(
    services: Services,
    snapshots: PolicySnapshots,
    caller: Caller,
    step_up: StepUpRecord,
    shown: ShownFactors,
) -> frozenset[Requirement] | None:
    """Return the requirements that are not met yet; of several rules, one for which the person has the factors.

    Args:
        services: the ports of this process.
        snapshots: the policy in force.
        caller: the person.
        step_up: says which application the person came from.
        shown: the factors shown in the session at the portal.

    Returns:
        The missing requirements; empty if none is missing, None if no factor would help or it is not known.
    """
    if step_up.application_id == PORTAL_APPLICATION:
        return None
    with services.work.read() as stores:
        names = snapshots.current(stores)[0].names
    try:
        explained = explain(
            services,
            principal=caller.name,
            app=names.get(step_up.application_id, ""),
            method="GET",
            path=step_up.return_path,
            certificate=caller.certificate_id,
            source=caller.source or None,
            shown=shown,
        )
    except DoorwardError:
        return None  # the door judges the person again in any case
    is_enough = explained.decision.outcome is Outcome.GOOD
    return explained.wanted if explained.wanted or is_enough else None
