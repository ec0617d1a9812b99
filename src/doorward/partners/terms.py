"""Partners: look at their authorities, trust them on terms, change the terms, trust them no more.

A partner's authorities vouch for principals of their own, called `<partner>/<identity>`. What is imported is
an operator's decision: `examine` says beforehand what to think of it, and whatever is wrong for certain is
refused. Removing a partner takes everything from its principals in one transaction.

Not here: which applications hear it (the policy document), judging (`partner_access`), evidence
(`evidence`), and writing down what comes to the door (`partner_registration`).
Standard: RFC 5280 section 6.1.1 (d), trust anchors; RFC 5937.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from doorward.audit.events import Event, EventType, printable
from doorward.core.addresses import parse_private_networks
from doorward.core.entities import TENANT, PrincipalKind
from doorward.core.errors import ConfigurationError, Fault, MalformedInput, RequestRefused
from doorward.core.names import OWN_AUTHORITY, parse_principal_name
from doorward.partners.told_names import check_told_import
from doorward.partners.trust import build_partner_trust, read_inputs
from doorward.stores.done import Done
from doorward.stores.events import write_event
from doorward.stores.freed_names import refuse_freed_partner
from doorward.stores.partner_records import PartnerAuthorityRecord, PartnerRecord
from doorward.stores.policy_snapshot import current_document
from doorward.stores.protocols import Stores
from doorward.stores.records import ChangeKind
from doorward.stores.services import Services
from doorward.stores.standing import require_partner, require_tenant
from doorward.verification.identity import IdentityRule, SanSource
from doorward.verification.import_lint import LintFinding, Severity, lint_authorities
from doorward.verification.partner import RevocationMode
from doorward.verification.path.certificate import PathCertificate, parse_path_certificate
from doorward.verification.revocation.sources import parse_source

SHORTEST_REFRESH, LONGEST_REFRESH = timedelta(minutes=1), timedelta(days=7)
LONGEST_STALENESS = timedelta(days=30)
GROUPS_LIMIT, SUBTREES_LIMIT, SOURCES_LIMIT = 64, 256, 16
"""Terms that are asked about each of a partner's certificates: more than a few are a mistake."""
TOLD = 24
"""Anchors, and as many intermediates, that an event names; with the groups they fit into one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On which terms a partner is trusted; see `PartnerRecord`. The defaults let in as few as can be."""

    revocation: RevocationMode = RevocationMode.REQUIRE
    max_staleness: timedelta = timedelta(0)
    refresh: timedelta = timedelta(hours=1)
    allow_private: tuple[str, ...] = ()
    crl_urls: tuple[str, ...] = ()
    ocsp_urls: tuple[str, ...] = ()
    source: SanSource = SanSource.EMAIL
    kind: PrincipalKind = PrincipalKind.PERSON
    domain: str = ""
    groups: tuple[str, ...] = ()
    everyone: bool = False
    permitted: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        networks = tuple(map(str, parse_private_networks(self.allow_private)))
        object.__setattr__(self, "allow_private", networks)  # one spelling, each once
        for url in (*self.crl_urls, *self.ocsp_urls):
            parse_source(url)
        if max(len(self.crl_urls), len(self.ocsp_urls)) > SOURCES_LIMIT:
            raise MalformedInput(
                "too-many-sources", f"{SOURCES_LIMIT} addresses of a kind are given by hand at most"
            )
        for group in self.groups:
            parse_principal_name(group)
        if len(self.groups) > GROUPS_LIMIT:
            raise MalformedInput("too-many-groups", f"a partner is put into {GROUPS_LIMIT} groups at most")
        if len(self.permitted) + len(self.excluded) > SUBTREES_LIMIT:
            raise MalformedInput("too-many-subtrees", f"a partner has {SUBTREES_LIMIT} subtrees at most")
        if not SHORTEST_REFRESH <= self.refresh <= LONGEST_REFRESH:
            hint = "write from 1m to 7d"
            raise MalformedInput("refresh-malformed", "evidence cannot be looked for so often", hint=hint)
        if not timedelta(0) <= self.max_staleness <= LONGEST_STALENESS:
            hint = "write from 0s to 30d"
            raise MalformedInput("staleness-malformed", "evidence cannot be used for so long", hint=hint)


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """A partner as it is trusted now, its authorities, what was found about them, and who hears it.

    `heard_by` are the applications whose `trust` names it: none of a new partner's, as a rule.
    """

    partner: PartnerRecord
    authorities: tuple[PartnerAuthorityRecord, ...]
    findings: tuple[LintFinding, ...]
    heard_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A partner's terms and authorities at one moment: whoever agrees to replace them agreed to a change of these."""

    partner: PartnerRecord
    authorities: tuple[PartnerAuthorityRecord, ...]


def find_standing(services: Services, name: str, *, replacing: bool) -> Standing | None:
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
        return _read_standing(stores, name)


