"""The judgement of a certificate that a partner's authority issued, in numbered steps.

A certificate is let in only if all steps pass:

1. it is present, well-formed and within the limits;
2. its issuer is known: the store of some partner contains an authority with that name;
4. it has a good path (RFC 5280 section 6.1) to an anchor of one partner, judged with that partner's own
   authorities and inputs; it is for TLS clients: it names clientAuth, may sign, and is not a CA;
   and none of its names is in our own namespace (own_names), even if its other names are good;
5. now is within its dates (the path requires that too; this step adds the reason);
6. its revocation status, and that of every authority of the path: revoked is always refused, except with the mode
   `off`. If the status is unknown or evidence cannot be used, the partner's `RevocationMode` decides. A short-lived
   leaf with noRevAvail needs no proof if the partner may issue such ones (short_life);
7. its names give one identity, by the partner's `IdentityRule`;
8. the principal `<partner>/<identity>` is active.

Steps 7 and 8 are done only if all earlier steps passed: a name has no meaning before its path is verified.
Step 3 (inventory) is for our own certificates (verifier). The same identity at two partners is two principals,
because the partner's name is part of a principal's name. The first partner with a good path decides, whatever its
evidence says: no second partner is asked for a better answer.

A partner's certificate is identified by issuer and serial number, never by its SHA-256 alone: the holder of a
certificate with an ECDSA signature can write a second valid signature (r, n - s) without the authority.

Not here: fetching evidence (the caller passes it), reading the directory, the proof that the peer holds the private
key (TLS gives it), policy.
Standard: RFC 5280 sections 4.1.2.5, 4.2.1.6, 4.2.1.12, 6.1 and 6.3; RFC 6960.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum
from functools import lru_cache

from doorward.core.certificate import CertificateContent, CertificateFacts
from doorward.core.entities import Outcome, Principal, Reason, Verdict
from doorward.core.names import parse_principal_name, render_partner_principal_name
from doorward.verification.certificate_cache import CertificateCache
from doorward.verification.content import determine_policies
from doorward.verification.identity import IdentityRule, identify
from doorward.verification.own_names import claims_own_name
from doorward.verification.parsing import PartnerLeaf, parse_partner_leaf
from doorward.verification.path.building import WorkBudget, judge_path
from doorward.verification.path.certificate import PathCertificate
from doorward.verification.path.conformance import PathInputs
from doorward.verification.path.rules import CertificationPathFault
from doorward.verification.path.signatures import Strength
from doorward.verification.path.store import TrustStore
from doorward.verification.path.validation import CertificationPath, list_valid_policies
from doorward.verification.revocation.crl_judging import CrlRules
from doorward.verification.revocation.evidence_index import EvidenceIndex
from doorward.verification.revocation.ocsp import OcspRules
from doorward.verification.revocation.path_status import StatusSources, judge_path_status
from doorward.verification.revocation.short_life import needs_no_status
from doorward.verification.revocation.status import RevocationStatus, StatusFinding
from doorward.verification.steps import (
    GOOD_REASONS,
    CertificateJudgement,
    PresentedCertificate,
    conclude,
    judge_account,
    judge_dates,
    judge_purpose,
    list_evidence,
    read_leaf,
    refuse_unread,
)
from doorward.verification.validity import ends_at

_ID_PREFIX = "ptn_"
_NO_EVIDENCE = EvidenceIndex()
_SECONDS = len("2026-11-23T12:00:00")


class RevocationMode(Enum):
    """What an undetermined status means: refuse; accept if there is no evidence; accept; do not check at all.

    All but `OFF` refuse a revoked certificate. `PREFER` accepts if there is no evidence, or only evidence that has
    expired; it refuses if there is evidence that cannot be used, because that might say revoked. `UNSAFE_PREFER`
    accepts in this case too.
    """

    REQUIRE = "require"
    PREFER = "prefer"
    UNSAFE_PREFER = "unsafe-prefer"
    OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerTrust:
    """The trust in one partner, and how its certificates are judged.

    Args:
        id: `ptn_...`.
        name: with the grammar of principals' names; the names of the partner's principals begin with it.
        store: the partner's anchors and intermediates, and no others.
        inputs: requirements for a path.
        identity: how its certificates name their holders.
        revocation: see `RevocationMode`.
        max_staleness: how long evidence may be used after its next update; zero is exactly until then.
        short_lived: the longest life of a certificate that needs no evidence if it has noRevAvail; zero: all need it.
        groups: of the directory; all principals of the partner belong to them.
        authority_ids: SHA-256 of each authority's certificate -> its id in the inventory.
        namesakes: that id -> the ids of all certificates that ever had its name and key, its own included: a renewed
            one, a cross-certificate, one of a partner that was removed.
        others: ids of the authorities of partners with other names, former ones included.

    Raises:
        MalformedInput: `name-malformed`.
        ValueError: an id of another kind, a negative time, or inputs that accept broken algorithms.
    """

    id: str
    name: str
    store: TrustStore
    inputs: PathInputs
    identity: IdentityRule
    revocation: RevocationMode = RevocationMode.REQUIRE
    max_staleness: timedelta = timedelta(0)
    short_lived: timedelta = timedelta(0)
    groups: tuple[str, ...] = ()
    authority_ids: Mapping[str, str] = field(default_factory=dict, hash=False)
    namesakes: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    others: frozenset[str] = field(default=frozenset(), hash=False)

    def __post_init__(self) -> None:
        parse_principal_name(self.name)
        if not self.id.startswith(_ID_PREFIX):
            raise ValueError(f"{self.id} is not the id of a partner")
        if self.max_staleness < timedelta(0):
            raise ValueError("the max_staleness of a partner must not be negative")
        if self.inputs.strength.accept_broken_algorithms:
            raise ValueError("a door must not accept broken algorithms: they are for test suites")

    @property
    def crl_rules(self) -> CrlRules:
        """How its CRLs are judged."""
        return _make_rules(self.inputs.strength, self.max_staleness)[0]

    @property
    def ocsp_rules(self) -> OcspRules:
        """How OCSP responses about its certificates are judged."""
        return _make_rules(self.inputs.strength, self.max_staleness)[1]

    def status_sources(self, evidence_index: EvidenceIndex) -> StatusSources:
        """Return the sources for the status of its certificates, with this evidence."""
        crl_rules, ocsp_rules = _make_rules(self.inputs.strength, self.max_staleness)
        return StatusSources(
            evidence_index=evidence_index,
            store=self.store,
            inputs=self.inputs,
            crl_rules=crl_rules,
            ocsp_rules=ocsp_rules,
        )


@lru_cache(maxsize=256)  # each judgement needs them, and they never change
def _make_rules(strength: Strength, grace: timedelta) -> tuple[CrlRules, OcspRules]:
    return CrlRules(strength=strength, grace=grace), OcspRules(strength=strength, grace=grace)


FindPrincipal = Callable[[PartnerTrust, str], Principal | None]
"""The directory: a partner and an identity -> the principal with that name, or None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerJudgement(CertificateJudgement):
    """The result for a partner's certificate, and the evidence for it.

    Its verdict is undetermined only if the status is undetermined and the partner's mode requires it; `content` has
    the policies of the path.

    Args:
        partner: the partner with the good path; None if there is no good path.
        identity: the identity in the certificate; only if all steps up to the status passed.
        path: the certificates, leaf first; empty if there is no good path.
        findings: the status of each certificate of the path except the anchor; empty if it was not checked.
        evidence_index: the evidence that was used; None without a path.
    """

    partner: PartnerTrust | None = None
    identity: str | None = None
    path: CertificationPath = ()
    findings: tuple[StatusFinding, ...] = ()
    evidence_index: EvidenceIndex | None = None

    @property
    def authority_id(self) -> str:
        """The id, in the inventory, of the authority that issued it; empty without a good path."""
        return self.partner.authority_ids[self.path[1].sha256] if self.partner is not None else ""

    @property
    def issuer_ids(self) -> tuple[str, ...]:
        """The ids of all authorities that ever had the name and key of the issuing one."""
        return self.partner.namesakes[self.authority_id] if self.partner is not None else ()

    @property
    def issuers(self) -> frozenset[str]:
        """The same ids as rules see them, without those of other partners.

        So if one partner's authorities change, only its own people are judged again.
        """
        others = self.partner.others if self.partner is not None else ()
        return frozenset(self.issuer_ids).difference(others)


