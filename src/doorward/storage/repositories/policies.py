"""Applications, revisions of the policy document, and the change sequence.

Not here: the meaning of a document (`policy`), following the sequence (`gateway.following`).
"""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from datetime import datetime

from doorward.core.entities import Application
from doorward.core.errors import NotFound, RequestRefused
from doorward.storage.driver_statement import DriverRow, DriverStatement
from doorward.storage.transaction import Transaction
from doorward.storage.values import from_microseconds, from_word, to_microseconds
from doorward.stores.records import ChangeKind, ChangeRecord, RevisionRecord

_APPLICATIONS = DriverStatement(
    """SELECT id, tenant, name FROM applications
    WHERE tenant = :this_tenant AND removed_at IS NULL ORDER BY name"""
)
_ADD_APPLICATION = DriverStatement(
    """INSERT INTO applications (id, tenant, name, created_at, removed_at)
    VALUES (:id, :this_tenant, :name, :created_at, NULL) ON CONFLICT DO NOTHING"""
)
_REMOVE_APPLICATION = DriverStatement(
    """UPDATE applications SET removed_at = :removed_at
    WHERE tenant = :this_tenant AND id = :of AND removed_at IS NULL"""
)

_REVISIONS = """SELECT number, tenant, document, sha256, actor, created_at
    FROM revisions WHERE tenant = :this_tenant"""
_LATEST = DriverStatement(f"{_REVISIONS} ORDER BY number DESC LIMIT 1")
_REVISION = DriverStatement(f"{_REVISIONS} AND number = :number")
_HISTORY = DriverStatement(f"{_REVISIONS} ORDER BY number DESC LIMIT :at_most")
_HIGHEST = DriverStatement("SELECT coalesce(max(number), 0) FROM revisions WHERE tenant = :this_tenant")
_ADD_REVISION = DriverStatement(
    """INSERT INTO revisions (tenant, number, document, sha256, actor, created_at)
    VALUES (:this_tenant, :number, :document, :sha256, :actor, :created_at) ON CONFLICT DO NOTHING"""
)

# The row of the counter is locked until the commit, and rolled back with the transaction. So the numbers follow the
# order of the commits without gaps, which a database sequence does not guarantee.
_NEXT = DriverStatement(
    """INSERT INTO change_counters (tenant, value) VALUES (:this_tenant, :count)
    ON CONFLICT (tenant) DO UPDATE SET value = change_counters.value + :count RETURNING value"""
)
_HEAD = DriverStatement("SELECT value FROM change_counters WHERE tenant = :this_tenant")
_ADD_CHANGE = DriverStatement(
    """INSERT INTO changes (tenant, seq, kind, subject, at)
    VALUES (:this_tenant, :seq, :kind, :subject, :at)"""
)
_SINCE = DriverStatement(
    """SELECT seq, tenant, kind, subject, at FROM changes
    WHERE tenant = :this_tenant AND seq > :after ORDER BY seq LIMIT :at_most"""
)


class SqlApplications:
    """`stores.directory_protocols.ApplicationStore`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def list(self) -> list[Application]:
        """Return the applications that are not removed, sorted by name."""
        rows = self._transaction.driver_rows(_APPLICATIONS)
        return [Application(id=id_, tenant=tenant, name=name) for id_, tenant, name in rows]

    def add(self, application: Application, created_at: datetime) -> None:
        """Add an application; raise `RequestRefused` (`name-taken`) if the name is in use."""
        self._transaction.require_writable(application.tenant)
        added = self._transaction.driver_change(
            _ADD_APPLICATION,
            id=application.id,
            name=application.name,
            created_at=to_microseconds(created_at),
        )
        if not added:
            raise RequestRefused(
                "name-taken",
                f"there is an application named {application.name} already",
                hint="choose another name; `doorward app list` shows those in use",
            )

    def remove(self, application_id: str, removed_at: datetime) -> None:
        """Mark an application as removed; raise `NotFound` if there is none."""
        at = to_microseconds(removed_at)
        if not self._transaction.driver_change(_REMOVE_APPLICATION, of=application_id, removed_at=at):
            raise NotFound("application-unknown", f"there is no application with the id {application_id}")


class SqlRevisions:
    """`stores.protocols.RevisionStore`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def latest(self) -> RevisionRecord | None:
        """Return the newest revision."""
        return _revision(self._transaction.driver_row(_LATEST))

    def get(self, number: int) -> RevisionRecord | None:
        """Return that revision."""
        return _revision(self._transaction.driver_row(_REVISION, number=number))

    def list(self, limit: int = 50) -> builtins.list[RevisionRecord]:
        """Return the newest revisions, newest first."""
        return [_build(row) for row in self._transaction.driver_rows(_HISTORY, at_most=limit)]

    def add(self, revision: RevisionRecord) -> None:
        """Add the next revision; if two callers race, the primary key lets one succeed."""
        self._transaction.require_writable(revision.tenant)
        follows = revision.number == self._transaction.driver_value(_HIGHEST) + 1
        added = follows and self._transaction.driver_change(
            _ADD_REVISION,
            number=revision.number,
            document=revision.document,
            sha256=revision.sha256,
            actor=revision.actor,
            created_at=to_microseconds(revision.created_at),
        )
        if not added:
            raise RequestRefused(
                "revision-conflict",
                f"revision {revision.number} exists already: another change was applied meanwhile",
                hint="see the difference with `doorward diff`, then apply your change again",
            )


class SqlChanges:
    """`stores.protocols.ChangeStore`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def head(self) -> int:
        """Return the newest number; 0 before the first."""
        return int(self._transaction.driver_value(_HEAD) or 0)

    def note(self, kind: ChangeKind, subject: str, at: datetime) -> int:
        """Take the next number for this transaction's change."""
        return self.note_all(kind, [subject], at)[0]

    def note_all(self, kind: ChangeKind, subjects: Sequence[str], at: datetime) -> list[int]:
        """Take the next numbers for changes of this transaction, one for each subject."""
        self._transaction.require_writable()
        if not subjects:
            return []
        last = int(self._transaction.driver_value(_NEXT, count=len(subjects)))
        numbers = list(range(last - len(subjects) + 1, last + 1))
        row = {"this_tenant": self._transaction.tenant, "kind": kind.value, "at": to_microseconds(at)}
        self._transaction.driver_write(
            _ADD_CHANGE,
            [row | {"seq": seq, "subject": one} for seq, one in zip(numbers, subjects, strict=True)],
        )
        self._transaction.sequence_moved = True
        return numbers

    def since(self, seq: int, limit: int = 1000) -> list[ChangeRecord]:
        """Return the changes after `seq`, oldest first."""
        return [
            ChangeRecord(
                seq=number,
                tenant=tenant,
                kind=from_word(ChangeKind, kind),
                subject=subject,
                at=from_microseconds(at),
            )
            for number, tenant, kind, subject, at in self._transaction.driver_rows(
                _SINCE, after=seq, at_most=limit
            )
        ]


def _revision(row: DriverRow | None) -> RevisionRecord | None:
    return None if row is None else _build(row)


def _build(row: DriverRow) -> RevisionRecord:
    number, tenant, document, sha256, actor, created_at = row
    return RevisionRecord(
        number=number,
        tenant=tenant,
        document=document,
        sha256=sha256,
        actor=actor,
        created_at=from_microseconds(created_at),
    )
