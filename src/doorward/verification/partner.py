"""The judgement of a certificate that a partner's authority issued, in numbered steps.

To let a certificate in, all of these must hold:

1. it is there, well-formed and within the limits;
2. its issuer is known: some partner's store has an authority of that name;
4. it has a good path (RFC 5280 section 6.1) to an anchor of one partner, judged with that partner's own
   authorities and inputs; and it is made for TLS clients: clientAuth by name, may sign, no CA;
   and none of its names lies in our own namespace, even beside good ones (own_names);
5. now lies within its dates (the path asks that too; here the word is given);
6. its status, and that of every authority of the path: revoked never passes; if nothing is known, or what is
   there cannot be used, the partner's `RevocationMode` says whether it passes;
7. its names give one identity, as the partner's `IdentityRule` says;
8. the principal `<partner>/<identity>` is active.

Steps 7 and 8 are asked only where all before is good: no name means anything before its chain is verified.
Step 3 (inventory) belongs to our own certificates (verifier). The same name under two partners is two
principals, because the partner's name is part of the principal's. The first partner with a good path
decides, whatever its evidence then says: no second one is asked for a milder answer.

A partner's certificate is known by issuer and serial number, never by its SHA-256 alone: whoever holds an
ECDSA certificate can write the signature in a second way that is as good (r, n - s), without the authority.

Not here: fetching evidence (the caller brings evidence caches), reading the directory, the proof that the peer
holds the private key (TLS gives it), policy.
Standard: RFC 5280 sections 4.1.2.5, 4.2.1.6, 4.2.1.12, 6.1 and 6.3; RFC 6960.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum

from doorward.core.certificate import CertificateFacts
from doorward.core.entities import Outcome, Principal, Reason, Verdict
from doorward.core.names import parse_principal_name, render_partner_principal_name
from doorward.verification.certificate_cache import CertificateCache
from doorward.verification.content import determine_policies
from doorward.verification.identity import IdentityRule, identify
from doorward.verification.own_names import claims_own_name
from doorward.verification.parsing import parse_partner_leaf
from doorward.verification.path.building import WorkBudget, judge_path
from doorward.verification.path.certificate import PathCertificate
from doorward.verification.path.conformance import PathInputs
from doorward.verification.path.rules import CertificationPathFault
from doorward.verification.path.store import TrustStore
from doorward.verification.path.validation import CertificationPath, list_valid_policies
from doorward.verification.revocation.crl_judging import CrlRules
from doorward.verification.revocation.evidence_index import EvidenceIndex
from doorward.verification.revocation.ocsp import OcspRules
from doorward.verification.revocation.path_status import StatusSources, judge_path_status
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


class RevocationMode(Enum):
    """What an undetermined status means: refuse, let in if nothing is there to say, let in, or do not ask.

    Revoked is refused by all but the last. `PREFER` lets in if no evidence is at hand, or none that has not ended;
    what is there and cannot be used might say revoked, and refuses. `UNSAFE_PREFER` lets in then, too.
    """

    REQUIRE = "require"
    PREFER = "prefer"
    UNSAFE_PREFER = "unsafe-prefer"
    OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerTrust:
    """What is trusted of one partner, and how its certificates are judged.

    Args:
        id: `ptn_...`.
        name: of the grammar of principals' names; it begins the names of the partner's principals.
        store: that partner's own anchors and intermediates, and no others.
        inputs: what is asked of a path.
        identity: how its certificates name their holders.
        revocation: see `RevocationMode`.
        max_staleness: how long after its next update evidence may still be used; zero is exactly what
            the evidence says.
        groups: of the directory; all of the partner's principals are in them.
        authority_ids: SHA-256 of each authority's certificate -> its id in the inventory.
        namesakes: that id -> the ids of all certificates that ever had its name and key, its own included: of a
            renewed one, of a cross-certificate, of a partner that was removed.
        others: ids of the authorities of partners of other names, former ones too.

    Raises:
        MalformedInput: `name-malformed`.
        ValueError: an id of another kind, a negative time, or inputs that admit broken algorithms.
    """

    id: str
    name: str
    store: TrustStore
    inputs: PathInputs
    identity: IdentityRule
    revocation: RevocationMode = RevocationMode.REQUIRE
    max_staleness: timedelta = timedelta(0)
    groups: tuple[str, ...] = ()
    authority_ids: Mapping[str, str] = field(default_factory=dict, hash=False)
    namesakes: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    others: frozenset[str] = field(default=frozenset(), hash=False)

    def __post_init__(self) -> None:
        parse_principal_name(self.name)
        if not self.id.startswith(_ID_PREFIX):
            raise ValueError("this is no id of a partner")
        if self.max_staleness < timedelta(0):
            raise ValueError("a partner's times are not negative")
        if self.inputs.strength.accept_broken_algorithms:
            raise ValueError("broken algorithms are for test suites, not for a door")

    @property
    def crl_rules(self) -> CrlRules:
        """How its CRLs are judged."""
        return CrlRules(strength=self.inputs.strength, grace=self.max_staleness)

    @property
    def ocsp_rules(self) -> OcspRules:
        """How OCSP answers about its certificates are judged."""
        return OcspRules(strength=self.inputs.strength, grace=self.max_staleness)

    def status_sources(self, evidence_index: EvidenceIndex) -> StatusSources:
        """Return what the status of its certificates is judged from, with this evidence."""
        return StatusSources(
            evidence_index=evidence_index,
            store=self.store,
            inputs=self.inputs,
            crl_rules=self.crl_rules,
            ocsp_rules=self.ocsp_rules,
        )


FindPrincipal = Callable[[PartnerTrust, str], Principal | None]
"""The directory: a partner and an identity -> the principal of that name, or None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerJudgement(CertificateJudgement):
    """What came out for a partner's certificate, and what it rests on.

    Its verdict is undetermined where only the status is and the partner's mode requires it; `content` has the
    policies of the path.

    Args:
        partner: whose path was good; None where none was.
        identity: what the names say; only where everything up to the status is good enough.
        path: leaf first; empty where none was good.
        findings: the status of each certificate of the path but the anchor; empty where nobody asked.
        evidence_index: the evidence that was at hand; None without a path.
    """

    partner: PartnerTrust | None = None
    identity: str | None = None
    path: CertificationPath = ()
    findings: tuple[StatusFinding, ...] = ()
    evidence_index: EvidenceIndex | None = None

    @property
    def authority_id(self) -> str:
        """The id, in the inventory, of the authority that issued it; empty where no path was good."""
        return self.partner.authority_ids[self.path[1].sha256] if self.partner is not None else ""

    @property
    def issuer_ids(self) -> tuple[str, ...]:
        """The ids of all authorities that had name and key of the one that issued it."""
        return self.partner.namesakes[self.authority_id] if self.partner is not None else ()

    @property
    def issuers(self) -> frozenset[str]:
        """The same as rules see it, without those of other partners.

        If one partner's authorities change, only its own people are judged again.
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
    """Judge one presented certificate by what is trusted of partners.

    Args:
        presented: the leaf, DER, at most 16 KiB.
        partners: in the order in which they are asked; no two of one name or one id.
        evidence_cache: a partner's id -> the evidence of status that is at hand; none is an empty evidence cache.
        find_principal: see `FindPrincipal`; called at most once, after all else is good.
        now: aware, UTC.
        trust_domain: ours: no foreign certificate may carry a name of it.
        certificate_cache: parsed certificates, never verdicts; None parses each time.

    Returns:
        A judgement whose reasons stand in the order of the steps.

    Raises:
        ValueError: two partners of one name, whose holders would be one principal, or of one id.

    Not checked: possession of the private key, policy; whether another path would be good where an
    authority of the first good one is revoked.
    Standard: RFC 5280 sections 6.1 and 6.3.
    """
    if min(len({one.name for one in partners}), len({one.id for one in partners})) < len(partners):
        raise ValueError("two partners of one name or one id")
    # 1. well-formed
    read = read_leaf(
        presented, certificate_cache.parse_partner if certificate_cache is not None else parse_partner_leaf
    )
    if isinstance(read, Reason):
        return PartnerJudgement(verdict=refuse_unread(read, now))
    leaf, facts = read.path, read.facts
    reasons = [Reason.CERTIFICATE_WELL_FORMED]
    # 2. issuer
    candidates = [one for one in partners if one.store.find_by_subject(leaf.issuer)]
    reasons.append(Reason.ISSUER_KNOWN if candidates else Reason.ISSUER_UNKNOWN)
    # 4. path and purpose
    partner, path, faults = _find_path(leaf, candidates, now)
    if candidates:
        reasons.append(Reason.PATH_VALID if partner else Reason.PATH_INVALID)
    reasons.append(judge_purpose(leaf))
    if partner is not None and claims_own_name(_list_names(leaf, facts), trust_domain):
        reasons.append(Reason.OWN_NAME_CLAIMED)
    # 5. dates
    reasons.append(judge_dates(facts.not_before, facts.not_after, now))
    # 6. status
    findings: tuple[StatusFinding, ...] = ()
    evidence_index = ends = None
    if partner is not None:
        evidence_index = evidence_cache.get(partner.id, _NO_EVIDENCE)
        findings = _ask_status(partner, path, evidence_index, now)
        reasons.append(_judge_status(partner.revocation, findings))
        ends = _find_end(partner.revocation, path, findings)
    # 7. name, 8. account
    identity = principal = None
    if partner is not None and GOOD_REASONS.issuperset(reasons):
        identity = identify(leaf, partner.identity)
        reasons.append(Reason.NAME_MISMATCH if identity is None else Reason.NAME_MATCHES)
        if identity is not None:
            principal = _find_principal(partner, identity, find_principal)
            reasons.append(judge_account(principal))
    outcome = conclude(reasons)
    verdict = Verdict(
        outcome=outcome,
        reasons=tuple(reasons),
        judged_at=now,
        evidence=list_evidence(facts, *_describe_path(partner, path, findings, faults)),
    )
    content = None
    if partner is not None and outcome is Outcome.GOOD:
        valid = list_valid_policies(path, partner.inputs)
        content = replace(read.content, policies=determine_policies(valid))
    return PartnerJudgement(
        verdict=verdict,
        partner=partner,
        identity=identity,
        principal=principal if outcome is Outcome.GOOD else None,
        path=path,
        findings=findings,
        facts=facts,
        content=content,
        ends=ends,
        evidence_index=evidence_index,
    )


def _list_names(leaf: PathCertificate, facts: CertificateFacts) -> Iterator[str]:
    """Every name as text, and what is bytes only as if it were."""
    yield from (*facts.san, facts.subject)
    yield from (one.replace(b"\x00", b"").decode("latin-1") for one in leaf.opaque)


def _find_path(
    leaf: PathCertificate, candidates: Sequence[PartnerTrust], now: datetime
) -> tuple[PartnerTrust | None, CertificationPath, tuple[CertificationPathFault, ...]]:
    """Step 4: the first partner with a good path; each has its share of the work."""
    faults: tuple[CertificationPathFault, ...] = ()
    for partner in candidates:
        work = WorkBudget.share(len(candidates))
        judgement = judge_path(leaf, partner.store, partner.inputs, now, work)
        if judgement.outcome is Outcome.GOOD:
            return partner, judgement.path, ()
        faults += judgement.faults
    return None, (), faults


def _ask_status(
    partner: PartnerTrust, path: CertificationPath, evidence_index: EvidenceIndex, now: datetime
) -> tuple[StatusFinding, ...]:
    """Step 6, what is known."""
    if partner.revocation is RevocationMode.OFF:
        return ()
    return judge_path_status(path, partner.status_sources(evidence_index), now)


def _judge_status(mode: RevocationMode, findings: Sequence[StatusFinding]) -> Reason:
    """Step 6, what it means: revoked is never tolerated."""
    if mode is RevocationMode.OFF:
        return Reason.REVOCATION_NOT_CHECKED
    found = {one.status for one in findings}
    if RevocationStatus.REVOKED in found:
        return Reason.CERTIFICATE_REVOKED
    if found == {RevocationStatus.GOOD}:
        return Reason.REVOCATION_STATUS_GOOD
    unusable = any(one.unusable for one in findings if one.status is RevocationStatus.UNDETERMINED)
    if mode is RevocationMode.UNSAFE_PREFER or (mode is RevocationMode.PREFER and not unusable):
        return Reason.REVOCATION_STATUS_TOLERATED
    return Reason.REVOCATION_STATUS_UNDETERMINED


def _find_end(mode: RevocationMode, path: CertificationPath, findings: Sequence[StatusFinding]) -> datetime:
    """Return the first end of a certificate of the path, and of the evidence if it is not let in without it.

    That is if it is required, and if it is preferred and what came after it cannot be used.
    """
    ends = [ends_at(one.not_after) for one in path]
    needed = mode is RevocationMode.REQUIRE or (
        mode is RevocationMode.PREFER and any(one.unusable for one in findings)
    )
    if needed:
        ends += [one.fresh_until for one in findings if one.fresh_until is not None]
    return min(ends)


def _find_principal(partner: PartnerTrust, identity: str, find_principal: FindPrincipal) -> Principal | None:
    """Step 8: the directory's row only if it is of this very name: a wrong look-up must not vouch for another."""
    principal = find_principal(partner, identity)
    wanted = (render_partner_principal_name(partner.name, identity), partner.identity.kind)
    return principal if principal is not None and (principal.name, principal.kind) == wanted else None


def _describe_path(
    partner: PartnerTrust | None,
    path: CertificationPath,
    findings: Sequence[StatusFinding],
    faults: Sequence[CertificationPathFault],
) -> Iterator[tuple[str, str]]:
    """What the record should keep of path and status."""
    if partner is not None:
        yield "partner", partner.id
        yield "path", " ".join(one.sha256 for one in path)
    for finding in findings:
        yield "status", f"{finding.certificate} {finding.status.value}"
        yield from (("status-evidence", one) for one in finding.evidence)
        if finding.fresh_until is not None:
            yield "fresh-until", f"{finding.fresh_until:%Y-%m-%dT%H:%M:%SZ}"
    yield from (("path-fault", str(fault)) for fault in faults[:1])
