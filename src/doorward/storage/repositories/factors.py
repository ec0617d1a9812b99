"""Second factors, the tickets to enrol one, and the failed tries.

Not here: checking a factor (`factors`), the use cases and who may call them (`directory.factors`).
"""
# ruff: noqa: S608 - the statements are put together from constants of this package

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from doorward.core.errors import IntegrityError, RequestRefused
from doorward.core.factor_kinds import FactorKind
from doorward.storage.driver_statement import DriverRow, DriverStatement
from doorward.storage.transaction import Transaction
from doorward.storage.values import (
    from_microseconds,
    from_optional_microseconds,
    from_word,
    to_microseconds,
    to_optional_microseconds,
)
from doorward.stores.factor_records import EnrolmentTicket, FactorRecord, ThrottleRecord

OF_PARTNER = """principal_id IN (
        SELECT id FROM principals WHERE tenant = :this_tenant AND partner_id = :partner_id AND partner_id <> '')"""
"""SQL: the row belongs to a principal of that partner, including removed ones."""

_FACTORS = """SELECT id, tenant, principal_id, kind, name, secret, credential_id, counter, rp_id, created_at,
        last_used_at
    FROM factors WHERE tenant = :this_tenant"""
_ADD = DriverStatement(
    """INSERT INTO factors (id, tenant, principal_id, kind, name, secret, credential_id, counter, rp_id, created_at,
        last_used_at)
    VALUES (:id, :this_tenant, :principal_id, :kind, :name, :secret, :credential_id, :counter, :rp_id, :created_at,
        :last_used_at)
    ON CONFLICT DO NOTHING"""
)
_BY_ID = DriverStatement(f"{_FACTORS} AND id = :of")
_OF_PRINCIPAL = DriverStatement(f"{_FACTORS} AND principal_id = :principal_id ORDER BY created_at, id")
_BY_CREDENTIAL = DriverStatement(f"{_FACTORS} AND credential_id = :credential_id AND credential_id <> ''")
_COUNT_FOREIGN = DriverStatement(
    "SELECT count(*) FROM factors WHERE tenant = :this_tenant AND rp_id <> '' AND rp_id <> :rp_id"
)
_USE = DriverStatement(
    """UPDATE factors SET counter = :counter, last_used_at = :at
    WHERE tenant = :this_tenant AND id = :of AND counter = :expected"""
)
_RENAME = DriverStatement("UPDATE factors SET name = :name WHERE tenant = :this_tenant AND id = :of")
_REMOVE = DriverStatement("DELETE FROM factors WHERE tenant = :this_tenant AND id = :of")
_REMOVE_ALL = DriverStatement(
    "DELETE FROM factors WHERE tenant = :this_tenant AND principal_id = :principal_id"
)
_REMOVE_PARTNER = DriverStatement(f"DELETE FROM factors WHERE tenant = :this_tenant AND {OF_PARTNER}")

_RIGHTS = """SELECT id, tenant, principal_id, certificate_id, token_sha256, strongest, created_at, expires_at,
        used_at
    FROM enrolment_rights WHERE tenant = :this_tenant"""
_ADD_RIGHT = DriverStatement(
    """INSERT INTO enrolment_rights (id, tenant, principal_id, certificate_id, token_sha256, strongest, created_at,
        expires_at, used_at)
    VALUES (:id, :this_tenant, :principal_id, :certificate_id, :token_sha256, :strongest, :created_at, :expires_at,
        :used_at)
    ON CONFLICT DO NOTHING"""
)
_IS_OPEN = "used_at IS NULL AND expires_at > :at"
_OPEN_FOR = DriverStatement(
    f"{_RIGHTS} AND principal_id = :principal_id AND {_IS_OPEN} ORDER BY created_at, id"
)
_BY_TOKEN = DriverStatement(f"{_RIGHTS} AND token_sha256 = :token AND token_sha256 <> ''")
_USE_RIGHT = DriverStatement(
    f"UPDATE enrolment_rights SET used_at = :at WHERE tenant = :this_tenant AND id = :of AND {_IS_OPEN}"
)
_VOID = f"UPDATE enrolment_rights SET expires_at = :at WHERE tenant = :this_tenant AND {_IS_OPEN}"
_VOID_ALL = DriverStatement(f"{_VOID} AND principal_id = :principal_id")
_VOID_PARTNER = DriverStatement(f"{_VOID} AND {OF_PARTNER}")
_VOID_EVERY = DriverStatement(_VOID)
_PRUNE_RIGHTS = DriverStatement(
    "DELETE FROM enrolment_rights WHERE tenant = :this_tenant AND expires_at < :before"
)

