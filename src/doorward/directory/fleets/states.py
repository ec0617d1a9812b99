"""The states of a device's enrolment, as one transition table.

    PENDING   --approve--> APPROVED      an operator, or the tag, lets the device have a certificate
    APPROVED  --redeem-->  ENROLLED      the device got it
    APPROVED  --lapse-->   PENDING       it was not used: too late, another key, or a link for the same device (`lapsing`)
    APPROVED  --repeat-->  DUPLICATE     the same, if the device had a certificate before
    ENROLLED  --redeem-->  ENROLLED      the first certificate never became valid: a crash between intent and signature
    ENROLLED  --repeat-->  DUPLICATE     the factory certificate came again, with another key
    DUPLICATE --approve--> APPROVED      a reset device: the next certificate replaces the old ones
    DUPLICATE --refuse-->  ENROLLED      a clone: the device keeps the certificate that it has
    PENDING, APPROVED --refuse--> REFUSED
    REFUSED   --approve--> APPROVED      the operator decided otherwise

There is no way out of REFUSED or DUPLICATE without an operator.
Not here: who may take a step (`admission`, `approving`).
"""

from __future__ import annotations

from enum import Enum

from doorward.core.errors import RequestRefused
from doorward.stores.fleet_records import EnrolmentState


class EnrolmentStep(Enum):
    """What can happen to an enrolment."""

    APPROVE = "approve"
    REDEEM = "redeem"
    REPEAT = "repeat"
    LAPSE = "lapse"
    REFUSE = "refuse"


TRANSITIONS = {
    (EnrolmentState.PENDING, EnrolmentStep.APPROVE): EnrolmentState.APPROVED,
    (EnrolmentState.DUPLICATE, EnrolmentStep.APPROVE): EnrolmentState.APPROVED,
    (EnrolmentState.REFUSED, EnrolmentStep.APPROVE): EnrolmentState.APPROVED,
    (EnrolmentState.APPROVED, EnrolmentStep.REDEEM): EnrolmentState.ENROLLED,
    (EnrolmentState.APPROVED, EnrolmentStep.LAPSE): EnrolmentState.PENDING,
    (EnrolmentState.APPROVED, EnrolmentStep.REPEAT): EnrolmentState.DUPLICATE,
    (EnrolmentState.ENROLLED, EnrolmentStep.REDEEM): EnrolmentState.ENROLLED,
    (EnrolmentState.ENROLLED, EnrolmentStep.REPEAT): EnrolmentState.DUPLICATE,
    (EnrolmentState.PENDING, EnrolmentStep.REFUSE): EnrolmentState.REFUSED,
    (EnrolmentState.APPROVED, EnrolmentStep.REFUSE): EnrolmentState.REFUSED,
    (EnrolmentState.DUPLICATE, EnrolmentStep.REFUSE): EnrolmentState.ENROLLED,
}


def next_state(state: EnrolmentState, step: EnrolmentStep) -> EnrolmentState:
    """Return the state after a step; raise `RequestRefused` (`enrolment-state`) if the table has no such step."""
    after = TRANSITIONS.get((state, step))
    if after is None:
        raise RequestRefused(
            "enrolment-state",
            f"an enrolment that is {state.value} cannot be changed by: {step.value}",
            hint="`doorward device pending --all` shows the state of each enrolment",
        )
    return after
