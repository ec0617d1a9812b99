"""Step-ups in progress, and the one-use codes that they produce.

Not here: beginning a step-up, and exchanging a code for a session (`directory.sessions`).
"""
# ruff: noqa: S608 - the statements are put together from constants of this package

from __future__ import annotations

from datetime import datetime

from doorward.core.errors import IntegrityError
from doorward.core.factor_kinds import FactorKind
from doorward.storage.driver_statement import DriverRow, DriverStatement
from doorward.storage.transaction import Transaction
from doorward.storage.values import from_microseconds, from_moments, to_microseconds, to_moments
from doorward.stores.factor_protocols import MAX_STEP_UPS
from doorward.stores.factor_records import SessionCodeRecord, StepUpRecord

_COLUMNS = """id, tenant, principal_id, certificate_sha256, application_id, host, request, return_path, created_at,
        expires_at"""
_ADD = DriverStatement(
    f"""INSERT INTO step_ups ({_COLUMNS})
    VALUES (:id, :this_tenant, :principal_id, :certificate_sha256, :application_id, :host, :request, :return_path,
        :created_at, :expires_at)"""
)
_MAKE_ROOM = DriverStatement(
    f"""DELETE FROM step_ups WHERE tenant = :this_tenant AND certificate_sha256 = :certificate_sha256
    AND id NOT IN (
        SELECT id FROM step_ups WHERE tenant = :this_tenant AND certificate_sha256 = :certificate_sha256
        ORDER BY created_at DESC, id DESC LIMIT {MAX_STEP_UPS})"""
)
_BY_ID = DriverStatement(f"SELECT {_COLUMNS} FROM step_ups WHERE tenant = :this_tenant AND id = :of")
_REMOVE = DriverStatement("DELETE FROM step_ups WHERE tenant = :this_tenant AND id = :of")
_REMOVE_ALL = DriverStatement(
    "DELETE FROM step_ups WHERE tenant = :this_tenant AND principal_id = :principal_id"
)
_PRUNE = DriverStatement("DELETE FROM step_ups WHERE tenant = :this_tenant AND expires_at < :before")

_CODE_COLUMNS = """code_sha256, tenant, session_id, principal_id, certificate_sha256, application_id, host, request,
        return_path, factors, created_at, expires_at"""
_ADD_CODE = DriverStatement(
    f"""INSERT INTO session_codes ({_CODE_COLUMNS})
    VALUES (:code_sha256, :this_tenant, :session_id, :principal_id, :certificate_sha256, :application_id, :host,
        :request, :return_path, :factors, :created_at, :expires_at)
    ON CONFLICT DO NOTHING"""
)
_TAKE_CODE = DriverStatement(
    f"DELETE FROM session_codes WHERE tenant = :this_tenant AND code_sha256 = :code RETURNING {_CODE_COLUMNS}"
)
_REMOVE_CODES = DriverStatement(
    "DELETE FROM session_codes WHERE tenant = :this_tenant AND principal_id = :principal_id"
)
_PRUNE_CODES = DriverStatement(
    "DELETE FROM session_codes WHERE tenant = :this_tenant AND expires_at < :before"
)


class SqlStepUps:
    """`stores.factor_protocols.StepUpStore`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def add(self, step_up: StepUpRecord) -> None:
        """Add a step-up; if the certificate has too many, remove its oldest."""
        self._transaction.require_writable(step_up.tenant)
        self._transaction.driver_change(
            _ADD,
            id=step_up.id,
            principal_id=step_up.principal_id,
            certificate_sha256=step_up.certificate_sha256,
            application_id=step_up.application_id,
            host=step_up.host,
            request=step_up.request,
            return_path=step_up.return_path,
            created_at=to_microseconds(step_up.created_at),
            expires_at=to_microseconds(step_up.expires_at),
        )
        self._transaction.driver_change(_MAKE_ROOM, certificate_sha256=step_up.certificate_sha256)

    def get(self, step_up_id: str) -> StepUpRecord | None:
        """Return the step-up."""
        row = self._transaction.driver_row(_BY_ID, of=step_up_id)
        return None if row is None else _step_up(row)

    def remove(self, step_up_id: str) -> bool:
        """Remove a step-up; True for exactly one caller."""
        return self._transaction.driver_change(_REMOVE, of=step_up_id) == 1

    def remove_all(self, principal_id: str) -> int:
        """Remove all of a principal."""
        return self._transaction.driver_change(_REMOVE_ALL, principal_id=principal_id)

    def prune(self, before: datetime) -> int:
        """Remove those that expired before that time."""
        return self._transaction.driver_change(_PRUNE, before=to_microseconds(before))


class SqlSessionCodes:
    """`stores.factor_protocols.SessionCodeStore`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def add(self, code: SessionCodeRecord) -> None:
        """Add a code."""
        self._transaction.require_writable(code.tenant)
        added = self._transaction.driver_change(
            _ADD_CODE,
            code_sha256=code.code_sha256,
            session_id=code.session_id,
            principal_id=code.principal_id,
            certificate_sha256=code.certificate_sha256,
            application_id=code.application_id,
            host=code.host,
            request=code.request,
            return_path=code.return_path,
            factors=to_moments(code.factors),
            created_at=to_microseconds(code.created_at),
            expires_at=to_microseconds(code.expires_at),
        )
        if not added:
            raise IntegrityError("session-code-duplicate", "this session code was issued before")

    def take(self, code_sha256: str) -> SessionCodeRecord | None:
        """Remove the code and return it: one statement, so only one caller gets it."""
        self._transaction.require_writable()
        row = self._transaction.driver_row(_TAKE_CODE, code=code_sha256)
        return None if row is None else _code(row)

    def remove_all(self, principal_id: str) -> int:
        """Remove all of a principal."""
        return self._transaction.driver_change(_REMOVE_CODES, principal_id=principal_id)

    def prune(self, before: datetime) -> int:
        """Remove those that expired before that time."""
        return self._transaction.driver_change(_PRUNE_CODES, before=to_microseconds(before))


def _step_up(row: DriverRow) -> StepUpRecord:
    id_, tenant, principal_id, certificate_sha256, application_id, host, request, return_path, *moments = row
    created_at, expires_at = map(from_microseconds, moments)
    return StepUpRecord(
        id=id_,
        tenant=tenant,
        principal_id=principal_id,
        certificate_sha256=certificate_sha256,
        application_id=application_id,
        host=host,
        request=request,
        return_path=return_path,
        created_at=created_at,
        expires_at=expires_at,
    )


def _code(row: DriverRow) -> SessionCodeRecord:
    code_sha256, tenant, session_id, principal_id, certificate_sha256, application_id, *rest = row
    host, request, return_path, factors, created_at, expires_at = rest
    return SessionCodeRecord(
        code_sha256=code_sha256,
        tenant=tenant,
        session_id=session_id,
        principal_id=principal_id,
        certificate_sha256=certificate_sha256,
        application_id=application_id,
        host=host,
        request=request,
        return_path=return_path,
        factors=from_moments(FactorKind, factors),
        created_at=from_microseconds(created_at),
        expires_at=from_microseconds(expires_at),
    )
