"""What the rules of an application still ask of a person who was sent to the portal.

Not here: the judge (policy.decision), and enforcing it (Envoy): this only chooses what the portal shows.
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
    """Return what the person has to show yet, by a rule for which they have the factors if there is one.

    Args:
        services: the ports of this process.
        snapshots: the policy in force.
        caller: who was sent here.
        step_up: from where.
        shown: what was shown in the session at the portal.

    Returns:
        Nothing if it is enough; None if no factor would help, or it is not known.
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
