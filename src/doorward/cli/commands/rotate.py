"""`doorward ca rotate`: the rollover of the issuing authority, phase by phase."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from doorward.cli import parts
from doorward.cli.command import Command
from doorward.cli.confirming import YES, ask_always, confirmed
from doorward.cli.screen import escape
from doorward.cli.spans import read_span
from doorward.cli.state import State, actor
from doorward.core.time_text import describe_time

if TYPE_CHECKING:
    from doorward.authority.rollover.progress import RolloverProgress
    from doorward.authority.rollover.use import RolloverUse
    from doorward.authority.rollover.viewing import RolloverView
    from doorward.runtime.compose import Installation
    from doorward.stores.authority_protocols import CertificateLine, RolloverRecord
    from doorward.stores.change_result import ChangeResult

SHOWN = 20
"""Missing certificates that people see; `--json` has all."""

DRY_RUN = click.option("--dry-run", is_flag=True, help="Say what would be done, with counts; change nothing.")
IGNORE_AWAY = click.option(
    "--ignore-away",
    is_flag=True,
    help="Do not wait for gateways that do not report; they admit nothing meanwhile.",
)
ABANDON = click.option(
    "--abandon-missing", is_flag=True, help="Also if certificates have no successor: they are refused then."
)
COMPROMISED = click.option(
    "--compromised",
    is_flag=True,
    help="The key of the authority that leaves may be known to somebody: the root's revocation list says so.",
)


@click.command("prepare", cls=Command)
@click.option(
    "--exported",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The exported root key, if it is not on this machine; it signs once and is not kept.",
)
@click.option(
    "--passphrase-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Passphrase of the exported key.",
)
@click.option(
    "--root",
    "new_root",
    is_flag=True,
    help="Make a new root too, with cross-certificates; the issuing authority is below it.",
)
@DRY_RUN
@click.pass_obj
def prepare(
    state: State, exported: Path | None, passphrase_file: Path | None, new_root: bool, dry_run: bool
) -> None:
    """Make the next issuing authority. Every door trusts it beside the present one, which goes on issuing."""
    installation = state.installation(keys=True)
    if dry_run:
        _preview(state, installation, "prepare", new_root=new_root)
        return
    pem, passphrase = b"", b""
    if exported is not None:
        pem = parts.pem.read_bounded(exported)
        passphrase = installation.read_passphrase(
            passphrase_file, "passphrase of the exported root key", option="--passphrase-file"
        )
    if new_root:
        done = parts.rollover.root_preparing.prepare_root(
            installation.services, actor=actor(), exported=pem, passphrase=passphrase
        )
        _tell(
            state,
            installation,
            done,
            "the next root and its issuing authority are prepared; both are trusted",
        )
        return
    done = parts.rollover.preparing.prepare(
        installation.services, actor=actor(), exported=pem, passphrase=passphrase
    )
    _tell(state, installation, done, "the next issuing authority is prepared; both are trusted")


@click.command("csr", cls=Command)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the request here, not to standard output.",
)
@click.option(
    "--extensions",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write the extensions for `openssl x509 -req -extfile` here.",
)
@click.option("--force", is_flag=True, help="Replace files that exist.")
@click.pass_obj
def csr(state: State, out: Path | None, extensions: Path | None, force: bool) -> None:
    """Make the next issuing authority's key here, and print the request that a root elsewhere signs."""
    if not force:
        for path, option in ((out, "--out"), (extensions, "--extensions")):
            if path is not None:
                parts.private_files.refuse_existing(path, option=option)
    services = state.installation(keys=True).services
    done = parts.rollover.ceremony.request_certificate(services, actor=actor())
    pem = parts.rollover.ceremony.render_request(done.value)
    if extensions is not None:
        text = parts.rollover.ceremony.openssl_extensions(services)
        parts.private_files.write_output(extensions, text.encode("ascii"), option="--extensions", force=force)
    if out is not None:
        parts.private_files.write_output(out, pem, option="--out", force=force)
    text = pem.decode("ascii")
    line = f"written to {escape(str(out))}" if out is not None else escape(text.rstrip())
    state.output.result({**_record_value(done.value), "request": text}, line, notes=done.notes)


