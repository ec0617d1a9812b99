"""Names that lost their bearer: a rule that names one must not speak for the next bearer.

Rules name persons, devices, services and groups by name (docs/design/0050). A principal that is removed or renamed
frees its name, while the document may name it still. So the name is not given again as long as a rule
in force names it, unless the administrator says that the rules shall hold for the next one too. A group
that a rule or a partner's terms name is not removed at all: a group is its name. A partner's name is part of its
people's names, and `trust` names it: another authority does not get it as long as the document names it.

Not here: certificates and invitations, which end with their bearer (`directory.removal`).
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
"""Rules that a message names."""


def find_rules_naming(stores: Stores, kind: PrincipalKind, name: str) -> list[str]:
    """Return the rules in force that name a principal, each as `application: rule`."""
    return [
        f"{app.name}: {rule.name}"
        for app in _apps(stores)
        for rule in app.rules
        for of, names in rule.selector.named
        if of is kind and name in names
    ]


def refuse_freed_name(stores: Stores, kind: PrincipalKind, name: str, partner_id: str) -> None:
    """Refuse a name that another bearer had and that rules in force still name.

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
            hint="take the name out of these rules first, or say with --keep-rules that they hold for the new one too",
        )


def note_rules_left(stores: Stores, kind: PrincipalKind, name: str) -> tuple[str, ...]:
    """Return what to tell about rules that name a removed principal; a document never makes a withdrawal fail."""
    try:
        found = find_rules_naming(stores, kind, name)
    except DoorwardError:
        return ()
    if not found:
        return ()
    return (
        f"rules in force still name {name}: {_list(found)}; until they do not, the name is not given again",
    )


def refuse_freed_partner(stores: Stores, name: str, anchors: Iterable[str]) -> None:
    """Refuse a name that another partner had and that the document in force still names.

    The same anchors again are the same partner.

    Args:
        stores: of the change; no partner of the name is trusted now.
        name: of the partner.
        anchors: SHA-256 of those that are imported.

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
            hint="take the name out there first, or choose another: what was said of the former holds for no other",
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
            hint="take it out there first: the next group of that name would get what these give",
        )


def _apps(stores: Stores) -> tuple[AppPolicy, ...]:
    return _document(stores).apps


def _document(stores: Stores) -> Document:
    """Return the document in force; most commands read none (docs/design/0049)."""
    from doorward.stores.policy_snapshot import current_document  # noqa: PLC0415  see above

    return current_document(stores)[0]


def _list(found: list[str]) -> str:
    more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
    return ", ".join(found[:MOST_NAMED]) + more


def was_partner_removed(services: Services, name: str) -> bool:
    """Return whether a partner of this name was trusted once and is no more."""
    with services.work.read() as stores:
        return stores.partners.by_name(name) is None and bool(_partners_named(stores, name))


def _partners_named(stores: Stores, name: str) -> set[str]:
    """Return the ids of all partners that ever had a name."""
    ids = {one.partner_id for one in stores.partners.every_authority()}
    return {one for one in ids if (partner := stores.partners.get(one)) is not None and partner.name == name}
