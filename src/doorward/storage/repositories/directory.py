"""The tenant, and its directory: persons, devices, services, groups.

Not here: which changes of state are allowed (`authority.directory`).
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import bindparam, delete, func, select, update

from doorward.authority.records import TenantRecord
from doorward.core.entities import Principal, PrincipalKind, PrincipalState
from doorward.core.errors import NotFound, RequestRefused
from doorward.storage.prepared import Prepared
from doorward.storage.schema import group_members, groups, principals, tenants
from doorward.storage.transaction import CURRENT_TENANT, AnyRow, Transaction, insert_new

_REMOVED = PrincipalState.REMOVED
_KINDS = {kind.value: kind for kind in PrincipalKind}
_STATES = {state.value: state for state in PrincipalState}

_TENANT = select(tenants).where(tenants.c.id == CURRENT_TENANT)
_ADD_TENANT = insert_new(tenants)

# One row for each group of the principal, one with a NULL group where it has none: a look-up of the
# hot path is one statement.
_PRINCIPALS = (
    select(
        principals.c.id,
        principals.c.tenant,
        principals.c.kind,
        principals.c.name,
        principals.c.state,
        principals.c.display_name,
        principals.c.partner_id,
        groups.c.name.label("group_name"),
    )
    .select_from(principals.outerjoin(group_members).outerjoin(groups))
    .where(principals.c.tenant == CURRENT_TENANT)
)
_BY_ID = Prepared(_PRINCIPALS.where(principals.c.id == bindparam("id")).order_by(groups.c.name))
_BY_NAME = _PRINCIPALS.where(principals.c.name == bindparam("name"), principals.c.state != _REMOVED).order_by(
    groups.c.name
)
_LIST = _PRINCIPALS.where(principals.c.state != _REMOVED).order_by(principals.c.name, groups.c.name)
_LIST_KIND = _LIST.where(principals.c.kind == bindparam("kind"))
_ADD = insert_new(principals)
_SET_STATE = (
    update(principals)
    .where(principals.c.tenant == CURRENT_TENANT, principals.c.id == bindparam("of"))
    .values(state=bindparam("state"))
)
_REMOVED_NAME = (
    select(principals.c.id)
    .where(
        principals.c.tenant == CURRENT_TENANT,
        principals.c.name == bindparam("name"),
        principals.c.partner_id == bindparam("of"),
        principals.c.state == _REMOVED,
    )
    .limit(1)
)
_REMOVE_PARTNER = (
    update(principals)
    .where(
        principals.c.tenant == CURRENT_TENANT,
        principals.c.partner_id == bindparam("of"),
        principals.c.state != _REMOVED,
    )
    .values(state=_REMOVED)
)
_EXISTS = select(principals.c.id).where(
    principals.c.tenant == CURRENT_TENANT, principals.c.id == bindparam("id")
)

_ADD_GROUP = insert_new(groups)
_GROUP = select(groups.c.id).where(groups.c.tenant == CURRENT_TENANT, groups.c.name == bindparam("name"))
_GROUPS = (
    select(groups.c.name, func.count(principals.c.id))
    .select_from(
        groups.outerjoin(group_members).outerjoin(
            principals, (principals.c.id == group_members.c.principal_id) & (principals.c.state != _REMOVED)
        )
    )
    .where(groups.c.tenant == CURRENT_TENANT)
    .group_by(groups.c.name)
    .order_by(groups.c.name)
)
_ADD_MEMBER = insert_new(group_members)
_REMOVE_MEMBER = delete(group_members).where(
    group_members.c.tenant == CURRENT_TENANT,
    group_members.c.principal_id == bindparam("member"),
    group_members.c.group_id == bindparam("of"),
)


class SqlTenants:
    """`authority.stores.TenantStore`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def get(self) -> TenantRecord | None:
        """Return the tenant."""
        row = self._transaction.row(_TENANT)
        if row is None:
            return None
        return TenantRecord(
            id=row.id, trust_domain=row.trust_domain, status_url=row.status_url, created_at=row.created_at
        )

    def add(self, tenant: TenantRecord) -> None:
        """Add it."""
        self._transaction.require_writable(tenant.id)
        row = {
            "id": tenant.id,
            "trust_domain": tenant.trust_domain,
            "status_url": tenant.status_url,
            "created_at": tenant.created_at,
        }
        added = self._transaction.write_many(_ADD_TENANT, [row])
        if not added:
            raise RequestRefused("tenant-exists", "this data directory has a tenant already")


