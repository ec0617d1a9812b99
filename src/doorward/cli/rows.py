"""Records as rows: the same members for `--json` and for tables, in every command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from doorward.cli.screen import escape
from doorward.core.entities import Principal

if TYPE_CHECKING:
    from datetime import datetime

    from doorward.authority.authority_certificates import AuthorityCertificate
    from doorward.directory.principal_inventory import InventoryEntry
    from doorward.partners.showing import AuthorityView
    from doorward.stores.fact_protocols import CertificateFacts, ReportedFacts
    from doorward.stores.line_protocols import SuspectedClone
    from doorward.stores.records import CertificateRecord


def principal_row(principal: Principal) -> dict[str, Any]:
    """Return the fields that commands show of a person, device or service."""
    return {
        "name": principal.name,
        "kind": principal.kind.value,
        "state": principal.state.value,
        "groups": list(principal.groups),
        "inherited": list(principal.inherited),
        "display_name": principal.display_name,
        "id": principal.id,
    }


INVENTORY_CSV = (
    "name",
    "display_name",
    "email",
    "groups",
    "inherited",
    "kind",
    "state",
    "last_seen",
    "where",
    "certificate_until",
    "host_name",
    "system",
    "agent_version",
    "store",
    "next_renewal",
    "reported_at",
    "id",
)
"""The columns of an export; an import takes the first four and leaves the others out."""


CERTIFICATE_CSV = (
    "id",
    "subject",
    "profile",
    "state",
    "not_before",
    "not_after",
    "serial",
    "sha256",
    "principal",
    "reason",
    "revoked_at",
)


def inventory_row(entry: InventoryEntry) -> dict[str, Any]:
    """Return the fields that lists show of a person, device or service."""
    return {
        **principal_row(entry.principal),
        "last_seen": entry.last_seen,
        "where": entry.where,
        "certificate_until": entry.certificate_until,
        **facts_row(entry.reported, entry.reported_at),
    }


def certificate_facts_row(facts: CertificateFacts) -> dict[str, Any]:
    """Return the fields that commands show of the use of one certificate."""
    return {
        "certificate": facts.certificate_id,
        "last_seen": facts.seen_at,
        "where": facts.seen_application,
        **facts_row(facts.reported, facts.reported_at),
    }


def fact_lines(facts: CertificateFacts) -> list[str]:
    """Return what people read about the use of one certificate."""
    lines = []
    if facts.seen_at:
        lines.append(f"        last seen {facts.seen_at:%Y-%m-%d %H:%M}Z at {escape(facts.seen_application)}")
    if facts.reported_at:
        said = facts.reported
        texts = ", ".join(filter(None, (said.host_name, said.system, said.store)))
        agent = f"agent {said.agent_version}" if said.agent_version else "agent"
        renews = f", renews {said.next_renewal:%Y-%m-%d %H:%M}Z" if said.next_renewal else ""
        lines.append(
            f"        {escape(agent)} reported {facts.reported_at:%Y-%m-%d %H:%M}Z: {escape(texts)}{renews}"
        )
    return lines


def facts_row(reported: ReportedFacts, reported_at: datetime | None) -> dict[str, Any]:
    """Return the fields that commands show of what an agent reported."""
    return {
        "host_name": reported.host_name,
        "system": reported.system,
        "agent_version": reported.agent_version,
        "store": reported.store,
        "next_renewal": reported.next_renewal,
        "reported_at": reported_at,
    }


def certificate_row(record: CertificateRecord) -> dict[str, Any]:
    """Return the fields that commands show of a certificate."""
    return {
        "id": record.id,
        "subject": record.subject_name,
        "profile": record.profile,
        "state": record.state.value,
        "not_before": record.not_before,
        "not_after": record.not_after,
        "serial": f"{record.serial:x}",
        "sha256": record.sha256,
        "principal": record.principal_id,
        "reason": record.reason.value if record.reason else "",
        "revoked_at": record.revoked_at,
    }


def suspicion_row(suspicion: SuspectedClone | None) -> dict[str, Any] | None:
    """Return the fields that commands show of a suspected clone; None if there is none."""
    if suspicion is None:
        return None
    return {
        "shown": suspicion.shown_id,
        "number": suspicion.number,
        "first_at": suspicion.first_at,
        "last_at": suspicion.last_at,
    }


def suspicion_line(suspicion: SuspectedClone) -> str:
    """Return the line of a suspected clone."""
    times = "once" if suspicion.number == 1 else f"{suspicion.number} times"
    return (
        f"        [yellow]suspected clone:[/yellow] {suspicion.shown_id}, which was renewed before, was to be renewed with "
        f"another key {times}, last {suspicion.last_at:%Y-%m-%d %H:%M}Z; decide: doorward cert revoke "
        f"{suspicion.certificate_id}, or cert release {suspicion.certificate_id}"
    )


def own_authority_row(own: AuthorityCertificate) -> dict[str, Any]:
    """Return the fields that commands show of a certificate of our own authority."""
    trusted = "current" if own.record.current else "trusted"
    return {
        "kind": "cross-certificate" if own.is_cross else own.record.kind.value,
        "partner": "",
        "subject": own.subject,
        "state": trusted if own.record.retired_at is None else "retired",
        "not_after": own.record.not_after,
        "current": own.record.current,
        "key": own.record.key_name,
        "sha256": own.sha256,
        "id": own.record.id,
    }


def authority_row(view: AuthorityView) -> dict[str, Any]:
    """Return the fields that commands show of a partner's authority."""
    return {
        "kind": "anchor" if view.record.anchor else "intermediate",
        "partner": view.partner,
        "subject": view.subject,
        "state": "trusted",
        "not_after": view.record.not_after,
        "current": True,
        "key": "",
        "sha256": view.record.sha256,
        "id": view.record.id,
        "readable": view.readable,
    }