def examine(
    services: Services, name: str, terms: Terms, *, anchors: Sequence[bytes], intermediates: Sequence[bytes]
) -> tuple[LintFinding, ...]:
    """Return what to think of a partner's authorities, errors first; nothing is changed.

    Args:
        services: the ports of this process.
        name: what the partner is, or would be, called.
        terms: under which they are to be trusted.
        anchors: DER of what is trusted by decision; at least one.
        intermediates: DER of what may sign below them.

    Raises:
        MalformedInput: a certificate or a term cannot be read.
        NotFound: `not-founded`.
    """
    with services.work.read() as stores:
        require_tenant(stores)
        known = _Known(own=_read_own(stores), others=_read_others(stores, name))
    return _lint(terms, anchors, intermediates, known, services.clock.now())


def examine_names(services: Services, name: str, ders: Sequence[bytes]) -> tuple[str, ...]:
    """Return which applications would name more authorities than some clients take; nothing is changed.

    Raises:
        NotFound: `not-founded`.
    """
    with services.work.read() as stores:
        require_tenant(stores)
        return _check_names(stores, name, ders)


def _check_names(stores: Stores, name: str, ders: Sequence[bytes]) -> tuple[str, ...]:
    document, _ = current_document(stores)
    return tuple(map(str, check_told_import(stores, document, name, ders)))


