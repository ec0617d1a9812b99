"""`doorward person|device|service|group`: who there is, and in which groups."""

from __future__ import annotations

from typing import Any

import click

from doorward.cli.command import Command, LazyGroup, State, actor
from doorward.cli.completion import complete_group, complete_principal
from doorward.cli.confirming import confirmed
from doorward.cli.screen import escape
from doorward.core.entities import Principal, PrincipalKind


def _row(principal: Principal) -> dict[str, Any]:
    return {
        "name": principal.name,
        "kind": principal.kind.value,
        "state": principal.state.value,
        "groups": list(principal.groups),
        "display_name": principal.display_name,
        "id": principal.id,
    }


def _kind_group(kind: PrincipalKind) -> click.Group:
    """Build the commands of one kind of principal; the three kinds differ in nothing but the word."""
    word = kind.value
    group = click.Group(name=word, help=f"Manage {word}s.")
    suspending = f"Take every right from a {word} until it is resumed; live connections end."
    for command in (
        _add_command(kind),
        _list_command(kind),
        _show_command(kind),
        _state_command(kind, "suspend", "suspended", suspending),
        _state_command(kind, "resume", "resumed", f"Give a suspended {word} its rights back."),
        _state_command(kind, "remove", "removed", f"Remove a {word} for good and revoke its certificates."),
    ):
        group.add_command(command)
    return group


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
    @click.pass_obj
    def command(state: State, name: str, groups: tuple[str, ...], display_name: str) -> None:
        from doorward.authority.directory import add_principal  # noqa: PLC0415  loaded when called

        services = state.installation().services
        done = add_principal(services, kind, name, display_name=display_name, groups=groups, actor=actor())
        state.output.result(
            {**_row(done.value), "seq": done.seq},
            f"added {word} [bold]{escape(done.value.name)}[/bold]"
            + (f" to {', '.join(groups)}" if groups else ""),
            "[dim]it connects with its partner's certificate[/dim]"
            if done.value.partner
            else f"[dim]next:[/dim] doorward invite {done.value.name}",
            notes=done.notes,
        )

    return command


def _list_command(kind: PrincipalKind) -> click.Command:
    word = kind.value

    @click.command("list", cls=Command, help=f"List the {word}s.")
    @click.pass_obj
    def command(state: State) -> None:
        from doorward.authority.directory import list_principals  # noqa: PLC0415  loaded when called

        rows = [_row(one) for one in list_principals(state.installation().services, kind)]
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
        from doorward.authority.directory import find_principal  # noqa: PLC0415  loaded when called
        from doorward.authority.inventory import list_certificates  # noqa: PLC0415  as above
        from doorward.authority.records import CertificateFilter  # noqa: PLC0415  as above
        from doorward.cli.cert import certificate_row  # noqa: PLC0415  as above

        services = state.installation().services
        principal = find_principal(services, name, kind=kind)
        certificates = list_certificates(services, CertificateFilter(principal_id=principal.id))
        value = {**_row(principal), "certificates": [certificate_row(one) for one in certificates]}
        lines = [
            f"[bold]{escape(principal.name)}[/bold]  {word}, {principal.state.value}",
            f"id      {principal.id}",
        ]
        lines += [f"groups  {', '.join(principal.groups) or '-'}"]
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
        from doorward.authority import directory  # noqa: PLC0415  loaded when called

        # Removing revokes certificates, and their OCSP answers are signed anew in the same transaction.
        installation, notes = state.withdrawal() if verb == "remove" else (state.installation(), ())
        done = getattr(directory, verb)(installation.services, name, kind=kind, actor=actor())
        value, line = confirmed(installation.services, done.seq, (*done.notes, *notes))
        state.output.result(
            {**_row(done.value), "seq": done.seq, **value},
            f"{past} {kind.value} [bold]{escape(name)}[/bold]",
            line,
            notes=(*done.notes, *notes),
        )

    return command


person = _kind_group(PrincipalKind.PERSON)
device = _kind_group(PrincipalKind.DEVICE)
service = _kind_group(PrincipalKind.SERVICE)


@click.group(
    cls=LazyGroup,
    lazy={
        "create": "directory:create",
        "add": "directory:join",
        "remove": "directory:leave",
        "list": "directory:groups",
    },
)
def group() -> None:
    """Manage groups."""


@click.command("create", cls=Command)
@click.argument("group")
@click.pass_obj
def create(state: State, group: str) -> None:
    """Create a group."""
    from doorward.authority.directory import create_group  # noqa: PLC0415  loaded when called

    done = create_group(state.installation().services, group, actor=actor())
    state.output.result({"group": group, "seq": done.seq}, f"created group [bold]{group}[/bold]")


@click.command("list", cls=Command)
@click.pass_obj
def groups(state: State) -> None:
    """List the groups."""
    from doorward.authority.directory import list_groups  # noqa: PLC0415  loaded when called

    rows = [
        {"group": name, "members": count}
        for name, count in list_groups(state.installation().services).items()
    ]
    state.output.table(rows, ["group", "members"], empty="no groups; create one: doorward group create NAME")


def _membership(verb: str, past: str, text: str) -> click.Command:
    @click.command(verb, cls=Command, help=text)
    @click.argument("group", shell_complete=complete_group)
    @click.argument("member", shell_complete=complete_principal())
    @click.pass_obj
    def command(state: State, group: str, member: str) -> None:
        from doorward.authority.directory import add_member, remove_member  # noqa: PLC0415  loaded when called

        services = state.installation().services
        use_case = add_member if verb == "add" else remove_member
        done = use_case(services, group, member, actor=actor())
        value, line = confirmed(services, done.seq, done.notes)
        state.output.result(
            {**_row(done.value), "group": group, "seq": done.seq, **value},
            f"{escape(member)} {past} {group}",
            line,
            notes=done.notes,
        )

    return command


join = _membership("add", "is now in", "Put a member into a group.")
leave = _membership("remove", "is no longer in", "Take a member out of a group; what it loses ends at once.")
