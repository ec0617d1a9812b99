"""`policy explain`: one request of one principal, judged by the revision in force, rule by rule.

Rules about certificates see one certificate of the principal: the named one, or its newest valid one. Whether it is good
is not judged here. A partner's certificate without a good path is an exception: its content is not used.

Not here: the decision itself (policy.decision), and decisions about real connections (`doorward explain`).
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from doorward.authority.inventory import require_certificate
from doorward.core.addresses import Address, parse_address
from doorward.core.certificate import CertificateState, VerifiedCertificate
from doorward.core.entities import TENANT, Principal, PrincipalKind
from doorward.core.errors import MalformedInput, NotFound, RequestRefused
from doorward.core.factor_kinds import FactorKind
from doorward.core.names import PORTAL_APPLICATION, PORTAL_AUDIENCE
from doorward.core.shown_factors import NOTHING_SHOWN, ShownFactors
from doorward.partners.trust import load_partners
from doorward.policy.decision import (
    Decision,
    Request,
    decide,
    decide_anonymous,
    decide_connection,
    refuse_anonymous,
)
from doorward.policy.model import AppPolicy
from doorward.policy.portal import build_portal_policy
from doorward.policy.requirements import Requirement
from doorward.policy.selectors.sources import SOURCE
from doorward.policy.subject import Subject
from doorward.stores.partner_records import in_partners_groups
from doorward.stores.policy_snapshot import current_document
from doorward.stores.prerequisites import require_principal
from doorward.stores.protocols import Stores
from doorward.stores.records import CertificateFilter, CertificateRecord
from doorward.stores.services import Services
from doorward.verification.parsing import parse_certificate
from doorward.verification.partner import RevocationMode, judge_partner_certificate
from doorward.verification.steps import GOOD_REASONS, PresentedCertificate, judge_dates


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A decision with the facts that it used.

    Args:
        decision: with a finding for each rule.
        wanted: the factors that the principal must still show, if possible those that it has enrolled.
        certificate: the id of the certificate that the rules saw; empty if no rule needs one, or if there is none.
        notes: notes for the reader.
    """

    decision: Decision
    wanted: frozenset[Requirement] = frozenset()
    certificate: str = ""
    notes: tuple[str, ...] = ()


def explain(
    services: Services,
    *,
    principal: str | None,
    app: str,
    method: str | None = None,
    path: str | None = None,
    destination: str | None = None,
    certificate: str = "",
    source: str | None = None,
    at: datetime | None = None,
    shown: ShownFactors = NOTHING_SHOWN,
) -> Explanation:
    """Judge one request, or one TCP connection, by the revision in force, with a finding for every rule.

    Args:
        services: the ports of this process.
        principal: name of a person, device or service; None for a connection without a good certificate.
        app: name of an application.
        method: HTTP method, case-sensitive; None for a TCP application.
        path: as a client would send it, a query allowed; None for a TCP application.
        destination: of COPY and MOVE (RFC 4918), if the request has one.
        certificate: id of one of the principal's certificates; empty for its newest valid one.
        source: the peer's address; None leaves it undetermined.
        at: the time of the decision, aware; None for now.
        shown: the second factors of the session.

    Raises:
        NotFound: `principal-unknown`, `app-unknown`, `certificate-unknown`.
        RequestRefused: `certificate-of-another`.
        MalformedInput: `address-malformed`; `request-missing`; `request-unwanted` for a TCP application.
    """
    with services.work.read() as stores:
        who = None if principal is None else load_principal_with_groups(stores, principal)
        document, _ = current_document(stores)
        policy = document.app(app)
        ids = {one.name: one.id for one in stores.applications.list()}
        if app == PORTAL_AUDIENCE and policy is None:
            policy, ids = build_portal_policy(document), {**ids, app: PORTAL_APPLICATION}
        if policy is None or app not in ids:
            raise NotFound(
                "app-unknown",
                f"there is no application named {app[:64]}",
                hint="`doorward app list` shows them, `doorward app add` adds one",
            )
        now = services.clock.now()
        time = (at or now).astimezone(UTC)
        request = _read_request(policy, method, path, destination, shown)
        if who is None:
            anonymous = refuse_anonymous(policy) if request is None else decide_anonymous(policy, request)
            return Explanation(decision=anonymous)
        record = _find_certificate(stores, who, certificate, now) if certificate or _asks(policy) else None
        facts = None if record is None else describe_certificate(stores, record, who, now)
        enrolled = {factor.kind for factor in stores.factors.of_principal(who.id)}
    subject = Subject(principal=who, certificate=facts, source=_read_source(source), time=time)
    notes = _note_unknown(policy, source, who, record, facts)
    judged = policy, TENANT, ids[app], subject
    decision = decide_connection(*judged) if request is None else decide(*judged, request)
    wanted = decision.missing_for(enrolled)
    return Explanation(
        decision=decision,
        wanted=wanted,
        certificate=record.id if record is not None else "",
        notes=(*notes, *_note_lacking(who, wanted, enrolled)),
    )


