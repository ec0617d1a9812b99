"""What went wrong at ACME authorities, for `doorward status`: each order that failed, with the authority's words.

Not here: trying again (filling).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from doorward.stores.services import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class AcmeTrouble:
    """One order that failed.

    Args:
        hosts: of the order.
        code: of the last failure.
        words: the authority's words, cut and printable.
        failures: how many in a row.
        since: the first of them.
        next_try_at: the next try.
        ends_at: the end of the certificate in use; None if there is none from an ACME authority.
    """

    hosts: tuple[str, ...]
    code: str
    words: str
    failures: int
    since: datetime
    next_try_at: datetime
    ends_at: datetime | None


def list_troubles(services: Services) -> list[AcmeTrouble]:
    """Return every open order that failed, oldest first."""
    with services.work.read() as stores:
        records = stores.acme.every_order()
        orders = {one.order_id: stores.orders.get(one.order_id) for one in records}
    found = []
    for record in records:
        order = orders[record.order_id]
        if order is None or not record.failures or record.next_try_at is None or record.failing_since is None:
            continue
        ends = [
            one.ends_at
            for one in records
            if one.ends_at is not None
            and (other := orders[one.order_id]) is not None
            and (other.gateway_id, other.purpose) == (order.gateway_id, order.purpose)
        ]
        found.append(
            AcmeTrouble(
                hosts=order.hosts,
                code=record.problem_code,
                words=record.problem,
                failures=record.failures,
                since=record.failing_since,
                next_try_at=record.next_try_at,
                ends_at=max(ends, default=None),
            )
        )
    return found
