"""The tenant, and its directory: persons, devices, services, groups.

Not here: which changes of state are allowed (`directory.principals`).
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache

from doorward.core.entities import Principal, PrincipalKind, PrincipalState
from doorward.core.errors import NotFound, RequestRefused
from doorward.storage.driver_statement import DriverRow, DriverStatement, ListStatement
from doorward.storage.transaction import Transaction
from doorward.storage.values import from_microseconds, from_word, to_microseconds
from doorward.stores.group_graph import GroupGraph
from doorward.stores.records import TenantRecord

_REMOVED = PrincipalState.REMOVED
_KINDS = {kind.value: kind for kind in PrincipalKind}
_STATES = {state.value: state for state in PrincipalState}

_TENANT = DriverStatement(
    "SELECT id, trust_domain, status_url, created_at FROM tenants WHERE id = :this_tenant"
)
_ADD_TENANT = DriverStatement(
    """INSERT INTO tenants (id, trust_domain, status_url, created_at)
    VALUES (:id, :trust_domain, :status_url, :created_at) ON CONFLICT DO NOTHING"""
)

# One row for each direct group of the principal, with whether that group lies in another; a row with a NULL group if the
# principal has none. So a look-up of the hot path is one statement, unless groups lie in groups.
_FROM_PRINCIPALS = """SELECT p.id, p.tenant, p.kind, p.name, p.state, p.display_name, p.partner_id, g.name,
        EXISTS (SELECT 1 FROM group_nestings AS n WHERE n.inner_id = m.group_id)
    FROM principals AS p
    LEFT JOIN group_members AS m ON m.principal_id = p.id
    LEFT JOIN groups AS g ON g.id = m.group_id"""
_PRINCIPALS = f"{_FROM_PRINCIPALS} WHERE p.tenant = :this_tenant"
_INSIDE = """WITH RECURSIVE inside (group_id) AS (
        SELECT id FROM groups WHERE tenant = :this_tenant AND name = :group_name
        UNION
        SELECT n.inner_id FROM inside AS i JOIN group_nestings AS n ON n.outer_id = i.group_id
    )"""
_IN_GROUP = """AND p.id IN (SELECT i.principal_id FROM group_members AS i
    WHERE i.group_id IN (SELECT group_id FROM inside))"""
_BY_ID = DriverStatement(f"{_PRINCIPALS} AND p.id = :id ORDER BY g.name")
# The tenant is in an expression, so that SQLite reads these principals by id instead of all in the order of names.
_BY_IDS = ListStatement(
    f"{_FROM_PRINCIPALS} WHERE p.tenant || '' = :this_tenant AND p.id IN ({{listed}}) ORDER BY g.name"
)
_BY_NAME = DriverStatement(f"{_PRINCIPALS} AND p.name = :name AND p.state <> 'removed' ORDER BY g.name")
_LIST = DriverStatement(f"{_PRINCIPALS} AND p.state <> 'removed' ORDER BY p.name, g.name")
_LIST_KIND = DriverStatement(
    f"{_PRINCIPALS} AND p.state <> 'removed' AND p.kind = :kind ORDER BY p.name, g.name"
)
# The tenant is in an expression, so that SQLite reads the members by id instead of all principals in the order of names.
_MEMBERS = DriverStatement(
    f"""{_INSIDE} {_FROM_PRINCIPALS} WHERE p.tenant || '' = :this_tenant AND p.state <> 'removed' {_IN_GROUP}
    ORDER BY p.name, g.name"""
)
_ADD = DriverStatement(
    """INSERT INTO principals (id, tenant, kind, name, state, display_name, partner_id, created_at)
    VALUES (:id, :this_tenant, :kind, :name, :state, :display_name, :partner_id, :created_at)
    ON CONFLICT DO NOTHING"""
)
_SET_STATE = DriverStatement("UPDATE principals SET state = :state WHERE tenant = :this_tenant AND id = :of")
_SET_DISPLAY_NAME = DriverStatement(
    "UPDATE principals SET display_name = :text WHERE tenant = :this_tenant AND id = :of"
)
_REMOVE_MEMBERS = DriverStatement("DELETE FROM group_members WHERE tenant = :this_tenant AND group_id = :of")
_REMOVE_NESTINGS = DriverStatement(
    "DELETE FROM group_nestings WHERE tenant = :this_tenant AND (inner_id = :of OR outer_id = :of)"
)
_REMOVE_GROUP = DriverStatement("DELETE FROM groups WHERE tenant = :this_tenant AND id = :of")
_REMOVED_NAME = DriverStatement(
    """SELECT id FROM principals
    WHERE tenant = :this_tenant AND name = :name AND partner_id = :of AND state = 'removed' LIMIT 1"""
)
_REMOVE_PARTNER = DriverStatement(
    """UPDATE principals SET state = 'removed'
    WHERE tenant = :this_tenant AND partner_id = :of AND partner_id <> '' AND state <> 'removed'"""
)
_EXISTS = DriverStatement("SELECT id FROM principals WHERE tenant = :this_tenant AND id = :id")

_ADD_GROUP = DriverStatement(
    """INSERT INTO groups (id, tenant, name, created_at) VALUES (:id, :this_tenant, :name, :created_at)
    ON CONFLICT DO NOTHING"""
)
_GROUP = DriverStatement("SELECT id FROM groups WHERE tenant = :this_tenant AND name = :name")
# not count(p.id): PostgreSQL would prefer a count(text) that another user has made (docs/design/0063)
_GROUPS = DriverStatement(
    """SELECT g.name, count(*) FILTER (WHERE p.id IS NOT NULL) FROM groups AS g
    LEFT JOIN group_members AS m ON m.group_id = g.id
    LEFT JOIN principals AS p ON p.id = m.principal_id AND p.state <> 'removed'
    WHERE g.tenant = :this_tenant GROUP BY g.name ORDER BY g.name"""
)
_ADD_MEMBER = DriverStatement(
    """INSERT INTO group_members (principal_id, group_id, tenant) VALUES (:member, :of, :this_tenant)
    ON CONFLICT DO NOTHING"""
)
_REMOVE_MEMBER = DriverStatement(
    "DELETE FROM group_members WHERE tenant = :this_tenant AND principal_id = :member AND group_id = :of"
)
_TAKEN = (
    "choose another name: a person, a device and a service cannot have the same; `doorward person list`, "
    "`doorward device list` and `doorward service list` show those in use"
)
"""The hint for a name that is in use."""

_NESTINGS = DriverStatement(
    """SELECT i.name, o.name FROM group_nestings AS n
    JOIN groups AS i ON i.id = n.inner_id
    JOIN groups AS o ON o.id = n.outer_id
    WHERE n.tenant = :this_tenant ORDER BY i.name, o.name"""
)
_ENCLOSING = DriverStatement(
    """WITH RECURSIVE around (group_id) AS (
        SELECT id FROM groups WHERE tenant = :this_tenant AND name = :name
        UNION
        SELECT n.outer_id FROM around AS a JOIN group_nestings AS n ON n.inner_id = a.group_id
    )
    SELECT g.name FROM around AS a JOIN groups AS g ON g.id = a.group_id"""
)
_NEST = DriverStatement(
    """INSERT INTO group_nestings (inner_id, outer_id, tenant) VALUES (:inside, :around, :this_tenant)
    ON CONFLICT DO NOTHING"""
)
_UNNEST = DriverStatement(
    "DELETE FROM group_nestings WHERE tenant = :this_tenant AND inner_id = :inside AND outer_id = :around"
)


class SqlTenants:
    """`stores.protocols.TenantStore`. A tenant that exists never changes, so a transaction reads it once."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self._known: TenantRecord | None = None

    def get(self) -> TenantRecord | None:
        """Return the tenant."""
        if self._known is None:
            self._known = self._read()
        return self._known

    def _read(self) -> TenantRecord | None:
        row = self._transaction.driver_row(_TENANT)
        if row is None:
            return None
        id_, trust_domain, status_url, created_at = row
        return TenantRecord(
            id=id_,
            trust_domain=trust_domain,
            status_url=status_url,
            created_at=from_microseconds(created_at),
        )

    def add(self, tenant: TenantRecord) -> None:
        """Add the tenant."""
        self._transaction.require_writable(tenant.id)
        row = {
            "id": tenant.id,
            "trust_domain": tenant.trust_domain,
            "status_url": tenant.status_url,
            "created_at": to_microseconds(tenant.created_at),
        }
        if not self._transaction.driver_write(_ADD_TENANT, [row]):
            raise RequestRefused("tenant-exists", "this installation already has a tenant")