@click.command("install", cls=Command)
@click.argument(
    "issued_file", metavar="CERTIFICATE", type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option(
    "--accept-addresses",
    is_flag=True,
    help="Also if the root's list is published at another address than here; this can never be changed.",
)
@click.option(
    "--root",
    "root_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The root's certificate, to found an installation that was begun with `init --root-offline`.",
)
@click.pass_obj
def install(state: State, issued_file: Path, accept_addresses: bool, root_file: Path | None) -> None:
    """Check the certificate that the root made of the request, and trust it beside the present one; with --root, begin with it."""
    if root_file is not None:
        _found(state, issued_file, root_file)
        return
    parts.root_ceremony.refuse_waiting(state.installation().layout)
    installation = state.installation(keys=True)
    der, *_ = parts.certificate_files.read_certificate_files([issued_file])
    done = parts.rollover.ceremony.install(
        installation.services, der, actor=actor(), accept_addresses=accept_addresses
    )
    _tell(state, installation, done, "the next issuing authority is prepared; both are trusted")


def _found(state: State, issued_file: Path, root_file: Path) -> None:
    installation = state.installation(one_shot=False)
    parts.root_ceremony.require_waiting(installation.layout)
    issuing, *_ = parts.certificate_files.read_certificate_files([issued_file])
    root, *_ = parts.certificate_files.read_certificate_files([root_file])
    done = parts.root_ceremony.found(installation, issuing=issuing, root=root, actor=actor())
    state.output.result(
        {"trust_domain": done.tenant.trust_domain, "root": done.root, "root_sha256": done.root_sha256},
        f"[green]✓[/green] an authority for [bold]{done.tenant.trust_domain}[/bold] below {escape(done.root)}",
        f"  SHA-256 of the root: {done.root_sha256}",
        "[dim]next:[/dim] doorward up",
    )


@click.command("activate", cls=Command)
@IGNORE_AWAY
@DRY_RUN
@click.pass_obj
def activate(state: State, ignore_away: bool, dry_run: bool) -> None:
    """Let the new authority issue every new certificate, once every gateway trusts it."""
    installation = state.installation(keys=True)
    if dry_run:
        _preview(state, installation, "activate", ignore_away=ignore_away)
        return
    done = parts.rollover.moving.activate(installation.services, actor=actor(), ignore_away=ignore_away)
    _tell(state, installation, done, "new certificates are issued by the new authority")


@click.command("drain", cls=Command)
@click.option(
    "--over",
    callback=read_span,
    metavar="TIME",
    help="Spread the certificates over this time, such as 24h or 14d; a day without it.",
)
@IGNORE_AWAY
@DRY_RUN
@click.pass_obj
def drain(state: State, over: timedelta | None, ignore_away: bool, dry_run: bool) -> None:
    """Have the certificates of the old authority issued again: agents, EST and the portal are told, gateways order at once."""
    installation = state.installation(keys=True)
    if dry_run:
        _preview(state, installation, "drain", window=over, ignore_away=ignore_away)
        return
    done = parts.rollover.moving.drain(
        installation.services, actor=actor(), window=over, ignore_away=ignore_away
    )
    _tell(state, installation, done, f"certificates are issued again over {describe_time(done.value.window)}")


@click.command("retire", cls=Command)
@ABANDON
@IGNORE_AWAY
@COMPROMISED
@DRY_RUN
@YES
@click.pass_obj
def retire(
    state: State,
    /,
    *,
    abandon_missing: bool,
    ignore_away: bool,
    compromised: bool,
    dry_run: bool,
    yes: bool,
) -> None:
    """Trust the old authority no more and destroy its key, once all of its certificates are replaced."""
    installation = state.installation(keys=True)
    told = {"abandon_missing": abandon_missing, "ignore_away": ignore_away}
    if dry_run:
        _preview(state, installation, "retire", **told)
        return
    _ask(state, installation, "retire", yes=yes, **told)
    done = parts.rollover.leaving.retire(
        installation.services, actor=actor(), compromised=compromised, **told
    )
    parts.rollover.leaving.finish_leaving(installation.services, actor=actor())
    _tell(state, installation, done, "the old authority is trusted no more, and its key is destroyed")


@click.command("undo", cls=Command)
@ABANDON
@IGNORE_AWAY
@COMPROMISED
@DRY_RUN
@YES
@click.pass_obj
def undo(
    state: State,
    /,
    *,
    abandon_missing: bool,
    ignore_away: bool,
    compromised: bool,
    dry_run: bool,
    yes: bool,
) -> None:
    """Let the old authority issue again; once more, give up the new one and destroy its key."""
    installation = state.installation(keys=True)
    told = {"abandon_missing": abandon_missing, "ignore_away": ignore_away}
    if dry_run:
        _preview(state, installation, "undo", **told)
        return
    _ask(state, installation, "undo", yes=yes, **told)
    done = parts.rollover.moving.undo(installation.services, actor=actor(), compromised=compromised, **told)
    over = parts.rollover.leaving.finish_leaving(installation.services, actor=actor())
    text = "the new authority is given up" if over else "the old authority issues again; both are trusted"
    _tell(state, installation, done, text)


@click.command("status", cls=Command)
@click.pass_obj
def status(state: State) -> None:
    """Say where the rollover stands, how many certificates are replaced, and who is missing."""
    view = parts.rollover.viewing.view_rollover(state.installation().services)
    lines = [_headline(view)]
    lines += [
        f"{one.id}  {one.key_name}, until {one.not_after:%Y-%m-%d}{', issues' if one.current else ''}"
        for one in view.authorities
    ]
    if view.roots:
        lines.append(f"the root too: {' -> '.join(one.key_name for one in view.roots)}")
    if view.progress is not None and view.use is not None:
        lines += _progress_lines(view.progress, view.use)
    state.output.result(_value(view), *lines, f"[dim]next: {escape(view.next_step)}[/dim]")


def _headline(view: RolloverView) -> str:
    if view.rollover is None:
        return view.meaning
    one = view.rollover
    return f"[bold]{one.state.value}[/bold] since {one.moved_at:%Y-%m-%d %H:%M}Z: {view.meaning}"


def _progress_lines(progress: RolloverProgress, use: RolloverUse) -> list[str]:
    lines = [
        f"{len(progress.replaced)} of {progress.total} certificates are replaced ({progress.percent} %)",
        f"{use.in_use} of these {len(progress.replaced)} are seen in use, at a door or by a report of their agent",
    ]
    for one in progress.gateways:
        away = "" if one.fresh else " [yellow](away)[/yellow]"
        lines.append(f"gateway {one.name}: {one.why or 'has followed'}{away}")
    lines += [
        f"  missing: {escape(one.subject_name)}  {one.id}, {one.profile}, {one.state.value}, ends {one.not_after:%Y-%m-%d}, "
        f"{_last_seen(use.last_used.get(one.id))}"
        for one in progress.missing[:SHOWN]
    ]
    lines += _count_more(progress.missing)
    lines += [
        f"  not seen yet: {escape(one.subject_name)}  {one.id}, {one.profile}, ends {one.not_after:%Y-%m-%d}"
        for one in use.unseen[:SHOWN]
    ]
    return lines + _count_more(use.unseen)


def _count_more(lines: Sequence[CertificateLine]) -> list[str]:
    return [f"  and {len(lines) - SHOWN} more; --json lists all"] if len(lines) > SHOWN else []


def _last_seen(moment: datetime | None) -> str:
    return f"last seen {moment:%Y-%m-%d %H:%M}Z" if moment is not None else "never seen"


def _value(view: RolloverView) -> dict[str, Any]:
    rollover, progress, use = view.rollover, view.progress, view.use
    return {
        "state": rollover.state.value if rollover else "none",
        "meaning": view.meaning,
        "next": view.next_step,
        "rollover": _record_value(rollover) if rollover else None,
        "replaced": len(progress.replaced) if progress else 0,
        "total": progress.total if progress else 0,
        "percent": progress.percent if progress else 100,
        "in_use": use.in_use if use else 0,
        "missing": [_line_value(one, use.last_used.get(one.id)) for one in progress.missing]
        if progress and use
        else [],
        "unseen": [_line_value(one, None) for one in use.unseen] if use else [],
        "gateways": [{"name": one.name, "fresh": one.fresh, "lacks": one.why} for one in progress.gateways]
        if progress
        else [],
    }


def _record_value(rollover: RolloverRecord) -> dict[str, Any]:
    return {
        "id": rollover.id,
        "state": rollover.state.value,
        "old": rollover.old_id,
        "new": rollover.new_id,
        "began_at": rollover.began_at,
        "moved_at": rollover.moved_at,
        "window_seconds": int(rollover.window.total_seconds()),
    }


def _line_value(one: CertificateLine, seen: datetime | None) -> dict[str, Any]:
    return {
        "certificate": one.id,
        "principal": one.principal_id,
        "subject": one.subject_name,
        "profile": one.profile,
        "state": one.state.value,
        "not_after": one.not_after,
        "last_seen": seen,
    }


def _step(word: str) -> Any:
    return parts.rollover.table.RolloverStep(word)


def _preview(state: State, installation: Installation, word: str, **told: Any) -> None:
    found = parts.rollover.viewing.preview(installation.services, _step(word), **told)
    refusal = found.refusal
    value = {
        "step": word,
        "would": list(found.sentences),
        "refused": refusal.code if refusal else "",
        "why": refusal.detail if refusal else "",
    }
    lines = [f"would: {escape(one)}" for one in found.sentences]
    if refusal is not None:
        lines.append(f"[yellow]not now: {escape(refusal.detail)}[/yellow]")
        lines += [f"[dim]→ {escape(refusal.hint)}[/dim]"] if refusal.hint else []
    state.output.result(value, *lines, "[dim]nothing was changed[/dim]")


def _ask(state: State, installation: Installation, word: str, *, yes: bool, **told: Any) -> None:
    """Ask before a step that destroys a key."""
    found = parts.rollover.viewing.preview(installation.services, _step(word), **told)
    if found.refusal is None and found.destroys:
        ask_always(
            state, "; ".join(found.sentences), yes=yes, hint="look at it with --dry-run, then add --yes"
        )


def _tell(state: State, installation: Installation, done: ChangeResult[RolloverRecord], text: str) -> None:
    """Wait for the gateways, then tell the state after a step."""
    with installation.services.work.read() as stores:
        newest = next(one for one in stores.rollovers.list() if one.id == done.value.id)
    value, line = confirmed(installation.services, newest.seq, notes=done.notes)
    then = parts.rollover.viewing.find_next_step(installation.services, newest.state)
    state.output.result(
        {**_record_value(newest), "seq": newest.seq, "next": then, **value},
        text,
        line,
        f"[dim]next: {escape(then)}[/dim]",
        notes=done.notes,
    )