_THROTTLE = DriverStatement(
    """SELECT key, tenant, failures, last_at, blocked_until FROM throttles
    WHERE tenant = :this_tenant AND key = :key"""
)
_SAVE_THROTTLE = DriverStatement(
    """INSERT INTO throttles (tenant, key, failures, last_at, blocked_until)
    VALUES (:this_tenant, :key, :failures, :last_at, :blocked_until)
    ON CONFLICT (tenant, key) DO UPDATE SET failures = excluded.failures, last_at = excluded.last_at,
        blocked_until = excluded.blocked_until"""
)
_FORGET_THROTTLE = DriverStatement("DELETE FROM throttles WHERE tenant = :this_tenant AND key = :key")
_PRUNE_THROTTLES = DriverStatement(
    """DELETE FROM throttles WHERE tenant = :this_tenant AND last_at < :before
    AND (blocked_until IS NULL OR blocked_until < :before)"""
)


class SqlFactors:
    """`stores.factor_protocols.FactorStore`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def add(self, factor: FactorRecord) -> None:
        """Add a factor."""
        self._transaction.require_writable(factor.tenant)
        added = self._transaction.driver_change(
            _ADD,
            id=factor.id,
            principal_id=factor.principal_id,
            kind=factor.kind.value,
            name=factor.name,
            secret=factor.secret,
            credential_id=factor.credential_id,
            counter=factor.counter,
            rp_id=factor.rp_id,
            created_at=to_microseconds(factor.created_at),
            last_used_at=to_optional_microseconds(factor.last_used_at),
        )
        if not added:
            raise RequestRefused("factor-duplicate", "this passkey is already enrolled")

    def get(self, factor_id: str) -> FactorRecord | None:
        """Return the factor."""
        row = self._transaction.driver_row(_BY_ID, of=factor_id)
        return None if row is None else _factor(row)

    def of_principal(self, principal_id: str) -> list[FactorRecord]:
        """Return the factors of a principal, oldest first."""
        return [
            _factor(row) for row in self._transaction.driver_rows(_OF_PRINCIPAL, principal_id=principal_id)
        ]

    def by_credential(self, credential_id: str) -> FactorRecord | None:
        """Return the passkey with that credential id."""
        row = self._transaction.driver_row(_BY_CREDENTIAL, credential_id=credential_id)
        return None if row is None else _factor(row)

    def count_foreign(self, rp_id: str) -> int:
        """Return the number of passkeys for another relying party."""
        return int(self._transaction.driver_value(_COUNT_FOREIGN, rp_id=rp_id) or 0)

    def use(self, factor_id: str, *, expected: int, counter: int, at: datetime) -> bool:
        """Set the counter and the time of use: compare and set."""
        changed = self._transaction.driver_change(
            _USE, of=factor_id, expected=expected, counter=counter, at=to_microseconds(at)
        )
        return changed == 1

    def rename(self, factor_id: str, name: str) -> bool:
        """Rename a factor."""
        return self._transaction.driver_change(_RENAME, of=factor_id, name=name) == 1

    def remove(self, factor_id: str) -> bool:
        """Remove a factor; True for exactly one caller."""
        return self._transaction.driver_change(_REMOVE, of=factor_id) == 1

    def remove_all(self, principal_id: str) -> int:
        """Remove every factor of a principal."""
        return self._transaction.driver_change(_REMOVE_ALL, principal_id=principal_id)

    def remove_partner(self, partner_id: str) -> int:
        """Remove every factor of every principal of a partner."""
        return self._transaction.driver_change(_REMOVE_PARTNER, partner_id=partner_id)


class SqlEnrolmentTickets:
    """`stores.factor_protocols.EnrolmentTicketStore`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def add(self, ticket: EnrolmentTicket) -> None:
        """Add a ticket."""
        self._transaction.require_writable(ticket.tenant)
        added = self._transaction.driver_change(
            _ADD_RIGHT,
            id=ticket.id,
            principal_id=ticket.principal_id,
            certificate_id=ticket.certificate_id,
            token_sha256=ticket.token_sha256,
            strongest=ticket.strongest.value,
            created_at=to_microseconds(ticket.created_at),
            expires_at=to_microseconds(ticket.expires_at),
            used_at=to_optional_microseconds(ticket.used_at),
        )
        if not added:
            raise IntegrityError("enrolment-right-duplicate", "this token was handed out before")

    def open_for(self, principal_id: str, now: datetime) -> list[EnrolmentTicket]:
        """Return the open ones of a principal, oldest first."""
        rows = self._transaction.driver_rows(_OPEN_FOR, principal_id=principal_id, at=to_microseconds(now))
        return [_ticket(row) for row in rows]

    def by_token(self, token_sha256: str) -> EnrolmentTicket | None:
        """Return the ticket of that token."""
        row = self._transaction.driver_row(_BY_TOKEN, token=token_sha256)
        return None if row is None else _ticket(row)

    def use(self, ticket_id: str, at: datetime) -> bool:
        """Mark the ticket as used if it is open: compare and set."""
        return self._transaction.driver_change(_USE_RIGHT, of=ticket_id, at=to_microseconds(at)) == 1

    def void_all(self, principal_id: str, at: datetime) -> int:
        """Let every open ticket of a principal expire now."""
        return self._transaction.driver_change(_VOID_ALL, principal_id=principal_id, at=to_microseconds(at))

    def void_partner(self, partner_id: str, at: datetime) -> int:
        """Let every open ticket of every principal of a partner expire now."""
        return self._transaction.driver_change(_VOID_PARTNER, partner_id=partner_id, at=to_microseconds(at))

    def void_every(self, at: datetime) -> int:
        """Let every open ticket expire now."""
        return self._transaction.driver_change(_VOID_EVERY, at=to_microseconds(at))

    def prune(self, before: datetime) -> int:
        """Remove tickets that expired before that time."""
        return self._transaction.driver_change(_PRUNE_RIGHTS, before=to_microseconds(before))


