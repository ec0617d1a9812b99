"""Certificate orders of gateways, and how far their access logs were read.

Not here: the state of a gateway (`gateway_states`), its work (`gateway`).
"""

from __future__ import annotations

from sqlalchemy import bindparam, insert, select, update

from doorward.core.errors import IntegrityError
from doorward.storage.core_statements import CURRENT_TENANT, AnyRow, insert_new, insert_or_replace
from doorward.storage.schema import event_counts, ingest_positions, orders
from doorward.storage.transaction import Transaction
from doorward.stores.records import OrderRecord, OrderState

_ADD_ORDER = insert(orders)
_ORDERS = select(orders).where(orders.c.tenant == CURRENT_TENANT)
_ORDER = _ORDERS.where(orders.c.id == bindparam("id"))
_OPEN = _ORDERS.where(orders.c.state == OrderState.OPEN).order_by(orders.c.created_at, orders.c.id)
_ANSWER = (
    update(orders)
    .where(
        orders.c.tenant == CURRENT_TENANT, orders.c.id == bindparam("of"), orders.c.state == OrderState.OPEN
    )
    .values({name: bindparam(name) for name in ("state", "certificate_id", "refusal")})
)

_P = ingest_positions.c
_POSITION = select(_P.position).where(
    _P.tenant == CURRENT_TENANT, _P.gateway_id == bindparam("gateway_id"), _P.file == bindparam("file")
)
_START = insert_new(ingest_positions)
_ADVANCE = (
    update(ingest_positions)
    .where(
        _P.tenant == CURRENT_TENANT,
        _P.gateway_id == bindparam("of"),
        _P.file == bindparam("in_file"),
        _P.position == bindparam("expected"),
    )
    .values(position=bindparam("position"))
)

_C = event_counts.c
_COUNTS = select(_C.state).where(
    _C.tenant == CURRENT_TENANT, _C.gateway_id == bindparam("of"), _C.stream == bindparam("in_stream")
)
_STORE_COUNTS = insert_or_replace(event_counts, ["gateway_id", "stream"])


class SqlOrders:
    """`stores.protocols.OrderStore`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def add(self, order: OrderRecord) -> None:
        """Add an open order."""
        self._transaction.require_writable(order.tenant)
        self._transaction.add(
            _ADD_ORDER,
            id=order.id,
            gateway_id=order.gateway_id,
            purpose=order.purpose,
            hosts=order.hosts,
            csr=order.csr,
            state=OrderState.OPEN,
            created_at=order.created_at,
            certificate_id=order.certificate_id,
            refusal=order.refusal,
        )

    def get(self, order_id: str) -> OrderRecord | None:
        """Return the order."""
        row = self._transaction.row(_ORDER, id=order_id)
        return None if row is None else _order(row)

    def open(self) -> list[OrderRecord]:
        """Return the open ones, oldest first."""
        return [_order(row) for row in self._transaction.rows(_OPEN)]

    def fill(self, order_id: str, certificate_id: str) -> bool:
        """Mark the order as filled if it is open: one statement compares and sets, so only one caller succeeds."""
        return self._answer(order_id, OrderState.FILLED, certificate_id=certificate_id, refusal="")

    def refuse(self, order_id: str, why: str) -> bool:
        """Mark the order as refused if it is open, as `fill`."""
        return self._answer(order_id, OrderState.REFUSED, certificate_id="", refusal=why)

    def _answer(self, order_id: str, state: OrderState, **values: str) -> bool:
        return self._transaction.write(_ANSWER, of=order_id, state=state, **values) == 1


class SqlIngest:
    """`stores.protocols.IngestStore`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def position(self, gateway_id: str, file: str) -> int:
        """Return the byte offset after the last line that was read; 0 for an unknown file."""
        return int(self._transaction.value(_POSITION, gateway_id=gateway_id, file=file) or 0)

    def advance(self, gateway_id: str, file: str, expected: int, offset: int) -> None:
        """Move from `expected` to `offset`, so that no line becomes two events."""
        values = {"of": gateway_id, "in_file": file, "expected": expected, "position": offset}
        if self._transaction.write(_ADVANCE, **values):
            return
        if expected == 0 and self._transaction.add(_START, gateway_id=gateway_id, file=file, position=offset):
            return
        raise IntegrityError("ingest-moved", "another process has recorded these lines of the access log")

    def counts(self, gateway_id: str, stream: str) -> str:
        """Return the counts of a stream that are not recorded as events yet."""
        return str(self._transaction.value(_COUNTS, of=gateway_id, in_stream=stream) or "")

    def store_counts(self, gateway_id: str, stream: str, state: str) -> None:
        """Replace the counts of a stream."""
        self._transaction.add(_STORE_COUNTS, gateway_id=gateway_id, stream=stream, state=state)


def _order(row: AnyRow) -> OrderRecord:
    return OrderRecord(
        id=row.id,
        tenant=row.tenant,
        gateway_id=row.gateway_id,
        purpose=row.purpose,
        hosts=row.hosts,
        csr=row.csr,
        state=row.state,
        created_at=row.created_at,
        certificate_id=row.certificate_id,
        refusal=row.refusal,
    )
