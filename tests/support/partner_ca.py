"""Partners for tests: an authority, what is trusted of it, and judgements by it.

CLINIC = partner("clinic", ROOT)                      # e-mail addresses name people; CRLs are required
judge_partner(leaf, CLINIC, crls=[list_of(ROOT)])     # with a directory that knows everybody
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from doorward.core.entities import TENANT, Principal, PrincipalKind, PrincipalState
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
from doorward.verification.path.conformance import PathInputs
from doorward.verification.path.store import TrustStore
from doorward.verification.revocation.crl import Crl
from doorward.verification.revocation.evidence_index import EvidenceIndex
from doorward.verification.steps import PresentedCertificate
from tests.support.path_ca import Node
from tests.support.ports import NOON

EMAIL_RULE = IdentityRule(source=SanSource.EMAIL, kind=PrincipalKind.PERSON)


def partner(
    name: str, *anchors: Node, others: Sequence[Node] = (), inputs: PathInputs | None = None, **words: Any
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
    return Principal(
        id=f"{trust.identity.kind.prefix}_{trust.name}",
        tenant=TENANT,
        kind=trust.identity.kind,
        name=name,
        state=state,
    )


def judge_partner(
    leaf: Node | bytes | None,
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
    der = leaf.der if isinstance(leaf, Node) else leaf
    return judge_partner_certificate(
        PresentedCertificate(der=der),
        partners,
        evidence_cache,
        find,
        now,
        trust_domain=trust_domain,
        certificate_cache=certificate_cache,
    )
