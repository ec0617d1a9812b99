"""Accounts, orders and challenges at ACME authorities.

Not here: the work (`authority.acme`).
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from doorward.storage.driver_statement import DriverRow, DriverStatement
from doorward.storage.transaction import Transaction
from doorward.storage.values import (
    from_microseconds,
    from_optional_microseconds,
    to_microseconds,
    to_optional_microseconds,
)
from doorward.stores.acme_protocols import (
    AcmeAccountRecord,
    AcmeChallengeRecord,
    AcmeOrderRecord,
    AcmePauseRecord,
)

_ACCOUNT = DriverStatement(
    """SELECT id, tenant, directory, url, contact, key_name, created_at FROM acme_accounts
    WHERE tenant = :this_tenant AND id = :of"""
)
_SAVE_ACCOUNT = DriverStatement(
    """INSERT INTO acme_accounts (id, tenant, directory, url, contact, key_name, created_at)
    VALUES (:id, :this_tenant, :directory, :url, :contact, :key_name, :created_at)
    ON CONFLICT (id) DO UPDATE SET directory = excluded.directory, url = excluded.url, contact = excluded.contact,
    key_name = excluded.key_name, created_at = excluded.created_at"""
)
_ORDER_COLUMNS = """order_id, tenant, directory, version, url, failures, next_try_at, leased_until, lease,
    failing_since, problem_code, problem, chain, ends_at, renew_at, ask_again_at"""
_ORDERS = DriverStatement(
    f"SELECT {_ORDER_COLUMNS} FROM acme_orders WHERE tenant = :this_tenant ORDER BY order_id"  # noqa: S608 - constants
)
_DUE = DriverStatement(
    f"""SELECT {_ORDER_COLUMNS} FROM acme_orders
    WHERE tenant = :this_tenant AND (next_try_at <= :now OR ask_again_at <= :now) ORDER BY order_id"""  # noqa: S608
)
_NEXT_DUE = DriverStatement(
    """SELECT MIN(at) FROM (
        SELECT MIN(next_try_at) AS at FROM acme_orders WHERE tenant = :this_tenant AND next_try_at > :now
        UNION ALL
        SELECT MIN(ask_again_at) AS at FROM acme_orders WHERE tenant = :this_tenant AND ask_again_at > :now
    ) AS times"""
)
_ORDER = DriverStatement(
    f"SELECT {_ORDER_COLUMNS} FROM acme_orders WHERE tenant = :this_tenant AND order_id = :of"  # noqa: S608 - constants
)
_ADD_ORDER = DriverStatement(
    f"""INSERT INTO acme_orders ({_ORDER_COLUMNS})
    VALUES (:order_id, :this_tenant, :directory, 0, :url, :failures, :next_try_at, :leased_until, :lease,
    :failing_since, :problem_code, :problem, :chain, :ends_at, :renew_at, :ask_again_at)"""  # noqa: S608 - constants
)
_REPLACE_ORDER = DriverStatement(
    """UPDATE acme_orders SET directory = :directory, version = :version + 1, url = :url, failures = :failures,
    next_try_at = :next_try_at, leased_until = :leased_until, lease = :lease, failing_since = :failing_since,
    problem_code = :problem_code, problem = :problem, chain = :chain, ends_at = :ends_at, renew_at = :renew_at,
    ask_again_at = :ask_again_at
    WHERE tenant = :this_tenant AND order_id = :order_id AND version = :version"""
)
_REMOVE_ORDER = DriverStatement("DELETE FROM acme_orders WHERE tenant = :this_tenant AND order_id = :of")
_CHALLENGE_COLUMNS = "token, tenant, order_id, host, kind, authorization_text, ends_at"
_CHALLENGES = DriverStatement(
    f"SELECT {_CHALLENGE_COLUMNS} FROM acme_challenges WHERE tenant = :this_tenant ORDER BY host, token"  # noqa: S608 - constants
)
_CHALLENGE = DriverStatement(
    f"SELECT {_CHALLENGE_COLUMNS} FROM acme_challenges WHERE tenant = :this_tenant AND token = :of"  # noqa: S608 - constants
)
_SAVE_CHALLENGE = DriverStatement(
    f"""INSERT INTO acme_challenges ({_CHALLENGE_COLUMNS})
    VALUES (:token, :this_tenant, :order_id, :host, :kind, :authorization, :ends_at)
    ON CONFLICT (token) DO UPDATE SET order_id = excluded.order_id, host = excluded.host, kind = excluded.kind,
    authorization_text = excluded.authorization_text, ends_at = excluded.ends_at"""  # noqa: S608 - constants
)
_REMOVE_CHALLENGES = DriverStatement(
    "DELETE FROM acme_challenges WHERE tenant = :this_tenant AND order_id = :of"
)
_COUNT_TRY = DriverStatement(
    """INSERT INTO acme_tries (tenant, gateway_id, host, day, tries) VALUES (:this_tenant, :gateway, :host, :day, 1)
    ON CONFLICT (tenant, gateway_id, host, day) DO UPDATE SET tries = acme_tries.tries + 1"""
)
_FORGET_TRIES = DriverStatement("DELETE FROM acme_tries WHERE tenant = :this_tenant AND day < :day")
_TRIES = DriverStatement(
    "SELECT gateway_id, tries FROM acme_tries WHERE tenant = :this_tenant AND host = :host AND day = :day"
)
_PAUSES = DriverStatement(
    "SELECT directory, tenant, failures, until FROM acme_pauses WHERE tenant = :this_tenant ORDER BY directory"
)
_SAVE_PAUSE = DriverStatement(
    """INSERT INTO acme_pauses (tenant, directory, failures, until) VALUES (:this_tenant, :directory, :failures, :until)
    ON CONFLICT (tenant, directory) DO UPDATE SET failures = excluded.failures, until = excluded.until"""
)
_REMOVE_PAUSE = DriverStatement(
    "DELETE FROM acme_pauses WHERE tenant = :this_tenant AND directory = :directory"
)


class SqlAcme:
    """`stores.acme_protocols.AcmeStore`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def account(self, account_id: str) -> AcmeAccountRecord | None:
        """Return the account with this id."""
        row = self._transaction.driver_row(_ACCOUNT, of=account_id)
        if row is None:
            return None
        id_, tenant, directory, url, contact, key_name, created_at = row
        return AcmeAccountRecord(
            id=id_,
            tenant=tenant,
            directory=directory,
            url=url,
            contact=contact,
            key_name=key_name,
            created_at=from_microseconds(created_at),
        )

    def save_account(self, account: AcmeAccountRecord) -> None:
        """Insert or replace an account."""
        self._transaction.require_writable(account.tenant)
        self._transaction.driver_change(
            _SAVE_ACCOUNT,
            id=account.id,
            directory=account.directory,
            url=account.url,
            contact=account.contact,
            key_name=account.key_name,
            created_at=to_microseconds(account.created_at),
        )

    def add_order(self, order: AcmeOrderRecord) -> None:
        """Add one."""
        self._transaction.require_writable(order.tenant)
        self._transaction.driver_change(_ADD_ORDER, **_values(order))

    def replace_order(self, order: AcmeOrderRecord) -> bool:
        """Replace the record with the same version: one statement compares and sets."""
        self._transaction.require_writable(order.tenant)
        return self._transaction.driver_change(_REPLACE_ORDER, version=order.version, **_values(order)) == 1

    def orders(self, order_ids: Collection[str]) -> dict[str, AcmeOrderRecord]:
        """Return those of these orders that are there, by id."""
        rows = (self._transaction.driver_row(_ORDER, of=one) for one in order_ids)
        return {found.order_id: found for found in map(_order, filter(None, rows))}

    def due(self, now: datetime) -> list[AcmeOrderRecord]:
        """Return those to try or to ask about, by id."""
        return [_order(row) for row in self._transaction.driver_rows(_DUE, now=to_microseconds(now))]

    def next_due(self, now: datetime) -> datetime | None:
        """Return the first time after `now` at which an order is due; None if there is none."""
        row = self._transaction.driver_row(_NEXT_DUE, now=to_microseconds(now))
        return None if row is None else from_optional_microseconds(row[0])

    def every_order(self) -> list[AcmeOrderRecord]:
        """Return all, by id."""
        return [_order(row) for row in self._transaction.driver_rows(_ORDERS)]

    def remove_order(self, order_id: str) -> None:
        """Remove an order and its challenges."""
        self.remove_challenges(order_id)
        self._transaction.driver_change(_REMOVE_ORDER, of=order_id)

    def save_challenge(self, challenge: AcmeChallengeRecord) -> None:
        """Insert or replace the challenge with this token."""
        self._transaction.require_writable(challenge.tenant)
        self._transaction.driver_change(
            _SAVE_CHALLENGE,
            token=challenge.token,
            order_id=challenge.order_id,
            host=challenge.host,
            kind=challenge.kind,
            authorization=challenge.authorization,
            ends_at=to_microseconds(challenge.ends_at),
        )

    def challenge(self, token: str) -> AcmeChallengeRecord | None:
        """Return the challenge with this token."""
        row = self._transaction.driver_row(_CHALLENGE, of=token)
        return None if row is None else _challenge(row)

    def challenges(self) -> list[AcmeChallengeRecord]:
        """Return all, by host and token."""
        return [_challenge(row) for row in self._transaction.driver_rows(_CHALLENGES)]

    def remove_challenges(self, order_id: str) -> int:
        """Remove the challenges of an order."""
        return self._transaction.driver_change(_REMOVE_CHALLENGES, of=order_id)

    def count_try(self, gateway_id: str, host: str, day: str) -> None:
        """Count one more try of a host by a gateway on a day, and forget earlier days."""
        self._transaction.driver_change(_FORGET_TRIES, day=day)
        self._transaction.driver_change(_COUNT_TRY, gateway=gateway_id, host=host, day=day)

    def tries(self, host: str, day: str) -> dict[str, int]:
        """Return how many tries were counted, by gateway."""
        return {
            gateway: int(count)
            for gateway, count in self._transaction.driver_rows(_TRIES, host=host, day=day)
        }

    def pauses(self) -> list[AcmePauseRecord]:
        """Return all, by directory."""
        return [
            AcmePauseRecord(
                directory=directory, tenant=tenant, failures=failures, until=from_microseconds(until)
            )
            for directory, tenant, failures, until in self._transaction.driver_rows(_PAUSES)
        ]

    def save_pause(self, pause: AcmePauseRecord) -> None:
        """Insert or replace the pause of a directory."""
        self._transaction.require_writable(pause.tenant)
        self._transaction.driver_change(
            _SAVE_PAUSE,
            directory=pause.directory,
            failures=pause.failures,
            until=to_microseconds(pause.until),
        )

    def remove_pause(self, directory: str) -> None:
        """Remove the pause of a directory."""
        self._transaction.driver_change(_REMOVE_PAUSE, directory=directory)


