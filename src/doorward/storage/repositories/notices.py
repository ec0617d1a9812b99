"""Mail addresses, and notices about certificates that end.

Not here: which notices there should be (`directory.notice_planning`).
"""

from __future__ import annotations

import builtins
from datetime import datetime

from doorward.storage.driver_statement import DriverRow, DriverStatement
from doorward.storage.transaction import Transaction
from doorward.storage.values import (
    from_microseconds,
    from_optional_microseconds,
    from_word,
    to_microseconds,
    to_optional_microseconds,
)
from doorward.stores.notice_protocols import Notice, NoticeChannel, NoticeKind, NoticeOutcome

_ADDRESS = DriverStatement(
    "SELECT address FROM mail_addresses WHERE tenant = :this_tenant AND principal_id = :of"
)
_SET_ADDRESS = DriverStatement(
    """INSERT INTO mail_addresses (principal_id, tenant, address) VALUES (:of, :this_tenant, :address)
    ON CONFLICT (principal_id) DO UPDATE SET address = excluded.address"""
)
_REMOVE_ADDRESS = DriverStatement(
    "DELETE FROM mail_addresses WHERE tenant = :this_tenant AND principal_id = :of"
)

_COLUMNS = "id, tenant, kind, channel, mark, certificate_id, days, created_at, try_at, failures, problem, outcome, done_at"
_ALL = f"SELECT {_COLUMNS} FROM notices WHERE tenant = :this_tenant"  # noqa: S608 - constants of this file
_ADD = DriverStatement(
    f"""INSERT INTO notices ({_COLUMNS}) VALUES (:id, :this_tenant, :kind, :channel, :mark, :certificate_id, :days,
        :created_at, :try_at, :failures, :problem, :outcome, :done_at)
    ON CONFLICT (mark, tenant) DO NOTHING"""  # noqa: S608 - constants of this file
)
_HAS = DriverStatement("SELECT 1 FROM notices WHERE mark = :mark AND tenant = :this_tenant")
_DUE = DriverStatement(f"{_ALL} AND outcome = 'waiting' AND try_at <= :now ORDER BY try_at, id LIMIT :limit")
_LEASE = DriverStatement(
    """UPDATE notices SET try_at = :until
    WHERE tenant = :this_tenant AND id = :of AND outcome = 'waiting' AND try_at = :expected"""
)
_SAVE = DriverStatement(
    """UPDATE notices SET try_at = :try_at, failures = :failures, problem = :problem, outcome = :outcome,
        done_at = :done_at
    WHERE tenant = :this_tenant AND id = :of AND outcome = 'waiting'"""
)
_LIST = DriverStatement(f"{_ALL} ORDER BY created_at DESC, id DESC LIMIT :limit")
_LIST_OF = DriverStatement(f"{_ALL} AND outcome = :outcome ORDER BY try_at DESC, id DESC LIMIT :limit")
_COUNTS = DriverStatement(
    """SELECT count(*), coalesce(sum(CASE WHEN failures > 0 THEN 1 ELSE 0 END), 0) FROM notices
    WHERE tenant = :this_tenant AND outcome = 'waiting'"""
)
_FORGET = DriverStatement(
    """DELETE FROM notices WHERE tenant = :this_tenant AND id IN (
        SELECT id FROM notices WHERE tenant = :this_tenant AND done_at < :before ORDER BY done_at LIMIT :limit)"""
)


class SqlMailAddresses:
    """`stores.notice_protocols.MailAddressStore`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def get(self, principal_id: str) -> str:
        """Return the address; empty if there is none."""
        return str(self._transaction.driver_value(_ADDRESS, of=principal_id) or "")

    def set(self, principal_id: str, address: str) -> bool:
        """Set or remove the address."""
        if self.get(principal_id) == address:
            self._transaction.require_writable()
            return False
        if address:
            self._transaction.driver_change(_SET_ADDRESS, of=principal_id, address=address)
        else:
            self._transaction.driver_change(_REMOVE_ADDRESS, of=principal_id)
        return True


class SqlNotices:
    """`stores.notice_protocols.NoticeStore`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def add(self, notice: Notice) -> bool:
        """Add a notice; False if there is one with its mark."""
        self._transaction.require_writable(notice.tenant)
        fixed = {
            "id": notice.id,
            "kind": notice.kind.value,
            "channel": notice.channel.value,
            "mark": notice.mark,
            "certificate_id": notice.certificate_id,
            "days": notice.days,
            "created_at": to_microseconds(notice.created_at),
        }
        return self._transaction.driver_change(_ADD, **fixed, **_course(notice)) == 1

    def has(self, mark: str) -> bool:
        """Return whether there is a notice with a mark."""
        return self._transaction.driver_value(_HAS, mark=mark) is not None

    def due(self, now: datetime, limit: int) -> builtins.list[Notice]:
        """Return waiting notices with a `try_at` that has come, earliest first."""
        rows = self._transaction.driver_rows(_DUE, now=to_microseconds(now), limit=limit)
        return [_notice(row) for row in rows]

    def lease(self, notice: Notice, until: datetime) -> bool:
        """Move `try_at`: compare and set."""
        expected = to_microseconds(notice.try_at)
        values = {"of": notice.id, "expected": expected, "until": to_microseconds(until)}
        return self._transaction.driver_change(_LEASE, **values) == 1

    def save(self, notice: Notice) -> None:
        """Store what became of a waiting notice."""
        self._transaction.driver_change(_SAVE, of=notice.id, **_course(notice))

    def list(self, *, outcome: NoticeOutcome | None = None, limit: int = 100) -> builtins.list[Notice]:
        """Return notices, newest first."""
        if outcome is None:
            rows = self._transaction.driver_rows(_LIST, limit=limit)
        else:
            rows = self._transaction.driver_rows(_LIST_OF, outcome=outcome.value, limit=limit)
        return [_notice(row) for row in rows]

    def counts(self) -> tuple[int, int]:
        """Return how many wait, and how many of these failed before."""
        row = self._transaction.driver_row(_COUNTS)
        return (0, 0) if row is None else (int(row[0]), int(row[1]))

    def forget(self, before: datetime, limit: int = 1000) -> int:
        """Remove notices that were done before a time."""
        return self._transaction.driver_change(_FORGET, before=to_microseconds(before), limit=limit)


def _course(notice: Notice) -> dict[str, str | int | None]:
    """Return the columns that change."""
    return {
        "try_at": to_microseconds(notice.try_at),
        "failures": notice.failures,
        "problem": notice.problem,
        "outcome": notice.outcome.value,
        "done_at": to_optional_microseconds(notice.done_at),
    }


def _notice(row: DriverRow) -> Notice:
    (
        id_,
        tenant,
        kind,
        channel,
        mark,
        certificate_id,
        days,
        created_at,
        try_at,
        failures,
        problem,
        outcome,
        done_at,
    ) = row
    return Notice(
        id=id_,
        tenant=tenant,
        kind=from_word(NoticeKind, kind),
        channel=from_word(NoticeChannel, channel),
        mark=mark,
        certificate_id=certificate_id,
        days=days,
        created_at=from_microseconds(created_at),
        try_at=from_microseconds(try_at),
        failures=failures,
        problem=problem,
        outcome=from_word(NoticeOutcome, outcome),
        done_at=from_optional_microseconds(done_at),
    )
