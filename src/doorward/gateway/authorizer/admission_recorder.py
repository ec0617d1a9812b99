"""Makes the decisions of one round durable: one block of the record, in one commit.

Not here: the leaf of a repeated admission (`audit.repeated_leaf`), and decisions that are not repeated: each of them is an
event of its own (`door`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from doorward.audit.block import BlockBuilder
from doorward.audit.events import Retention, render_moment
from doorward.audit.leaf import SALT_BYTES
from doorward.audit.repeated_leaf import RepeatedLeaf
from doorward.core.entities import TENANT
from doorward.core.errors import DoorwardError
from doorward.stores.services import Services


@dataclass(frozen=True, slots=True)
class RepeatedAdmission:
    """One admission to be recorded: the leaf that it repeats, and what differs. `deadline` is UTC."""

    leaf: RepeatedLeaf
    event_id: str
    connection_id: str
    deadline: datetime
    source: str


class AdmissionRecorder:
    """Records repeated admissions.

    Args:
        services: the use cases' ports.
    """

    def __init__(self, services: Services) -> None:
        self._services = services

    def new_ids(self, count: int) -> list[str]:
        """Return ids for the events of one round; `count` is at most 4,096."""
        return self._services.new_ids("evt", count)

    def record(self, admissions: Sequence[RepeatedAdmission], at: datetime) -> list[DoorwardError | None]:
        """Record admissions of one moment, durably.

        Args:
            admissions: at most `MAX_BLOCK_EVENTS`.
            at: aware, UTC.

        Returns:
            For each admission, in this order: None if it is durable; an error if it alone cannot be recorded.

        Raises:
            DoorwardError: none of them is durable.
        """
        block = BlockBuilder(TENANT, Retention.DECISION, at, self._seeds())
        moments: dict[datetime, str] = {}
        errors: list[DoorwardError | None] = []
        for one in admissions:
            deadline = moments.get(one.deadline)
            if deadline is None:
                deadline = moments[one.deadline] = render_moment(one.deadline)
            try:
                one.leaf.append(block, one.event_id, (one.connection_id, deadline), (one.source,))
                errors.append(None)
            except DoorwardError as error:
                errors.append(error)
        if block.ids:
            with self._services.work.change(traffic=True) as stores:
                stores.outbox.add_block(block.build())
        return errors

    def _seeds(self) -> Iterator[bytes]:
        while True:
            yield self._services.random.token(SALT_BYTES)
