"""Partners: import their authorities with terms, replace both, and remove a partner.

A partner's authorities certify principals of their own, called `<partner>/<identity>`. The operator decides what to
import: `examining` returns findings beforehand, and an import refuses those that are errors.
Removing a partner ends all access of its principals in one transaction.

Not here: which applications trust it (the policy document), judging (`judging`), evidence
(`evidence`), recording the certificates that come to the door (`registration`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from doorward.audit.events import Event, EventType
from doorward.core.entities import TENANT
from doorward.core.errors import RequestRefused
from doorward.core.names import OWN_AUTHORITY, parse_principal_name
from doorward.partners.examining import (
    check_names,
    lint,
    load_known,
    refuse_errors,
    refuse_manufacturers,
    require_unchanged_authorities,
)
from doorward.partners.terms import Terms
from doorward.partners.trust import build_partner_trust
from doorward.stores.change_result import ChangeResult
from doorward.stores.events import new_event
from doorward.stores.freed_names import refuse_freed_partner
from doorward.stores.partner_records import PartnerAuthorityRecord, PartnerRecord
from doorward.stores.policy_snapshot import current_document
from doorward.stores.prerequisites import require_partner, require_tenant
from doorward.stores.protocols import Stores
from doorward.stores.records import ChangeKind
from doorward.stores.services import Services
from doorward.verification.import_lint import LintFinding
from doorward.verification.path.certificate import parse_path_certificate

MOST_IN_EVENT = 24
"""Anchors in one event, and as many intermediates; together with the groups they fit into the event's limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportResult:
    """The imported partner, its authorities, the findings, and the applications that trust it.

    `trusting_applications` are those with the partner in their `trust`; a new partner usually has none.
    """

    partner: PartnerRecord
    authorities: tuple[PartnerAuthorityRecord, ...]
    findings: tuple[LintFinding, ...]
    trusting_applications: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerState:
    """A partner's terms and authorities at one moment: shown to the operator before they are replaced."""

    partner: PartnerRecord
    authorities: tuple[PartnerAuthorityRecord, ...]


def find_replaced(services: Services, name: str, *, replacing: bool) -> PartnerState | None:
    """Return the partner that an import would replace; None for a new partner.

    The caller shows it to the operator and then passes it to `import_partner`.

    Raises:
        MalformedInput: `name-malformed`.
        RequestRefused: `name-taken`: the name is our own authority's, or `replacing` is False and the partner exists.
        NotFound: `not-founded`; `partner-unknown`: `replacing` is True and there is no such partner.
    """
    _require_not_own_name(name)
    with services.work.read() as stores:
        require_tenant(stores)
        if not replacing:
            _require_free(stores, name)
            return None
        return _read_state(stores, name)


def import_partner(
    services: Services,
    name: str,
    terms: Terms,
    *,
    anchors: Sequence[bytes],
    intermediates: Sequence[bytes] = (),
    replacing: PartnerState | None = None,
    actor: str,
) -> ChangeResult[ImportResult]:
    """Import a partner's authorities; the applications that name the partner in `trust` accept its certificates.

    Args:
        services: the ports of this process.
        name: the partner's name; it cannot be changed later.
        terms: the terms for it.
        anchors: see `examining.examine`.
        intermediates: see `examining.examine`.
        replacing: the partner to replace, as `find_replaced` returned it before the operator was asked; None for a
            new partner.
        actor: who acts.

    Raises:
        MalformedInput: `name-malformed`, or a certificate or a term cannot be read.
        ConfigurationError: every error that the lint found.
        RequestRefused: `name-taken`; `partner-changed`: the partner changed since `find_replaced`;
            `authorities-changed`: our own authorities changed in between; `authority-in-use`: it is a manufacturer's,
            certifies one of a manufacturer's or is certified by one; `name-in-rules`: the document still names a removed
            partner that had the name.
        NotFound: `not-founded`; `partner-unknown`: the partner to replace was removed.
    """
    _require_not_own_name(name)
    now = services.clock.now()
    with services.work.read() as stores:
        require_tenant(stores)
        _require_unchanged(stores, name, replacing)  # its errors come before the findings about authorities
        known = load_known(stores, name)
    # Not in a write transaction: a large bundle takes seconds, and every decision would wait to be recorded.
    findings = lint(terms, anchors, intermediates, known, now)
    refuse_errors(findings, (*anchors, *intermediates))
    partner = _make_partner(services, name, terms, now)
    authorities = _make_authorities(services, partner.id, anchors, intermediates, now)
    build_partner_trust(partner, authorities)  # raises if no trust can be built from them
    with services.work.change() as stores:
        require_tenant(stores)
        # An authority that another partner has too is only a warning.
        require_unchanged_authorities(stores, known)
        refuse_manufacturers(stores, (*anchors, *intermediates))
        before = _require_unchanged(stores, name, replacing)
        warnings = check_names(stores, name, (*anchors, *intermediates))
        stored = _store_partner(stores, before, partner, authorities)
        kind = EventType.PARTNER_IMPORTED if before is None else EventType.PARTNER_CHANGED
        stores.outbox.add(_build_event(services, kind, stored, actor=actor, now=now))
        seq = stores.changes.note(ChangeKind.PARTNER, stored.partner.id, now)
        trusting = list_trusting_applications(stores, name)
        notes = (*_list_notes(stores, stored.partner, before, trusting), *warnings)
    value = ImportResult(
        partner=stored.partner,
        authorities=stored.authorities,
        findings=findings,
        trusting_applications=tuple(trusting),
    )
    return ChangeResult(value=value, seq=seq, notes=notes)


