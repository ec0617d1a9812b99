"""`doorward apply|diff|export`, `app` and `policy`: the one document that says who may reach what."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from doorward.cli import parts
from doorward.cli.command import Command
from doorward.cli.completing import complete_app, complete_principal, complete_revision
from doorward.cli.confirming import YES, ask, check_refusals, confirmed, may_ask
from doorward.cli.csv_option import note_more
from doorward.cli.output import REFUSED
from doorward.cli.screen import escape
from doorward.cli.state import State, actor
from doorward.core.entities import Outcome
from doorward.core.errors import MalformedInput
from doorward.core.shown_factors import NOTHING_SHOWN
from doorward.core.untrusted_text import escape_unprintable
from doorward.runtime.pem import read_bounded

if TYPE_CHECKING:
    from doorward.access.policies import ApplyResult
    from doorward.stores.services import Services

FILE = click.option(
    "--file",
    "-f",
    "path",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path, allow_dash=True),
    help="The document (YAML); - is standard input.",
)


def _read(path: Path) -> tuple[str, str]:
    name = "standard input" if str(path) == "-" else str(path)
    data = sys.stdin.buffer.read((1 << 20) + 1) if str(path) == "-" else read_bounded(path)
    try:
        return data.decode("utf-8"), name
    except UnicodeDecodeError as error:
        raise MalformedInput(
            "document-not-utf8", f"{name} is not UTF-8 (byte {error.start})", hint="save it as UTF-8"
        ) from None


@click.command("apply", cls=Command)
@FILE
@click.option("--expect", type=int, help="Refuse if the revision in force has another number.")
@YES
@click.pass_obj
def apply(state: State, path: Path, expect: int | None, yes: bool) -> None:
    """Put a document into force as a new revision. If it has faults, all are listed and nothing changes.

    On a terminal, the command asks before it removes applications.
    """
    text, name = _read(path)
    _put_into_force(state, text, name, expect=expect, yes=yes)


def _put_into_force(state: State, text: str, name: str, *, expect: int | None = None, yes: bool) -> None:
    installation = state.installation()
    services, check = installation.services, parts.own_places.publishable(installation)
    # Check first: a document that is refused ends nothing, so nothing is said about it.
    parts.policies.check_document(services, text, file=name, check=check, expected_number=expect)
    note_ending(state, parts.disruption.tell_disruption(installation, text, file=name))
    _ask_about_dropped(state, services, text, name, yes=yes)
    report_applied(
        state,
        services,
        parts.policies.apply_document(
            services, text, file=name, actor=actor(), expected_number=expect, check=check
        ),
        further=parts.portal_trust.tell_missing_trust(installation, text, file=name),
    )


def note_ending(state: State, ending: list[str]) -> None:
    """Print which applications' connections a change ends, before the question."""
    for said in ending:
        state.output.note(f"note: {said}")


def report_applied(
    state: State, services: Services, done: ApplyResult, *, unchanged: str = "", further: Sequence[str] = ()
) -> None:
    """Print what a change of the document did; `unchanged` gives the reason if it changed nothing."""
    differences = [str(one) for one in done.differences]
    findings = [*(str(one) for one in done.findings), *further]
    for text in findings:
        state.output.note(f"note: {text}")
    value: dict[str, Any] = {
        "revision": done.revision.number,
        "changed": done.changed,
        "differences": differences,
        "findings": findings,
    }
    if not done.changed:
        if unchanged:
            state.output.note(unchanged)
            value["notes"] = [unchanged]
        state.output.result(value, f"nothing changed; revision {done.revision.number} stays in force")
        return
    extra, line = confirmed(services, done.seq)
    check_refusals(services, done.revision.number, differences)
    state.output.result(
        {**value, "seq": done.seq, **extra},
        *(f"  {_coloured(text)}" for text in differences),
        f"revision [bold]{done.revision.number}[/bold] is in force",
        line,
    )


def _ask_about_dropped(state: State, services: Services, text: str, name: str, *, yes: bool) -> None:
    if yes or not may_ask(state):
        return

    dropped = parts.policies.find_dropped(services, text, file=name)
    if dropped:
        names = ", ".join(dropped)
        ask(state, f"this drops {names}: no one can reach them any more. Go on?", yes=yes)


def _coloured(line: str) -> str:
    colour = {"+": "green", "-": "red", "~": "yellow"}.get(line.lstrip()[:1])
    return f"[{colour}]{escape(line)}[/{colour}]" if colour else escape(line)


@click.command("diff", cls=Command)
@FILE
@click.pass_obj
def diff(state: State, path: Path) -> None:
    """Say what `apply` would change; exit code 1 if there is a difference."""
    text, name = _read(path)
    differences = [
        str(one) for one in parts.policies.diff_document(state.installation().services, text, file=name)
    ]
    ending = parts.disruption.tell_disruption(state.installation(), text, file=name)
    state.output.result(
        {"differences": differences, "ending": ending},
        *([_coloured(one) for one in differences] or ["no difference"]),
        *(escape(one) for one in ending),
    )
    if differences:
        sys.exit(REFUSED)


@click.command("export", cls=Command)
@click.pass_obj
def export(state: State) -> None:
    """Print the document in force, ready for `apply`. Standard error gets the revision number for `apply --expect`."""
    text, number = parts.policies.export_revision(state.installation().services)
    state.output.note(f"revision {number}: doorward apply --expect {number} -f FILE")
    _print_document(state, text, number)


def _print_document(state: State, text: str, number: int) -> None:
    if state.output.as_json:
        state.output.document({"document": text, "revision": number})
    elif state.output.out.is_terminal:
        state.output.out.write(escape_unprintable(text, keep_lines=True))
    else:
        click.echo(text, nl=False)  # unchanged for a file or a pipe: `apply` reads it