class SqlThrottles:
    """`stores.factor_protocols.ThrottleStore`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def get(self, keys: Collection[str]) -> dict[str, ThrottleRecord]:
        """Return the records of these keys."""
        rows = [self._transaction.driver_row(_THROTTLE, key=key) for key in keys]
        return {row[0]: _throttle(row) for row in rows if row is not None}

    def save(self, throttle: ThrottleRecord) -> None:
        """Insert or replace."""
        self._transaction.require_writable(throttle.tenant)
        self._transaction.driver_change(
            _SAVE_THROTTLE,
            key=throttle.key,
            failures=throttle.failures,
            last_at=to_microseconds(throttle.last_at),
            blocked_until=to_optional_microseconds(throttle.blocked_until),
        )

    def forget(self, key: str) -> None:
        """Remove the record of a key."""
        self._transaction.driver_change(_FORGET_THROTTLE, key=key)

    def prune(self, before: datetime) -> int:
        """Remove records with a last failure before that time."""
        return self._transaction.driver_change(_PRUNE_THROTTLES, before=to_microseconds(before))


def _factor(row: DriverRow) -> FactorRecord:
    id_, tenant, principal_id, kind, name, secret, credential_id, counter, rp_id, created_at, last_used_at = (
        row
    )
    return FactorRecord(
        id=id_,
        tenant=tenant,
        principal_id=principal_id,
        kind=from_word(FactorKind, kind),
        name=name,
        secret=bytes(secret),
        credential_id=credential_id,
        counter=counter,
        rp_id=rp_id,
        created_at=from_microseconds(created_at),
        last_used_at=from_optional_microseconds(last_used_at),
    )


def _ticket(row: DriverRow) -> EnrolmentTicket:
    id_, tenant, principal_id, certificate_id, token_sha256, strongest, created_at, expires_at, used_at = row
    return EnrolmentTicket(
        id=id_,
        tenant=tenant,
        principal_id=principal_id,
        certificate_id=certificate_id,
        token_sha256=token_sha256,
        strongest=from_word(FactorKind, strongest),
        created_at=from_microseconds(created_at),
        expires_at=from_microseconds(expires_at),
        used_at=from_optional_microseconds(used_at),
    )


def _throttle(row: DriverRow) -> ThrottleRecord:
    key, tenant, failures, last_at, blocked_until = row
    return ThrottleRecord(
        key=key,
        tenant=tenant,
        failures=failures,
        last_at=from_microseconds(last_at),
        blocked_until=from_optional_microseconds(blocked_until),
    )