def remove_partner(services: Services, name: str, *, actor: str) -> ChangeResult[PartnerRecord]:
    """Remove a partner: its principals are removed and lose their access, factors and sessions at once.

    Raises:
        NotFound: `partner-unknown`, `not-founded`.
    """
    now = services.clock.now()
    with services.work.change() as stores:
        partner = require_partner(stores, name)
        stores.partners.remove(partner.id, now)
        removed = stores.directory.remove_partner(partner.id)
        stores.factors.remove_partner(partner.id)
        stores.facts.forget_partner(partner.id)
        stores.enrolment_tickets.void_partner(partner.id, now)
        stores.sessions.end_partner(partner.id, now)
        for one in stores.evidence.list(partner.id):
            stores.evidence.forget(partner.id, one.kind, one.source, one.about)
        for seen in stores.evidence.recorded_revocations(partner.id):
            stores.evidence.forget_revocation(partner.id, seen)
        event = new_event(
            services,
            EventType.PARTNER_REMOVED,
            actor=actor,
            at=now,
            data={"partner": partner.id, "partner_name": partner.name, "number": removed},
        )
        stores.outbox.add(event)
        seq = stores.changes.note(ChangeKind.PARTNER, partner.id, now)
        trusting = list_trusting_applications(stores, name)
    notes = [f"{removed} of its principals {_were(removed)} removed with it"] if removed else []
    if trusting:
        notes.append(
            f"`trust` of {', '.join(trusting)} still names {name}: a partner imported with this name is trusted there"
        )
    return ChangeResult(value=replace(partner, removed_at=now), seq=seq, notes=tuple(notes))


def list_partners(services: Services) -> list[tuple[PartnerRecord, list[PartnerAuthorityRecord]]]:
    """Return the trusted partners, sorted by name, with their authorities."""
    with services.work.read() as stores:
        return [(one, stores.partners.authorities(one.id)) for one in stores.partners.list()]


def _store_partner(
    stores: Stores,
    before: PartnerRecord | None,
    partner: PartnerRecord,
    authorities: Sequence[PartnerAuthorityRecord],
) -> PartnerState:
    """Add or replace a partner and its authorities; return both as stored.

    A replaced partner keeps its id, and so does a certificate that it had already.
    """
    if before is None:
        refuse_freed_partner(stores, partner.name, (one.sha256 for one in authorities if one.anchor))
        stores.partners.add(partner)
    else:
        partner = replace(partner, id=before.id, created_at=before.created_at)
        authorities = [replace(one, partner_id=before.id) for one in authorities]
        stores.partners.save(partner)
    stores.partners.set_authorities(partner.id, authorities)
    return PartnerState(partner=partner, authorities=tuple(stores.partners.authorities(partner.id)))


