"""`doorward person|device|service`: principals. The commands of the three kinds differ only in the word."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from doorward.cli import parts
from doorward.cli.command import Command
from doorward.cli.commands.importing import DEFAULT_HOURS, ImportOptions, import_options, import_principals
from doorward.cli.completing import complete_group, complete_principal
from doorward.cli.confirming import YES, ask, confirmed
from doorward.cli.csv_option import CSV, note_more, refuse_two_forms
from doorward.cli.rows import (
    INVENTORY_CSV,
    certificate_facts_row,
    certificate_row,
    fact_lines,
    inventory_row,
    principal_row,
    suspicion_line,
    suspicion_row,
)
from doorward.cli.screen import escape
from doorward.cli.spans import read_span
from doorward.cli.state import State, actor
from doorward.core.entities import Principal, PrincipalKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from doorward.directory.principal_inventory import InventoryEntry
    from doorward.stores.change_result import ChangeResult
    from doorward.stores.services import Services

ORDERS = ("name", "last-seen", "certificate-end")
"""As `directory.principal_inventory.InventoryOrder`, without loading it for the help."""

_FACTS = ("where", "certificate_until", "agent_version")
"""Columns of a list for people that are left out if no row has a value."""

KEEP_RULES = click.option(
    "--keep-rules",
    is_flag=True,
    help="Use the name even if rules still name a former principal with this name. These rules then apply to the new principal.",
)

EMAIL = click.option(
    "--email",
    metavar="ADDRESS",
    help="Where notices about its certificates are sent; an empty text removes it.",
)


def add_command(word: str) -> click.Command:
    """Return `person add`, or that of another kind."""
    kind = PrincipalKind(word)

    text = f"Add a {word} to the directory, or with --from all {word}s of a file."

    @click.command("add", cls=Command, help=text)
    @click.argument("name", required=False)
    @click.option(
        "--group",
        "-g",
        "groups",
        multiple=True,
        shell_complete=complete_group,
        help="Put it into this group; repeatable.",
    )
    @click.option("--display-name", help="The name on screens.")
    @EMAIL
    @KEEP_RULES
    @import_options(word)
    @click.pass_obj
    def command(
        state: State,
        /,
        name: str | None,
        *,
        groups: tuple[str, ...],
        display_name: str | None,
        email: str | None,
        keep_rules: bool,
        file: Path | None,
        invitations: Path | None,
        hours: int | None,
        **chosen: bool,
    ) -> None:
        if file is None:
            if name is None or any(chosen.values()) or invitations is not None or hours is not None:
                raise click.UsageError("Give a NAME, or --from FILE; --dry-run and the like need --from.")
            _add_one(
                state, kind, name, display_name or "", email=email or "", groups=groups, keep_rules=keep_rules
            )
            return
        if any(one is not None for one in (name, display_name, email)):
            raise click.UsageError(
                "--from names everything: give no NAME, --display-name and --email with it."
            )
        if hours is not None and invitations is None:
            raise click.UsageError("--hours needs --invitations.")
        options = ImportOptions(
            file=file,
            groups=groups,
            keep_rules=keep_rules,
            invitations=invitations,
            hours=hours or DEFAULT_HOURS,
            **chosen,
        )
        import_principals(state, kind, options)

    return command


def _add_one(
    state: State,
    kind: PrincipalKind,
    name: str,
    display_name: str,
    *,
    email: str,
    groups: tuple[str, ...],
    keep_rules: bool,
) -> None:
    services = state.installation().services
    if email:  # a wrong one adds no principal
        parts.mail_address.parse_mail_address(email)
    done = parts.principals.add_principal(
        services,
        kind,
        name,
        display_name=display_name,
        groups=groups,
        keep_rules=keep_rules,
        actor=actor(),
    )
    if email:
        parts.mail_addresses.set_mail_address(services, name, email, kind=kind, actor=actor())
    state.output.result(
        {**principal_row(done.value), "seq": done.seq},
        ("added" if done.changed else "kept")
        + f" {kind.value} [bold]{escape(done.value.name)}[/bold]"
        + (f" to {', '.join(groups)}" if groups else ""),
        "[dim]it connects with its partner's certificate[/dim]"
        if done.value.partner
        else f"[dim]next:[/dim] doorward invite {done.value.name}",
        notes=done.notes,
    )


def set_command(word: str) -> click.Command:
    """Return `person set`, or that of another kind."""
    kind = PrincipalKind(word)

    @click.command("set", cls=Command, help=f"Change what is shown of a {word}.")
    @click.argument("name", shell_complete=complete_principal(kind))
    @click.option("--display-name", help="The name on screens.")
    @EMAIL
    @click.pass_obj
    def command(state: State, name: str, display_name: str | None, email: str | None) -> None:
        if display_name is None and email is None:
            raise click.UsageError("Give --display-name or --email.")
        services = state.installation().services
        lines: list[str] = []
        notes: list[str] = []
        shown = f"{word} [bold]{escape(name)}[/bold]"
        if email is not None:
            done = parts.mail_addresses.set_mail_address(services, name, email, kind=kind, actor=actor())
            lines.append(f"{shown} gets mail at {escape(email) or 'no address'}")
            notes += done.notes
        if display_name is not None:
            done = parts.principals.set_display_name(services, name, display_name, kind=kind, actor=actor())
            lines.append(f"{shown} is shown as {escape(display_name) or 'its name'}")
            notes += done.notes
        state.output.result({**principal_row(done.value), "seq": done.seq}, *lines, notes=notes)

    return command


def rename_command(word: str) -> click.Command:
    """Return `person rename`, or that of another kind."""
    kind = PrincipalKind(word)

    text = (
        f"Give a {word} another name. Certificates with the old name are revoked, so the {word} needs new ones. "
        "Rules keep the old name; memberships in groups stay."
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
        done = parts.removal.rename(services, name, new_name, kind=kind, keep_rules=keep_rules, actor=actor())
        value, line = confirmed(services, done.seq, (*done.notes, *notes))
        state.output.result(
            {**principal_row(done.value), "seq": done.seq, **value},
            f"{word} {escape(name)} is now [bold]{escape(new_name)}[/bold]",
            line,
            f"[dim]next:[/dim] doorward invite {escape(new_name)}",
            notes=(*done.notes, *notes),
        )

    return command


def list_command(word: str) -> click.Command:
    """Return `person list`, or that of another kind."""
    kind = PrincipalKind(word)

    text = (
        f"List the {word}s, with when and where each was last seen at the door, and what its agent reported."
    )

    @click.command("list", cls=Command, help=text)
    @click.option(
        "--stale",
        callback=read_span,
        metavar="DURATION",
        help=f"List only {word}s that were never seen, or not for so long: 14d, 12h.",
    )
    @click.option("--not-reported", is_flag=True, help="List only those of which no agent ever reported.")
    @click.option(
        "--sort",
        "order",
        type=click.Choice(ORDERS),
        default=ORDERS[0],
        show_default=True,
        help="By name, by the longest unseen, or by the earliest end of the certificate.",
    )
    @click.option(
        "--after", default="", shell_complete=complete_principal(kind), help="List only names after this one."
    )
    @click.option("--limit", type=click.IntRange(1, 1_000_000), help="List at most this many.")
    @CSV
    @click.pass_obj
    def command(
        state: State,
        /,
        *,
        stale: timedelta | None,
        not_reported: bool,
        order: str,
        after: str,
        limit: int | None,
        as_csv: bool,
    ) -> None:
        if after and order != ORDERS[0]:
            raise click.UsageError("--after needs the order of names.")
        refuse_two_forms(state, as_csv=as_csv)
        entries, more = parts.principal_inventory.list_inventory(
            state.installation().services,
            kind,
            stale=stale,
            not_reported=not_reported,
            order=parts.principal_inventory.InventoryOrder(order),
            after=after,
            limit=limit,
        )
        if as_csv:
            _print_csv(state, entries)
        else:
            filtered = stale is not None or not_reported or bool(after)
            empty = f"no such {word}s" if filtered else f"no {word}s; add one: doorward {word} add NAME"
            _print_table(state, entries, empty)
        if more:
            by_name = order == ORDERS[0]
            how = (
                f"continue with --after {entries[-1].principal.name}" if by_name else "name a larger --limit"
            )
            note_more(state, more=True, how=how)

    return command


def _print_csv(state: State, entries: Sequence[InventoryEntry]) -> None:
    """Print the entries as CSV with the columns that an import reads, and the mail addresses."""
    ids = [one.principal.id for one in entries]
    emails = parts.mail_addresses.find_mail_addresses(state.installation().services, ids)
    rows = [{**_for_import(inventory_row(one)), "email": emails[one.principal.id]} for one in entries]
    state.output.csv(rows, INVENTORY_CSV)


def _print_table(state: State, entries: Sequence[InventoryEntry], empty: str) -> None:
    """Print the entries as a table; a terminal has few columns, so one without any value is left out."""
    rows = [inventory_row(one) for one in entries]
    facts = [one for one in _FACTS if any(row[one] for row in rows)]
    state.output.table(rows, ["name", "state", "groups", "last_seen", *facts, "display_name"], empty=empty)


def _for_import(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with the groups that the principal was put into, which an import can repeat."""
    return {**row, "groups": [one for one in row["groups"] if one not in row["inherited"]]}