def judge_partner_certificate(
    presented: PresentedCertificate,
    partners: Sequence[PartnerTrust],
    evidence_cache: Mapping[str, EvidenceIndex],
    find_principal: FindPrincipal,
    now: datetime,
    *,
    trust_domain: str,
    certificate_cache: CertificateCache | None = None,
) -> PartnerJudgement:
    """Judge one presented certificate by the trust in partners.

    Args:
        presented: the leaf, DER, at most 16 KiB.
        partners: in the order in which they are asked; names and ids are unique.
        evidence_cache: a partner's id -> the available evidence; a missing id means that there is no evidence.
        find_principal: see `FindPrincipal`; called at most once, if all other steps passed.
        now: aware, UTC.
        trust_domain: ours; a partner's certificate must not contain a name in it.
        certificate_cache: parsed certificates, never verdicts; None parses each time.

    Returns:
        A judgement with the reasons in the order of the steps.

    Raises:
        ValueError: two partners have one name, so that their holders would be one principal, or one id.

    Not checked: possession of the private key, policy; whether another path would be good if an authority of the
    first good one is revoked.
    Standard: RFC 5280 sections 6.1 and 6.3.
    """
    if min(len({one.name for one in partners}), len({one.id for one in partners})) < len(partners):
        raise ValueError("two partners have the same name or the same id")
    # 1. well-formed
    parse = certificate_cache.parse_partner if certificate_cache is not None else parse_partner_leaf
    read = read_leaf(presented, parse)
    if isinstance(read, Reason):
        return PartnerJudgement(verdict=refuse_unread(read, now))
    # 2. issuer, 4. path and purpose, 5. dates
    found = _judge_path(read, partners, now, trust_domain)
    partner, path = found.partner, found.path
    reasons = [Reason.CERTIFICATE_WELL_FORMED, *found.reasons]
    # 6. status
    findings: tuple[StatusFinding, ...] = ()
    evidence_index = ends = None
    if partner is not None:
        evidence_index = evidence_cache.get(partner.id, _NO_EVIDENCE)
        findings = _ask_status(partner, path, evidence_index, now)
        reasons.append(_judge_status(partner, path[0], findings))
        ends = _find_end(partner.revocation, path, findings)
    # 7. name, 8. account
    identity = principal = None
    if partner is not None and GOOD_REASONS.issuperset(reasons):
        identity, principal, judged = _judge_holder(read.path, partner, find_principal)
        reasons += judged
    outcome = conclude(reasons)
    good = outcome is Outcome.GOOD
    verdict = Verdict(
        outcome=outcome,
        reasons=tuple(reasons),
        judged_at=now,
        evidence=list_evidence(read.facts, *_describe_path(found, findings)),
    )
    return PartnerJudgement(
        verdict=verdict,
        partner=partner,
        identity=identity,
        principal=principal if good else None,
        path=path,
        findings=findings,
        facts=read.facts,
        content=_read_content(read, path, partner.inputs) if partner is not None and good else None,
        ends=ends,
        evidence_index=evidence_index,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _FoundPath:
    """The first partner with a good path, or the faults of all paths; with the reasons of steps 2 to 5."""

    partner: PartnerTrust | None
    path: CertificationPath
    faults: tuple[CertificationPathFault, ...]
    reasons: tuple[Reason, ...] = ()


def _judge_path(
    read: PartnerLeaf, partners: Sequence[PartnerTrust], now: datetime, trust_domain: str
) -> _FoundPath:
    """Steps 2, 4 and 5."""
    leaf, facts = read.path, read.facts
    candidates = [one for one in partners if one.store.find_by_subject(leaf.issuer)]
    reasons = [Reason.ISSUER_KNOWN if candidates else Reason.ISSUER_UNKNOWN]
    found = _find_path(leaf, candidates, now)
    if candidates:
        reasons.append(Reason.PATH_VALID if found.partner else Reason.PATH_INVALID)
    reasons.append(judge_purpose(leaf))
    if found.partner is not None and claims_own_name(_list_names(leaf, facts), trust_domain):
        reasons.append(Reason.OWN_NAME_CLAIMED)
    reasons.append(judge_dates(facts.not_before, facts.not_after, now))
    return replace(found, reasons=tuple(reasons))


def _judge_holder(
    leaf: PathCertificate, partner: PartnerTrust, find_principal: FindPrincipal
) -> tuple[str | None, Principal | None, list[Reason]]:
    """Steps 7 and 8: return the identity, its principal, and the reasons."""
    identity = identify(leaf, partner.identity)
    if identity is None:
        return None, None, [Reason.NAME_MISMATCH]
    principal = _find_principal(partner, identity, find_principal)
    return identity, principal, [Reason.NAME_MATCHES, judge_account(principal)]


def _read_content(read: PartnerLeaf, path: CertificationPath, inputs: PathInputs) -> CertificateContent:
    """Return what rules may ask about a good certificate, with the policies of its path."""
    return replace(read.content, policies=determine_policies(list_valid_policies(path, inputs)))


def _list_names(leaf: PathCertificate, facts: CertificateFacts) -> Iterator[str]:
    """Yield every name as text, and opaque bytes as if they were text."""
    yield from (*facts.san, facts.subject)
    yield from (one.replace(b"\x00", b"").decode("latin-1") for one in leaf.opaque)


def _find_path(leaf: PathCertificate, candidates: Sequence[PartnerTrust], now: datetime) -> _FoundPath:
    """Step 4: return the first partner with a good path; each has its share of the work."""
    faults: tuple[CertificationPathFault, ...] = ()
    for partner in candidates:
        work = WorkBudget.share(len(candidates))
        judgement = judge_path(leaf, partner.store, partner.inputs, now, work)
        if judgement.outcome is Outcome.GOOD:
            return _FoundPath(partner=partner, path=judgement.path, faults=())
        faults += judgement.faults
    return _FoundPath(partner=None, path=(), faults=faults)


def _ask_status(
    partner: PartnerTrust, path: CertificationPath, evidence_index: EvidenceIndex, now: datetime
) -> tuple[StatusFinding, ...]:
    """Step 6: the status of each certificate."""
    if partner.revocation is RevocationMode.OFF:
        return ()
    return judge_path_status(path, partner.status_sources(evidence_index), now)


def _judge_status(partner: PartnerTrust, leaf: PathCertificate, findings: Sequence[StatusFinding]) -> Reason:
    """Step 6: the reason that follows from the status; revoked is never tolerated."""
    mode = partner.revocation
    if mode is RevocationMode.OFF:
        return Reason.REVOCATION_NOT_CHECKED
    found = {one.status for one in findings}
    if RevocationStatus.REVOKED in found:
        return Reason.CERTIFICATE_REVOKED
    if found == {RevocationStatus.GOOD}:
        return Reason.REVOCATION_STATUS_GOOD
    if needs_no_status(leaf, partner.short_lived):
        findings = [one for one in findings if one.certificate != leaf.sha256]
        if all(one.status is RevocationStatus.GOOD for one in findings):
            return Reason.REVOCATION_NOT_PROVIDED
    unusable = any(one.unusable for one in findings if one.status is RevocationStatus.UNDETERMINED)
    if mode is RevocationMode.UNSAFE_PREFER or (mode is RevocationMode.PREFER and not unusable):
        return Reason.REVOCATION_STATUS_TOLERATED
    return Reason.REVOCATION_STATUS_UNDETERMINED


def _find_end(mode: RevocationMode, path: CertificationPath, findings: Sequence[StatusFinding]) -> datetime:
    """Return when the first certificate of the path ends, or the evidence if the certificate is not accepted without it.

    Evidence is needed if the mode requires it, and also if the mode prefers it and newer evidence cannot be used.
    """
    ends = [ends_at(one.not_after) for one in path]
    needed = mode is RevocationMode.REQUIRE or (
        mode is RevocationMode.PREFER and any(one.unusable for one in findings)
    )
    if needed:
        ends += [one.fresh_until for one in findings if one.fresh_until is not None]
    return min(ends)


def _find_principal(partner: PartnerTrust, identity: str, find_principal: FindPrincipal) -> Principal | None:
    """Step 8: return the principal only if it has exactly this name: a wrong look-up must not approve another one."""
    principal = find_principal(partner, identity)
    wanted = (render_partner_principal_name(partner.name, identity), partner.identity.kind)
    return principal if principal is not None and (principal.name, principal.kind) == wanted else None


def _describe_path(found: _FoundPath, findings: Sequence[StatusFinding]) -> Iterator[tuple[str, str]]:
    """Yield what the record keeps of path and status."""
    if found.partner is not None:
        yield "partner", found.partner.id
        yield "path", " ".join(one.sha256 for one in found.path)
    for finding in findings:
        yield "status", f"{finding.certificate} {finding.status.value}"
        yield from (("status-evidence", one) for one in finding.evidence)
        if finding.fresh_until is not None:
            yield "fresh-until", f"{finding.fresh_until.isoformat()[:_SECONDS]}Z"
    yield from (("path-fault", str(fault)) for fault in found.faults[:1])
