"""`doorward audit erase`: erase personal values of the log."""

from __future__ import annotations

import click

from doorward.audit.catalogue import Retention
from doorward.cli import parts
from doorward.cli.command import Command
from doorward.cli.completing import complete_principal
from doorward.cli.confirming import YES, ask_always
from doorward.cli.state import State, actor
from doorward.core.entities import PrincipalState

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

    A value cannot be brought back, except from a backup. The erasure is an event. The directory and the certificates keep
    the name of a person, also of one that was removed.
    """
    if (person is None) == (kind is None) or (kind is None) != (before is None):
        raise click.UsageError("give --person, or --class and --before")
    installation = state.installation()
    notes: list[str] = []
    if person is not None:
        principal = parts.reading.find_recorded_principal(installation.services, person)
        name = f"{principal.kind.value}/{principal.name}"
        ask_always(state, f"every personal value about {name} in the log is erased for good", yes=yes)
        done = parts.erasing.erase_principal(installation, principal.id, actor=actor())
        if principal.state is not PrincipalState.REMOVED:
            notes.append(f"{name} was not removed, so new events about it have personal values again")
    else:
        now = installation.services.clock.now()
        at = parts.reading.parse_moment(str(before), now)
        if at > now:
            raise click.UsageError(f"--before {before} is in the future")
        ask_always(
            state,
            f"personal values of class {kind} of all events before {at:%Y-%m-%d %H:%M}Z are erased for good",
            yes=yes,
        )
        done = parts.erasing.erase_before(installation, Retention(kind), at, actor=actor())
    if not done.copies_gone:
        notes.append(_HELD)
    count = "1 value was" if done.values == 1 else f"{done.values} values were"
    state.output.result(done._asdict(), f"{count} erased", notes=notes)


_HELD = (
    "copies of the erased values are still in the write-ahead log, because another process reads the database or erases too; "
    "`doorward serve` removes them within ten seconds after that; if `serve` does not run, repeat this command later"
)
