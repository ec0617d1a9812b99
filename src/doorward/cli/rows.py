"""What commands show of a record: one form for `--json` and for tables, however many commands show it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from doorward.core.entities import Principal

if TYPE_CHECKING:
    from doorward.stores.records import CertificateRecord


def principal_row(principal: Principal) -> dict[str, Any]:
    """Return what is shown of a person, device or service."""
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
    """Return what is shown of a certificate."""
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
