"""Names of removed principals, groups and partners: their rules must not apply to the next holder of the name.

Rules name persons, devices, services and groups by name (docs/design/0050). After a principal was removed or renamed,
the document may still name it. So no principal gets the name as long as a rule in force names it, unless the administrator
says that the rules apply to the new holder too. A group that a rule or a partner's terms name cannot be removed. A
partner's name is part of the names of its principals, and `trust` names it: another partner does not get the name as
long as the document names it.

Not here: certificates and invitations, which end when their holder is removed (`directory.removal`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from doorward.core.entities import PrincipalKind
from doorward.core.errors import DoorwardError, RequestRefused
from doorward.stores.protocols import Stores
from doorward.stores.services import Services

if TYPE_CHECKING:
    from doorward.policy.model import AppPolicy, Document

MOST_NAMED = 5
"""At most this many rules are listed in a message."""


def find_rules_naming(stores: Stores, kind: PrincipalKind, name: str) -> list[str]:
    """Return the rules in force that name a principal, each as `application: rule`."""
    return [
        f"{app.name}: {rule.name}"
        for app in _apps(stores)
        for rule in app.rules
        for of, names in rule.selector.named
        if of is kind and name in names
    ]


def find_names_in_rules(stores: Stores, kind: PrincipalKind) -> dict[str, list[str]]:
    """Return every name of this kind that a rule in force contains, with the rules, each as `application: rule`."""
    found: dict[str, list[str]] = {}
    for app in _apps(stores):
        for rule in app.rules:
            for of, names in rule.selector.named:
                for name in names if of is kind else ():
                    found.setdefault(name, []).append(f"{app.name}: {rule.name}")
    return found


def refuse_freed_name(stores: Stores, kind: PrincipalKind, name: str, partner_id: str) -> None:
    """Refuse the name of a removed principal if rules in force still name it.

    Raises:
        RequestRefused: `name-in-rules`.
    """
    if not stores.directory.knows_removed(name, partner_id):
        return
    found = find_rules_naming(stores, kind, name)
    if found:
        raise RequestRefused(
            "name-in-rules",
            f"another {kind.value} was named {name}, and rules in force still name it: {_list(found)}",
            hint="remove the name from these rules first, or add --keep-rules: the rules then apply to the new one too",
        )


def note_rules_left(stores: Stores, kind: PrincipalKind, name: str) -> tuple[str, ...]:
    """Return a note about rules that name a removed principal; a bad document never makes a withdrawal fail."""
    try:
        found = find_rules_naming(stores, kind, name)
    except DoorwardError:
        return ()
    if not found:
        return ()
    return (
        f"rules in force still name {name}: {_list(found)}; the name cannot be given again before it is removed there",
    )


def refuse_freed_partner(stores: Stores, name: str, anchors: Iterable[str]) -> None:
    """Refuse the name of a removed partner if the document in force still names it.

    If the imported anchors are among the removed partner's, it is the same partner and keeps its name.

    Args:
        stores: of the change; no partner with this name is trusted now.
        name: of the partner.
        anchors: SHA-256 of the anchors that are imported.

    Raises:
        RequestRefused: `name-in-rules`.
    """
    namesakes = _partners_named(stores, name)
    every = stores.partners.every_authority()
    former = {one.sha256 for one in every if one.anchor and one.partner_id in namesakes}
    if not namesakes or former.issuperset(anchors):
        return
    apps = _apps(stores)
    found = [f"`trust` of {app.name}" for app in apps if name in app.trust]
    found += [
        f"{app.name}: {rule.name}"
        for app in apps
        for rule in app.rules
        if any(one.startswith(f"{name}/") for _, names in rule.selector.named for one in names)
    ]
    if found:
        raise RequestRefused(
            "name-in-rules",
            f"another partner was named {name}, and the document in force still names it: {_list(found)}",
            hint="remove the name there first, or choose another name: these rules were written for the former partner",
        )


def refuse_group_in_use(stores: Stores, group: str) -> None:
    """Refuse to remove a group that the document in force or the terms of a partner name.

    Raises:
        RequestRefused: `group-in-use`.
    """
    document = _document(stores)
    found = [
        f"{app.name}: {rule.name}"
        for app in document.apps
        for rule in app.rules
        if group in rule.selector.groups
    ]
    found += [f"`factors` of {name}" for name, _ in document.factors if name == group]
    found += [f"partner {partner.name}" for partner in stores.partners.list() if group in partner.groups]
    if found:
        raise RequestRefused(
            "group-in-use",
            f"the group {group} is named by {_list(found)}",
            hint="remove it there first: otherwise the next group with this name would get its permissions",
        )


def _apps(stores: Stores) -> tuple[AppPolicy, ...]:
    return _document(stores).apps


def _document(stores: Stores) -> Document:
    """Return the document in force; the import is late because most commands need no document (docs/design/0049)."""
    from doorward.stores.policy_snapshot import current_document  # noqa: PLC0415  see above

    return current_document(stores)[0]


def _list(found: list[str]) -> str:
    more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
    return ", ".join(found[:MOST_NAMED]) + more


def was_partner_removed(services: Services, name: str) -> bool:
    """Return whether a partner with this name was removed and no partner has the name now."""
    with services.work.read() as stores:
        return stores.partners.by_name(name) is None and bool(_partners_named(stores, name))


def _partners_named(stores: Stores, name: str) -> set[str]:
    """Return the ids of all partners with this name, removed ones included."""
    ids = {one.partner_id for one in stores.partners.every_authority()}
    return {one for one in ids if (partner := stores.partners.get(one)) is not None and partner.name == name}
