"""`doorward ca import|show|remove`: partners, whose own authorities vouch for their principals."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from doorward.cli import parts
from doorward.cli.command import Command
from doorward.cli.completing import complete_group, complete_partner
from doorward.cli.confirming import YES, ask, confirmed
from doorward.cli.screen import escape
from doorward.cli.state import State, actor
from doorward.core.entities import PrincipalKind
from doorward.core.errors import MalformedInput, RequestRefused

if TYPE_CHECKING:
    from doorward.partners.terms import Imported, Standing, Terms
    from doorward.stores.partner_records import EvidenceRecord, PartnerAuthorityRecord, PartnerRecord
    from doorward.verification.import_lint import LintFinding

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_COLOURS = {"error": "red", "warning": "yellow", "note": "dim"}


def _read_span(ctx: click.Context, param: click.Parameter, value: str) -> timedelta:
    """Return a duration such as `90s`, `30m`, `12h` or `7d` in whole seconds."""
    try:
        return timedelta(seconds=round(parts.settings.parse_duration(value).total_seconds()))
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from error


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
    help="Which name of a certificate says who it is for.",
)
@click.option("--domain", default="", help="The domain that these names must lie in.")
@click.option(
    "--kind",
    type=click.Choice([one.value for one in PrincipalKind]),
    default="person",
    show_default=True,
    help="What the partner's principals are.",
)
@click.option(
    "--group",
    "-g",
    "groups",
    multiple=True,
    shell_complete=complete_group,
    help="A group that all of them are in; repeatable.",
)
@click.option(
    "--everyone",
    is_flag=True,
    help="Let everybody in to the directory whom the partner certifies, instead of those who were added.",
)
@click.option("--permit", "permitted", multiple=True, help="Names must lie in this, as dns:clinic.example.")
@click.option("--exclude", "excluded", multiple=True, help="Names must not lie in this.")
@click.option(
    "--revocation",
    type=click.Choice(["require", "prefer", "unsafe-prefer", "off"]),
    default="require",
    show_default=True,
    help="Require proof of good status; let in if there is no evidence, or also if it cannot be used; or do not ask.",
)
@click.option(
    "--refresh",
    callback=_read_span,
    metavar="DURATION",
    default="1h",
    show_default=True,
    help="How often to look for evidence.",
)
@click.option(
    "--max-staleness",
    callback=_read_span,
    metavar="DURATION",
    default="0s",
    show_default=True,
    help="How long after its end evidence may still be used.",
)
@click.option(
    "--allow-private",
    multiple=True,
    metavar="NETWORK",
    help="Fetch evidence also from this private network, as 10.1.0.0/16; repeatable, or with commas.",
)
@click.option(
    "--crl",
    "crl_urls",
    multiple=True,
    metavar="URL",
    help="Where a CRL of its authorities lies, if its certificates do not say so; repeatable.",
)
@click.option(
    "--ocsp",
    "ocsp_urls",
    multiple=True,
    metavar="URL",
    help="An OCSP responder for its certificates, if they do not name it; repeatable.",
)
@click.option(
    "--replace",
    is_flag=True,
    help="Give a partner of that name these authorities and terms, all anew; others are dropped.",
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
    """Trust a partner's certificates (PEM, PKCS#7 or DER) after a report on them; applications must name it in `trust`."""
    services = state.installation().services
    wanted = _read_terms(terms)
    ders = {"anchors": _read(anchors), "intermediates": _read(intermediates)}
    # A look alone needs no free name. What is read here is what is shown, asked about, and replaced.
    standing = parts.terms.find_standing(services, name, replacing=replace) if replace or not check else None
    findings = parts.terms.examine(services, name, wanted, **ders)
    wrong = any(one.code.severity.value == "error" for one in findings)
    changes = _list_changes(standing, wanted, ders) if standing else []
    report = {"findings": [_finding(one) for one in findings], "changes": changes}
    if not state.output.as_json and (check or not wrong):  # else the refusal names the errors
        _print_report(state, ders, findings)
        _print_changes(state, changes)
    if check:
        large = parts.terms.examine_names(services, name, (*ders["anchors"], *ders["intermediates"]))
        state.output.result(
            report, *(f"[yellow]{escape(one)}[/yellow]" for one in large), "nothing was changed", notes=large
        )
        return
    if not wrong:  # errors are refused by the use case itself
        _ask(state, name, yes=yes, dropping=any(map(_drops, changes)))
    done = parts.terms.import_partner(services, name, wanted, replacing=standing, actor=actor(), **ders)
    value, line = confirmed(services, done.seq, done.notes)
    state.output.result(
        {
            **partner_row(done.value.partner),
            **report,
            "seq": done.seq,
            **value,
        },
        f"trusting [bold]{name}[/bold]: {_count(ders['anchors'], 'anchor')}, "
        f"{_count(ders['intermediates'], 'intermediate')}",
        line,
        *_next_steps(done.value),
        notes=done.notes,
    )


