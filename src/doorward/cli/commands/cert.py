"""`doorward cert`: the inventory of certificates: show, revoke, hold, release, renew."""

from __future__ import annotations

import shlex
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from doorward.cli import parts
from doorward.cli.command import Command
from doorward.cli.completing import complete_principal
from doorward.cli.confirming import FORCE, confirmed
from doorward.cli.csv_option import CSV, note_more, refuse_two_forms
from doorward.cli.rows import CERTIFICATE_CSV, certificate_row, suspicion_line, suspicion_row
from doorward.cli.screen import escape
from doorward.cli.spans import read_span
from doorward.cli.state import State, actor
from doorward.core.certificate import CertificateState, RevocationReason
from doorward.pki.lifecycle import list_reasons

if TYPE_CHECKING:
    from doorward.stores.records import CertificateRecord

STATES = [state.value for state in CertificateState]
MOST_ROWS = 1_000_000
_SHOWN, _PAGE = 100, 1000
REASONS = [reason.value for reason in list_reasons()]


@click.command("list", cls=Command)
@click.option(
    "--of",
    "name",
    shell_complete=complete_principal(),
    help="List only certificates of this person, device or service.",
)
@click.option("--state", "wanted", type=click.Choice(STATES), help="List only certificates in this state.")
@click.option(
    "--ending",
    callback=read_span,
    metavar="DURATION",
    help="List only certificates that end within this time, such as 30d, and were not renewed; earliest end first.",
)
@click.option(
    "--all",
    "every",
    is_flag=True,
    help="With --ending: list also those that were renewed or are of suspended principals.",
)
@click.option("--after", default="", help="List only certificates after the one with this id.")
@click.option(
    "--limit",
    type=click.IntRange(1, MOST_ROWS),
    help="List at most this many. [default: 100; with --csv and --json, all]",
)
@CSV
@click.pass_obj
def list_(
    state: State,
    /,
    name: str | None,
    wanted: str | None,
    *,
    ending: timedelta | None,
    every: bool,
    after: str,
    limit: int | None,
    as_csv: bool,
) -> None:
    """List certificates, oldest first."""
    refuse_two_forms(state, as_csv=as_csv)
    if (every and ending is None) or (ending is not None and (name or wanted)):
        raise click.UsageError("--all needs --ending, and --ending goes without --of and --state")
    services = state.installation().services

    def page(after: str, limit: int) -> tuple[list[CertificateRecord], bool]:
        if ending is not None:
            return parts.endings.list_ending(services, ending, every=every, after=after, limit=limit)
        return parts.certificates.list_certificates(
            services,
            of=name or "",
            state=CertificateState(wanted) if wanted else None,
            after=after,
            limit=limit,
        )

    # A file that ends at some row would be taken for all of them.
    most = limit or (MOST_ROWS if as_csv or state.output.as_json else _SHOWN)
    records, more = page(after, min(most, _PAGE))
    rows = [certificate_row(record) for record in records]
    while more and len(rows) < most:
        records, more = page(rows[-1]["id"], min(most - len(rows), _PAGE))
        rows += [certificate_row(record) for record in records]
    if as_csv:
        state.output.csv(rows, CERTIFICATE_CSV)
    else:
        state.output.table(rows, ["id", "subject", "profile", "state", "not_after"], empty="no certificates")
    note_more(state, more=more, how=f"continue with --after {rows[-1]['id']}" if rows else "")


@click.command("show", cls=Command)
@click.argument("certificate")
@click.option("--pem", is_flag=True, help="Print the certificate and its chain as PEM.")
@click.pass_obj
def show(state: State, certificate: str, pem: bool) -> None:
    """Show one certificate, by its id, serial number or SHA-256, or by the first characters of one of them."""
    services = state.installation().services
    record, ders = parts.inventory.find_with_chain(services, certificate)
    chain = parts.pem.render_pem(*ders)
    if pem and not state.output.as_json:
        click.echo(chain, nl=False)
        return
    published = parts.facts.has_revocation_information(record.der)
    row = certificate_row(record)
    lines = [f"[bold]{escape(row['subject'])}[/bold]  {row['profile']}, {row['state']}"]
    lines += [
        f"{key:<11} {escape(_shown(value))}"
        for key, value in row.items()
        if value and key not in {"subject", "profile", "state"}
    ]
    if not published:
        lines.append("status      no revocation information (short-lived)")
    suspicion = parts.line.find_suspicions(services, [record.id]).get(record.id)
    if suspicion:
        lines.append(suspicion_line(suspicion))
    shown = {**row, "revocation_information": published, "suspected_clone": suspicion_row(suspicion)}
    state.output.result({**shown, "pem": chain}, *lines)


