"""Searching the leaves of single events. It is built with Core, because databases name the function in it differently.

Not here: leaves of blocks (`event_blocks`, which searches in the program).
"""

from __future__ import annotations

from sqlalchemy import LargeBinary, bindparam, select

from doorward.storage.core_statements import CURRENT_TENANT, SqlPosition
from doorward.storage.driver_statement import DriverStatement
from doorward.storage.schema_log import log_leaves
from doorward.storage.transaction import Transaction

_MENTIONS = DriverStatement(
    select(log_leaves.c.number)
    .where(
        log_leaves.c.tenant == CURRENT_TENANT,
        SqlPosition(bindparam("needle", type_=LargeBinary), log_leaves.c.leaf) > 0,
    )
    .order_by(log_leaves.c.number.desc())
    .limit(bindparam("most"))
)


def find_leaves(transaction: Transaction, needle: bytes, most: int) -> list[int]:
    """Return the numbers of the newest leaves with these bytes, newest first; every leaf is read."""
    return [int(row[0]) for row in transaction.driver_rows(_MENTIONS, needle=needle, most=most)]
