"""Sessions of the portal and of applications, and the epochs that invalidate their tokens.

Not here: opening and ending a session (`directory.sessions`), step-ups (`step_ups`), keys (`session_keys`).
"""
# ruff: noqa: S608 - the statements are put together from constants of this package

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from doorward.core.errors import IntegrityError
from doorward.core.factor_kinds import FactorKind
from doorward.storage.driver_statement import DriverRow, DriverStatement
from doorward.storage.repositories.factors import OF_PARTNER
from doorward.storage.transaction import Transaction
from doorward.storage.values import (
    from_microseconds,
    from_moments,
    from_optional_microseconds,
    to_microseconds,
    to_moments,
    to_optional_microseconds,
)
from doorward.stores.factor_records import SessionRecord

_COLUMNS = """id, tenant, principal_id, certificate_id, certificate_sha256, application_id, token_sha256, source,
        client, factors, created_at, seen_at, ends_at, ended_at"""
_SESSIONS = f"SELECT {_COLUMNS} FROM sessions WHERE tenant = :this_tenant"
_ADD = DriverStatement(
    f"""INSERT INTO sessions ({_COLUMNS})
    VALUES (:id, :this_tenant, :principal_id, :certificate_id, :certificate_sha256, :application_id, :token_sha256,
        :source, :client, :factors, :created_at, :seen_at, :ends_at, :ended_at)
    ON CONFLICT DO NOTHING"""
)
_BY_ID = DriverStatement(f"{_SESSIONS} AND id = :of")
_BY_TOKEN = DriverStatement(f"{_SESSIONS} AND token_sha256 = :token AND token_sha256 <> ''")
_IS_OPEN = "ended_at IS NULL AND ends_at > :at"
_OPEN_AT = DriverStatement(f"{_SESSIONS} AND {_IS_OPEN} ORDER BY created_at, id")
_OPEN_OF = DriverStatement(
    f"{_SESSIONS} AND {_IS_OPEN} AND principal_id = :principal_id ORDER BY created_at, id"
)
_BEGUN = DriverStatement(  # `ends_at` is in the index, and no session ends before it begins
    f"""{_SESSIONS} AND principal_id = :principal_id AND ends_at >= :since AND created_at >= :since
    ORDER BY created_at DESC, id DESC LIMIT :most"""
)
_TOUCH = DriverStatement(
    """UPDATE sessions SET seen_at = :seen_at, factors = :factors
    WHERE tenant = :this_tenant AND id = :of AND ended_at IS NULL"""
)
_END = f"UPDATE sessions SET ended_at = :at WHERE tenant = :this_tenant AND {_IS_OPEN}"
_END_ONE = DriverStatement(f"{_END} AND id = :of")
_END_ALL = DriverStatement(f"{_END} AND principal_id = :principal_id")
_END_PAIR = DriverStatement(f"{_END} AND principal_id = :principal_id AND application_id = :application_id")
_END_CERTIFICATE = DriverStatement(f"{_END} AND certificate_id = :certificate_id")
_END_PARTNER = DriverStatement(f"{_END} AND {OF_PARTNER}")
_END_EVERY = DriverStatement(_END)
_LATEST_END = DriverStatement(
    f"""SELECT max(ends_at) FROM sessions WHERE tenant = :this_tenant AND certificate_id = :certificate_id
    AND application_id = :application_id AND {_IS_OPEN}"""
)
_PRUNE = DriverStatement("DELETE FROM sessions WHERE tenant = :this_tenant AND ends_at < :before")

_COUNTER = """coalesce((SELECT counter FROM session_epochs WHERE tenant = :this_tenant
        AND principal_id = {} AND application_id = {}), 0)"""
_EPOCH = DriverStatement(
    f"""SELECT {_COUNTER.format("''", "''")}, {_COUNTER.format(":principal_id", "''")},
        {_COUNTER.format(":principal_id", ":application_id")}"""
)
_RAISE = DriverStatement(
    """INSERT INTO session_epochs (tenant, principal_id, application_id, counter)
    VALUES (:this_tenant, :principal_id, :application_id, 1)
    ON CONFLICT (tenant, principal_id, application_id) DO UPDATE SET counter = session_epochs.counter + 1"""
)
_RAISE_ALL = DriverStatement(
    """INSERT INTO session_epochs (tenant, principal_id, application_id, counter)
    VALUES (:this_tenant, '', '', :least)
    ON CONFLICT (tenant, principal_id, application_id) DO UPDATE SET counter = CASE
        WHEN session_epochs.counter < excluded.counter THEN excluded.counter ELSE session_epochs.counter + 1 END"""
)


