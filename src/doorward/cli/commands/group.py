"""`doorward group`: groups and their members."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from doorward.cli import parts
from doorward.cli.command import Command
from doorward.cli.completing import complete_group, complete_member
from doorward.cli.confirming import YES, ask, confirmed, may_ask
from doorward.cli.rows import principal_row
from doorward.cli.screen import escape
from doorward.cli.state import State, actor
from doorward.core.entities import Principal, PrincipalKind
from doorward.core.errors import RequestRefused

if TYPE_CHECKING:
    from doorward.stores.change_result import ChangeResult
    from doorward.stores.services import Services

GROUP_KIND = "group"
KIND = click.option(
    "--kind",
    type=click.Choice([*(one.value for one in PrincipalKind), GROUP_KIND]),
    help="What MEMBER is, if a group and a principal have the same name.",
)


@click.command("create", cls=Command)
@click.argument("group")
@click.pass_obj
def create(state: State, group: str) -> None:
    """Create a group."""
    done = parts.principals.create_group(state.installation().services, group, actor=actor())
    lines = () if done.notes else (f"created group [bold]{group}[/bold]",)
    state.output.result({"group": group, "seq": done.seq}, *lines, notes=done.notes)


@click.command("show", cls=Command)
@click.argument("group", shell_complete=complete_group)
@click.pass_obj
def show(state: State, group: str) -> None:
    """List the members of a group: nested groups, and principals, also principals of the nested groups."""
    view = parts.nesting.show_group(state.installation().services, group)
    rows: list[dict[str, Any]] = [{"name": one, "kind": GROUP_KIND, "through": []} for one in view.groups]
    rows += [{**principal_row(one), "through": list(view.paths.get(one.name, ()))} for one in view.members]
    columns = ["name", "kind", "state", "through", "display_name"]
    state.output.table(
        rows, columns, empty=f"{group} has no members; add one: doorward group add {group} NAME"
    )


@click.command("list", cls=Command)
@click.pass_obj
def list_(state: State) -> None:
    """List the groups with the number of direct members, the nested groups, and the number of members through them."""
    rows = [
        {"group": one.name, "members": one.members, "groups": list(one.groups), "inherited": one.inherited}
        for one in parts.nesting.list_nested_groups(state.installation().services)
    ]
    columns = ["group", "members", *(["groups", "inherited"] if any(row["groups"] for row in rows) else [])]
    state.output.table(rows, columns, empty="no groups; create one: doorward group create NAME")


@click.command("add", cls=Command)
@click.argument("group", shell_complete=complete_group)
@click.argument("member", shell_complete=complete_member)
@KIND
@click.pass_obj
def add(state: State, group: str, member: str, kind: str | None) -> None:
    """Put a member into a group: a person, a device, a service, or a group with all its members."""
    services = state.installation().services
    if parts.nesting.is_group(services, member, kind):
        nested = parts.nesting.nest(services, group, member, actor=actor())
        _tell_nesting(state, services, group, nested, "is now in")
        return
    done = parts.principals.add_member(services, group, member, kind=_kind(kind), actor=actor())
    _tell_membership(state, services, group, done, "is now in")


@click.command("remove", cls=Command)
@click.argument("group", shell_complete=complete_group)
@click.argument("member", required=False, shell_complete=complete_member)
@KIND
@YES
@click.pass_obj
def remove(state: State, group: str, member: str | None, kind: str | None, yes: bool) -> None:
    """Take a member out of a group; connections that lose a right end at once. Without MEMBER, remove the group itself."""
    services = state.installation().services
    if member is None:
        _remove_group(state, services, group, yes=yes)
        return
    if parts.nesting.is_group(services, member, kind):
        unnested = parts.nesting.unnest(services, group, member, actor=actor())
        _tell_nesting(state, services, group, unnested, "is no longer in")
        return
    done = parts.principals.remove_member(services, group, member, kind=_kind(kind), actor=actor())
    _tell_membership(state, services, group, done, "is no longer in")


def _kind(word: str | None) -> PrincipalKind | None:
    return None if word is None else PrincipalKind(word)


def _tell_nesting(state: State, services: Services, group: str, done: ChangeResult[str], what: str) -> None:
    value, line = confirmed(services, done.seq, done.notes)
    state.output.result(
        {"name": done.value, "kind": GROUP_KIND, "group": group, "seq": done.seq, **value},
        f"the group {escape(done.value)} {what} {escape(group)}",
        line,
        notes=done.notes,
    )


def _tell_membership(
    state: State, services: Services, group: str, done: ChangeResult[Principal], what: str
) -> None:
    value, line = confirmed(services, done.seq, done.notes)
    state.output.result(
        {**principal_row(done.value), "group": group, "seq": done.seq, **value},
        f"{escape(done.value.name)} {what} {escape(group)}",
        line,
        notes=done.notes,
    )


def _remove_group(state: State, services: Services, group: str, *, yes: bool) -> None:

    count = parts.nesting.count_members(services, group)
    if count and not yes and not may_ask(state):  # a forgotten MEMBER must not remove the whole group
        raise RequestRefused(
            "not-confirmed",
            f"the group {group} has {count} member{'s' if count != 1 else ''}",
            hint=f"name the member to take out, or remove the group itself: doorward group remove {group} --yes",
        )
    members = f"{count} member{'s' if count != 1 else ''}"
    ask(state, f"remove the group {group}? It has {members}.", yes=yes)
    done = parts.groups.remove_group(services, group, actor=actor())
    value, line = confirmed(services, done.seq, done.notes)
    state.output.result(
        {"group": group, "seq": done.seq, **value},
        *([] if done.notes else [f"removed group [bold]{escape(group)}[/bold]"]),
        line,
        notes=done.notes,
    )
