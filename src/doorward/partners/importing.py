"""Partners: trust their authorities on terms, change the terms, trust them no more.

A partner's authorities vouch for principals of their own, called `<partner>/<identity>`. What is imported is
an operator's decision: `examining` says beforehand what to think of it, and whatever is wrong for certain is
refused. Removing a partner takes everything from its principals in one transaction.

Not here: which applications hear it (the policy document), judging (`judging`), evidence
(`evidence`), and writing down what comes to the door (`registration`).
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
from doorward.partners.examining import check_names, lint, load_known, refuse_errors, require_same_own
from doorward.partners.terms import Terms
from doorward.partners.trust import build_partner_trust
from doorward.stores.change_result import ChangeResult
from doorward.stores.events import write_event
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
"""Anchors, and as many intermediates, that an event names; with the groups they fit into one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportResult:
    """A partner as it is trusted now, its authorities, what was found about them, and who hears it.

    `trusting_applications` are the applications whose `trust` names it: none of a new partner's, as a rule.
    """

    partner: PartnerRecord
    authorities: tuple[PartnerAuthorityRecord, ...]
    findings: tuple[LintFinding, ...]
    trusting_applications: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerState:
    """A partner's terms and authorities at one moment: who agrees to replace them agrees to a change of these."""

    partner: PartnerRecord
    authorities: tuple[PartnerAuthorityRecord, ...]


