"""Tags: how the devices of a manufacturer are approved, named and grouped.

    operator   an operator approves each device
    expected   a device is approved without an operator if its serial number is expected
    first      the first device is approved, then the tag is closed: for a single device, its number being unknown
    automatic  every device with a good factory certificate is approved

A manufacturer without a tag has the mode `expected`, and nothing is expected before an operator says so.
A group with a field in it must exist before: otherwise the text of a factory certificate could name any group.

Not here: applying a tag to a device (`rules`).
Standard: docs/design/0081.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from doorward.audit.events import EventType, printable
from doorward.core.entities import TENANT
from doorward.core.errors import MalformedInput, NotFound, RequestRefused
from doorward.core.names import parse_principal_name
from doorward.directory.fleets.naming import parse_template
from doorward.stores.change_result import ChangeResult
from doorward.stores.events import new_event
from doorward.stores.fleet_records import ApprovalMode, EnrolmentTagRecord
from doorward.stores.prerequisites import require_tenant
from doorward.stores.protocols import Stores
from doorward.stores.services import Services

MOST_GROUPS = 32

_BY_TEMPLATE = frozenset({ApprovalMode.AUTOMATIC, ApprovalMode.FIRST})


def add_tag(
    services: Services,
    name: str,
    *,
    approval: ApprovalMode,
    groups: Sequence[str] = (),
    name_template: str = "",
    actor: str,
) -> EnrolmentTagRecord:
    """Add a tag.

    Args:
        services: the ports of this process.
        name: `[a-z0-9][a-z0-9._-]{0,62}`.
        approval: who approves.
        groups: names of groups, or templates that begin with a literal; at most 32.
        name_template: see `naming`; empty if an operator names the devices.
        actor: who acts.

    Raises:
        MalformedInput: `name-malformed`, `template-malformed`, `template-missing`, `too-many-groups`.
        RequestRefused: `name-taken`.
        NotFound: `not-founded`.
    """
    parse_principal_name(name)
    _check_template(approval, name_template)
    tag = EnrolmentTagRecord(
        id=services.new_id("tag"),
        tenant=TENANT,
        name=name,
        approval=approval,
        groups=_check_groups(groups),
        name_template=name_template,
        created_at=services.clock.now(),
    )
    with services.work.change() as stores:
        require_tenant(stores)
        stores.enrolment_tags.add(tag)
        stores.outbox.add(new_event(services, EventType.TAG_CREATED, actor=actor, data=_describe(tag)))
    return tag


def change_tag(
    services: Services,
    name: str,
    *,
    approval: ApprovalMode | None = None,
    groups: Sequence[str] | None = None,
    name_template: str | None = None,
    actor: str,
) -> ChangeResult[EnrolmentTagRecord]:
    """Change a tag; None leaves a part as it is. Devices that wait are judged by it at their next contact.

    Devices that were approved keep their names and groups. Choosing the mode `first` opens the tag for one more device.

    Raises:
        NotFound: `tag-unknown`.
        MalformedInput: as `add_tag`.
    """
    with services.work.change() as stores:
        before = _require_tag(stores, name)
        after = replace(
            before,
            approval=approval or before.approval,
            groups=before.groups if groups is None else _check_groups(groups),
            name_template=before.name_template if name_template is None else name_template,
            closed_at=None if approval is ApprovalMode.FIRST else before.closed_at,
        )
        _check_template(after.approval, after.name_template)
        notes: tuple[str, ...] = ()
        if after == before:
            notes = (f"{name} is so already",)
        else:
            stores.enrolment_tags.change(after)
            stores.outbox.add(new_event(services, EventType.TAG_CHANGED, actor=actor, data=_describe(after)))
        return ChangeResult(value=after, seq=stores.changes.head(), notes=notes)


def list_tags(services: Services) -> list[EnrolmentTagRecord]:
    """Return all tags, sorted by name."""
    with services.work.read() as stores:
        require_tenant(stores)
        return stores.enrolment_tags.list()


def remove_tag(services: Services, name: str, *, actor: str) -> EnrolmentTagRecord:
    """Remove a tag that no manufacturer has.

    Raises:
        NotFound: `tag-unknown`.
        RequestRefused: `tag-in-use`.
    """
    with services.work.change() as stores:
        tag = _require_tag(stores, name)
        users = [one.name for one in stores.manufacturers.list() if one.tag == name]
        if users:
            raise RequestRefused(
                "tag-in-use",
                f"the devices of {', '.join(users)} have the tag {name}",
                hint=f"give the manufacturer another tag first: `doorward manufacturer set {users[0]} --tag NAME`",
            )
        stores.enrolment_tags.remove(tag.id)
        data = {"tag": tag.id, "tag_name": name}
        stores.outbox.add(new_event(services, EventType.TAG_REMOVED, actor=actor, data=data))
    return tag


def refuse_unknown_tag(name: str) -> NotFound:
    """Return the error for a tag that does not exist."""
    return NotFound(
        "tag-unknown",
        f"there is no tag named {printable(name)[:64]}",
        hint="`doorward tag list` names them, `doorward tag add` adds one",
    )


def _require_tag(stores: Stores, name: str) -> EnrolmentTagRecord:
    require_tenant(stores)
    tag = stores.enrolment_tags.by_name(name)
    if tag is None:
        raise refuse_unknown_tag(name)
    return tag


def _describe(tag: EnrolmentTagRecord) -> dict[str, str | list[str]]:
    """Return the fields of the events of a tag."""
    return {
        "tag": tag.id,
        "tag_name": tag.name,
        "approval": tag.approval.value,
        "groups": list(tag.groups),
        "template": tag.name_template,
    }


def _check_template(approval: ApprovalMode, template: str) -> None:
    if template:
        parsed = parse_template(template)
        if parsed.fields or approval in (ApprovalMode.FIRST, ApprovalMode.OPERATOR):
            return
        raise MalformedInput(
            "template-malformed",
            f"{template} gives every device the same name",
            hint="add a field that differs, such as {serial}",
        )
    if approval in _BY_TEMPLATE:
        raise MalformedInput(
            "template-missing",
            f"devices that are approved by {approval.value} need a template for their names",
            hint="add --name-template, such as 'sensor-{serial}'",
        )


def _check_groups(groups: Sequence[str]) -> tuple[str, ...]:
    if len(groups) > MOST_GROUPS:
        raise MalformedInput(
            "too-many-groups",
            f"a tag may have {MOST_GROUPS} groups at most, not {len(groups)}",
            hint="put the groups into one group (`doorward group add GROUP MEMBER`, a member may be a group), and name only this one",
        )
    for group in groups:
        template = parse_template(group)
        if not template.fields:
            parse_principal_name(group)
        elif not template.literals[0]:
            raise MalformedInput(
                "template-malformed",
                f"the group {group} begins with a field",
                hint="begin with letters, such as site-{ou}: otherwise a factory certificate could name any group",
            )
    return tuple(sorted(set(groups)))
