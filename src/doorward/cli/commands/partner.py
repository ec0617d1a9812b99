"""`doorward ca import|show|remove`: partners, with their own authorities for their principals."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from doorward.cli import parts
from doorward.cli.command import Command
from doorward.cli.completing import complete_group, complete_partner
from doorward.cli.confirming import YES, ask, confirmed
from doorward.cli.partner_view import (
    count_of,
    drops,
    finding_row,
    list_changes,
    list_next_steps,
    partner_row,
    print_changes,
    print_report,
    show_lines,
    show_value,
)
from doorward.cli.screen import escape
from doorward.cli.spans import read_span
from doorward.cli.state import State, actor
from doorward.core.entities import PrincipalKind
from doorward.core.errors import RequestRefused

if TYPE_CHECKING:
    from doorward.partners.terms import Terms

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("import", cls=Command)
@click.argument("name")
@click.argument("anchors", nargs=-1, required=True, type=_FILE, metavar="ANCHOR...")
@click.option(
    "--intermediate",
    "-i",
    "intermediates",
    multiple=True,
    type=_FILE,
    help="Certificates that may sign below an anchor; repeatable.",
)
@click.option(
    "--identity",
    type=click.Choice(["email", "dns", "uri", "subject"]),
    default="email",
    show_default=True,
    help="Which name in a certificate identifies the holder.",
)
@click.option("--domain", default="", help="The domain to which these names must belong.")
@click.option(
    "--kind",
    type=click.Choice([one.value for one in PrincipalKind]),
    default="person",
    show_default=True,
    help="Kind of the partner's principals.",
)
@click.option(
    "--group",
    "-g",
    "groups",
    multiple=True,
    shell_complete=complete_group,
    help="A group of which all principals of the partner are members; repeatable.",
)
@click.option(
    "--everyone",
    is_flag=True,
    help="Add each principal that the partner certifies at the first connection; without it, only principals that you add may connect.",
)
@click.option(
    "--permit",
    "permitted",
    multiple=True,
    help="Accept only names within this name constraint, such as dns:clinic.example; repeatable.",
)
@click.option(
    "--exclude", "excluded", multiple=True, help="Refuse names within this name constraint; repeatable."
)
@click.option(
    "--revocation",
    type=click.Choice(["require", "prefer", "unsafe-prefer", "off"]),
    default="require",
    show_default=True,
    help="require: refuse without proof of good status; prefer: allow also if no evidence can be fetched; unsafe-prefer: allow also if fetched evidence cannot be used; off: do not check.",
)
@click.option(
    "--refresh",
    callback=read_span,
    metavar="DURATION",
    default="1h",
    show_default=True,
    help="How often to fetch evidence of revocation.",
)
@click.option(
    "--max-staleness",
    callback=read_span,
    metavar="DURATION",
    default="0s",
    show_default=True,
    help="How long evidence may still be used after its nextUpdate.",
)
@click.option(
    "--short-lived",
    callback=read_span,
    metavar="DURATION",
    default="0s",
    show_default=True,
    help="Accept certificates with noRevAvail (RFC 9608) without proof of status, if they last at most this long; from 1h to 7d, 0s accepts none.",
)
@click.option(
    "--allow-private",
    multiple=True,
    metavar="NETWORK",
    help="Fetch evidence also from this private network, such as 10.1.0.0/16; repeatable, or with commas.",
)
@click.option(
    "--crl",
    "crl_urls",
    multiple=True,
    metavar="URL",
    help="Address of a CRL of the partner's authorities, for certificates that name no CRL; repeatable.",
)
@click.option(
    "--ocsp",
    "ocsp_urls",
    multiple=True,
    metavar="URL",
    help="Address of an OCSP responder of the partner, for certificates that name none; repeatable.",
)
@click.option(
    "--replace",
    is_flag=True,
    help="Replace all authorities and terms of the partner NAME by those that are given here.",
)
@click.option("--check", is_flag=True, help="Print the report and change nothing.")
@YES
@click.pass_obj
def import_(
    state: State,
    /,
    name: str,
    *,
    anchors: tuple[Path, ...],
    intermediates: tuple[Path, ...],
    replace: bool,
    check: bool,
    yes: bool,
    **terms: Any,
) -> None:
    """Print a report on a partner's authorities (PEM, PKCS#7 or DER), then trust them.

    An application accepts the partner's certificates only if its `trust` names the partner.
    """
    services = state.installation().services
    wanted = _read_terms(terms)
    read = parts.certificate_files.read_certificate_files
    ders = {"anchors": read(anchors), "intermediates": read(intermediates)}
    # `--check` alone needs no free name. What is read here is shown, asked about and replaced.
    replaced = (
        parts.importing.find_replaced(services, name, replacing=replace) if replace or not check else None
    )
    findings = parts.examining.examine(services, name, wanted, **ders)
    wrong = any(one.code.severity.value == "error" for one in findings)
    changes = list_changes(replaced, wanted, ders) if replaced else []
    report = {"findings": [finding_row(one) for one in findings], "changes": changes}
    if not state.output.as_json and (check or not wrong):  # otherwise the refusal names the errors
        print_report(state.output, ders, findings)
        print_changes(state.output, changes)
    if check:
        large = parts.examining.examine_names(services, name, (*ders["anchors"], *ders["intermediates"]))
        state.output.result(
            report, *(f"[yellow]{escape(one)}[/yellow]" for one in large), "nothing was changed", notes=large
        )
        return
    if not wrong:  # the use case refuses errors
        _ask(state, name, yes=yes, dropping=any(map(drops, changes)))
    done = parts.importing.import_partner(services, name, wanted, replacing=replaced, actor=actor(), **ders)
    value, line = confirmed(services, done.seq, done.notes)
    state.output.result(
        {
            **partner_row(done.value.partner),
            **report,
            "seq": done.seq,
            **value,
        },
        f"trusting [bold]{name}[/bold]: {count_of(ders['anchors'], 'anchor')}, "
        f"{count_of(ders['intermediates'], 'intermediate')}",
        line,
        *list_next_steps(done.value),
        notes=done.notes,
    )


@click.command("show", cls=Command)
@click.argument("name", shell_complete=complete_partner)
@click.pass_obj
def show(state: State, name: str) -> None:
    """Show a partner: terms, authorities, and the evidence of revocation."""
    view = parts.showing.show_partner(state.installation().services, name)
    state.output.result(show_value(view), *show_lines(view))


@click.command("remove", cls=Command)
@click.argument("name", shell_complete=complete_partner)
@YES
@click.pass_obj
def remove(state: State, name: str, yes: bool) -> None:
    """Remove a partner; its principals lose every right at once. On a terminal, the command asks first."""
    services = state.installation().services
    if parts.freed_names.was_partner_removed(services, name):
        state.output.result({"name": name, "removed": True}, notes=(f"partner {name} was removed already",))
        return
    ask(state, f"remove partner {name}, and all its principals?", yes=yes)
    done = parts.importing.remove_partner(services, name, actor=actor())
    value, line = confirmed(services, done.seq, done.notes)
    state.output.result(
        {"name": name, "id": done.value.id, "seq": done.seq, **value},
        f"removed partner [bold]{name}[/bold]",
        line,
        notes=done.notes,
    )


def _read_terms(given: dict[str, Any]) -> Terms:
    return parts.terms.Terms(
        source=parts.identity.SanSource(given.pop("identity")),
        kind=PrincipalKind(given.pop("kind")),
        revocation=parts.partner.RevocationMode(given.pop("revocation")),
        groups=tuple(sorted(set(given.pop("groups")))),
        allow_private=tuple(one.strip() for text in given.pop("allow_private") for one in text.split(",")),
        **given,
    )


def _ask(state: State, name: str, *, yes: bool, dropping: bool) -> None:
    """Ask for confirmation; the question also names what the given certificates do not show."""
    if yes:
        return
    if state.output.as_json or not sys.stdin.isatty():
        raise RequestRefused(
            "not-confirmed",
            "these certificates are not trusted without a confirmation",
            hint="read the report of --check, then add --yes",
        )
    question = f"trust these certificates to name the principals of {name}"
    question += ", and cut off those of the authorities that are dropped?" if dropping else "?"
    if not click.confirm(question, err=True):
        raise RequestRefused("not-confirmed", "nothing was changed", hint="`--check` prints the report alone")
