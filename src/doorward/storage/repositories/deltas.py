"""Changes of the status of certificates, and the complete CRLs that name a delta.

Not here: making deltas (`authority.status.crl_deltas`).
"""

from __future__ import annotations

from datetime import datetime

from doorward.storage.driver_statement import DriverStatement
from doorward.storage.transaction import Transaction
from doorward.storage.values import from_microseconds, from_reason, to_microseconds
from doorward.stores.records import CrlBase, StatusChange

_OF_ISSUER = "tenant = :this_tenant AND authority_id = :authority_id"
_NOTE = DriverStatement(
    """INSERT INTO status_changes (tenant, authority_id, seq, serial)
    VALUES (:this_tenant, :authority_id, :seq, :serial)"""
)
_SINCE = DriverStatement(
    # What a CRL lists is in an index of its own (schema): a certificate that is not there was released.
    """SELECT s.seq, s.serial, l.not_after / 1000000, l.revoked_at / 1000000, l.reason, l.state
    FROM status_changes s LEFT JOIN certificates l ON l.tenant = s.tenant AND l.authority_id = s.authority_id
        AND l.serial = s.serial AND l.state IN ('revoked', 'on-hold')
    WHERE s.tenant = :this_tenant AND s.authority_id = :authority_id AND s.seq > :seq
    ORDER BY s.seq"""
)
_FORGET = DriverStatement(
    f"""DELETE FROM status_changes WHERE {_OF_ISSUER} AND seq IN (
        SELECT seq FROM status_changes WHERE {_OF_ISSUER} AND seq <= :seq ORDER BY seq LIMIT :most)"""  # noqa: S608 - constants of this file
)
_BASE_COLUMNS = "authority_id, partition, tenant, number, this_update, next_update, through_seq, entries"
_BASES = DriverStatement(
    f"SELECT {_BASE_COLUMNS} FROM crl_bases WHERE {_OF_ISSUER} ORDER BY partition, number"  # noqa: S608 - as above
)
_ADD_BASE = DriverStatement(
    f"""INSERT INTO crl_bases ({_BASE_COLUMNS})
    VALUES (:authority_id, :partition, :this_tenant, :number, :this_update, :next_update, :through_seq, :entries)"""  # noqa: S608 - as above
)
_DROP_BASES = DriverStatement(
    f"""DELETE FROM crl_bases
    WHERE {_OF_ISSUER} AND partition = :partition AND (number < :before OR next_update <= :now)"""  # noqa: S608 - as above
)
_END = DriverStatement(f"DELETE FROM crl_heads WHERE {_OF_ISSUER} AND partition = :partition")  # noqa: S608 - as above


class SqlDeltas:
    """`stores.delta_protocols.DeltaStore`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def note(self, authority_id: str, seq: int, serial: int) -> None:
        """Note which change this certificate had."""
        self._transaction.driver_change(_NOTE, authority_id=authority_id, seq=seq, serial=f"{serial:x}")

    def since(self, authority_id: str, seq: int) -> list[StatusChange]:
        """Return the changes after `seq`; only their rows are read."""
        rows = self._transaction.driver_rows(_SINCE, authority_id=authority_id, seq=seq)
        return [
            # As in a complete CRL, a row of another program that lacks the reason or the time is listed too.
            StatusChange(
                seq=number,
                serial=int(serial, 16),
                is_listed=state is not None,
                end=end or 0,
                at=at or 0,
                reason=from_reason(reason),
            )
            for number, serial, end, at, reason, state in rows
        ]

    def forget(self, authority_id: str, seq: int, most: int) -> None:
        """Remove the oldest changes up to `seq`."""
        self._transaction.driver_change(_FORGET, authority_id=authority_id, seq=seq, most=most)

    def bases(self, authority_id: str) -> list[CrlBase]:
        """Return the complete CRLs that name a delta."""
        rows = self._transaction.driver_rows(_BASES, authority_id=authority_id)
        return [
            CrlBase(
                authority_id=issuer,
                partition=partition,
                tenant=tenant,
                number=number,
                this_update=from_microseconds(begin),
                next_update=from_microseconds(end),
                through_seq=through,
                entries=entries,
            )
            for issuer, partition, tenant, number, begin, end, through, entries in rows
        ]

    def add_base(self, base: CrlBase) -> None:
        """Add a complete CRL."""
        self._transaction.require_writable(base.tenant)
        self._transaction.driver_change(
            _ADD_BASE,
            authority_id=base.authority_id,
            partition=base.partition,
            number=base.number,
            this_update=to_microseconds(base.this_update),
            next_update=to_microseconds(base.next_update),
            through_seq=base.through_seq,
            entries=base.entries,
        )

    def drop_bases(self, authority_id: str, partition: str, *, before: int, now: datetime) -> None:
        """Remove bases that are overtaken or have ended."""
        values = {"authority_id": authority_id, "partition": partition, "before": before}
        self._transaction.driver_change(_DROP_BASES, **values, now=to_microseconds(now))

    def end(self, authority_id: str, partition: str) -> None:
        """Remove a delta."""
        self._transaction.driver_change(_END, authority_id=authority_id, partition=partition)
