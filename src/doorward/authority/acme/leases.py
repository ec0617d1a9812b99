"""A lease on an order: while a process works on an order, each of its writes names the lease.

A process that was slow may find that its lease ended and that another process has the order. Its writes are refused then:
otherwise it would record its own failure over the work of the other process, or remove challenges that the authority is
about to look at. The lease is a random word in the order's record; each write compares it and makes the lease longer.

Not here: the work (filling, attempt).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from doorward.authority.acme.ports import AcmeRefusal
from doorward.stores.acme_protocols import AcmeOrderRecord
from doorward.stores.protocols import Stores
from doorward.stores.services import Services

LEASE = timedelta(minutes=10)
MOVED = "acme-order-moved"
"""The code of the refusal if the order is not this process's any more; it is no failure of the order."""

_TOKEN_BYTES = 16


def is_leased(record: AcmeOrderRecord, now: datetime) -> bool:
    """Return whether a process works on an order."""
    return record.leased_until is not None and record.leased_until > now


class Lease:
    """One order that this process works on; for one thread.

    Args:
        services: the ports.
        record: the order, with the lease of this process.
    """

    def __init__(self, services: Services, record: AcmeOrderRecord) -> None:
        self._services = services
        self._token = record.lease
        self.record = record
        """The order as this process wrote it last."""

    @classmethod
    def take(cls, services: Services, stores: Stores, record: AcmeOrderRecord) -> Lease | None:
        """Take an order that is not leased; None if another process was first."""
        token = services.random.token(_TOKEN_BYTES).hex()
        taken = replace(record, lease=token, leased_until=services.clock.now() + LEASE)
        if not stores.acme.replace_order(taken):
            return None
        return cls(services, replace(taken, version=record.version + 1))

    @contextmanager
    def writing(self, **changes: Any) -> Iterator[Stores]:
        """Replace fields of the order; the block may change more in the same transaction.

        Args:
            changes: fields of `AcmeOrderRecord`; `**RELEASED` gives the order back.

        Raises:
            AcmeRefusal: `acme-order-moved`; nothing was written.
        """
        order_id = self.record.order_id
        with self._services.work.change() as stores:
            found = stores.acme.orders([order_id]).get(order_id)
            if found is None or found.lease != self._token:
                raise _moved()
            kept = replace(found, **{"leased_until": self._services.clock.now() + LEASE, **changes})
            if not stores.acme.replace_order(kept):
                raise _moved()
            yield stores
        self.record = replace(kept, version=found.version + 1)

    def is_taken_over(self) -> bool:
        """Return whether another process has the order now."""
        with self._services.work.read() as stores:
            found = stores.acme.orders([self.record.order_id]).get(self.record.order_id)
        return found is not None and found.lease not in ("", self._token)


RELEASED: dict[str, Any] = {"lease": "", "leased_until": None}
"""What gives an order back."""


def _moved() -> AcmeRefusal:
    return AcmeRefusal("acme-order-moved", "another process works on this order, or it was replaced")