class SqlSessions:
    """`stores.factor_protocols.SessionStore`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def add(self, session: SessionRecord) -> None:
        """Add a session."""
        self._transaction.require_writable(session.tenant)
        added = self._transaction.driver_change(
            _ADD,
            id=session.id,
            principal_id=session.principal_id,
            certificate_id=session.certificate_id,
            certificate_sha256=session.certificate_sha256,
            application_id=session.application_id,
            token_sha256=session.token_sha256,
            source=session.source,
            client=session.client,
            factors=to_moments(session.factors),
            created_at=to_microseconds(session.created_at),
            seen_at=to_microseconds(session.seen_at),
            ends_at=to_microseconds(session.ends_at),
            ended_at=to_optional_microseconds(session.ended_at),
        )
        if not added:
            raise IntegrityError("session-duplicate", f"there is a session with the id {session.id} already")

    def get(self, session_id: str) -> SessionRecord | None:
        """Return the session."""
        row = self._transaction.driver_row(_BY_ID, of=session_id)
        return None if row is None else _session(row)

    def by_token(self, token_sha256: str) -> SessionRecord | None:
        """Return the portal's session of that token."""
        row = self._transaction.driver_row(_BY_TOKEN, token=token_sha256)
        return None if row is None else _session(row)

    def open_at(self, now: datetime, principal_id: str | None = None) -> list[SessionRecord]:
        """Return the open ones, oldest first."""
        at = to_microseconds(now)
        if principal_id is None:
            rows = self._transaction.driver_rows(_OPEN_AT, at=at)
        else:
            rows = self._transaction.driver_rows(_OPEN_OF, at=at, principal_id=principal_id)
        return [_session(row) for row in rows]

    def begun_since(self, principal_id: str, since: datetime, *, most: int) -> list[SessionRecord]:
        """Return the newest sessions of a principal, including ended ones."""
        rows = self._transaction.driver_rows(
            _BEGUN, principal_id=principal_id, since=to_microseconds(since), most=most
        )
        return [_session(row) for row in rows]

    def touch(self, session_id: str, *, seen_at: datetime, factors: Mapping[FactorKind, datetime]) -> bool:
        """Set the time of the last use, and the factors."""
        changed = self._transaction.driver_change(
            _TOUCH, of=session_id, seen_at=to_microseconds(seen_at), factors=to_moments(factors)
        )
        return changed == 1

    def end(self, session_id: str, at: datetime) -> bool:
        """End the session: compare and set."""
        return self._transaction.driver_change(_END_ONE, of=session_id, at=to_microseconds(at)) == 1

    def end_all(self, principal_id: str, at: datetime, application_id: str | None = None) -> int:
        """End the open sessions of a principal."""
        values = {"principal_id": principal_id, "at": to_microseconds(at)}
        if application_id is None:
            return self._transaction.driver_change(_END_ALL, **values)
        return self._transaction.driver_change(_END_PAIR, application_id=application_id, **values)

    def end_certificate(self, certificate_id: str, at: datetime) -> int:
        """End the open sessions of a certificate."""
        return self._transaction.driver_change(
            _END_CERTIFICATE, certificate_id=certificate_id, at=to_microseconds(at)
        )

    def end_partner(self, partner_id: str, at: datetime) -> int:
        """End the open sessions of every principal of a partner."""
        return self._transaction.driver_change(_END_PARTNER, partner_id=partner_id, at=to_microseconds(at))

    def end_every(self, at: datetime) -> int:
        """End every open session."""
        return self._transaction.driver_change(_END_EVERY, at=to_microseconds(at))

    def latest_end(self, certificate_id: str, application_id: str, now: datetime) -> datetime | None:
        """Return the latest end of the open sessions of a certificate at an application."""
        found: int | None = self._transaction.driver_value(
            _LATEST_END, certificate_id=certificate_id, application_id=application_id, at=to_microseconds(now)
        )
        return from_optional_microseconds(found)

    def prune(self, before: datetime) -> int:
        """Remove sessions that ended before that time."""
        return self._transaction.driver_change(_PRUNE, before=to_microseconds(before))


class SqlEpochs:
    """`stores.factor_protocols.EpochStore`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def of(self, principal_id: str, application_id: str) -> str:
        """Return the three counters as one text."""
        row = self._transaction.driver_row(_EPOCH, principal_id=principal_id, application_id=application_id)
        return ".".join(str(counter) for counter in row or (0, 0, 0))

    def raise_for(self, principal_id: str = "", application_id: str = "") -> None:
        """Raise one counter."""
        if application_id and not principal_id:
            raise ValueError("the epoch of an application is kept for each principal")
        self._transaction.driver_change(_RAISE, principal_id=principal_id, application_id=application_id)

    def raise_all(self, at: datetime) -> None:
        """Raise the counter of all to at least this moment."""
        self._transaction.driver_change(_RAISE_ALL, least=to_microseconds(at))


def _session(row: DriverRow) -> SessionRecord:
    (
        id_,
        tenant,
        principal_id,
        certificate_id,
        certificate_sha256,
        application_id,
        token_sha256,
        source,
        *rest,
    ) = row
    client, factors, created_at, seen_at, ends_at, ended_at = rest
    return SessionRecord(
        id=id_,
        tenant=tenant,
        principal_id=principal_id,
        certificate_id=certificate_id,
        certificate_sha256=certificate_sha256,
        application_id=application_id,
        token_sha256=token_sha256,
        source=source,
        client=client,
        factors=from_moments(FactorKind, factors),
        created_at=from_microseconds(created_at),
        seen_at=from_microseconds(seen_at),
        ends_at=from_microseconds(ends_at),
        ended_at=from_optional_microseconds(ended_at),
    )
