"""`doorward audit erase`: erase personal values of the log."""

from __future__ import annotations

import click

from doorward.audit.catalogue import Retention
from doorward.cli import parts
from doorward.cli.command import Command
from doorward.cli.completing import complete_principal
from doorward.cli.confirming import YES, ask_always
from doorward.cli.state import State, actor

CLASSES = [one.value for one in Retention]


@click.command("erase", cls=Command)
@click.option(
    "--person",
    metavar="NAME",
    shell_complete=complete_principal(),
    help="Erase every value about this person, device or service: a name, or the id of one that was removed.",
)
@click.option("--class", "kind", type=click.Choice(CLASSES), help="Erase values of this retention class.")
@click.option(
    "--before",
    metavar="TIME",
    help="With --class: of events before this time: 90d ago, or a date and time (UTC).",
)
@YES
@click.pass_obj
def erase(state: State, person: str | None, kind: str | None, before: str | None, *, yes: bool) -> None:
    """Erase personal values of the log: names, addresses, paths. Events and proofs stay; the values count as redacted.

    A value cannot be brought back, except from a backup. The erasure is an event.
    """
    if (person is None) == (kind is None) or (kind is None) != (before is None):
        raise click.UsageError("give --person, or --class and --before")
    installation = state.installation()
    if person is not None:
        principal_id = parts.reading.find_principal_id(installation.services, person)
        ask_always(state, f"every personal value about {person} in the log is erased for good", yes=yes)
        done = parts.erasing.erase_principal(installation, principal_id, actor=actor())
    else:
        at = parts.reading.parse_moment(str(before), installation.services.clock.now())
        ask_always(
            state, f"personal values of class {kind} before {at:%Y-%m-%d %H:%M} are erased for good", yes=yes
        )
        done = parts.erasing.erase_before(installation, Retention(kind), at, actor=actor())
    notes = () if done.gone else (_HELD,)
    state.output.result(done._asdict(), f"{done.values} values were erased", notes=notes)


_HELD = "a reader of the database, or another erasure, keeps copies in the write-ahead log; `doorward serve` removes them when it has ended"