def _build_event(
    services: Services, kind: EventType, stored: PartnerState, *, actor: str, now: datetime
) -> Event:
    """Return the event with the terms, the first of the authorities, and a digest over all authorities."""
    partner, authorities = stored.partner, stored.authorities
    digests = sorted(one.sha256 for one in authorities)
    return new_event(
        services,
        kind,
        actor=actor,
        at=now,
        data={
            "partner": partner.id,
            "partner_name": partner.name,
            "revocation": partner.revocation.value,
            "kind": partner.kind.value,
            "identity": partner.source.value,
            "everyone": partner.everyone,
            "short_lived_seconds": int(partner.short_lived.total_seconds()),
            "domain": partner.domain,
            "groups": list(partner.groups),
            "anchors": [one.sha256 for one in authorities if one.anchor][:MOST_IN_EVENT],
            "intermediates": [one.sha256 for one in authorities if not one.anchor][:MOST_IN_EVENT],
            "number": len(digests),
            "sha256": hashlib.sha256("\n".join(digests).encode("ascii")).hexdigest(),
        },
    )


def list_trusting_applications(stores: Stores, name: str) -> list[str]:
    """Return the applications with a partner in their `trust`; raises as `current_document`."""
    document, _ = current_document(stores)
    return [app.name for app in document.apps if name in app.trust]


def _list_notes(
    stores: Stores, partner: PartnerRecord, before: PartnerRecord | None, trusting: Sequence[str]
) -> tuple[str, ...]:
    """Return notes about effects of an import that the operator may not expect."""
    if before is None:
        note = f"trusted at once: `trust` of {', '.join(trusting)} names {partner.name} already"
        return (note,) if trusting else ()
    remaining = [one for one in stores.directory.list() if one.partner == partner.id]
    if before.everyone and not partner.everyone and remaining:
        text = f"new principals are not added automatically any more; {len(remaining)} {_were(len(remaining))} added before"
        return (f"{text} and still have access: `doorward {before.kind.value} remove` removes one",)
    if (before.source, before.kind) != (partner.source, partner.kind) and remaining:
        return (
            f"{len(remaining)} of its principals {_were(len(remaining))} named by the former rule and stay in the directory",
        )
    return ()


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


def _require_not_own_name(name: str) -> None:
    if parse_principal_name(name) == OWN_AUTHORITY:
        raise RequestRefused(
            "name-taken", f"{name} is the name of our own authority", hint="choose another name"
        )


def _require_free(stores: Stores, name: str) -> None:
    if stores.partners.by_name(name) is not None:
        raise RequestRefused(
            "name-taken",
            f"a partner named {name} is trusted already",
            hint="add --replace to replace its authorities and terms by these",
        )


def _require_unchanged(stores: Stores, name: str, replacing: PartnerState | None) -> PartnerRecord | None:
    """Return the partner to replace; None for a new one.

    Refuse if the partner changed since it was shown: the operator did not agree to undo another operator's change.
    A repeated import of the same authorities and terms is no such change: partner and authorities keep their ids.
    """
    if replacing is None:
        _require_free(stores, name)
        return None
    if _read_state(stores, name) != replacing:
        raise RequestRefused(
            "partner-changed",
            f"the partner {name} was changed after it was shown to you",
            hint="repeat the command and read the new report",
        )
    return replacing.partner


def _read_state(stores: Stores, name: str) -> PartnerState:
    partner = require_partner(stores, name)
    return PartnerState(partner=partner, authorities=tuple(stores.partners.authorities(partner.id)))


def _make_partner(services: Services, name: str, terms: Terms, now: datetime) -> PartnerRecord:
    """Return the record of a new partner."""
    values = {field: getattr(terms, field) for field in Terms.__slots__}
    return PartnerRecord(id=services.new_id("ptn"), tenant=TENANT, name=name, created_at=now, **values)


def _make_authorities(
    services: Services,
    partner_id: str,
    anchors: Sequence[bytes],
    intermediates: Sequence[bytes],
    now: datetime,
) -> list[PartnerAuthorityRecord]:
    return [
        PartnerAuthorityRecord(
            id=services.new_id("aut"),
            tenant=TENANT,
            partner_id=partner_id,
            sha256=hashlib.sha256(der).hexdigest(),
            anchor=position < len(anchors),
            der=der,
            not_after=parse_path_certificate(der).not_after,
            created_at=now,
        )
        for position, der in enumerate((*anchors, *intermediates))
    ]
