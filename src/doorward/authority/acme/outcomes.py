"""What a try leaves: a filled order, or a failure with the authority's words and the time of the next try.

If a try fails, the next one comes later, each time later. The certificate in use stays in use.

Not here: the try itself (attempt).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from doorward.audit.events import EventType
from doorward.authority.acme.checks import CheckedChain
from doorward.authority.acme.leases import RELEASED, Lease
from doorward.authority.acme.ports import AcmeRefusal
from doorward.pki.lifecycle import renewal_time
from doorward.stores.acme_protocols import AcmeOrderRecord
from doorward.stores.events import new_event
from doorward.stores.protocols import Stores
from doorward.stores.records import ChangeKind, OrderRecord
from doorward.stores.services import Services

SYSTEM = "system"

_PAUSES = tuple(timedelta(minutes=one) for one in (1, 5, 30, 120, 360, 720))
"""After the first, second … failure in a row; the last one repeats."""
_LONGEST_WORDS = 500
_WITHOUT_FAILURE: dict[str, Any] = {
    "failures": 0,
    "failing_since": None,
    "problem_code": "",
    "problem": "",
}


def earlier_orders(stores: Stores, order: OrderRecord) -> list[AcmeOrderRecord]:
    """Return the filled orders of the same gateway and purpose, oldest first."""
    found = []
    for one in stores.acme.every_order():
        other = stores.orders.get(one.order_id) if one.chain else None
        if other is not None and (other.gateway_id, other.purpose) == (order.gateway_id, order.purpose):
            found.append(one)
    return found


def fill(services: Services, lease: Lease, order: OrderRecord, checked: CheckedChain) -> None:
    """Fill the gateway's order and record the event, in one transaction.

    Raises:
        AcmeRefusal: `acme-order-moved`.
    """
    now = services.clock.now()
    leaf = checked.leaf
    filled = {
        "url": "",
        "next_try_at": None,
        "chain": checked.pem,
        "ends_at": checked.ends_at,
        "renew_at": renewal_time(leaf.not_valid_before_utc, checked.ends_at, order.id),
        "ask_again_at": now,
        **_WITHOUT_FAILURE,
        **RELEASED,
    }
    with lease.writing(**filled) as stores:
        if not stores.orders.fill(order.id, ""):
            raise AcmeRefusal("acme-order-moved", "another process has answered the order")
        for one in earlier_orders(stores, order):
            if one.order_id != order.id:
                stores.acme.remove_order(one.order_id)
        stores.acme.remove_challenges(order.id)
        stores.changes.note(ChangeKind.ORDER, order.id, now)
        stores.outbox.add(
            new_event(
                services,
                EventType.SERVER_CERTIFICATE_OBTAINED,
                actor=SYSTEM,
                data={
                    "order": order.id,
                    "gateway": order.gateway_id,
                    "serial": f"{leaf.serial_number:x}",
                    "not_after": checked.ends_at,
                    "differences": checked.differences,
                },
                personal={"names": " ".join(order.hosts), "issuer": leaf.issuer.rfc4514_string()},
            )
        )


def record_failed_try(
    services: Services, lease: Lease, order: OrderRecord, refusal: AcmeRefusal, *, pause: timedelta | None
) -> None:
    """Note a failed try and when the next one comes.

    Args:
        services: the ports.
        lease: of the order.
        order: the gateway's order.
        refusal: why the try failed.
        pause: how long the authority is left alone, if it was not reached; None if it answered.

    Raises:
        AcmeRefusal: `acme-order-moved`.
    """
    now = services.clock.now()
    failures = lease.record.failures + 1
    wait = _PAUSES[min(failures, len(_PAUSES)) - 1] if pause is None else pause
    next_try_at = now + max(wait, refusal.retry_after or timedelta(0))
    failed = {
        "url": lease.record.url if refusal.is_network else "",
        "failures": failures,
        "next_try_at": next_try_at,
        "failing_since": lease.record.failing_since or now,
        "problem_code": refusal.code,
        "problem": refusal.detail[:_LONGEST_WORDS],
        **RELEASED,
    }
    with lease.writing(**failed) as stores:
        stores.acme.remove_challenges(order.id)
        stores.changes.note(ChangeKind.ORDER, order.id, now)
        stores.outbox.add(
            new_event(
                services,
                EventType.SERVER_CERTIFICATE_FAILED,
                actor=SYSTEM,
                data={
                    "order": order.id,
                    "gateway": order.gateway_id,
                    "reason": refusal.code,
                    "failures": failures,
                    "next_try_at": next_try_at,
                },
                personal={"names": " ".join(order.hosts), "explanation": refusal.detail[:_LONGEST_WORDS]},
            )
        )
