"""`doorward person|device|service add --from FILE`: many principals from one file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from doorward.cli import parts
from doorward.cli.screen import escape
from doorward.cli.state import State, actor
from doorward.core.entities import PrincipalKind
from doorward.core.errors import ConfigurationError, Fault, MalformedInput

if TYPE_CHECKING:
    from doorward.directory.importing.planning import Plan
    from doorward.directory.importing.reading_files import ImportFile
    from doorward.runtime.compose import Installation
    from doorward.runtime.invitation_files import InvitationFile
    from doorward.stores.services import Services

C = TypeVar("C", bound=Callable[..., Any])

LARGEST_FILE = 64 << 20
DEFAULT_HOURS = 24
MOST_NAMED = 10
"""Names in a line for people; `--json` has all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """The options of an import."""

    file: Path
    groups: tuple[str, ...] = ()
    dry_run: bool = False
    update: bool = False
    skip_faulty: bool = False
    create_groups: bool = False
    keep_rules: bool = False
    invitations: Path | None = None
    hours: int = DEFAULT_HOURS


def import_options(word: str) -> Callable[[C], C]:
    """Return a decorator that adds the options of an import to a command about this kind of principal."""
    options = (
        click.option(
            "--from",
            "file",
            type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
            help=f"Add the {word}s of this CSV or JSON file; `-` is standard input. If it has a fault, nothing is changed.",
        ),
        click.option("--dry-run", is_flag=True, help="With --from: check everything, change nothing."),
        click.option(
            "--update",
            is_flag=True,
            help=f"With --from: change existing {word}s to what the file says. None leaves a group.",
        ),
        click.option("--skip-faulty", is_flag=True, help="With --from: leave rows with a fault out."),
        click.option("--create-groups", is_flag=True, help="With --from: create groups that do not exist."),
        click.option(
            "--invitations",
            type=click.Path(dir_okay=False, path_type=Path),
            metavar="OUT.csv",
            help="With --from: write a one-time link for each row without a valid certificate into this new file, mode 0600.",
        ),
        click.option(
            "--hours",
            type=click.IntRange(1, 168),
            help="With --invitations: how long the links work; 24 without it.",
        ),
    )

    def decorate(command: C) -> C:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def import_principals(state: State, kind: PrincipalKind, options: ImportOptions) -> None:
    """Add the principals that a file names; nothing is changed if the file has a fault."""
    try:
        _import(state, kind, options)
    except KeyboardInterrupt:
        state.output.note("run the same command again: it goes on where it was, and makes nothing twice")
        raise


def _import(state: State, kind: PrincipalKind, options: ImportOptions) -> None:
    shown = "standard input" if options.file == Path("-") else str(options.file)
    read = parts.reading_files.read_import_file(_read(options.file), kind, groups=options.groups)
    installation = state.installation()
    services = installation.services
    out = _open_invitations(installation, options)
    plan = parts.planning.plan_import(services, kind, read.entries, keep_rules=options.keep_rules)
    faults = _all_faults(shown, read, plan)
    if faults and not options.skip_faulty:
        raise ConfigurationError([*faults, *_missing_groups(shown, plan, options)])
    if missing := _missing_groups(shown, plan, options):
        raise ConfigurationError(missing)
    value: dict[str, Any] = {
        "file": shown,
        "kind": kind.value,
        "dry_run": options.dry_run,
        "rows": len(read.entries) + len(read.faults),
        "added": len(plan.new),
        "updated": len(plan.differing) if options.update else 0,
        "unchanged": len(plan.unchanged),
        "differing": [] if options.update else [one.name for one in plan.differing],
        "overtaken": [],
        "groups_created": list(plan.missing_groups),
        "faults": [_fault_value(one) for one in faults],
    }
    if not options.dry_run:
        with state.output.progress(f"{kind.value}s") as progress:
            done = parts.adding.run_import(
                services,
                plan,
                update=options.update,
                keep_rules=options.keep_rules,
                actor=actor(),
                progress=progress,
            )
        value |= {
            "added": len(done.added),
            "updated": len(done.updated),
            "overtaken": done.overtaken,
            "groups_created": done.groups,
            "seq": done.seq,
        }
        if out is not None:
            names = [one.name for one in read.entries if one.name not in {*done.overtaken}]
            value |= _invite(state, services, out, names, options)
    if not state.output.as_json:
        state.output.faults(faults, "[dim]left out:[/dim]")
    state.output.result(value, *_lines(value, kind), notes=read.notes)