class SqlDirectory:
    """`authority.stores.DirectoryStore`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def add(self, principal: Principal, created_at: datetime) -> None:
        """Add one, and put it into its groups."""
        self._transaction.require_writable(principal.tenant)
        added = self._transaction.add(
            _ADD,
            id=principal.id,
            kind=principal.kind,
            name=principal.name,
            state=principal.state,
            display_name=principal.display_name,
            partner_id=principal.partner,
            created_at=created_at,
        )
        if not added:
            raise RequestRefused("name-taken", f"the name {principal.name} is in use")
        for group in principal.groups:
            self.add_member(group, principal.id)

    def get(self, principal_id: str) -> Principal | None:
        """Return the principal with its groups."""
        rows = list(self._transaction.driver_rows(_BY_ID, id=principal_id))
        if not rows:
            return None
        _, tenant, kind, name, state, display_name, partner, _ = rows[0]
        return Principal(
            id=principal_id,
            tenant=tenant,
            kind=_KINDS[kind],
            name=name,
            state=_STATES[state],
            groups=tuple(row[-1] for row in rows if row[-1] is not None),
            display_name=display_name,
            partner=partner,
        )

    def by_name(self, name: str) -> Principal | None:
        """Return the principal of that name that is not removed."""
        return _first(self._transaction.rows(_BY_NAME, name=name))

    def list(self, kind: PrincipalKind | None = None) -> list[Principal]:
        """Return all that are not removed, sorted by name."""
        if kind is None:
            return _principals(self._transaction.rows(_LIST))
        return _principals(self._transaction.rows(_LIST_KIND, kind=kind))

    def set_state(self, principal_id: str, state: PrincipalState) -> None:
        """Set the state."""
        self._transaction.require_writable()
        known = self.get(principal_id)
        if known is not None and state is not _REMOVED:
            holder = self.by_name(known.name)
            if holder is not None and holder.id != principal_id:
                raise RequestRefused("name-taken", f"the name {known.name} is in use")
        if not self._transaction.write(_SET_STATE, of=principal_id, state=state):
            raise _unknown_principal()

    def knows_removed(self, name: str, partner_id: str) -> bool:
        """Return whether a principal of that name and that partner was removed."""
        return bool(self._transaction.rows(_REMOVED_NAME, name=name, of=partner_id))

    def remove_partner(self, partner_id: str) -> int:
        """Mark every principal of a partner as removed."""
        return self._transaction.write(_REMOVE_PARTNER, of=partner_id)

    def add_group(self, name: str, group_id: str, created_at: datetime) -> None:
        """Add a group."""
        if not self._transaction.add(_ADD_GROUP, id=group_id, name=name, created_at=created_at):
            raise RequestRefused("name-taken", f"the group {name} exists")

    def groups(self) -> Mapping[str, int]:
        """Return every group name with its number of members; removed principals do not count."""
        return {row[0]: row[1] for row in self._transaction.rows(_GROUPS)}

    def add_member(self, group: str, principal_id: str) -> bool:
        """Put a principal into a group."""
        group_id = self._known(group, principal_id)
        return self._transaction.add(_ADD_MEMBER, principal_id=principal_id, group_id=group_id) == 1

    def remove_member(self, group: str, principal_id: str) -> bool:
        """Take a principal out of a group."""
        group_id = self._known(group, principal_id)
        return self._transaction.write(_REMOVE_MEMBER, member=principal_id, of=group_id) == 1

    def _known(self, group: str, principal_id: str) -> str:
        self._transaction.require_writable()
        group_id: str | None = self._transaction.value(_GROUP, name=group)
        if group_id is None:
            raise NotFound("group-unknown", f"there is no group named {group}")
        if self._transaction.value(_EXISTS, id=principal_id) is None:
            raise _unknown_principal()
        return group_id


def _first(rows: Sequence[AnyRow]) -> Principal | None:
    found = _principals(rows)
    return found[0] if found else None


def _principals(rows: Sequence[AnyRow]) -> builtins.list[Principal]:
    """Fold the rows of one principal, which follow each other, into one value."""
    members: dict[str, tuple[AnyRow, list[str]]] = {}
    for row in rows:
        _, names = members.setdefault(row.id, (row, []))
        if row.group_name is not None:
            names.append(row.group_name)
    return [
        Principal(
            id=row.id,
            tenant=row.tenant,
            kind=row.kind,
            name=row.name,
            state=row.state,
            groups=tuple(names),
            display_name=row.display_name,
            partner=row.partner_id,
        )
        for row, names in members.values()
    ]


def _unknown_principal() -> NotFound:
    return NotFound("principal-unknown", "there is no such principal")