@click.command("show", cls=Command)
@click.argument("name", shell_complete=complete_partner)
@click.pass_obj
def show(state: State, name: str) -> None:
    """Show a partner: terms, authorities, and the evidence of revocation."""
    services = state.installation().services
    with services.work.read() as stores:
        partner = parts.standing.require_partner(stores, name)
        authorities = stores.partners.authorities(partner.id)
        evidence = stores.evidence.list(partner.id)
        hearing = parts.terms.heard_by(stores, name)
    value = {
        **partner_row(partner),
        "heard_by": hearing,
        "authorities": [authority_row(one, partner.name) for one in authorities],
        "evidence": [_evidence_row(one) for one in evidence],
    }
    lines = [*_describe(partner, hearing), *map(_describe_authority, value["authorities"])]
    lines += map(_describe_evidence, value["evidence"])
    if partner.revocation.value == "require" and not any(one.sha256 for one in evidence):
        lines.append("[yellow]no evidence of revocation is at hand yet: until then nobody is let in[/yellow]")
    state.output.result(value, *lines)


@click.command("remove", cls=Command)
@click.argument("name", shell_complete=complete_partner)
@YES
@click.pass_obj
def remove(state: State, name: str, yes: bool) -> None:
    """Trust a partner no more; its principals lose everything at once. On a terminal it asks before."""
    services = state.installation().services
    if parts.freed_names.was_partner_removed(services, name):
        state.output.result({"name": name, "removed": True}, notes=(f"partner {name} was removed already",))
        return
    ask(state, f"remove partner {name}, and all its principals?", yes=yes)
    done = parts.terms.remove_partner(services, name, actor=actor())
    value, line = confirmed(services, done.seq, done.notes)
    state.output.result(
        {"name": name, "id": done.value.id, "seq": done.seq, **value},
        f"removed partner [bold]{name}[/bold]",
        line,
        notes=done.notes,
    )


def partner_row(partner: PartnerRecord) -> dict[str, Any]:
    """Return a partner as JSON shows it."""
    return {
        "name": partner.name,
        "id": partner.id,
        **_terms_row(partner),
    }


def _terms_row(terms: Terms | PartnerRecord) -> dict[str, Any]:
    return {
        "kind": terms.kind.value,
        "identity": terms.source.value,
        "domain": terms.domain,
        "groups": list(terms.groups),
        "everyone": terms.everyone,
        "permitted": list(terms.permitted),
        "excluded": list(terms.excluded),
        "revocation": terms.revocation.value,
        "refresh_seconds": int(terms.refresh.total_seconds()),
        "max_staleness_seconds": int(terms.max_staleness.total_seconds()),
        "allow_private": list(terms.allow_private),
        "crl_urls": list(terms.crl_urls),
        "ocsp_urls": list(terms.ocsp_urls),
    }


def _list_changes(standing: Standing, wanted: Terms, ders: dict[str, list[bytes]]) -> list[dict[str, Any]]:
    """Return what a partner would have no longer, or has not yet: terms, then authorities.

    What is not said anew falls back to its default, and an authority that is not given anew is dropped.
    """
    before, after = _terms_row(standing.partner), _terms_row(wanted)
    terms = [
        {"term": term, "before": before[term], "after": after[term]}
        for term in after
        if before[term] != after[term]
    ]
    had = {("anchor" if one.anchor else "intermediate", one.der) for one in standing.authorities}
    given = {(kind, der) for kind in ("anchor", "intermediate") for der in ders[f"{kind}s"]}
    dropped = [{"term": kind, "before": _brief(der), "after": None} for kind, der in sorted(had - given)]
    added = [{"term": kind, "before": None, "after": _brief(der)} for kind, der in sorted(given - had)]
    return [*terms, *dropped, *added]


