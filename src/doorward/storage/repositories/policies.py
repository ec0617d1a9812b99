"""Applications, revisions of the policy document, and the change sequence.

Not here: what a revision means (`policy`), who follows the sequence (gateways).
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import bindparam, func, insert, select, update

from doorward.authority.records import ChangeKind, ChangeRecord, RevisionRecord
from doorward.core.entities import Application
from doorward.core.errors import NotFound, RequestRefused
from doorward.storage.schema import applications, change_counters, changes, revisions
from doorward.storage.transaction import CURRENT_TENANT, AnyRow, Transaction, insert_new, insert_or_replace

_APPLICATIONS = (
    select(applications)
    .where(applications.c.tenant == CURRENT_TENANT, applications.c.removed_at.is_(None))
    .order_by(applications.c.name)
)
_ADD_APPLICATION = insert_new(applications)
_REMOVE_APPLICATION = (
    update(applications)
    .where(
        applications.c.tenant == CURRENT_TENANT,
        applications.c.id == bindparam("of"),
        applications.c.removed_at.is_(None),
    )
    .values(removed_at=bindparam("removed_at"))
)

_REVISIONS = select(revisions).where(revisions.c.tenant == CURRENT_TENANT)
_LATEST = _REVISIONS.order_by(revisions.c.number.desc()).limit(1)
_REVISION = _REVISIONS.where(revisions.c.number == bindparam("number"))
_HIGHEST = select(func.coalesce(func.max(revisions.c.number), 0)).where(revisions.c.tenant == CURRENT_TENANT)
_ADD_REVISION = insert_new(revisions)

# The counter's row is locked from here to the commit, and undone with it: so numbers follow the order
# of the commits and have no holes, which a database sequence does not promise.
_NEXT = insert_or_replace(change_counters, ["tenant"], set_={"value": change_counters.c.value + 1}).returning(
    change_counters.c.value
)
_HEAD = select(change_counters.c.value).where(change_counters.c.tenant == CURRENT_TENANT)
_ADD_CHANGE = insert(changes)
_SINCE = (
    select(changes)
    .where(changes.c.tenant == CURRENT_TENANT, changes.c.seq > bindparam("after"))
    .order_by(changes.c.seq)
    .limit(bindparam("at_most"))
)


class SqlApplications:
    """`authority.stores.ApplicationStore`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def list(self) -> list[Application]:
        """Return the applications that are not removed, sorted by name."""
        rows = self._transaction.rows(_APPLICATIONS)
        return [Application(id=row.id, tenant=row.tenant, name=row.name) for row in rows]

    def add(self, application: Application, created_at: datetime) -> None:
        """Add one; raise `RequestRefused` (`name-taken`) where the name is in use."""
        self._transaction.require_writable(application.tenant)
        added = self._transaction.add(
            _ADD_APPLICATION,
            id=application.id,
            name=application.name,
            created_at=created_at,
            removed_at=None,
        )
        if not added:
            raise RequestRefused("name-taken", f"the application {application.name} exists")

    def remove(self, application_id: str, removed_at: datetime) -> None:
        """Mark one as removed; raise `NotFound` where it is not there."""
        if not self._transaction.write(_REMOVE_APPLICATION, of=application_id, removed_at=removed_at):
            raise NotFound("application-unknown", "there is no such application")


class SqlRevisions:
    """`authority.stores.RevisionStore`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def latest(self) -> RevisionRecord | None:
        """Return the newest revision."""
        return _revision(self._transaction.row(_LATEST))

    def get(self, number: int) -> RevisionRecord | None:
        """Return that revision."""
        return _revision(self._transaction.row(_REVISION, number=number))

    def add(self, revision: RevisionRecord) -> None:
        """Add the next one; the primary key settles a race."""
        self._transaction.require_writable(revision.tenant)
        follows = revision.number == self._transaction.value(_HIGHEST) + 1
        added = follows and self._transaction.add(
            _ADD_REVISION,
            number=revision.number,
            document=revision.document,
            sha256=revision.sha256,
            actor=revision.actor,
            created_at=revision.created_at,
        )
        if not added:
            raise RequestRefused(
                "revision-conflict",
                "someone else made a revision meanwhile",
                hint="look at the difference with `doorward diff`, then apply again",
            )


class SqlChanges:
    """`authority.stores.ChangeStore`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def head(self) -> int:
        """Return the newest number; 0 before the first."""
        return int(self._transaction.value(_HEAD) or 0)

    def note(self, kind: ChangeKind, subject: str, at: datetime) -> int:
        """Take the next number for this transaction's change."""
        self._transaction.require_writable()
        seq = int(self._transaction.add_returning(_NEXT, value=1))
        self._transaction.add(_ADD_CHANGE, seq=seq, kind=kind, subject=subject, at=at)
        self._transaction.moved = True
        return seq

    def since(self, seq: int, limit: int = 1000) -> list[ChangeRecord]:
        """Return the changes after `seq`, oldest first."""
        rows = self._transaction.rows(_SINCE, after=seq, at_most=limit)
        return [
            ChangeRecord(seq=row.seq, tenant=row.tenant, kind=row.kind, subject=row.subject, at=row.at)
            for row in rows
        ]


def _revision(row: AnyRow | None) -> RevisionRecord | None:
    if row is None:
        return None
    return RevisionRecord(
        number=row.number,
        tenant=row.tenant,
        document=row.document,
        sha256=row.sha256,
        actor=row.actor,
        created_at=row.created_at,
    )
