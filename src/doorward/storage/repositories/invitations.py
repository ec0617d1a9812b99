"""One-time invitations that lead to certificates.

Not here: the use cases (`directory.invitations`).
"""

from __future__ import annotations

from datetime import datetime

from doorward.core.errors import IntegrityError
from doorward.storage.driver_statement import DriverRow, DriverStatement
from doorward.storage.transaction import Transaction
from doorward.storage.values import (
    from_microseconds,
    from_optional_microseconds,
    to_microseconds,
    to_optional_microseconds,
)
from doorward.stores.records import InvitationRecord

_ALL = """SELECT id, tenant, principal_id, token_sha256, created_at, expires_at, used_at, certificate_id, voided_at,
    made_from FROM invitations WHERE tenant = :this_tenant"""
_IS_OPEN = "used_at IS NULL AND voided_at IS NULL"
_ADD = DriverStatement(
    """INSERT INTO invitations (id, tenant, principal_id, token_sha256, created_at, expires_at, used_at,
        certificate_id, voided_at, made_from)
    VALUES (:id, :this_tenant, :principal_id, :token_sha256, :created_at, :expires_at, :used_at,
        :certificate_id, :voided_at, :made_from)
    ON CONFLICT DO NOTHING"""
)
_BY_TOKEN = DriverStatement(f"{_ALL} AND token_sha256 = :token")
_BY_ID = DriverStatement(f"{_ALL} AND id = :of")
_OPEN_AT = DriverStatement(f"{_ALL} AND {_IS_OPEN} AND expires_at > :now ORDER BY created_at, id")
# The end is in an expression, so that SQLite does not read the open ones of all principals.
_OPEN_OF = DriverStatement(
    f"{_ALL} AND {_IS_OPEN} AND expires_at + 0 > :now AND principal_id = :principal_id ORDER BY created_at, id"
)
_UNUSED_SINCE = DriverStatement(
    f"{_ALL} AND used_at IS NULL AND created_at >= :since AND principal_id = :principal_id ORDER BY created_at, id"
)
_REDEEM = DriverStatement(
    """UPDATE invitations SET used_at = :at, certificate_id = :certificate_id
    WHERE tenant = :this_tenant AND id = :of AND used_at IS NULL AND voided_at IS NULL AND expires_at > :at"""
)
_VOID = DriverStatement(
    """UPDATE invitations SET voided_at = :at
    WHERE tenant = :this_tenant AND id = :of AND used_at IS NULL AND voided_at IS NULL"""
)


class SqlInvitations:
    """`stores.directory_protocols.InvitationStore`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def add(self, invitation: InvitationRecord) -> None:
        """Add an invitation."""
        self._transaction.require_writable(invitation.tenant)
        added = self._transaction.driver_change(
            _ADD,
            id=invitation.id,
            principal_id=invitation.principal_id,
            token_sha256=invitation.token_sha256,
            created_at=to_microseconds(invitation.created_at),
            expires_at=to_microseconds(invitation.expires_at),
            used_at=to_optional_microseconds(invitation.used_at),
            certificate_id=invitation.certificate_id,
            voided_at=to_optional_microseconds(invitation.voided_at),
            made_from=invitation.made_from,
        )
        if not added:
            raise IntegrityError("invitation-duplicate", "this invitation token was issued before")

    def by_token(self, token_sha256: str) -> InvitationRecord | None:
        """Return the invitation of that token."""
        row = self._transaction.driver_row(_BY_TOKEN, token=token_sha256)
        return None if row is None else _invitation(row)

    def get(self, invitation_id: str) -> InvitationRecord | None:
        """Return the invitation."""
        row = self._transaction.driver_row(_BY_ID, of=invitation_id)
        return None if row is None else _invitation(row)

    def open_at(self, now: datetime, principal_id: str | None = None) -> list[InvitationRecord]:
        """Return those that are neither used, voided nor expired, of one principal or all, oldest first."""
        at = to_microseconds(now)
        if principal_id is None:
            rows = self._transaction.driver_rows(_OPEN_AT, now=at)
        else:
            rows = self._transaction.driver_rows(_OPEN_OF, now=at, principal_id=principal_id)
        return [_invitation(row) for row in rows]

    def unused_since(self, principal_id: str, since: datetime) -> list[InvitationRecord]:
        """Return those of a principal that were made since then and never used, oldest first."""
        rows = self._transaction.driver_rows(
            _UNUSED_SINCE, principal_id=principal_id, since=to_microseconds(since)
        )
        return [_invitation(row) for row in rows]

    def void(self, invitation_id: str, voided_at: datetime) -> bool:
        """Withdraw an invitation that was neither used nor voided: compare and set, as `redeem`."""
        return self._transaction.driver_change(_VOID, of=invitation_id, at=to_microseconds(voided_at)) == 1

    def redeem(self, invitation_id: str, certificate_id: str, used_at: datetime) -> bool:
        """Mark an open invitation as used for that certificate: one statement compares and sets, so only one caller succeeds."""
        changed = self._transaction.driver_change(
            _REDEEM, of=invitation_id, certificate_id=certificate_id, at=to_microseconds(used_at)
        )
        return changed == 1


def _invitation(row: DriverRow) -> InvitationRecord:
    (
        id_,
        tenant,
        principal_id,
        token_sha256,
        created_at,
        expires_at,
        used_at,
        certificate_id,
        voided_at,
        made_from,
    ) = row
    return InvitationRecord(
        id=id_,
        tenant=tenant,
        principal_id=principal_id,
        token_sha256=token_sha256,
        created_at=from_microseconds(created_at),
        expires_at=from_microseconds(expires_at),
        used_at=from_optional_microseconds(used_at),
        certificate_id=certificate_id,
        voided_at=from_optional_microseconds(voided_at),
        made_from=made_from,
    )
