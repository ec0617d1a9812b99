"""`doorward person|device|service|group`: who there is, and in which groups."""

from __future__ import annotations

from typing import Any

import click

from doorward.cli import parts
from doorward.cli.command import Command
from doorward.cli.commands.completion import complete_group, complete_principal
from doorward.cli.confirming import ask, confirmed, may_ask
from doorward.cli.rows import certificate_row, principal_row
from doorward.cli.screen import escape
from doorward.cli.state import State, actor
from doorward.core.entities import PrincipalKind
from doorward.core.errors import RequestRefused

YES = click.option("--yes", is_flag=True, help="Do not ask.")
GROUP_KIND = "group"
KIND = click.option(
    "--kind",
    type=click.Choice([*(one.value for one in PrincipalKind), GROUP_KIND]),
    help="What MEMBER is, if a group and somebody have the same name.",
)
KEEP_RULES = click.option(
    "--keep-rules",
    is_flag=True,
    help="Give the name also if rules name a former bearer of it: they hold for this one.",
)


def _add_command(kind: PrincipalKind) -> click.Command:
    word = kind.value

    @click.command("add", cls=Command, help=f"Add a {word} to the directory.")
    @click.argument("name")
    @click.option(
        "--group",
        "-g",
        "groups",
        multiple=True,
        shell_complete=complete_group,
        help="Put it into this group; repeatable.",
    )
    @click.option("--display-name", default="", help="The name on screens.")
    @KEEP_RULES
    @click.pass_obj
    def command(
        state: State, name: str, groups: tuple[str, ...], display_name: str, keep_rules: bool
    ) -> None:

        services = state.installation().services
        done = parts.principals.add_principal(
            services,
            kind,
            name,
            display_name=display_name,
            groups=groups,
            keep_rules=keep_rules,
            actor=actor(),
        )
        state.output.result(
            {**principal_row(done.value), "seq": done.seq},
            ("kept" if f"{name} was there already" in done.notes else "added")
            + f" {word} [bold]{escape(done.value.name)}[/bold]"
            + (f" to {', '.join(groups)}" if groups else ""),
            "[dim]it connects with its partner's certificate[/dim]"
            if done.value.partner
            else f"[dim]next:[/dim] doorward invite {done.value.name}",
            notes=done.notes,
        )

    return command


def _set_command(kind: PrincipalKind) -> click.Command:
    word = kind.value

    @click.command("set", cls=Command, help=f"Change what is shown of a {word}.")
    @click.argument("name", shell_complete=complete_principal(kind))
    @click.option("--display-name", required=True, help="The name on screens.")
    @click.pass_obj
    def command(state: State, name: str, display_name: str) -> None:

        services = state.installation().services
        done = parts.principals.set_display_name(services, name, display_name, kind=kind, actor=actor())
        state.output.result(
            {**principal_row(done.value), "seq": done.seq},
            f"{word} [bold]{escape(name)}[/bold] is shown as {escape(display_name) or 'its name'}",
            notes=done.notes,
        )

    return command


def _rename_command(kind: PrincipalKind) -> click.Command:
    word = kind.value
    text = (
        f"Give a {word} another name. Its certificates say the old one: they are revoked, and it needs new ones. "
        "Rules that name it do not follow; groups do."
    )

    @click.command("rename", cls=Command, help=text)
    @click.argument("name", shell_complete=complete_principal(kind))
    @click.argument("new_name")
    @KEEP_RULES
    @YES
    @click.pass_obj
    def command(state: State, name: str, new_name: str, keep_rules: bool, yes: bool) -> None:

        ask(state, f"rename {word} {name}? Its certificates are revoked.", yes=yes)
        installation, notes = state.withdrawal()
        services = installation.services
        done = parts.principals.rename(
            services, name, new_name, kind=kind, keep_rules=keep_rules, actor=actor()
        )
        value, line = confirmed(services, done.seq, (*done.notes, *notes))
        state.output.result(
            {**principal_row(done.value), "seq": done.seq, **value},
            f"{word} {escape(name)} is now [bold]{escape(new_name)}[/bold]",
            line,
            f"[dim]next:[/dim] doorward invite {escape(new_name)}",
            notes=(*done.notes, *notes),
        )

    return command


