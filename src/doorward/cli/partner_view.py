"""How partners are shown: members of documents, and lines for people."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from doorward.cli import parts
from doorward.cli.output import Output
from doorward.cli.rows import authority_row
from doorward.cli.screen import escape

if TYPE_CHECKING:
    from doorward.partners.importing import ImportResult, PartnerState
    from doorward.partners.showing import PartnerView
    from doorward.partners.terms import Terms
    from doorward.stores.partner_records import EvidenceRecord, PartnerRecord
    from doorward.verification.import_lint import LintFinding

_COLOURS = {"error": "red", "warning": "yellow", "note": "dim"}


def show_value(view: PartnerView) -> dict[str, Any]:
    """Return the document of `ca show`."""
    return {
        **partner_row(view.partner),
        "heard_by": list(view.trusting_applications),
        "authorities": [authority_row(one) for one in view.authorities],
        "evidence": [_evidence_row(one) for one in view.evidence],
    }


def show_lines(view: PartnerView) -> list[str]:
    """Return `ca show` for people."""
    lines = _describe(view.partner, view.trusting_applications)
    lines += [_describe_authority(authority_row(one)) for one in view.authorities]
    lines += [_describe_evidence(_evidence_row(one)) for one in view.evidence]
    if view.lacks_evidence:
        lines.append(
            "[yellow]no evidence of revocation was fetched yet: until then no certificate of this partner is let in[/yellow]"
        )
    return lines


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
        "short_lived_seconds": int(terms.short_lived.total_seconds()),
        "allow_private": list(terms.allow_private),
        "crl_urls": list(terms.crl_urls),
        "ocsp_urls": list(terms.ocsp_urls),
    }


def list_changes(former: PartnerState, wanted: Terms, ders: dict[str, list[bytes]]) -> list[dict[str, Any]]:
    """Return the differences between a partner and its replacement: terms, then authorities.

    A term that the new import does not give gets its default. An authority that it does not give is dropped.
    """
    before, after = _terms_row(former.partner), _terms_row(wanted)
    terms = [
        {"term": term, "before": before[term], "after": after[term]}
        for term in after
        if before[term] != after[term]
    ]
    had = {("anchor" if one.anchor else "intermediate", one.der) for one in former.authorities}
    given = {(kind, der) for kind in ("anchor", "intermediate") for der in ders[f"{kind}s"]}
    dropped = [{"term": kind, "before": _brief(der), "after": None} for kind, der in sorted(had - given)]
    added = [{"term": kind, "before": None, "after": _brief(der)} for kind, der in sorted(given - had)]
    return [*terms, *dropped, *added]


def _brief(der: bytes) -> dict[str, str]:
    """Return subject and fingerprint of an authority."""
    return {
        "subject": parts.examining.describe_subject(der),
        "sha256": hashlib.sha256(der).hexdigest()[:16],
    }


def drops(change: dict[str, Any]) -> bool:
    """Return whether a change takes an authority out."""
    return change["after"] is None


def finding_row(one: LintFinding) -> dict[str, Any]:
    """Return the findings about a certificate, in the form of the JSON output."""
    return {
        "severity": one.code.severity.value,
        "code": one.code.value,
        "certificate": one.certificate,
        "text": one.text,
        "mend": one.code.mend,
    }


def print_report(output: Output, ders: dict[str, list[bytes]], findings: tuple[LintFinding, ...]) -> None:
    """Print each certificate of the import, and below it the findings about it."""
    for word, kind in (("anchors", "anchor"), ("intermediates", "intermediate")):
        for der in ders[word]:
            sha256 = hashlib.sha256(der).hexdigest()
            output.err.print(f"[bold]{escape(parts.examining.describe_subject(der))}[/bold]  {kind}")
            # In full: the operator compares it with what the partner says by another channel.
            output.err.print(f"  [dim]SHA-256  {sha256}[/dim]")
            about = [one for one in findings if one.certificate == sha256]
            for one in about:
                severity = one.code.severity.value
                colour = _COLOURS[severity]
                output.err.print(
                    f"  [{colour}]{severity:8}[/{colour}] {escape(one.text)}  [dim]{one.code.value}[/dim]"
                )
                output.err.print(f"           [dim]→ {escape(one.code.mend)}[/dim]")
            if not about:
                output.err.print("  [green]no findings[/green]")


def print_changes(output: Output, changes: list[dict[str, Any]]) -> None:
    """Print what an import would change of a partner."""
    for one in changes:
        match one["before"], one["after"]:
            case dict() as authority, None:
                text = f"drops {one['term']} {_describe_brief(authority)}"
            case None, dict() as authority:
                text = f"adds {one['term']} {_describe_brief(authority)}"
            case before, after:
                text = f"{one['term']}: {escape(_say(before))} → {escape(_say(after))}"
        output.err.print(f"[yellow]changes [/yellow] {text}")
    if any(map(drops, changes)):
        text = "connections with a certificate of a dropped authority alone are cut at once, and refused from then on"
        output.err.print(f"         [yellow]{text}[/yellow]")


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


def list_next_steps(done: ImportResult) -> list[str]:
    """Return the steps that are left before a principal of the partner is let in."""
    partner, steps = done.partner, []
    if not done.trusting_applications:
        text = escape(f"trust: [own, {partner.name}]")
        steps.append(f"name the partner in the document, at an application that is to trust it: {text}")
    if not partner.everyone:
        steps.append(f"add those who may connect: doorward {partner.kind.value} add {partner.name}/IDENTITY")
    return [f"[dim]next:[/dim] {one}" for one in steps]


def count_of(what: Sequence[object], word: str) -> str:
    """Return a number with its word."""
    return f"{len(what)} {word}{'' if len(what) == 1 else 's'}"


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
        return ": revocation is not checked"
    grace = (
        f"{parts.durations.render_option_duration(partner.max_staleness)} longer than"
        if partner.max_staleness
        else "exactly as long as"
    )
    private = f"; also from {', '.join(partner.allow_private)}" if partner.allow_private else ""
    return f"; fetched every {parts.durations.render_option_duration(partner.refresh)}, used {grace} it says{private}"


def _describe(partner: PartnerRecord, trusting: Sequence[str]) -> list[str]:
    who = "all that it certifies" if partner.everyone else "those that were added"
    domain = f" within {partner.domain}" if partner.domain else ""
    lines = [
        f"[bold]{partner.name}[/bold]  a partner; its {partner.kind.value}s are {who}",
        f"id           {partner.id}",
        f"identity     {partner.source.value}{domain}",
        f"groups       {', '.join(partner.groups) or '-'}",
        f"revocation   {partner.revocation.value}{_describe_times(partner)}",
    ]
    if partner.short_lived:
        lines.append(
            f"short-lived  accepted without revocation information for at most {parts.durations.render_option_duration(partner.short_lived)}"
        )
    lines.append(f"trusted by   {', '.join(trusting) or '- (name it in `trust` of an application)'}")
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
