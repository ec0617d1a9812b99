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
from doorward.cli.confirming import YES, ask, may_ask
from doorward.cli.csv_option import refuse_two_forms
from doorward.cli.output import REFUSED
from doorward.cli.screen import escape
from doorward.cli.state import State, actor
from doorward.core.errors import ConfigurationError, RequestRefused

if TYPE_CHECKING:
    from doorward.directory.fleets.approval_lists import Selection
    from doorward.directory.fleets.approving import Outcome
    from doorward.stores.fleet_records import DeviceEnrolmentRecord

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_KEY_DIGITS = 16
"""Of the digest; in groups, so that no spreadsheet takes it for a number."""

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
    "key",
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
@click.option(
    "--key",
    default="",
    help="How the key of the device begins, as `device pending` shows it: approve no other key.",
)
@YES
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
    key: str,
    yes: bool,
) -> None:
    """Approve devices: each gets its certificate at its next contact. One that is refused stops no other.

    A device that may be a clone is approved by its id only, and is asked about first.
    """
    if bool(ids) + every + (file is not None) != 1:
        raise click.UsageError("Give ids, or --all --manufacturer NAME, or --from FILE.")
    if (every and not manufacturer) or (ids and manufacturer):
        raise click.UsageError("--manufacturer belongs to --all, which needs it, or to --from.")
    if (name or key) and len(ids) != 1:
        raise click.UsageError("--name and --key are for one device.")
    services = state.installation().services
    if ids:
        selected = _look_at(state, ids, name=name, groups=groups, key=key, yes=yes)
    else:
        selected = _select(state, groups=groups, manufacturer=manufacturer, file=file)
    parts.approval_lists.refuse_incomplete(selected)
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


def _look_at(
    state: State, ids: tuple[str, ...], *, name: str, groups: tuple[str, ...], key: str, yes: bool
) -> Selection:
    """Return what to approve by id, each with the key that it has now; ask about possible clones.

    What was asked about is what is approved: a device that comes with another key meanwhile is not.
    """
    wishes, odd = [], []
    for one, found in zip(
        ids, parts.approving.find_enrolments(state.installation().services, ids), strict=True
    ):
        seen = key or (found.wanted_key if found else "")
        wishes.append(parts.approving.Wish(enrolment_id=one, name=name, groups=groups, key=seen))
        if found is not None and parts.approving.is_suspicious(found):
            odd.append(f"{one} ({found.state.value}: {found.reason or f'{found.keys} keys'})")
    if odd and not yes and not may_ask(state):
        raise RequestRefused(
            "not-confirmed",
            f"nothing was approved, because each of these may be a clone: {', '.join(odd)}",
            hint="look at them: `doorward device pending`; then add --yes",
        )
    if odd:
        more = "the certificates that they have are revoked when they get the next"
        ask(state, f"approve {', '.join(odd)}? Each may be a clone, and {more}.", yes=yes)
    return parts.approval_lists.Selection(wishes=tuple(wishes))


def _select(
    state: State,
    *,
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
        return selected
    return lists.select_all(services, manufacturer, groups=groups)


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
        "key": ":".join(one.wanted_key[place : place + 4] for place in range(0, _KEY_DIGITS, 4)),
        "decided_by": one.decided_by,
    }
