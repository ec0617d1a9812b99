"""What the rules of an application still ask of a person who was sent to the portal.

Not here: the judge (policy.decision), and enforcing it (Envoy): this only chooses what the portal shows.
"""

from __future__ import annotations

from doorward.access.explanation import explain
from doorward.core.errors import DoorwardError
from doorward.core.names import PORTAL_APPLICATION
from doorward.directory.callers import Caller
from doorward.policy.requirements import Requirement
from doorward.stores.factor_records import StepUpRecord
from doorward.stores.policy_snapshot import PolicySnapshots
from doorward.stores.services import Services


def find_needs(
    services: Services, snapshots: PolicySnapshots, caller: Caller, step_up: StepUpRecord
) -> frozenset[Requirement]:
    """Return what the rule with the least demands asks for; empty if no factor would help, or it is not known."""
    if step_up.application_id == PORTAL_APPLICATION:
        return frozenset()
    with services.work.read() as stores:
        names = snapshots.current(stores)[0].names
    try:
        return explain(
            services,
            principal=caller.name,
            app=names.get(step_up.application_id, ""),
            method="GET",
            path=step_up.return_path,
            certificate=caller.certificate_id,
            source=caller.source or None,
        ).decision.missing
    except DoorwardError:
        return frozenset()  # the door judges the person again in any case
