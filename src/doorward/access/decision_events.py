"""The event of a decision: who was admitted or refused, by which certificate and evidence, and why.

Not here: deciding (`deciding`), and making an event durable (gateway).
"""

from __future__ import annotations

import hashlib
from datetime import datetime

from doorward.access.decision import ConnectionAssessment, ConnectionContext
from doorward.audit.events import Event, EventType, printable
from doorward.core.entities import Verdict
from doorward.stores.events import new_event
from doorward.stores.services import Services


def write_admitted(
    services: Services,
    gateway_id: str,
    assessment: ConnectionAssessment,
    context: ConnectionContext,
    *,
    at: datetime,
    until: datetime,
) -> Event:
    """Return `connection:admitted`."""
    record, principal = assessment.record, assessment.subject.principal if assessment.subject else None
    return new_event(
        services,
        EventType.CONNECTION_ADMITTED,
        actor=principal.id if principal else "system",
        at=at,
        data={
            "connection": context.connection_id,
            "gateway": gateway_id,
            "application": context.application_id,
            "certificate": record.id if record else "",
            "principal": principal.id if principal else "",
            "partner": assessment.partner_id,
            "reasons": [reason.value for reason in assessment.verdict.reasons],
            "grants": list(assessment.permissions.grants) if assessment.permissions else [],
            "deadline": until,
            "revision": assessment.snapshot.revision,
            "sha256": record.sha256 if record else "",
            "evidence": list_status_evidence(assessment.verdict),
        },
        personal={
            "source": printable(context.source_address),
            "name": principal.name if principal else "",
        },
    )


def write_refused(
    services: Services,
    gateway_id: str,
    assessment: ConnectionAssessment,
    context: ConnectionContext,
    presented: bytes | None,
    *,
    at: datetime,
) -> Event:
    """Return `connection:refused`, or `connection:anonymous` if the application opens something to everybody.

    Facts that the peer claims and that are not proved have names that begin with `claimed_`.
    """
    facts, record = assessment.judgement.facts, assessment.record
    data: dict[str, str | int | list[str]] = {
        "gateway": gateway_id,
        "connection": context.connection_id,
        "application": context.application_id if assessment.policy is not None else "",
        "reasons": [reason.value for reason in assessment.verdict.reasons],
        "revision": assessment.snapshot.revision,
        "certificate": record.id if record else "",
        "principal": record.principal_id if record else "",
        "partner": assessment.partner_id,
        "evidence": list_status_evidence(assessment.verdict),
        "detail": describe_path_fault(assessment.verdict),
    }
    personal = {"source": printable(context.source_address)}
    if presented is not None:
        data["claimed_sha256"] = hashlib.sha256(presented).hexdigest()
    if facts is not None:
        data["claimed_serial"] = f"{facts.serial:x}"
        personal["claimed_subject"] = printable(facts.subject)
        personal["claimed_issuer"] = printable(facts.issuer)
        personal["claimed_san"] = printable(", ".join(facts.san))
    admitted = assessment.policy is not None and assessment.policy.opens_something
    kind = EventType.CONNECTION_ANONYMOUS if admitted else EventType.CONNECTION_REFUSED
    actor = record.principal_id if record and record.principal_id else "system"
    return new_event(services, kind, actor=actor, at=at, data=data, personal=personal)


def list_status_evidence(verdict: Verdict) -> list[str]:
    """Return the SHA-256 of each CRL and OCSP response on which a verdict is based."""
    return list(dict.fromkeys(value for name, value in verdict.evidence if name == "status-evidence"))


def describe_path_fault(verdict: Verdict) -> str:
    """Return rule, section and certificate of the first fault of a path, without any name from the certificate."""
    found = next((value for name, value in verdict.evidence if name == "path-fault"), "")
    return found.partition(": ")[0]