def _values(order: AcmeOrderRecord) -> dict[str, object]:
    return {
        "order_id": order.order_id,
        "directory": order.directory,
        "url": order.url,
        "failures": order.failures,
        "next_try_at": to_optional_microseconds(order.next_try_at),
        "leased_until": to_optional_microseconds(order.leased_until),
        "lease": order.lease or None,
        "failing_since": to_optional_microseconds(order.failing_since),
        "problem_code": order.problem_code,
        "problem": order.problem,
        "chain": order.chain,
        "ends_at": to_optional_microseconds(order.ends_at),
        "renew_at": to_optional_microseconds(order.renew_at),
        "ask_again_at": to_optional_microseconds(order.ask_again_at),
    }


def _order(row: DriverRow) -> AcmeOrderRecord:
    (
        order_id,
        tenant,
        directory,
        version,
        url,
        failures,
        next_try_at,
        leased_until,
        lease,
        failing_since,
        problem_code,
        problem,
        chain,
        ends_at,
        renew_at,
        ask_again_at,
    ) = row
    return AcmeOrderRecord(
        order_id=order_id,
        tenant=tenant,
        directory=directory,
        version=version,
        url=url,
        failures=failures,
        next_try_at=from_optional_microseconds(next_try_at),
        leased_until=from_optional_microseconds(leased_until),
        lease=lease or "",
        failing_since=from_optional_microseconds(failing_since),
        problem_code=problem_code,
        problem=problem,
        chain=bytes(chain),
        ends_at=from_optional_microseconds(ends_at),
        renew_at=from_optional_microseconds(renew_at),
        ask_again_at=from_optional_microseconds(ask_again_at),
    )


def _challenge(row: DriverRow) -> AcmeChallengeRecord:
    token, tenant, order_id, host, kind, authorization, ends_at = row
    return AcmeChallengeRecord(
        token=token,
        tenant=tenant,
        order_id=order_id,
        host=host,
        kind=kind,
        authorization=authorization,
        ends_at=from_microseconds(ends_at),
    )