def show_command(word: str) -> click.Command:
    """Return `person show`, or that of another kind."""
    kind = PrincipalKind(word)

    @click.command("show", cls=Command, help=f"Show one {word} and its certificates.")
    @click.argument("name", shell_complete=complete_principal(kind))
    @click.pass_obj
    def command(state: State, name: str) -> None:

        services = state.installation().services
        principal, certificates, older = parts.certificates.find_with_certificates(services, name, kind=kind)
        facts = parts.principal_inventory.find_facts(services, [one.id for one in certificates])
        suspicions = parts.line.find_suspicions(services, [one.id for one in certificates])
        address = parts.mail_addresses.find_mail_address(services, principal.id)
        value = {
            **principal_row(principal),
            "mail_address": address,
            "certificates": [certificate_row(one) for one in certificates],
            "older_certificates": older,
            "suspected_clones": {one: suspicion_row(found) for one, found in suspicions.items()},
            "facts": [certificate_facts_row(facts[one.id]) for one in certificates if one.id in facts],
        }
        lines = [
            f"[bold]{escape(principal.name)}[/bold]  {word}, {principal.state.value}",
            f"id      {principal.id}",
            *([f"mail    {escape(address)}"] if address else []),
        ]
        paths = parts.nesting.find_group_paths(services, principal)
        held = [
            one + (f" (through {', '.join(paths[one])})" if one in paths else "") for one in principal.groups
        ]
        lines += [f"groups  {', '.join(held) or '-'}"]
        if older:
            lines.append(
                f"[dim]and {older} older ones: doorward cert list --of {escape(principal.name)} --csv[/dim]"
            )
        for one in certificates:
            lines.append(f"cert    {one.id}  {one.state.value}  until {one.not_after:%Y-%m-%d %H:%M}Z")
            if one.id in facts:
                lines += fact_lines(facts[one.id])
            if one.id in suspicions:
                lines.append(suspicion_line(suspicions[one.id]))
        state.output.result(value, *lines)

    return command


