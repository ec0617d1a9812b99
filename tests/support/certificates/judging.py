"""What the product's judges say of the certificates of this kit.

rules_of(judge(leaf, issuing, anchors=[root]))        # the rules that a path breaks
statuses([leaf, issuing, root], crls=[list_of(root)]) # the revocation status of each certificate of a path
CLINIC = partner("clinic", root)                      # e-mail addresses name people; CRLs are required
judge_partner(leaf, CLINIC, crls=[list_of(root)])     # with a directory that knows everybody
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from doorward.core.entities import Outcome, Principal, PrincipalKind, PrincipalState
from doorward.core.names import render_partner_principal_name
from doorward.verification.certificate_cache import CertificateCache
from doorward.verification.identity import IdentityRule, SanSource
from doorward.verification.partner import (
    FindPrincipal,
    PartnerJudgement,
    PartnerTrust,
    RevocationMode,
    judge_partner_certificate,
)
from doorward.verification.path.building import PathJudgement, WorkBudget, judge_path
from doorward.verification.path.conformance import PathInputs
from doorward.verification.path.signatures import Strength
from doorward.verification.path.store import TrustStore
from doorward.verification.revocation.crl import Crl
from doorward.verification.revocation.crl_judging import CrlRules
from doorward.verification.revocation.evidence_index import EvidenceIndex, UnusableSources
from doorward.verification.revocation.ocsp import OcspRules
from doorward.verification.revocation.path_status import StatusSources, judge_path_status
from doorward.verification.revocation.status import RecordedRevocation, StatusFinding
from doorward.verification.steps import PresentedCertificate
from tests.support.certificates.issuing import CertifiedKey
from tests.support.ports import NOON
from tests.support.records import principal

EMAIL_RULE = IdentityRule(source=SanSource.EMAIL, kind=PrincipalKind.PERSON)
CRL_RULES = CrlRules(strength=Strength())
OCSP_RULES = OcspRules(strength=Strength())


def judge(
    leaf: CertifiedKey,
    *others: CertifiedKey,
    anchors: Sequence[CertifiedKey],
    now: datetime = NOON,
    work: WorkBudget | None = None,
    **inputs: Any,
) -> PathJudgement:
    """Judge a leaf with `others` as intermediates."""
    store = TrustStore([one.parsed for one in anchors], [one.parsed for one in others])
    return judge_path(leaf.parsed, store, PathInputs(**inputs), now, work)


def rules_of(judgement: PathJudgement) -> list[str]:
    """The words of the rules that were broken, each once, in order; empty for a good path."""
    assert (judgement.outcome is Outcome.GOOD) is (not judgement.faults)
    return list(dict.fromkeys(fault.rule.value for fault in judgement.faults))


def statuses(
    path: Sequence[CertifiedKey],
    *others: CertifiedKey,
    crls: Sequence[Crl] = (),
    answers: dict[str, tuple[bytes, ...]] | None = None,
    now: datetime = NOON,
    crl_rules: CrlRules = CRL_RULES,
    work: WorkBudget | None = None,
    recorded: Sequence[RecordedRevocation] = (),
    unusable: UnusableSources | None = None,
) -> tuple[StatusFinding, ...]:
    """The findings about a path, leaf first; `others` are known besides."""
    nodes = [one.parsed for one in path]
    store = TrustStore(nodes[-1:], [*nodes[1:-1], *(one.parsed for one in others)])
    index = EvidenceIndex(crls, answers, recorded=recorded, unusable=unusable)
    return judge_path_status(tuple(nodes), status_sources(index, store, crl_rules=crl_rules), now, work)


def status_sources(
    index: EvidenceIndex,
    store: TrustStore,
    *,
    inputs: PathInputs | None = None,
    crl_rules: CrlRules = CRL_RULES,
) -> StatusSources:
    """This evidence for certificates of this store, under the usual rules."""
    return StatusSources(
        evidence_index=index,
        store=store,
        inputs=inputs or PathInputs(),
        crl_rules=crl_rules,
        ocsp_rules=OCSP_RULES,
    )


def partner(
    name: str,
    *anchors: CertifiedKey,
    others: Sequence[CertifiedKey] = (),
    inputs: PathInputs | None = None,
    **words: Any,
) -> PartnerTrust:
    """What is trusted of a partner; `words` are fields of `PartnerTrust`."""
    store = TrustStore([one.parsed for one in anchors], [one.parsed for one in others])
    plain: dict[str, Any] = {
        "id": f"ptn_{name}",
        "name": name,
        "identity": EMAIL_RULE,
        "revocation": RevocationMode.REQUIRE,
    }
    return PartnerTrust(store=store, inputs=inputs or PathInputs(), **{**plain, **words})


def known_principal(
    trust: PartnerTrust, identity: str, state: PrincipalState = PrincipalState.ACTIVE
) -> Principal:
    """The directory's row for an identity of a partner."""
    name = render_partner_principal_name(trust.name, identity)
    return principal(name, trust.identity.kind, id=f"{trust.identity.kind.prefix}_{trust.name}", state=state)


def judge_partner(
    leaf: CertifiedKey | bytes | None,
    *partners: PartnerTrust,
    crls: Sequence[Crl] = (),
    answers: dict[str, tuple[bytes, ...]] | None = None,
    find: FindPrincipal = known_principal,
    now: datetime = NOON,
    trust_domain: str = "corp.example",
    certificate_cache: CertificateCache | None = None,
) -> PartnerJudgement:
    """Judge a leaf; every partner has the same evidence, the directory knows everybody by default."""
    evidence_cache = {one.id: EvidenceIndex(crls, answers) for one in partners} if crls or answers else {}
    der = leaf.der if isinstance(leaf, CertifiedKey) else leaf
    return judge_partner_certificate(
        PresentedCertificate(der=der),
        partners,
        evidence_cache,
        find,
        now,
        trust_domain=trust_domain,
        certificate_cache=certificate_cache,
    )
