"""`doorward manufacturer` and `doorward tag`: makers of devices, and how their devices are approved."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from doorward.cli import parts
from doorward.cli.command import Command
from doorward.cli.completing import complete_group, complete_manufacturer, complete_tag
from doorward.cli.confirming import YES, ask, confirmed
from doorward.cli.screen import escape
from doorward.cli.state import State, actor

if TYPE_CHECKING:
    from doorward.directory.fleets.manufacturers import ManufacturerState
    from doorward.stores.fleet_records import EnrolmentTagRecord, SerialStanding

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("import", cls=Command)
@click.argument("name")
@click.option(
    "--from",
    "anchors",
    multiple=True,
    required=True,
    type=_FILE,
    help="The certificate of an authority of its factory, which is trusted to name its devices; repeatable.",
)
@click.option(
    "--intermediate",
    "-i",
    "intermediates",
    multiple=True,
    type=_FILE,
    help="Certificates that may sign below it, if its devices do not show them; repeatable.",
)
@click.option(
    "--tag", default="", shell_complete=complete_tag, help="The tag of its devices (`doorward tag add`)."
)
@click.option(
    "--most-pending",
    type=click.IntRange(1, 100_000),
    default=1_000,
    show_default=True,
    help="At most this many of its devices wait for an operator.",
)
@click.pass_obj
def import_(
    state: State,
    /,
    name: str,
    *,
    anchors: tuple[Path, ...],
    intermediates: tuple[Path, ...],
    tag: str,
    most_pending: int,
) -> None:
    """Let the devices of a manufacturer ask for certificates; no application ever trusts its authority."""
    read = parts.certificate_files.read_certificate_files
    done = parts.manufacturers.import_manufacturer(
        state.installation().services,
        name,
        anchors=read(anchors),
        intermediates=read(intermediates),
        tag=tag,
        most_pending=most_pending,
        actor=actor(),
    )
    findings = [
        {
            "code": one.code.value,
            "severity": one.code.severity.value,
            "certificate": one.certificate,
            "text": one.text,
        }
        for one in done.value.findings
    ]
    how = f"by the tag {tag}" if tag else "by an operator, or if their serial numbers are expected"
    state.output.result(
        {**_row(done.value), "findings": findings},
        f"devices of [bold]{escape(name)}[/bold] may ask for certificates; they are approved {escape(how)}",
        "[dim]next: the devices ask by EST; then[/dim] doorward device pending",
        notes=[f"{one['severity']}: {one['code']}, {one['text']}" for one in findings],
    )


@click.command("list", cls=Command)
@click.pass_obj
def list_(state: State) -> None:
    """List the manufacturers, with their devices by state."""
    rows = [_row(one) for one in parts.manufacturers.list_manufacturers(state.installation().services)]
    state.output.table(
        rows,
        ["name", "tag", "pending", "duplicate", "enrolled", "most_pending"],
        empty="no manufacturers; add one: doorward manufacturer import NAME --from ca.pem",
    )


@click.command("show", cls=Command)
@click.argument("name", shell_complete=complete_manufacturer)
@click.pass_obj
def show(state: State, name: str) -> None:
    """Show a manufacturer: its authorities, its tag, its devices by state."""
    found = parts.manufacturers.find_manufacturer(state.installation().services, name)
    row = _row(found)
    authorities: list[dict[str, Any]] = [
        {
            "kind": "anchor" if one.anchor else "intermediate",
            "subject": parts.manufacturers.describe_authority(one),
            "not_after": one.not_after,
            "sha256": one.sha256,
        }
        for one in found.authorities
    ]
    barred_count = found.barred
    counts = ", ".join(f"{count} {one.value}" for one, count in found.devices) or "none yet"
    state.output.result(
        {**row, "barred": barred_count, "authorities": authorities},
        f"[bold]{escape(name)}[/bold]  {row['id']}",
        f"tag      {escape(row['tag']) or '-'}",
        f"devices  {counts}; at most {row['most_pending']} wait",
        *(
            [f"barred   {barred_count} serial numbers: doorward manufacturer barred {escape(name)}"]
            if barred_count
            else []
        ),
        *(
            f"{one['kind']:<12} {escape(one['subject'])}  until {one['not_after']:%Y-%m-%d}  {one['sha256'][:16]}"
            for one in authorities
        ),
    )


@click.command("set", cls=Command)
@click.argument("name", shell_complete=complete_manufacturer)
@click.option(
    "--tag",
    shell_complete=complete_tag,
    help="Another tag of its devices; '' for none. Those that wait, too.",
)
@click.option(
    "--most-pending", type=click.IntRange(1, 100_000), help="At most this many of its devices wait."
)
@click.pass_obj
def set_(state: State, name: str, tag: str | None, most_pending: int | None) -> None:
    """Change how the devices of a manufacturer are approved, or how many may wait."""
    if tag is None and most_pending is None:
        raise click.UsageError("Give --tag, or --most-pending.")
    done = parts.manufacturers.change_manufacturer(
        state.installation().services, name, tag=tag, most_pending=most_pending, actor=actor()
    )
    row = _row(done.value)
    tagged = f"the tag {escape(row['tag'])}" if row["tag"] else "no tag"
    state.output.result(
        row,
        f"[bold]{escape(name)}[/bold] has {tagged}; at most {row['most_pending']} of its devices wait",
        notes=done.notes,
    )


@click.command("barred", cls=Command)
@click.argument("name", shell_complete=complete_manufacturer)
@click.pass_obj
def barred(state: State, name: str) -> None:
    """List the barred serial numbers of a manufacturer; with --json they can be kept, and barred again."""
    found = parts.serials.list_barred(state.installation().services, name)
    rows = [{"serial": one.serial, "created_at": one.created_at} for one in found]
    state.output.table(rows, ["serial", "created_at"], empty="no serial number is barred")


@click.command("remove", cls=Command)
@click.argument("name", shell_complete=complete_manufacturer)
@click.option(
    "--revoke-devices",
    is_flag=True,
    help="Revoke the certificates of its devices too; without it, they keep them.",
)
@click.option(
    "--forget-barred",
    is_flag=True,
    help="Forget its barred serial numbers too; without it, a manufacturer with some is not removed.",
)
@YES
@click.pass_obj
def remove(state: State, /, name: str, *, revoke_devices: bool, forget_barred: bool, yes: bool) -> None:
    """Remove a manufacturer: its devices can ask no more, and those that wait are forgotten."""
    question = f"remove manufacturer {name}" + (
        ", and revoke the certificates of its devices?" if revoke_devices else "?"
    )
    ask(state, question, yes=yes)
    installation, hindered = state.withdrawal()
    done = parts.manufacturers.remove_manufacturer(
        installation.services,
        name,
        revoke_devices=revoke_devices,
        forget_barred=forget_barred,
        actor=actor(),
    )
    notes = (*done.notes, *hindered)
    value, line = confirmed(installation.services, done.seq, notes)
    state.output.result(
        {"name": name, "id": done.value.id, "seq": done.seq, **value},
        f"removed manufacturer [bold]{escape(name)}[/bold]",
        line,
        notes=notes,
    )


@click.command("expect", cls=Command)
@click.argument("name", shell_complete=complete_manufacturer)
@click.argument("serials", nargs=-1)
@click.option("--from", "file", type=_FILE, help="A file with one serial number on each line.")
@click.option(
    "--lift-bar", is_flag=True, help="Also expect numbers that are barred; without it, they stay so."
)
@click.pass_obj
def expect(
    state: State, /, name: str, *, serials: tuple[str, ...], file: Path | None, lift_bar: bool
) -> None:
    """Expect devices by serial number: they are approved at their first contact."""
    expected = parts.fleet_records.SerialStanding.EXPECTED
    _state_serials(state, name, serials, file, expected, lift_bar=lift_bar)


@click.command("bar", cls=Command)
@click.argument("name", shell_complete=complete_manufacturer)
@click.argument("serials", nargs=-1)
@click.option("--from", "file", type=_FILE, help="A file with one serial number on each line.")
@click.pass_obj
def bar(state: State, name: str, serials: tuple[str, ...], file: Path | None) -> None:
    """Bar serial numbers: no factory certificate with one of them leads to a certificate of ours."""
    _state_serials(state, name, serials, file, parts.fleet_records.SerialStanding.BARRED)


def _state_serials(
    state: State,
    name: str,
    serials: tuple[str, ...],
    file: Path | None,
    standing: SerialStanding,
    *,
    lift_bar: bool = False,
) -> None:
    given = [*serials]
    if file is not None:
        given += parts.serials.read_serial_file(parts.pem.read_bounded(file, parts.serials.LARGEST_FILE))
    if not given:
        raise click.UsageError("Give serial numbers, or --from FILE.")
    services = state.installation().services
    done = parts.serials.state_serials(services, name, given, standing, lift_bar=lift_bar, actor=actor())
    state.output.result(
        {"manufacturer": name, "standing": standing.value, "given": len(given), "changed": done.value},
        f"{done.value} of {len(given)} serial numbers of [bold]{escape(name)}[/bold] are now {standing.value}",
        notes=done.notes,
    )


@click.command("add", cls=Command)
@click.argument("name")
@click.option(
    "--approval",
    type=click.Choice(["operator", "expected", "first", "automatic"]),
    default="operator",
    show_default=True,
    help="operator: an operator approves each; expected: approve serial numbers that are expected; "
    "first: approve the first device, then close; automatic: approve every device with a good factory certificate.",
)
@click.option(
    "--group",
    "-g",
    "groups",
    multiple=True,
    shell_complete=complete_group,
    help="A group of its devices, or a template such as site-{ou}; repeatable.",
)
@click.option(
    "--name-template",
    default="",
    help="How its devices are named, such as 'sensor-{serial}'; fields: serial, cn, ou, o, manufacturer.",
)
@click.pass_obj
def tag_add(
    state: State, /, name: str, *, approval: str, groups: tuple[str, ...], name_template: str
) -> None:
    """Add a tag: how devices of a manufacturer are approved, named and grouped."""
    made = parts.tags.add_tag(
        state.installation().services,
        name,
        approval=parts.fleet_records.ApprovalMode(approval),
        groups=groups,
        name_template=name_template,
        actor=actor(),
    )
    state.output.result(
        _tag_row(made),
        f"added tag [bold]{escape(name)}[/bold], approval {approval}",
        f"[dim]next:[/dim] doorward manufacturer import NAME --from ca.pem --tag {escape(name)}",
        notes=(),
    )


@click.command("list", cls=Command)
@click.pass_obj
def tag_list(state: State) -> None:
    """List the tags."""
    rows = [_tag_row(one) for one in parts.tags.list_tags(state.installation().services)]
    state.output.table(
        rows,
        ["name", "approval", "name_template", "groups", "closed_at"],
        empty="no tags; add one: doorward tag add NAME --approval expected --name-template 'sensor-{serial}'",
    )


@click.command("set", cls=Command)
@click.argument("name", shell_complete=complete_tag)
@click.option(
    "--approval",
    type=click.Choice(["operator", "expected", "first", "automatic"]),
    help="As for `tag add`; first opens the tag for one more device.",
)
@click.option(
    "--group",
    "-g",
    "groups",
    multiple=True,
    shell_complete=complete_group,
    help="A group of its devices, in the place of all earlier ones; repeatable.",
)
@click.option("--no-groups", is_flag=True, help="Its devices get into no group.")
@click.option("--name-template", help="As for `tag add`; '' for none.")
@click.pass_obj
def tag_set(
    state: State,
    /,
    name: str,
    *,
    approval: str | None,
    groups: tuple[str, ...],
    no_groups: bool,
    name_template: str | None,
) -> None:
    """Change a tag. Devices that wait are judged by it at their next contact; others keep what they have."""
    if groups and no_groups:
        raise click.UsageError("Give --group, or --no-groups.")
    if not (approval or groups or no_groups or name_template is not None):
        raise click.UsageError("Give --approval, --group, --no-groups or --name-template.")
    done = parts.tags.change_tag(
        state.installation().services,
        name,
        approval=parts.fleet_records.ApprovalMode(approval) if approval else None,
        groups=groups if groups or no_groups else None,
        name_template=name_template,
        actor=actor(),
    )
    line = f"changed tag [bold]{escape(name)}[/bold], approval {done.value.approval.value}"
    state.output.result(_tag_row(done.value), line, notes=done.notes)


@click.command("remove", cls=Command)
@click.argument("name", shell_complete=complete_tag)
@click.pass_obj
def tag_remove(state: State, name: str) -> None:
    """Remove a tag that no manufacturer has."""
    gone = parts.tags.remove_tag(state.installation().services, name, actor=actor())
    state.output.result(_tag_row(gone), f"removed tag [bold]{escape(name)}[/bold]", notes=())


def _row(found: ManufacturerState) -> dict[str, Any]:
    counts = {one.value: count for one, count in found.devices}
    return {
        "name": found.manufacturer.name,
        "id": found.manufacturer.id,
        "tag": found.manufacturer.tag,
        "most_pending": found.manufacturer.most_pending,
        "pending": counts.get("pending", 0),
        "approved": counts.get("approved", 0),
        "enrolled": counts.get("enrolled", 0),
        "duplicate": counts.get("duplicate", 0),
        "refused": counts.get("refused", 0),
    }


def _tag_row(tag: EnrolmentTagRecord) -> dict[str, Any]:
    return {
        "name": tag.name,
        "id": tag.id,
        "approval": tag.approval.value,
        "groups": list(tag.groups),
        "name_template": tag.name_template,
        "closed_at": tag.closed_at,
    }