def suspend_command(word: str) -> click.Command:
    """Return `person suspend`, or that of another kind."""
    kind = PrincipalKind(word)
    text = f"Take all rights from a {word} until `doorward {word} resume`; live connections end."

    @click.command("suspend", cls=Command, help=text)
    @click.argument("name", shell_complete=complete_principal(kind))
    @click.pass_obj
    def command(state: State, name: str) -> None:
        services = state.installation().services
        done = parts.principals.suspend(services, name, kind=kind, actor=actor())
        _say_changed(state, services, done, "suspended")

    return command


def resume_command(word: str) -> click.Command:
    """Return `person resume`, or that of another kind."""
    kind = PrincipalKind(word)

    @click.command("resume", cls=Command, help=f"Give a suspended {word} its rights back.")
    @click.argument("name", shell_complete=complete_principal(kind))
    @click.pass_obj
    def command(state: State, name: str) -> None:
        services = state.installation().services
        done = parts.principals.resume(services, name, kind=kind, actor=actor())
        _say_changed(state, services, done, "resumed")

    return command


def remove_command(word: str) -> click.Command:
    """Return `person remove`, or that of another kind."""
    kind = PrincipalKind(word)
    text = f"Remove a {word} for good and revoke its certificates; on a terminal, the command asks first."

    @click.command("remove", cls=Command, help=text)
    @click.argument("name", shell_complete=complete_principal(kind))
    @YES
    @click.pass_obj
    def command(state: State, name: str, yes: bool) -> None:
        if parts.removal.was_removed(state.installation().services, name):
            note = f"{name} was removed already"
            state.output.result({"name": name, "state": "removed"}, notes=(note,))
            return
        ask(state, f"remove {word} {name} for good, and revoke its certificates?", yes=yes)
        # The same transaction signs new OCSP answers for its certificates.
        installation, notes = state.withdrawal()
        done = parts.removal.remove(installation.services, name, kind=kind, actor=actor())
        _say_changed(state, installation.services, done, "removed", notes)

    return command


def _say_changed(
    state: State, services: Services, done: ChangeResult[Principal], past: str, notes: tuple[str, ...] = ()
) -> None:
    """Wait for the gateways, and print what was done."""
    notes = (*done.notes, *notes)
    value, line = confirmed(services, done.seq, notes)
    state.output.result(
        {**principal_row(done.value), "seq": done.seq, **value},
        f"{past} {done.value.kind.value} [bold]{escape(done.value.name)}[/bold]",
        line,
        notes=notes,
    )