def _list_command(kind: PrincipalKind) -> click.Command:
    word = kind.value

    @click.command("list", cls=Command, help=f"List the {word}s.")
    @click.pass_obj
    def command(state: State) -> None:

        rows = [
            principal_row(one)
            for one in parts.principals.list_principals(state.installation().services, kind)
        ]
        state.output.table(
            rows,
            ["name", "state", "groups", "display_name"],
            empty=f"no {word}s; add one: doorward {word} add NAME",
        )

    return command


def _show_command(kind: PrincipalKind) -> click.Command:
    word = kind.value

    @click.command("show", cls=Command, help=f"Show one {word} and its certificates.")
    @click.argument("name", shell_complete=complete_principal(kind))
    @click.pass_obj
    def command(state: State, name: str) -> None:

        services = state.installation().services
        principal = parts.principals.find_principal(services, name, kind=kind)
        certificates = parts.inventory.list_certificates(
            services, parts.records.CertificateFilter(principal_id=principal.id)
        )
        value = {
            **principal_row(principal),
            "certificates": [certificate_row(one) for one in certificates],
        }
        lines = [
            f"[bold]{escape(principal.name)}[/bold]  {word}, {principal.state.value}",
            f"id      {principal.id}",
        ]
        ways = parts.nesting.find_ways(services, principal)
        held = [
            one + (f" (through {', '.join(ways[one])})" if one in ways else "") for one in principal.groups
        ]
        lines += [f"groups  {', '.join(held) or '-'}"]
        lines += [
            f"cert    {one.id}  {one.state.value}  until {one.not_after:%Y-%m-%d %H:%M}Z"
            for one in certificates
        ]
        state.output.result(value, *lines)

    return command


def _state_command(kind: PrincipalKind, verb: str, past: str, text: str) -> click.Command:
    @click.command(verb, cls=Command, help=text)
    @click.argument("name", shell_complete=complete_principal(kind))
    @click.pass_obj
    def command(state: State, name: str) -> None:
        _change_state(state, kind, name, verb, past)

    return command


def _remove_command(kind: PrincipalKind) -> click.Command:
    text = f"Remove a {kind.value} for good and revoke its certificates; on a terminal it asks before."

    @click.command("remove", cls=Command, help=text)
    @click.argument("name", shell_complete=complete_principal(kind))
    @YES
    @click.pass_obj
    def command(state: State, name: str, yes: bool) -> None:

        if parts.principals.was_removed(state.installation().services, name):
            note = f"{name} was removed already"
            state.output.result({"name": name, "state": "removed"}, notes=(note,))
            return
        ask(state, f"remove {kind.value} {name} for good, and revoke its certificates?", yes=yes)
        _change_state(state, kind, name, "remove", "removed")

    return command


def _change_state(state: State, kind: PrincipalKind, name: str, verb: str, past: str) -> None:

    # Removing revokes certificates, and their OCSP answers are signed again in the same transaction.
    installation, notes = state.withdrawal() if verb == "remove" else (state.installation(), ())
    done = getattr(parts.principals, verb)(installation.services, name, kind=kind, actor=actor())
    value, line = confirmed(installation.services, done.seq, (*done.notes, *notes))
    state.output.result(
        {**principal_row(done.value), "seq": done.seq, **value},
        f"{past} {kind.value} [bold]{escape(name)}[/bold]",
        line,
        notes=(*done.notes, *notes),
    )


def _suspend_command(kind: PrincipalKind) -> click.Command:
    text = f"Take every right from a {kind.value} until it is resumed; live connections end."
    return _state_command(kind, "suspend", "suspended", text)