class SqlDirectory:
    """`stores.directory_protocols.DirectoryStore`; one for each transaction, because it keeps what was read ahead."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self._ahead: dict[str, Principal] = {}

    def add(self, principal: Principal, created_at: datetime) -> None:
        """Add a principal, and add it to its groups."""
        self._transaction.require_writable(principal.tenant)
        added = self._change(
            _ADD,
            id=principal.id,
            kind=principal.kind.value,
            name=principal.name,
            state=principal.state.value,
            display_name=principal.display_name,
            partner_id=principal.partner,
            created_at=to_microseconds(created_at),
        )
        if not added:
            raise RequestRefused("name-taken", f"the name {principal.name} is in use", hint=_TAKEN)
        for group in principal.direct_groups:
            self.add_member(group, principal.id)

    def get(self, principal_id: str) -> Principal | None:
        """Return the principal with its groups."""
        return self._ahead.get(principal_id) or self._only(_BY_ID, id=principal_id)

    def read_ahead(self, principal_ids: Collection[str]) -> None:
        """Read these principals at once."""
        rows = self._transaction.driver_rows_of(_BY_IDS, principal_ids)
        self._ahead = {one.id: one for one in _principals(rows, self.enclosing)}

    def by_name(self, name: str) -> Principal | None:
        """Return the principal of that name that is not removed."""
        return self._only(_BY_NAME, name=name)

    def list(self, kind: PrincipalKind | None = None) -> list[Principal]:
        """Return all that are not removed, sorted by name."""
        if kind is None:
            return self._many(_LIST)
        return self._many(_LIST_KIND, kind=kind.value)

    def set_state(self, principal_id: str, state: PrincipalState) -> None:
        """Set the state."""
        self._transaction.require_writable()
        known = self.get(principal_id)
        if known is not None and state is not _REMOVED:
            holder = self.by_name(known.name)
            if holder is not None and holder.id != principal_id:
                raise RequestRefused("name-taken", f"the name {known.name} is in use", hint=_TAKEN)
        if not self._change(_SET_STATE, of=principal_id, state=state.value):
            raise _unknown_principal()

    def set_display_name(self, principal_id: str, display_name: str) -> None:
        """Set the display name."""
        if not self._change(_SET_DISPLAY_NAME, of=principal_id, text=display_name):
            raise _unknown_principal()

    def members(self, group: str) -> builtins.list[Principal]:
        """Return the members of a group, including those of the groups within it."""
        return self._many(_MEMBERS, group_name=group)

    def remove_group(self, group: str) -> bool:
        """Remove a group, every membership in it and every nesting."""
        self._transaction.require_writable()
        group_id = self._transaction.driver_value(_GROUP, name=group)
        if group_id is None:
            return False
        self._change(_REMOVE_MEMBERS, of=group_id)
        self._change(_REMOVE_NESTINGS, of=group_id)
        return self._change(_REMOVE_GROUP, of=group_id) == 1

    def knows_removed(self, name: str, partner_id: str) -> bool:
        """Return whether a principal of that name and that partner was removed."""
        return self._transaction.driver_row(_REMOVED_NAME, name=name, of=partner_id) is not None

    def remove_partner(self, partner_id: str) -> int:
        """Mark every principal of a partner as removed."""
        return self._change(_REMOVE_PARTNER, of=partner_id)

    def add_group(self, name: str, group_id: str, created_at: datetime) -> None:
        """Add a group."""
        at = to_microseconds(created_at)
        if not self._change(_ADD_GROUP, id=group_id, name=name, created_at=at):
            raise RequestRefused(
                "name-taken",
                f"the group {name} exists already",
                hint="add members with `doorward group add`, or choose another name",
            )

    def groups(self) -> Mapping[str, int]:
        """Return every group name with the number of principals put into it; removed ones do not count."""
        return dict(self._transaction.driver_rows(_GROUPS))

    def has_group(self, name: str) -> bool:
        """Return whether there is a group of that name, without counting the members of all groups."""
        return self._transaction.driver_value(_GROUP, name=name) is not None

    def add_member(self, group: str, principal_id: str) -> bool:
        """Put a principal into a group."""
        group_id = self._known(group, principal_id)
        return self._change(_ADD_MEMBER, member=principal_id, of=group_id) == 1

    def remove_member(self, group: str, principal_id: str) -> bool:
        """Take a principal out of a group."""
        group_id = self._known(group, principal_id)
        return self._change(_REMOVE_MEMBER, member=principal_id, of=group_id) == 1

    def nestings(self) -> builtins.list[tuple[str, str]]:
        """Return which group lies directly in which."""
        return [(inner, outer) for inner, outer in self._transaction.driver_rows(_NESTINGS)]

    def enclosing(self, groups: Iterable[str]) -> tuple[str, ...]:
        """Return these groups, and all that one of them lies in."""
        found = set(groups)
        for group in tuple(found):
            found.update(name for (name,) in self._transaction.driver_rows(_ENCLOSING, name=group))
        return tuple(sorted(found))

    def nest(self, inner: str, outer: str) -> bool:
        """Put a group into a group."""
        inside, around = self._group_id(inner), self._group_id(outer)
        return self._change(_NEST, inside=inside, around=around) == 1

    def unnest(self, inner: str, outer: str) -> bool:
        """Take a group out of a group."""
        inside, around = self._group_id(inner), self._group_id(outer)
        return self._change(_UNNEST, inside=inside, around=around) == 1

    def _change(self, statement: DriverStatement, **values: object) -> int:
        """Change the directory; what was read ahead is not used any more."""
        self._ahead = {}
        return self._transaction.driver_change(statement, **values)

    def _only(self, statement: DriverStatement, **values: str) -> Principal | None:
        found = _principals(self._transaction.driver_rows(statement, **values), self.enclosing)
        return found[0] if found else None

    def _many(self, statement: DriverStatement, **values: str) -> builtins.list[Principal]:
        graph = GroupGraph(self.nestings())

        @cache
        def enclosing(groups: frozenset[str]) -> tuple[str, ...]:
            return tuple(frozenset[str]().union(*map(graph.with_ancestors, groups)))

        return _principals(self._transaction.driver_rows(statement, **values), enclosing)

    def _group_id(self, group: str) -> str:
        self._transaction.require_writable()
        group_id: str | None = self._transaction.driver_value(_GROUP, name=group)
        if group_id is None:
            raise NotFound(
                "group-unknown",
                f"there is no group named {group}",
                hint="`doorward group list` shows all groups, `doorward group create` creates one",
            )
        return group_id

    def _known(self, group: str, principal_id: str) -> str:
        group_id = self._group_id(group)
        if self._transaction.driver_value(_EXISTS, id=principal_id) is None:
            raise _unknown_principal()
        return group_id


def _principals(
    rows: Iterable[DriverRow], enclosing: Callable[[frozenset[str]], Iterable[str]]
) -> builtins.list[Principal]:
    """Combine the rows of each principal into one value."""
    members: dict[str, tuple[DriverRow, list[str], set[str]]] = {}
    for row in rows:
        _, names, nested = members.setdefault(row[0], (row, [], set()))
        name, lies_in_another = row[-2:]
        if name is not None:
            names.append(name)
        if lies_in_another:
            nested.add(name)
    return [
        _principal(row, names, enclosing(frozenset(nested)) if nested else ())
        for row, names, nested in members.values()
    ]


def _principal(row: DriverRow, groups: Sequence[str], more: Iterable[str]) -> Principal:
    id_, tenant, kind, name, state, display_name, partner, _, _ = row
    inherited = set(more).difference(groups)
    return Principal(
        id=id_,
        tenant=tenant,
        kind=_KINDS.get(kind) or from_word(PrincipalKind, kind),
        name=name,
        state=_STATES.get(state) or from_word(PrincipalState, state),
        groups=tuple(sorted([*groups, *inherited])),
        display_name=display_name,
        partner=partner,
        inherited=tuple(sorted(inherited)),
    )


def _unknown_principal() -> NotFound:
    return NotFound("principal-unknown", "there is no principal with this id")
