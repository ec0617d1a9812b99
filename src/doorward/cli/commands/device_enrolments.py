"""`doorward device pending|approve|refuse`: devices that came with a factory certificate."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from doorward.cli import parts
from doorward.cli.command import Command
from doorward.cli.completing import complete_enrolment, complete_group, complete_manufacturer
from doorward.cli.csv_option import refuse_two_forms
from doorward.cli.output import REFUSED
from doorward.cli.screen import escape
from doorward.cli.state import State, actor
from doorward.core.errors import ConfigurationError

if TYPE_CHECKING:
    from doorward.directory.fleets.approval_lists import Selection
    from doorward.directory.fleets.approving import Outcome
    from doorward.stores.fleet_records import DeviceEnrolmentRecord

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_COLUMNS = (
    "id",
    "manufacturer",
    "serial",
    "state",
    "reason",
    "name",
    "seen_at",
    "contacts",
    "keys",
    "sources",
    "source",
)


@click.command("pending", cls=Command)
@click.option("--manufacturer", default="", shell_complete=complete_manufacturer, help="Only its devices.")
@click.option("--all", "every", is_flag=True, help="Also devices that are approved, enrolled or refused.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV; `device approve --from` can read it again.")
@click.pass_obj
def pending(state: State, manufacturer: str, every: bool, as_csv: bool) -> None:
    """List devices that wait for an operator: new ones, and duplicates, which may be clones."""
    refuse_two_forms(state, as_csv=as_csv)
    services = state.installation().services
    names = {
        one.manufacturer.id: one.manufacturer.name for one in parts.manufacturers.list_manufacturers(services)
    }
    of = parts.manufacturers.find_manufacturer(services, manufacturer).manufacturer.id if manufacturer else ""
    states = tuple(parts.fleet_records.EnrolmentState) if every else parts.approving.WAITING
    rows = [
        _row(one, names.get(one.manufacturer_id, ""), name)
        for one, name in parts.approving.list_enrolments(services, manufacturer_id=of, states=states)
    ]
    if as_csv:
        state.output.csv(rows, (*_COLUMNS, "subject", "groups"))
        return
    state.output.table(rows, _COLUMNS, empty="no device waits")
    if rows and not state.output.as_json:
        state.output.result({}, "[dim]next:[/dim] doorward device approve ID --name NAME --group GROUP")


@click.command("approve", cls=Command)
@click.argument("ids", nargs=-1, metavar="ID...", shell_complete=complete_enrolment)
@click.option(
    "--name", default="", help="The name of the device; without it, as the template of its tag says."
)
@click.option(
    "--group",
    "-g",
    "groups",
    multiple=True,
    shell_complete=complete_group,
    help="Put it into this group; repeatable.",
)
@click.option(
    "--all", "every", is_flag=True, help="All devices that wait, of --manufacturer, but no possible clones."
)
@click.option(
    "--manufacturer",
    default="",
    shell_complete=complete_manufacturer,
    help="The manufacturer of the devices, for --all; or of all rows, for --from.",
)
@click.option(
    "--from",
    "file",
    type=_FILE,
    help="A CSV file with the columns id or serial, and manufacturer, name and groups if wanted; no possible clones.",
)
@click.pass_obj
def approve(
    state: State,
    /,
    ids: tuple[str, ...],
    *,
    name: str,
    groups: tuple[str, ...],
    every: bool,
    manufacturer: str,
    file: Path | None,
) -> None:
    """Approve devices: each gets its certificate at its next contact. One that is refused stops no other."""
    if bool(ids) + every + (file is not None) != 1:
        raise click.UsageError("Give ids, or --all --manufacturer NAME, or --from FILE.")
    if (every and not manufacturer) or (ids and manufacturer):
        raise click.UsageError("--manufacturer belongs to --all, which needs it, or to --from.")
    if name and len(ids) != 1:
        raise click.UsageError("--name is for one device.")
    services = state.installation().services
    selected = _select(state, ids, name=name, groups=groups, manufacturer=manufacturer, file=file)
    with state.output.progress("approved") as show_progress:
        outcomes = []
        for outcome in parts.approving.approve_each(services, selected.wishes, actor=actor()):
            outcomes.append(outcome)
            show_progress(len(outcomes), len(selected.wishes))
    _say(
        state,
        outcomes,
        "approved",
        selected.notes,
        hint="[dim]each gets its certificate at its next contact[/dim]",
    )


@click.command("refuse", cls=Command)
@click.argument("ids", nargs=-1, required=True, metavar="ID...", shell_complete=complete_enrolment)
@click.pass_obj
def refuse(state: State, ids: tuple[str, ...]) -> None:
    """Refuse devices: they get no certificate. Of a duplicate, the device keeps the certificate that it has."""
    services = state.installation().services
    _say(state, list(parts.approving.refuse_each(services, ids, actor=actor())), "refused", ())


def _select(
    state: State,
    ids: tuple[str, ...],
    *,
    name: str,
    groups: tuple[str, ...],
    manufacturer: str,
    file: Path | None,
) -> Selection:
    """Return what to approve; a file with faults is refused as a whole, with every fault."""
    lists, services = parts.approval_lists, state.installation().services
    if file is not None:
        data = parts.pem.read_bounded(file, 64 << 20)
        selected = lists.select_rows(services, data, manufacturer=manufacturer, groups=groups)
        if selected.faults:
            raise ConfigurationError(selected.faults)
    elif manufacturer:
        selected = lists.select_all(services, manufacturer, groups=groups)
    else:
        wishes = tuple(parts.approving.Wish(enrolment_id=one, name=name, groups=groups) for one in ids)
        selected = lists.Selection(wishes=wishes)
    lists.refuse_incomplete(selected)
    return selected


def _say(state: State, outcomes: list[Outcome], past: str, notes: tuple[str, ...], *, hint: str = "") -> None:
    """Print what happened to each device; the exit code is 1 if one was refused by a rule."""
    done = [one for one in outcomes if one.error is None]
    failed = [one for one in outcomes if one.error is not None]
    notes = (*notes, *(note for one in done for note in one.notes))
    value = {
        past: [_outcome_row(one) for one in done],
        "failed": [
            {
                "id": one.wish.enrolment_id,
                "code": one.error.code,
                "detail": one.error.detail,
                "hint": one.error.hint,
            }
            for one in failed
            if one.error is not None
        ],
    }
    state.output.result(value, *_lines(done, failed, past), *((hint,) if done and hint else ()), notes=notes)
    if failed:
        sys.exit(REFUSED)


def _lines(done: list[Outcome], failed: list[Outcome], past: str) -> Iterator[str]:
    for one in done:
        serial = one.enrolment.serial if one.enrolment else ""
        yield f"{past} [bold]{escape(one.name or one.wish.enrolment_id)}[/bold] {escape(serial)}".rstrip()
    for one in failed:
        if one.error is not None:
            hint = f"; {escape(one.error.hint)}" if one.error.hint else ""
            yield (
                f"[red]not {past}[/red] {escape(one.wish.enrolment_id)}: {escape(one.error.detail)}{hint} "
                f"[dim]({one.error.code})[/dim]"
            )


def _outcome_row(one: Outcome) -> dict[str, Any]:
    return {
        "id": one.wish.enrolment_id,
        "name": one.name,
        "serial": one.enrolment.serial if one.enrolment else "",
        "state": one.enrolment.state.value if one.enrolment else "",
    }


def _row(one: DeviceEnrolmentRecord, manufacturer: str, name: str) -> dict[str, Any]:
    return {
        "id": one.id,
        "manufacturer": manufacturer,
        "serial": one.serial,
        "subject": one.subject,
        "state": one.state.value,
        "reason": one.reason,
        "name": name,
        "tag": one.tag,
        "created_at": one.created_at,
        "seen_at": one.seen_at,
        "contacts": one.contacts,
        "keys": one.keys,
        "sources": one.sources,
        "source": one.source,
        "decided_by": one.decided_by,
    }