def _brief(der: bytes) -> dict[str, str]:
    """Return what tells an authority from others of its partner."""
    return {
        "subject": parts.terms.describe_subject(der),
        "sha256": hashlib.sha256(der).hexdigest()[:16],
    }


def _drops(change: dict[str, Any]) -> bool:
    """Return whether a change takes an authority out."""
    return change["after"] is None


def authority_row(authority: PartnerAuthorityRecord, partner: str) -> dict[str, Any]:
    """Return one of a partner's authorities as JSON and tables show it."""
    return {
        "kind": "anchor" if authority.anchor else "intermediate",
        "partner": partner,
        "subject": parts.terms.describe_subject(authority.der),
        "not_after": authority.not_after,
        "current": True,
        "key": "",
        "sha256": authority.sha256,
        "id": authority.id,
        "readable": not parts.trust.find_unread([authority]),
    }


def _read_terms(given: dict[str, Any]) -> parts.terms.Terms:

    return parts.terms.Terms(
        source=parts.identity.SanSource(given.pop("identity")),
        kind=PrincipalKind(given.pop("kind")),
        revocation=parts.partner.RevocationMode(given.pop("revocation")),
        groups=tuple(sorted(set(given.pop("groups")))),
        allow_private=tuple(one.strip() for text in given.pop("allow_private") for one in text.split(",")),
        **given,
    )


def _read(files: tuple[Path, ...]) -> list[bytes]:
    """Return the certificates of files, in any of the forms that `certificate_files` knows."""
    found = []
    for file in files:
        try:
            found += parts.certificate_files.read_certificates(parts.pem.read_bounded(file))
        except MalformedInput as error:
            raise MalformedInput(error.code, f"{file}: {error.detail}", hint=error.hint) from error
    return found


def _finding(one: LintFinding) -> dict[str, Any]:
    return {
        "severity": one.code.severity.value,
        "code": one.code.value,
        "certificate": one.certificate,
        "text": one.text,
        "mend": one.code.mend,
    }


def _print_report(state: State, ders: dict[str, list[bytes]], findings: tuple[LintFinding, ...]) -> None:
    """What is to be trusted, certificate by certificate, and under each what was found about it."""
    for word, kind in (("anchors", "anchor"), ("intermediates", "intermediate")):
        for der in ders[word]:
            sha256 = hashlib.sha256(der).hexdigest()
            state.output.err.print(f"[bold]{escape(parts.terms.describe_subject(der))}[/bold]  {kind}")
            # In full: it is what the partner is asked for by another way.
            state.output.err.print(f"  [dim]SHA-256  {sha256}[/dim]")
            about = [one for one in findings if one.certificate == sha256]
            for one in about:
                severity = one.code.severity.value
                colour = _COLOURS[severity]
                state.output.err.print(
                    f"  [{colour}]{severity:8}[/{colour}] {escape(one.text)}  [dim]{one.code.value}[/dim]"
                )
                state.output.err.print(f"           [dim]→ {escape(one.code.mend)}[/dim]")
            if not about:
                state.output.err.print("  [green]nothing to say against it[/green]")


def _print_changes(state: State, changes: list[dict[str, Any]]) -> None:
    for one in changes:
        match one["before"], one["after"]:
            case dict() as authority, None:
                text = f"drops {one['term']} {_describe_brief(authority)}"
            case None, dict() as authority:
                text = f"adds {one['term']} {_describe_brief(authority)}"
            case before, after:
                text = f"{one['term']}: {escape(_say(before))} → {escape(_say(after))}"
        state.output.err.print(f"[yellow]changes [/yellow] {text}")
    if any(map(_drops, changes)):
        text = "whoever comes by a dropped authority alone is cut off at once, and refused"
        state.output.err.print(f"         [yellow]{text}[/yellow]")


