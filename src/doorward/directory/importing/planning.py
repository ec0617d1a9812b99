"""What an import would do: each entry is compared with the directory, and every fault is found before a change.

    new         no principal has the name
    unchanged   the principal is as the entry says; it may be in further groups
    differing   it has another name on screens or mail address, is not in a group of the entry, or is not expected with its serial number
    fault       a principal of another kind has the name; a rule in force names a removed principal with this name; the
                serial number of a factory cannot be expected

Reading only. Not here: reading the file (`columns`), the changes (`adding`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from doorward.core.entities import Principal, PrincipalKind
from doorward.core.errors import Fault
from doorward.directory.importing.columns import Entry
from doorward.directory.importing.factory_serials import FactorySerials
from doorward.stores.freed_names import find_names_in_rules
from doorward.stores.prerequisites import require_tenant
from doorward.stores.protocols import Stores
from doorward.stores.services import Services
from doorward.wire.table_rows import row_fault

_FEW = 1000
"""Up to so many names are looked up one by one; for more, the whole directory is read once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What an import would do.

    Args:
        kind: of all entries.
        new: entries to add, in the order of the file.
        differing: entries the principal of which is not as the entry says.
        unchanged: entries with nothing to do.
        missing_groups: groups that do not exist, sorted.
        faults: of the entries, in the order of the file.
    """

    kind: PrincipalKind
    new: tuple[Entry, ...] = ()
    differing: tuple[Entry, ...] = ()
    unchanged: tuple[Entry, ...] = ()
    missing_groups: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()


@dataclass(slots=True)
class _Sorting:
    new: list[Entry] = field(default_factory=list)
    differing: list[Entry] = field(default_factory=list)
    unchanged: list[Entry] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


def plan_import(
    services: Services, kind: PrincipalKind, entries: Sequence[Entry], *, keep_rules: bool = False
) -> Plan:
    """Compare entries with the directory.

    Raises:
        NotFound: `not-founded`.
    """
    sorting = _Sorting()
    with services.work.read() as stores:
        require_tenant(stores)
        known = _find_known(stores, entries)
        freed = FreedNames(stores, kind, keep_rules=keep_rules)
        serials = FactorySerials(stores)
        for entry in entries:
            there = known.get(entry.name)
            fault = _find_fault(entry, there, kind, freed, serials)
            if fault is not None:
                sorting.faults.append(fault)
            elif there is None:
                sorting.new.append(entry)
            elif is_as_said(stores, there, entry) and serials.is_stated(entry, there.id):
                sorting.unchanged.append(entry)
            else:
                sorting.differing.append(entry)
        groups = stores.directory.groups()
    wanted = {group for entry in (*sorting.new, *sorting.differing) for group in entry.groups}
    return Plan(
        kind=kind,
        new=tuple(sorting.new),
        differing=tuple(sorting.differing),
        unchanged=tuple(sorting.unchanged),
        missing_groups=tuple(sorted(wanted.difference(groups))),
        faults=tuple(sorting.faults),
    )


class FreedNames:
    """Finds names that a rule in force still gives rights to, although their principal was removed (docs/design/0050).

    The document is read only if the first such name occurs, and once for all entries.
    """

    def __init__(self, stores: Stores, kind: PrincipalKind, *, keep_rules: bool) -> None:
        self._stores = stores
        self._kind = kind
        self._keep_rules = keep_rules
        self._named: Mapping[str, list[str]] | None = None

    def find_fault(self, entry: Entry) -> Fault | None:
        """Return a fault if a new principal would get the rules of a removed one."""
        if self._keep_rules or not self._stores.directory.knows_removed(entry.name, ""):
            return None
        if self._named is None:
            self._named = find_names_in_rules(self._stores, self._kind)
        rules = self._named.get(entry.name)
        if not rules:
            return None
        return row_fault(
            "name-in-rules",
            entry.line,
            f"another {self._kind.value} was named {entry.name}, and rules in force still name it: {rules[0]}",
            "remove the name from the rules first, or add --keep-rules: the rules then apply to the new one too",
        )


def is_as_said(stores: Stores, there: Principal, entry: Entry) -> bool:
    """Return whether a principal has the name, mail address and groups of an entry already; other groups and its state do not count."""
    same_name = entry.display_name is None or there.display_name == entry.display_name
    same_address = entry.email is None or stores.mail_addresses.get(there.id) == entry.email
    return same_name and same_address and set(entry.groups) <= set(there.direct_groups)


def _find_fault(
    entry: Entry, there: Principal | None, kind: PrincipalKind, freed: FreedNames, serials: FactorySerials
) -> Fault | None:
    if there is None:
        return freed.find_fault(entry) or serials.find_fault(entry, "")
    if there.kind is not kind:
        return _taken(entry, there)
    return serials.find_fault(entry, there.id)


def _find_known(stores: Stores, entries: Sequence[Entry]) -> Mapping[str, Principal]:
    if len(entries) > _FEW:
        return {one.name: one for one in stores.directory.list()}
    found = (stores.directory.by_name(entry.name) for entry in entries)
    return {one.name: one for one in found if one is not None}


def _taken(entry: Entry, there: Principal) -> Fault:
    return row_fault(
        "name-taken",
        entry.line,
        f"there is a {there.kind.value} named {entry.name}",
        "names are unique over persons, devices and services: choose another, or remove that one",
    )
