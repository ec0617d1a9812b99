"""Records as rows: the same members for `--json` and for tables, in every command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from doorward.core.entities import Principal

if TYPE_CHECKING:
    from doorward.authority.authority_certificates import AuthorityCertificate
    from doorward.partners.showing import AuthorityView
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


def own_authority_row(own: AuthorityCertificate) -> dict[str, Any]:
    """Return the fields that commands show of a certificate of our own authority."""
    return {
        "kind": own.record.kind.value,
        "partner": "",
        "subject": own.subject,
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
        "not_after": view.record.not_after,
        "current": True,
        "key": "",
        "sha256": view.record.sha256,
        "id": view.record.id,
        "readable": view.readable,
    }