def _shown(value: object) -> str:
    return f"{value:%Y-%m-%d %H:%M:%S}Z" if isinstance(value, datetime) else str(value)


@click.command("revoke", cls=Command)
@click.argument("certificate")
@click.option(
    "--reason",
    type=click.Choice(REASONS),
    default="unspecified",
    show_default=True,
    help="Reason for the revocation (RFC 5280 section 5.3.1).",
)
@click.pass_obj
def revoke(state: State, certificate: str, reason: str) -> None:
    """Revoke a certificate for good; its live connections end at once."""
    _bring_to(state, certificate, CertificateState.REVOKED, RevocationReason(reason))


@click.command("hold", cls=Command)
@click.argument("certificate")
@click.pass_obj
def hold(state: State, certificate: str) -> None:
    """Suspend a certificate until it is released or revoked; its live connections and sessions end at once."""
    _bring_to(state, certificate, CertificateState.ON_HOLD)


@click.command("release", cls=Command)
@click.argument("certificate")
@click.pass_obj
def release(state: State, certificate: str) -> None:
    """Release a certificate from hold, and end the suspicion that its device was cloned."""
    _bring_to(state, certificate, CertificateState.VALID)


@click.command("renew", cls=Command)
@click.argument("certificate")
@click.option(
    "--csr",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="The new certification request (PKCS#10, PEM or DER), made by the holder.",
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the chain here.")
@FORCE
@click.option(
    "--key",
    "key_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The request's private key (PEM), if it is on this machine: a PKCS#12 file is written beside --out.",
)
@click.option(
    "--for",
    "target",
    type=click.Choice(["windows", "macos", "ios", "android", "java", "firefox", "linux"]),
    help="System or program that will import the PKCS#12 file; without it, this machine.",
)
@click.pass_obj
def renew(
    state: State,
    /,
    certificate: str,
    csr: Path,
    out: Path | None,
    *,
    force: bool,
    key_file: Path | None,
    target: str | None,
) -> None:
    """Issue the successor of a certificate to the same holder, for a request that the holder made."""
    form = parts.pkcs12.choose_form(
        parts.pkcs12.Target(target) if target else parts.pkcs12.local_target(sys.platform)
    )
    p12 = out.with_suffix(".p12") if out and key_file else None
    if key_file and (p12 is None or p12 == out):
        raise click.UsageError("--key needs --out CHAIN.pem: the PKCS#12 file is written beside it")
    request = parts.pem.read_bounded(csr)
    key = parts.renewed_files.read_key_of(key_file, request) if key_file else None
    for file in (out, p12):
        if file:  # before something is issued
            parts.private_files.refuse_existing(file, option="--out", force=force)
    services = state.installation(keys=True).services
    record = parts.inventory.find_certificate(services, certificate)
    issued = parts.issuing.renew(services, record, request, actor=actor(), may_branch=True, is_proven=False)
    chain = parts.pem.render_pem(*issued.chain_der)
    if out:
        parts.private_files.write_output(out, chain.encode("ascii"), force=force, mode=0o644)
    row = certificate_row(issued.record)
    value = {**row, "pem": chain, "replaces": record.id, "p12": str(p12 or ""), "p12_password": ""}
    lines = [
        f"renewed {record.id} by [bold]{row['id']}[/bold], until {issued.record.not_after:%Y-%m-%d %H:%M}Z"
    ]
    notes: list[str] = []
    if not issued.is_new:
        notes.append("it was renewed for this request before: this is the same certificate")
    if p12 and key:
        password = parts.renewed_files.write_p12(
            p12, key, issued.chain_der, name=issued.record.subject_name, form=form, force=force
        )
        value["p12_password"] = password
        lines += [
            f"  for browsers: import {escape(str(p12))}",
            f"  its password, shown only now: [bold]{escape(password)}[/bold]",
        ]
    else:
        command = parts.renewed_files.p12_command(shlex.quote(str(out)) if out else "CHAIN.pem", form)
        notes.append(f"for browsers, on the machine that has the key: {command}")
    state.output.result(value, *lines, *([] if out else [chain]), notes=notes)


def _bring_to(
    state: State, certificate: str, wanted: CertificateState, reason: RevocationReason | None = None
) -> None:
    """Change the state, or find it as wanted; in both cases wait until the gateways enforce it."""
    installation, notes = state.withdrawal()
    services = installation.services
    done = parts.revocation.ensure_state(services, certificate, wanted, reason=reason, actor=actor())
    notes = (*notes, *done.notes)
    value, line = confirmed(services, done.seq, notes)
    row = certificate_row(done.value)
    state.output.result(
        {**row, "seq": done.seq, **value},
        f"[bold]{escape(row['subject'])}[/bold] {row['id']} is {row['state']}",
        line,
        notes=notes,
    )