@click.command("check", cls=Command)
@FILE
@click.pass_obj
def check(state: State, path: Path) -> None:
    """Check a document without putting it into force: faults (exit code 2) and findings."""
    text, name = _read(path)
    installation = state.installation()
    findings = [
        str(one)
        for one in parts.policies.check_document(
            installation.services, text, file=name, check=parts.own_places.publishable(installation)
        )
    ]
    findings += parts.portal_trust.tell_missing_trust(installation, text, file=name)
    state.output.result(
        {"valid": True, "findings": findings},
        *(f"note: {escape(one)}" for one in findings),
        "the document is valid",
    )


class _Moment(click.DateTime):
    """A date and time; its error shows an example instead of Python's formats."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the moment as click reads it."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"{value!a} is not a date and time: write it as in 2026-11-23T08:30Z", param, ctx)


@click.command("explain", cls=Command)
@click.option(
    "--principal",
    shell_complete=complete_principal(),
    help="Name of the person, device or service that asks.",
)
@click.option("--anonymous", is_flag=True, help="Explain a connection without a good certificate.")
@click.option(
    "--app", "app_name", required=True, shell_complete=complete_app, help="Name of the application."
)
@click.option("--destination", help="The `Destination` header of a COPY or MOVE.")
@click.option(
    "--certificate", default="", help="Id of the principal's certificate; without it, the newest valid one."
)
@click.option("--source", metavar="ADDRESS", help="The client's address.")
@click.option(
    "--from", "source", hidden=True, help="The former name of --source."
)  # elsewhere it names a file
@click.option(
    "--at",
    metavar="TIME",
    type=_Moment(["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%MZ", "%Y-%m-%dT%H:%M:%SZ"]),
    help="Time of the request, UTC, such as 2026-11-23T08:30Z; without it, now.",
)
@click.option(
    "--shown",
    metavar="FACTORS",
    default="",
    help="Second factors of the session, each with its age, such as webauthn=2m,totp=1h; without it, none.",
)
@click.argument("method", required=False)
@click.argument("path", required=False)
@click.pass_obj
def explain(
    state: State,
    *,
    principal: str | None,
    anonymous: bool,
    app_name: str,
    destination: str | None,
    certificate: str,
    source: str | None,
    at: datetime | None,
    shown: str,
    method: str | None,
    path: str | None,
) -> None:
    """Say for each rule whether it holds and why; exit code 1 if the request would be refused.

    A TCP application has connections and no requests: leave METHOD and PATH out.
    """
    if anonymous is (principal is not None):
        raise click.UsageError("Say who asks: either --principal NAME or --anonymous.")
    if anonymous and shown:
        raise click.UsageError("Without a good certificate there is no session: leave --shown out.")
    services = state.installation().services
    moment = at.replace(tzinfo=UTC) if at else services.clock.now()
    explained = parts.explanation.explain(
        services,
        principal=principal,
        app=app_name,
        method=method,
        path=path,
        destination=destination,
        certificate=certificate,
        source=source,
        at=moment,
        shown=parts.requirement_text.parse_shown(shown, moment) if shown else NOTHING_SHOWN,
    )
    decision = explained.decision
    for note in explained.notes:
        state.output.note(f"note: {note}")
    good = decision.outcome is Outcome.GOOD
    rules = [
        {"rule": one.rule, "effect": one.effect.value, "holds": one.holds, "why": one.why}
        for one in decision.findings
    ]
    reasons = [reason.value for reason in decision.reasons]
    asked = f"{method} {decision.path or path}" if method else f"a connection to {app_name}"
    lines = [f"{'[green]allowed[/green]' if good else '[red]refused[/red]'}  {escape(asked)}"]
    for one in rules:
        mark, words = "[bold]●[/bold]" if one["holds"] else "○", f"{one['rule']}: {one['why']}"
        lines.append(f"  {mark} {one['effect']:<5} {escape(words)}")
    lines += [f"[dim]because: {', '.join(reasons)}[/dim]"]
    value = {
        "allowed": good,
        "reasons": reasons,
        "determining": list(decision.determining),
        "path": decision.path,
        "missing": sorted(map(str, explained.wanted)),
        "certificate": explained.certificate,
        "notes": list(explained.notes),
    }
    state.output.result({**value, "rules": rules}, *lines)
    if not good:
        sys.exit(REFUSED)


@click.command("history", cls=Command)
@click.option(
    "--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="List at most this many."
)
@click.pass_obj
def history(state: State, limit: int) -> None:
    """List the revisions of the document, newest first."""
    found = parts.policies.list_revisions(state.installation().services, limit + 1)
    rows = [
        {"revision": one.number, "created_at": one.created_at, "actor": one.actor, "sha256": one.sha256}
        for one in found[:limit]
    ]
    columns = ["revision", "created_at", "actor"]
    state.output.table(rows, columns, empty="no revision yet: doorward apply -f FILE")
    note_more(state, more=len(found) > limit)


REVISION = click.argument(
    "number", metavar="REVISION", type=click.IntRange(min=1), shell_complete=complete_revision
)


@click.command("show", cls=Command)
@REVISION
@click.pass_obj
def show_revision(state: State, number: int) -> None:
    """Print the document of a revision."""
    found = parts.policies.find_revision(state.installation().services, number)
    _print_document(state, found.document, found.number)


@click.command("rollback", cls=Command)
@REVISION
@YES
@click.pass_obj
def rollback(state: State, number: int, yes: bool) -> None:
    """Put the document of an earlier revision into force again, as a new revision.

    Names in it mean the principals that have these names today.
    """
    text = parts.policies.find_revision(state.installation().services, number).document
    _put_into_force(state, text, f"revision {number}", yes=yes)