def find_replaced(services: Services, name: str, *, replacing: bool) -> PartnerState | None:
    """Return what an import would replace, to be shown and then given to it; None where the name is free.

    Raises:
        MalformedInput: `name-malformed`.
        RequestRefused: `name-taken` where nothing is to be replaced, and where the name is our own authority's.
        NotFound: `not-founded`; `partner-unknown` where one is to be replaced.
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
    """Trust a partner's authorities, at the applications that name it (`trust:` in the document).

    Args:
        services: the ports of this process.
        name: what it is called here; it cannot be changed later.
        terms: under which it is trusted.
        anchors: see `examining.examine`.
        intermediates: see `examining.examine`.
        replacing: what these authorities and terms take the place of, as `find_replaced` gave it before
            anybody was asked; None where the partner is new.
        actor: who acts.

    Raises:
        MalformedInput: `name-malformed`, or a certificate or a term cannot be read.
        ConfigurationError: every error that the lint found.
        RequestRefused: `name-taken`; `partner-changed` where it is no longer what is to be replaced;
            `authorities-changed` if our own did while this ran; `name-in-rules` if the document still names
            another partner that had the name.
        NotFound: `not-founded`; `partner-unknown` where the one to be replaced is gone.
    """
    _require_not_own_name(name)
    now = services.clock.now()
    with services.work.read() as stores:
        require_tenant(stores)
        _find_before(stores, name, replacing)  # is said before what is wrong with authorities
        known = load_known(stores, name)
    # A slow bundle takes seconds: every decision that is to be recorded would wait for the end of a change.
    findings = lint(terms, anchors, intermediates, known, now)
    refuse_errors(findings, (*anchors, *intermediates))
    partner = _make_partner(services, name, terms, now)
    authorities = _make_authorities(services, partner.id, anchors, intermediates, now)
    build_partner_trust(partner, authorities)  # whatever cannot be judged by is refused here
    with services.work.change() as stores:
        require_tenant(stores)
        require_same_own(stores, known)  # other partners' are warned of only
        before = _find_before(stores, name, replacing)
        large = check_names(stores, name, (*anchors, *intermediates))
        if before is None:
            refuse_freed_partner(stores, name, (one.sha256 for one in authorities if one.anchor))
            stores.partners.add(partner)
        else:
            partner = replace(partner, id=before.id, created_at=before.created_at)
            authorities = [replace(one, partner_id=before.id) for one in authorities]
            stores.partners.save(partner)
        stores.partners.set_authorities(partner.id, authorities)
        authorities = stores.partners.authorities(partner.id)  # one that was there already keeps its id
        kind = EventType.PARTNER_IMPORTED if before is None else EventType.PARTNER_CHANGED
        stores.outbox.add(_build_event(services, kind, partner, authorities, actor=actor, now=now))
        seq = stores.changes.note(ChangeKind.PARTNER, partner.id, now)
        trusting = list_trusting_applications(stores, name)
        notes = (*_notes_of(stores, partner, before, trusting), *large)
    value = ImportResult(
        partner=partner,
        authorities=tuple(authorities),
        findings=findings,
        trusting_applications=tuple(trusting),
    )
    return ChangeResult(value=value, seq=seq, notes=notes)


def remove_partner(services: Services, name: str, *, actor: str) -> ChangeResult[PartnerRecord]:
    """Trust a partner no more: its principals are removed and lose everything at once, factors and sessions too.

    Raises:
        NotFound: `partner-unknown`, `not-founded`.
    """
    now = services.clock.now()
    with services.work.change() as stores:
        partner = require_partner(stores, name)
        stores.partners.remove(partner.id, now)
        removed = stores.directory.remove_partner(partner.id)
        stores.factors.remove_partner(partner.id)
        stores.enrolment_rights.void_partner(partner.id, now)
        stores.sessions.end_partner(partner.id, now)
        for one in stores.evidence.list(partner.id):
            stores.evidence.forget(partner.id, one.kind, one.source, one.about)
        for seen in stores.evidence.recorded_revocations(partner.id):
            stores.evidence.forget_revocation(partner.id, seen)
        event = write_event(
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
            f"still named in `trust` of {', '.join(trusting)}: a partner that is imported as {name} later is heard there"
        )
    return ChangeResult(value=replace(partner, removed_at=now), seq=seq, notes=tuple(notes))


def list_partners(services: Services) -> list[tuple[PartnerRecord, list[PartnerAuthorityRecord]]]:
    """Return the partners that are trusted, by name, with their authorities."""
    with services.work.read() as stores:
        return [(one, stores.partners.authorities(one.id)) for one in stores.partners.list()]


def _build_event(
    services: Services,
    kind: EventType,
    partner: PartnerRecord,
    authorities: Sequence[PartnerAuthorityRecord],
    *,
    actor: str,
    now: datetime,
) -> Event:
    """The terms that say who is let in, and the authorities: the first of them, and a digest over all."""
    digests = sorted(one.sha256 for one in authorities)
    return write_event(
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
            "domain": partner.domain,
            "groups": list(partner.groups),
            "anchors": [one.sha256 for one in authorities if one.anchor][:MOST_IN_EVENT],
            "intermediates": [one.sha256 for one in authorities if not one.anchor][:MOST_IN_EVENT],
            "number": len(digests),
            "sha256": hashlib.sha256("\n".join(digests).encode("ascii")).hexdigest(),
        },
    )


def list_trusting_applications(stores: Stores, name: str) -> list[str]:
    """Return the applications whose `trust` names a partner; raises as `current_document`."""
    document, _ = current_document(stores)
    return [app.name for app in document.apps if name in app.trust]


def _notes_of(
    stores: Stores, partner: PartnerRecord, before: PartnerRecord | None, trusting: Sequence[str]
) -> tuple[str, ...]:
    """Return what whoever imports would be surprised by later."""
    if before is None:
        heard = f"heard at once: `trust` of {', '.join(trusting)} names {partner.name} already"
        return (heard,) if trusting else ()
    stay = [one for one in stores.directory.list() if one.partner == partner.id]
    if before.everyone and not partner.everyone and stay:
        text = f"nobody new is let in by itself now; {len(stay)} of its principals {_were(len(stay))} added before"
        return (f"{text} and stay: `doorward {before.kind.value} remove` takes one out",)
    if (before.source, before.kind) != (partner.source, partner.kind) and stay:
        return (
            f"{len(stay)} of its principals {_were(len(stay))} named by the former rule and stay in the list",
        )
    return ()


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


def _require_not_own_name(name: str) -> None:
    if parse_principal_name(name) == OWN_AUTHORITY:
        raise RequestRefused(
            "name-taken", f"{name} is what our own authority is called", hint="choose another"
        )


def _require_free(stores: Stores, name: str) -> None:
    if stores.partners.by_name(name) is not None:
        raise RequestRefused(
            "name-taken",
            f"a partner named {name} is trusted already",
            hint="add --replace to give it these authorities and terms in place of its own",
        )


def _find_before(stores: Stores, name: str, replacing: PartnerState | None) -> PartnerRecord | None:
    """Return the partner as it was; None where it is new.

    One that changed since it was shown is refused: nobody agreed to drop what another brought in meanwhile.
    An import of the same again is no change: partner and authorities keep their ids.
    """
    if replacing is None:
        _require_free(stores, name)
        return None
    if _read_state(stores, name) != replacing:
        raise RequestRefused(
            "partner-changed",
            f"the partner {name} was changed after what would be replaced was read",
            hint="look at the report again, and repeat the command",
        )
    return replacing.partner


def _read_state(stores: Stores, name: str) -> PartnerState:
    partner = require_partner(stores, name)
    return PartnerState(partner=partner, authorities=tuple(stores.partners.authorities(partner.id)))


def _make_partner(services: Services, name: str, terms: Terms, now: datetime) -> PartnerRecord:
    """Return the partner as if it were new."""
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