def _describe_brief(authority: dict[str, str]) -> str:
    return f"{escape(authority['subject'])}  [dim]{authority['sha256']}[/dim]"


def _say(value: Any) -> str:
    """Return a term for people."""
    match value:
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(value) or "none"
        case _:
            return str(value) or "none"


def _next_steps(done: Imported) -> list[str]:
    """What is still to be done before somebody of the partner's is let in."""
    partner, steps = done.partner, []
    if not done.heard_by:
        text = escape(f"trust: [own, {partner.name}]")
        steps.append(f"name it in the document, at an application that is to hear it: {text}")
    if not partner.everyone:
        steps.append(f"add those who may come: doorward {partner.kind.value} add {partner.name}/IDENTITY")
    return [f"[dim]next:[/dim] {one}" for one in steps]


def _count(what: Sequence[object], word: str) -> str:
    return f"{len(what)} {word}{'' if len(what) == 1 else 's'}"


def _ask(state: State, name: str, *, yes: bool, dropping: bool) -> None:
    """Ask whether to go on; the question names what cannot be seen from the certificates that are given."""
    if yes:
        return
    if state.output.as_json or not sys.stdin.isatty():
        raise RequestRefused(
            "not-confirmed",
            "nobody said yes to trusting these certificates",
            hint="look at --check, then add --yes",
        )
    question = f"trust these certificates to name the principals of {name}"
    question += ", and cut off those of the authorities that are dropped?" if dropping else "?"
    if not click.confirm(question, err=True):
        raise RequestRefused("not-confirmed", "nothing was changed", hint="`--check` prints the report alone")


def _evidence_row(one: EvidenceRecord) -> dict[str, Any]:
    return {
        "kind": one.kind.value,
        "source": one.source,
        "about": one.about,
        "this_update": one.this_update,
        "next_update": one.next_update,
        "fetched_at": one.fetched_at,
        "failures": one.failures,
        "problem": one.problem,
        "unusable": one.unusable,
        "try_at": one.try_at,
    }


def _describe_times(partner: PartnerRecord) -> str:
    if partner.revocation.value == "off":
        return ": nobody is asked whether a certificate was revoked"
    grace = f"{_span(partner.max_staleness)} longer than" if partner.max_staleness else "exactly as long as"
    private = f"; also from {', '.join(partner.allow_private)}" if partner.allow_private else ""
    return f"; looked for every {_span(partner.refresh)}, used {grace} it says{private}"


def _span(span: timedelta) -> str:
    """Return a duration in the largest unit that it is a whole number of, as options take it."""
    seconds = int(span.total_seconds())
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _describe(partner: PartnerRecord, hearing: Sequence[str]) -> list[str]:
    who = "everybody whom it certifies" if partner.everyone else "those who were added"
    domain = f" within {partner.domain}" if partner.domain else ""
    lines = [
        f"[bold]{partner.name}[/bold]  a partner; its {partner.kind.value}s are {who}",
        f"id           {partner.id}",
        f"identity     {partner.source.value}{domain}",
        f"groups       {', '.join(partner.groups) or '-'}",
        f"revocation   {partner.revocation.value}{_describe_times(partner)}",
    ]
    lines.append(f"heard by     {', '.join(hearing) or '- (name it in `trust` of an application)'}")
    for word, subtrees in (("permitted", partner.permitted), ("excluded", partner.excluded)):
        lines += [f"{word:12} {escape(one)}" for one in subtrees]
    return lines


def _describe_authority(row: dict[str, Any]) -> str:
    unread = "" if row["readable"] else "  [yellow]cannot be read: no path leads through it[/yellow]"
    return f"{row['kind']:13}{escape(row['subject'])}  until {row['not_after']:%Y-%m-%d}  [dim]{row['sha256'][:16]}[/dim]{unread}"


def _describe_evidence(row: dict[str, Any]) -> str:
    until = f"until {row['next_update']:%Y-%m-%d %H:%M}Z" if row["next_update"] else "none yet"
    trouble = f"  [yellow]{escape(row['problem'])}[/yellow]" if row["problem"] else ""
    return f"{row['kind']:13}{escape(row['source'])}  {until}{trouble}"
