"""`doorward apply|diff|export`, `app` and `policy`: the one document that says who may reach what."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from doorward.cli.command import Command, LazyGroup, State, actor
from doorward.cli.completion import complete_app, complete_principal
from doorward.cli.confirming import confirmed
from doorward.cli.output import REFUSED
from doorward.cli.screen import escape
from doorward.core.entities import Outcome
from doorward.core.errors import MalformedInput
from doorward.core.foreign_text import show
from doorward.runtime.pem import read_bounded

FILE = click.option(
    "--file",
    "-f",
    "path",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path, allow_dash=True),
    help="The document (YAML); - is standard input.",
)


def _read(path: Path) -> tuple[str, str]:
    data = sys.stdin.buffer.read((1 << 20) + 1) if str(path) == "-" else read_bounded(path)
    try:
        return data.decode("utf-8"), "standard input" if str(path) == "-" else str(path)
    except UnicodeDecodeError as error:
        raise MalformedInput(
            "document-not-utf8", f"{path} is not UTF-8 (byte {error.start})", hint="save it as UTF-8"
        ) from None


@click.command("apply", cls=Command)
@FILE
@click.option("--expect", type=int, help="Refuse unless this is the number of the revision in force.")
@click.pass_obj
def apply(state: State, path: Path, expect: int | None) -> None:
    """Put a document into force as a new revision; faults are all listed and change nothing."""
    from doorward.authority.policies import apply_document  # noqa: PLC0415  loaded when called
    from doorward.runtime.own_places import publishable  # noqa: PLC0415  as above

    text, name = _read(path)
    _applied(
        state,
        lambda services: apply_document(
            services,
            text,
            file=name,
            actor=actor(),
            expected_number=expect,
            check=publishable(state.installation()),
        ),
    )


def _applied(state: State, use_case: Any) -> None:
    services = state.installation().services
    done = use_case(services)
    differences = [str(one) for one in done.differences]
    findings = [str(one) for one in done.findings]
    for text in findings:
        state.output.note(f"note: {text}")
    value = {
        "revision": done.revision.number,
        "changed": done.changed,
        "differences": differences,
        "findings": findings,
    }
    if not done.changed:
        state.output.result(value, f"nothing changed; revision {done.revision.number} stays in force")
        return
    extra, line = confirmed(services, done.seq)
    state.output.result(
        {**value, "seq": done.seq, **extra},
        *(f"  {_coloured(text)}" for text in differences),
        f"revision [bold]{done.revision.number}[/bold] is in force",
        line,
    )


def _coloured(line: str) -> str:
    colour = {"+": "green", "-": "red", "~": "yellow"}.get(line.lstrip()[:1])
    return f"[{colour}]{escape(line)}[/{colour}]" if colour else escape(line)


@click.command("diff", cls=Command)
@FILE
@click.pass_obj
def diff(state: State, path: Path) -> None:
    """Say what `apply` would change; exit code 1 where there is a difference."""
    from doorward.authority.policies import diff_document  # noqa: PLC0415  loaded when called

    text, name = _read(path)
    differences = [str(one) for one in diff_document(state.installation().services, text, file=name)]
    state.output.result(
        {"differences": differences}, *([_coloured(one) for one in differences] or ["no difference"])
    )
    if differences:
        sys.exit(REFUSED)


@click.command("export", cls=Command)
@click.pass_obj
def export(state: State) -> None:
    """Print the document in force, ready for `apply`."""
    from doorward.authority.policies import export_document  # noqa: PLC0415  loaded when called

    text = export_document(state.installation().services)
    if state.output.as_json:
        state.output.document({"document": text})
    elif state.output.out.is_terminal:
        state.output.out.write(show(text, keep_lines=True))
    else:
        click.echo(text, nl=False)  # a file or a pipe gets the document as it is, for `apply`


@click.group(cls=LazyGroup, lazy={"add": "policy:app_add", "list": "policy:app_list"})
def app() -> None:
    """Manage applications (shortcuts that make revisions of the document)."""


@click.command("add", cls=Command)
@click.argument("name")
@click.option("--host", "hosts", multiple=True, required=True, help="Host name that people use; repeatable.")
@click.option(
    "--upstream",
    required=True,
    help="Where the application listens: http://host:port[/base], h2c://…, https://… or unix:///path.",
)
@click.pass_obj
def app_add(state: State, name: str, hosts: tuple[str, ...], upstream: str) -> None:
    """Add an application; nobody may reach it until a rule allows it."""
    from doorward.authority.policies import add_app  # noqa: PLC0415  loaded when called
    from doorward.runtime.own_places import publishable  # noqa: PLC0415  as above

    _applied(
        state,
        lambda services: add_app(
            services,
            name,
            hosts=hosts,
            upstream=upstream,
            actor=actor(),
            check=publishable(state.installation()),
        ),
    )


@click.command("list", cls=Command)
@click.pass_obj
def app_list(state: State) -> None:
    """List the applications in force."""
    from doorward.authority.policies import current_document  # noqa: PLC0415  loaded when called
    from doorward.runtime.condition import silent_upstreams  # noqa: PLC0415  as above

    installation = state.installation()
    with installation.services.work.read() as books:
        document, _ = current_document(books)
        ids = {one.name: one.id for one in books.applications.list()}
    silent = silent_upstreams(installation)
    rows = [
        {
            "name": one.name,
            "hosts": list(one.hosts),
            "upstream": one.upstream.url,
            "answers": _answers(one.name, silent),
            "rules": len(one.rules),
            "id": ids.get(one.name, ""),
        }
        for one in document.apps
    ]
    state.output.table(
        rows,
        ["name", "hosts", "upstream", "answers", "rules"],
        empty="no applications; add one: doorward app add",
    )


def _answers(name: str, silent: dict[str, str] | None) -> str:
    return "unknown: no gateway runs" if silent is None else silent.get(name, "yes")


@click.group(cls=LazyGroup, lazy={"check": "policy:check", "explain": "policy:explain"})
def policy() -> None:
    """Check a document, or explain a decision."""


@click.command("check", cls=Command)
@FILE
@click.pass_obj
def check(state: State, path: Path) -> None:
    """Check a document without putting it into force: faults (exit code 2) and findings."""
    from doorward.authority.policies import check_document  # noqa: PLC0415  loaded when called
    from doorward.runtime.own_places import publishable  # noqa: PLC0415  as above

    text, name = _read(path)
    services = state.installation().services
    findings = [
        str(one) for one in check_document(services, text, file=name, check=publishable(state.installation()))
    ]
    state.output.result(
        {"valid": True, "findings": findings},
        *(f"note: {escape(one)}" for one in findings),
        "the document is valid",
    )


@click.command("explain", cls=Command)
@click.option("--principal", shell_complete=complete_principal(), help="Person, device or service.")
@click.option("--anonymous", is_flag=True, help="A connection without a good certificate.")
@click.option("--app", "app_name", required=True, shell_complete=complete_app, help="Application.")
@click.option("--destination", help="The `Destination` header of a COPY or MOVE.")
@click.argument("method")
@click.argument("path")
@click.pass_obj
def explain(
    state: State,
    *,
    principal: str | None,
    anonymous: bool,
    app_name: str,
    destination: str | None,
    method: str,
    path: str,
) -> None:
    """Say for each rule whether it holds and why; exit code 1 where the request would be refused."""
    from doorward.authority.policies import explain as use_case  # noqa: PLC0415  loaded when called

    if anonymous is (principal is not None):
        raise click.UsageError("Say who asks: either --principal NAME or --anonymous.")
    decision = use_case(
        state.installation().services,
        principal=principal,
        app=app_name,
        method=method,
        path=path,
        destination=destination,
    )
    good = decision.outcome is Outcome.GOOD
    rules = [
        {"rule": one.rule, "effect": one.effect.value, "holds": one.holds, "why": one.why}
        for one in decision.findings
    ]
    reasons = [reason.value for reason in decision.reasons]
    lines = [
        f"{'[green]allowed[/green]' if good else '[red]refused[/red]'}  {escape(f'{method} {decision.path or path}')}"
    ]
    for one in rules:
        mark, words = "[bold]●[/bold]" if one["holds"] else "○", f"{one['rule']}: {one['why']}"
        lines.append(f"  {mark} {one['effect']:<5} {escape(words)}")
    lines += [f"[dim]because: {', '.join(reasons)}[/dim]"]
    value = {
        "allowed": good,
        "reasons": reasons,
        "determining": list(decision.determining),
        "path": decision.path,
    }
    state.output.result({**value, "rules": rules}, *lines)
    if not good:
        sys.exit(REFUSED)