def _resume_command(kind: PrincipalKind) -> click.Command:
    return _state_command(kind, "resume", "resumed", f"Give a suspended {kind.value} its rights back.")


# The three kinds differ in nothing but the word.
person_add, device_add, service_add = map(_add_command, PrincipalKind)
person_list, device_list, service_list = map(_list_command, PrincipalKind)
person_set, device_set, service_set = map(_set_command, PrincipalKind)
person_rename, device_rename, service_rename = map(_rename_command, PrincipalKind)
person_show, device_show, service_show = map(_show_command, PrincipalKind)
person_suspend, device_suspend, service_suspend = map(_suspend_command, PrincipalKind)
person_resume, device_resume, service_resume = map(_resume_command, PrincipalKind)
person_remove, device_remove, service_remove = map(_remove_command, PrincipalKind)


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
def show_group(state: State, group: str) -> None:
    """List the members of a group: groups, and principals, also those that are in it through another group."""
    view = parts.nesting.show_group(state.installation().services, group)
    rows: list[dict[str, Any]] = [{"name": one, "kind": GROUP_KIND, "through": []} for one in view.groups]
    rows += [{**principal_row(one), "through": list(view.ways.get(one.name, ()))} for one in view.members]
    columns = ["name", "kind", "state", "through", "display_name"]
    state.output.table(
        rows, columns, empty=f"{group} has no members; add one: doorward group add {group} NAME"
    )


@click.command("list", cls=Command)
@click.pass_obj
def groups(state: State) -> None:
    """List the groups: how many were put into each, which groups lie in it, how many these bring."""
    rows = [
        {"group": one.name, "members": one.members, "groups": list(one.groups), "inherited": one.inherited}
        for one in parts.nesting.list_nested_groups(state.installation().services)
    ]
    columns = ["group", "members", *(["groups", "inherited"] if any(row["groups"] for row in rows) else [])]
    state.output.table(rows, columns, empty="no groups; create one: doorward group create NAME")


@click.command("add", cls=Command)
@click.argument("group", shell_complete=complete_group)
@click.argument("member", shell_complete=complete_principal())
@KIND
@click.pass_obj
def join(state: State, group: str, member: str, kind: str | None) -> None:
    """Put a member into a group: a person, a device, a service, or a group with all that are in it."""
    services = state.installation().services
    if parts.nesting.is_group(services, member, kind):
        nested = parts.nesting.nest(services, group, member, actor=actor())
        _tell_nesting(state, services, group, nested, "is now in")
        return
    done = parts.principals.add_member(services, group, member, kind=_kind(kind), actor=actor())
    _tell_membership(state, services, group, done, "is now in")


@click.command("remove", cls=Command)
@click.argument("group", shell_complete=complete_group)
@click.argument("member", required=False, shell_complete=complete_principal())
@KIND
@YES
@click.pass_obj
def leave(state: State, group: str, member: str | None, kind: str | None, yes: bool) -> None:
    """Take a member out of a group, what it loses ends at once; without MEMBER, remove the group itself."""
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


def _tell_nesting(state: State, services: Any, group: str, done: Any, what: str) -> None:
    value, line = confirmed(services, done.seq, done.notes)
    state.output.result(
        {"name": done.value, "kind": GROUP_KIND, "group": group, "seq": done.seq, **value},
        f"the group {escape(done.value)} {what} {escape(group)}",
        line,
        notes=done.notes,
    )


def _tell_membership(state: State, services: Any, group: str, done: Any, what: str) -> None:
    value, line = confirmed(services, done.seq, done.notes)
    state.output.result(
        {**principal_row(done.value), "group": group, "seq": done.seq, **value},
        f"{escape(done.value.name)} {what} {escape(group)}",
        line,
        notes=done.notes,
    )


def _remove_group(state: State, services: Any, group: str, *, yes: bool) -> None:

    count = parts.nesting.count_members(services, group)
    if (
        count and not yes and not may_ask(state)
    ):  # a member that was forgotten on the line must not cost the group
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