def _open_invitations(installation: Installation, options: ImportOptions) -> InvitationFile | None:
    """Return the file of links; refuse before anything is changed if it exists."""
    if options.invitations is None or options.dry_run:
        return None
    out = parts.invitation_files.InvitationFile(options.invitations, installation.link_maker())
    out.read_part()
    return out


def _invite(
    state: State, services: Services, out: InvitationFile, names: Sequence[str], options: ImportOptions
) -> dict[str, Any]:
    """Invite the principals of a file, and go on with the links of an earlier run that was interrupted."""
    kept = parts.inviting_many.find_open(services, out.read_part())
    out.begin(kept)
    have = {one.name for one in kept}
    with state.output.progress("links") as progress:
        done = parts.inviting_many.invite_many(
            services,
            [name for name in names if name not in have],
            lifetime=timedelta(hours=options.hours),
            actor=actor(),
            keep=out.append,
            progress=progress,
        )
    out.finish()
    return {
        "invitations": str(options.invitations),
        "invited": done.count + len(kept),
        "with_certificate": done.with_certificate,
        "not_invitable": done.not_invitable,
    }


def _read(file: Path) -> bytes:
    if file != Path("-"):
        return parts.pem.read_bounded(file, LARGEST_FILE)
    data = sys.stdin.buffer.read(LARGEST_FILE + 1)
    if len(data) > LARGEST_FILE:
        raise MalformedInput(
            "file-too-large",
            f"standard input has more than {LARGEST_FILE} bytes",
            hint="divide it into several files",
        )
    return data


def _all_faults(shown: str, read: ImportFile, plan: Plan) -> list[Fault]:
    """Return the faults of the file and of the comparison with the directory, in the order of the lines."""
    both = sorted((*read.faults, *plan.faults), key=lambda one: one.line)
    return [replace(one, file=shown) for one in both]


def _missing_groups(shown: str, plan: Plan, options: ImportOptions) -> list[Fault]:
    if options.create_groups or not plan.missing_groups:
        return []
    count = len(plan.missing_groups)
    return [
        Fault(
            code="group-unknown",
            message=f"{count} group{'s do' if count > 1 else ' does'} not exist: {_names(plan.missing_groups, count)}",
            hint="correct the names, or add --create-groups to create them",
            file=shown,
        )
    ]


def _fault_value(fault: Fault) -> dict[str, Any]:
    return {
        "code": fault.code,
        "message": fault.message,
        "hint": fault.hint,
        "line": fault.line,
        "key": fault.key,
    }


def _lines(value: dict[str, Any], kind: PrincipalKind) -> list[str]:
    would = "would be " if value["dry_run"] else ""
    counts = [f"{value['added']} {would}added"]
    if value["updated"]:
        counts.append(f"{value['updated']} {would}updated")
    counts.append(f"{value['unchanged']} unchanged")
    if value["faults"]:
        counts.append(f"{len(value['faults'])} left out because of a fault")
    lines = [f"[bold]{value['rows']} {kind.value}s[/bold] in {escape(value['file'])}: {', '.join(counts)}"]
    if value["groups_created"]:
        lines.append(f"groups {would}created: {escape(_names(value['groups_created']))}")
    if value["differing"]:
        count = len(value["differing"])
        lines.append(f"{count} differ from the file and were left as they are: {_names(value['differing'])}")
        lines.append("  add --update to change them to what the file says")
    if value["overtaken"]:
        lines.append(
            f"changed by another command meanwhile, and left as they are: {_names(value['overtaken'])}"
        )
    lines += _link_lines(value)
    if value["dry_run"]:
        lines.append("[dim]nothing was changed[/dim]")
    return lines


def _link_lines(value: dict[str, Any]) -> list[str]:
    if "invited" not in value:
        return []
    lines = [f"{value['invited']} one-time links are in {escape(value['invitations'])}"]
    if value["with_certificate"]:
        lines.append(
            f"no link: {len(value['with_certificate'])} have a certificate, which is valid or on hold"
        )
    if value["not_invitable"]:
        lines.append(f"no link, because suspended or removed: {_names(value['not_invitable'])}")
    if value["invited"]:
        lines.append(
            "[dim]each works once, for any finder: send each to its own person or device, then delete the file[/dim]"
        )
    return lines


def _names(names: Sequence[str], most: int = MOST_NAMED) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