def _note_unknown(
    policy: AppPolicy,
    source: str | None,
    who: Principal,
    record: CertificateRecord | None,
    facts: VerifiedCertificate | None,
) -> list[str]:
    """Return notes about facts that the rules use and that are unknown here."""
    notes = []
    if source is None and _asks(policy, SOURCE.word):
        notes.append(
            "the peer's address is not known, so rules about `source` cannot be determined: add --source ADDRESS"
        )
    if _asks(policy) and record is None:
        notes.append(
            f"{who.name} has no valid certificate, so rules about the certificate cannot be determined"
        )
    elif record is not None and facts is None:
        notes.append(f"{record.id} has no good path now, so rules about the certificate cannot be determined")
    return notes


def _note_lacking(who: Principal, wanted: Iterable[Requirement], enrolled: set[FactorKind]) -> list[str]:
    """Return notes about factors that the principal must enrol first."""
    lacking = [str(one) for one in wanted if one.kinds.isdisjoint(enrolled)]
    if not lacking:
        return []
    if who.kind is not PrincipalKind.PERSON:
        return [f"{who.name} is a {who.kind.value}, and only people have second factors"]
    met = " and ".join(sorted(lacking))
    return [
        f"{who.name} has enrolled no factor that meets {met}; invite with: doorward factor invite {who.name}"
    ]


def _read_request(
    policy: AppPolicy, method: str | None, path: str | None, destination: str | None, shown: ShownFactors
) -> Request | None:
    """Return the request; None for a TCP application."""
    if policy.is_tcp:
        if (method, path, destination) != (None, None, None) or shown != NOTHING_SHOWN:
            raise MalformedInput(
                "request-unwanted",
                f"{policy.name} is a TCP application, which has connections and no requests",
                hint="remove method, path, --destination and --shown",
            )
        return None
    if method is None or path is None:
        raise MalformedInput(
            "request-missing",
            f"{policy.name} is an HTTP application, and the request has no method or path",
            hint="add a method and a path: GET /",
        )
    return Request(method=method, raw_path=path, destination=destination, shown=shown)


def load_principal_with_groups(stores: Stores, name: str) -> Principal:
    """Return a principal, with the groups of its partner; raises `principal-unknown`."""
    who = require_principal(stores, name)
    partner = stores.partners.get(who.partner) if who.partner else None
    return who if partner is None else in_partners_groups(stores.directory, who, partner.groups)


def _asks(policy: AppPolicy, begin: str = "certificate.") -> bool:
    """Return whether a rule has a selector key that begins with this text; by default, a key about the certificate."""
    return any(word.startswith(begin) for rule in policy.rules for word, _ in rule.selector.conditions)


def _read_source(text: str | None) -> Address | None:
    if text is None:
        return None
    address = parse_address(text)
    if address is None:
        hint = "write one address, such as 192.0.2.7 or 2001:db8::7"
        raise MalformedInput("address-malformed", f"{text[:64]!a} is not an IP address", hint=hint)
    return address


def _find_certificate(
    stores: Stores, who: Principal, certificate_id: str, now: datetime
) -> CertificateRecord | None:
    """Return the named certificate, or the principal's newest one that is valid now."""
    if certificate_id:
        record = require_certificate(stores, certificate_id)
        if record.principal_id != who.id:
            raise RequestRefused(
                "certificate-of-another",
                f"{record.id} is not a certificate of {who.name}",
                hint=f"doorward cert list --of {who.name}",
            )
        return record
    wanted = CertificateFilter(principal_id=who.id, state=CertificateState.VALID, limit=1000)
    every = stores.certificates.list(wanted)
    valid = [one for one in every if judge_dates(one.not_before, one.not_after, now) in GOOD_REASONS]
    return max(valid, key=lambda one: (one.created_at, one.id), default=None)


def describe_certificate(
    stores: Stores, record: CertificateRecord, who: Principal, now: datetime
) -> VerifiedCertificate | None:
    """Return the facts that rules see of a certificate in the inventory; None for a partner's without a good path."""
    partner_id = stores.partners.issuer(record.authority_id)
    if partner_id is None:
        with suppress(MalformedInput):
            content = parse_certificate(record.der).content
            issuers = frozenset({record.authority_id})
            return VerifiedCertificate(issuers=issuers, profile=record.profile, content=content)
        return None
    trust = next((one for one in load_partners(stores).values() if one.id == partner_id), None)
    tenant = stores.tenants.get()
    if trust is None or tenant is None:
        return None
    found = judge_partner_certificate(
        PresentedCertificate(der=record.der),
        [replace(trust, revocation=RevocationMode.OFF)],
        {},
        lambda _partner, _identity: who,
        now,
        trust_domain=tenant.trust_domain,
    )
    if found.content is None:
        return None
    return VerifiedCertificate(issuers=found.issuers, profile="", content=found.content)