def import_partner(
    services: Services,
    name: str,
    terms: Terms,
    *,
    anchors: Sequence[bytes],
    intermediates: Sequence[bytes] = (),
    replacing: Standing | None = None,
    actor: str,
) -> Done[Imported]:
    """Trust a partner's authorities, at the applications that name it (`trust:` in the document).

    Args:
        services: the ports of this process.
        name: what it is called here; it cannot be changed later.
        terms: under which it is trusted.
        anchors: see `examine`.
        intermediates: see `examine`.
        replacing: what these authorities and terms take the place of, as `find_standing` gave it before
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
        known = _Known(own=_read_own(stores), others=_read_others(stores, name))
    # A slow bundle takes seconds: every decision that is to be recorded would wait for the end of a change.
    findings = _lint(terms, anchors, intermediates, known, now)
    _refuse_errors(findings, (*anchors, *intermediates))
    partner = _make_partner(services, name, terms, now)
    authorities = _make_authorities(services, partner.id, anchors, intermediates, now)
    build_partner_trust(partner, authorities)  # whatever cannot be judged by is refused here
    with services.work.change() as stores:
        require_tenant(stores)
        _require_same_own(stores, known)  # other partners' are warned of only
        before = _find_before(stores, name, replacing)
        large = _check_names(stores, name, (*anchors, *intermediates))
        if before is None:
            refuse_freed_partner(stores, name, (one.sha256 for one in authorities if one.anchor))
            stores.partners.add(partner)
        else:
            partner = replace(partner, id=before.id, created_at=before.created_at)
            authorities = [replace(one, partner_id=before.id) for one in authorities]
            stores.partners.save(partner)
        stores.partners.set_authorities(partner.id, authorities)
        kind = EventType.PARTNER_IMPORTED if before is None else EventType.PARTNER_CHANGED
        stores.outbox.add(_tell(services, kind, partner, authorities, actor=actor, now=now))
        seq = stores.changes.note(ChangeKind.PARTNER, partner.id, now)
        hearing = heard_by(stores, name)
        notes = (*_notes_of(stores, partner, before, hearing), *large)
    value = Imported(
        partner=partner, authorities=tuple(authorities), findings=findings, heard_by=tuple(hearing)
    )
    return Done(value=value, seq=seq, notes=notes)


def remove_partner(services: Services, name: str, *, actor: str) -> Done[PartnerRecord]:
    """Trust a partner no more: its principals are removed and lose everything at once.

    Raises:
        NotFound: `partner-unknown`, `not-founded`.
    """
    now = services.clock.now()
    with services.work.change() as stores:
        partner = require_partner(stores, name)
        stores.partners.remove(partner.id, now)
        removed = stores.directory.remove_partner(partner.id)
        for one in stores.evidence.list(partner.id):
            stores.evidence.forget(partner.id, one.kind, one.source, one.about)
        for seen in stores.evidence.seen(partner.id):
            stores.evidence.release(partner.id, seen)
        event = write_event(
            services,
            EventType.PARTNER_REMOVED,
            actor=actor,
            at=now,
            data={"partner": partner.id, "partner_name": partner.name, "number": removed},
        )
        stores.outbox.add(event)
        seq = stores.changes.note(ChangeKind.PARTNER, partner.id, now)
        hearing = heard_by(stores, name)
    notes = [f"{removed} of its principals {_were(removed)} removed with it"] if removed else []
    if hearing:
        notes.append(
            f"still named in `trust` of {', '.join(hearing)}: a partner that is imported as {name} later is heard there"
        )
    return Done(value=replace(partner, removed_at=now), seq=seq, notes=tuple(notes))


def list_partners(services: Services) -> list[tuple[PartnerRecord, list[PartnerAuthorityRecord]]]:
    """Return the partners that are trusted, by name, with their authorities."""
    with services.work.read() as stores:
        return [(one, stores.partners.authorities(one.id)) for one in stores.partners.list()]


def _tell(
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
            "anchors": [one.sha256 for one in authorities if one.anchor][:TOLD],
            "intermediates": [one.sha256 for one in authorities if not one.anchor][:TOLD],
            "number": len(digests),
            "sha256": hashlib.sha256("\n".join(digests).encode("ascii")).hexdigest(),
        },
    )


def heard_by(stores: Stores, name: str) -> list[str]:
    """Return the applications whose `trust` names a partner; raises as `current_document`."""
    document, _ = current_document(stores)
    return [app.name for app in document.apps if name in app.trust]


def _notes_of(
    stores: Stores, partner: PartnerRecord, before: PartnerRecord | None, hearing: Sequence[str]
) -> tuple[str, ...]:
    """Return what whoever imports would be surprised by later."""
    if before is None:
        heard = f"heard at once: `trust` of {', '.join(hearing)} names {partner.name} already"
        return (heard,) if hearing else ()
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


def _find_before(stores: Stores, name: str, replacing: Standing | None) -> PartnerRecord | None:
    """Return the partner as it was; None where it is new.

    One that changed since it was shown is refused: nobody agreed to drop what another brought in meanwhile.
    An import of the same again is no change: partner and authorities keep their ids.
    """
    if replacing is None:
        _require_free(stores, name)
        return None
    if _read_standing(stores, name) != replacing:
        raise RequestRefused(
            "partner-changed",
            f"the partner {name} was changed after what would be replaced was read",
            hint="look at the report again, and repeat the command",
        )
    return replacing.partner


def _read_standing(stores: Stores, name: str) -> Standing:
    partner = require_partner(stores, name)
    return Standing(partner=partner, authorities=tuple(stores.partners.authorities(partner.id)))


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """Authorities that an import is held against: our own, and those of other partners by name."""

    own: Sequence[PathCertificate]
    others: Mapping[str, Sequence[PathCertificate]]


def _read_own(stores: Stores) -> list[PathCertificate]:
    return [parse_path_certificate(one.der) for one in stores.authorities.list()]


def _require_same_own(stores: Stores, known: _Known) -> None:
    """Refuse what was held against fewer authorities of our own than there are now: one may be among those."""
    seen = {one.sha256 for one in known.own}
    if any(hashlib.sha256(one.der).hexdigest() not in seen for one in stores.authorities.list()):
        raise RequestRefused(
            "authorities-changed",
            "our own authorities changed while the partner's were looked at",
            hint="repeat the command",
        )


def _read_others(stores: Stores, name: str) -> dict[str, list[PathCertificate]]:
    """Return the authorities of all partners but the one of that name, less those that do not parse."""
    others: dict[str, list[PathCertificate]] = {}
    for partner in stores.partners.list():
        if partner.name == name:
            continue
        for one in stores.partners.authorities(partner.id):
            with suppress(MalformedInput):
                others.setdefault(partner.name, []).append(parse_path_certificate(one.der))
    return others


def _lint(
    terms: Terms,
    anchors: Sequence[bytes],
    intermediates: Sequence[bytes],
    known: _Known,
    now: datetime,
) -> tuple[LintFinding, ...]:
    if not anchors:
        hint = "name at least one certificate that is trusted by decision"
        raise MalformedInput("anchor-missing", "there is no trust anchor", hint=hint)
    IdentityRule(source=terms.source, kind=terms.kind, domain=terms.domain)  # refuses what makes no rule
    found = lint_authorities(
        [parse_path_certificate(one) for one in anchors],
        [parse_path_certificate(one) for one in intermediates],
        own=known.own,
        others=known.others,
        inputs=read_inputs(terms.permitted, terms.excluded),
        now=now,
    )
    return tuple(sorted(found, key=lambda one: list(Severity).index(one.code.severity)))


def _refuse_errors(findings: Sequence[LintFinding], ders: Sequence[bytes]) -> None:
    """Raise every error, each with the subject of its certificate: a digest alone tells nobody which file it is."""
    errors = [one for one in findings if one.code.severity is Severity.ERROR]
    subjects = {hashlib.sha256(der).hexdigest(): describe_subject(der) for der in ders} if errors else {}
    if errors:
        raise ConfigurationError(
            [
                Fault(
                    code=one.code.value,
                    message=f"{subjects[one.certificate]} ({one.certificate[:16]}): {one.code.value}, {one.text}",
                    hint=one.code.mend,
                )
                for one in errors
            ]
        )


def describe_subject(der: bytes) -> str:
    """Return the subject of an authority's certificate as RFC 4514 text, safe for a screen."""
    try:
        return printable(parse_path_certificate(der).subject_text or "no subject", 200)
    except MalformedInput:
        return "a certificate that cannot be read"
