"""The status of every certificate of a path, from the available evidence.

1. Certificates are judged from the anchor down to the leaf, so that no judgement relies on a revoked authority. The
   status of the anchor itself is not judged.
2. OCSP responses, CRLs and recorded revocations are all used. A certificate is revoked if any of them says so.
   Otherwise it is good if any of them says so. If only expired evidence says that the certificate is revoked, a good
   finding with a later time overrides it. A recorded final revocation stays, even if its evidence is gone. A recorded
   hold ends with a newer good finding (RFC 5280 section 5.3.1).
3. If the signer of a CRL is not in the path, the signer needs a good path to the same anchor, and a good status
   that does not depend on the signer's own CRL: section 6.3.3 (f).
4. The first revoked certificate ends the judgement. After an undetermined one the certificates below are still
   judged: if an operator tolerates an authority with an unknown status, a revoked leaf must still be refused.
5. An undetermined finding says whether there is evidence that cannot be used: not genuine, unknown to the
   responder, malformed, or too much work. Missing or merely expired evidence does not count as such.
6. The work has a limit. Beyond the limit, no certificate is found good, and every revocation that was found stays.

Not here: where evidence comes from, and whether an undetermined status is tolerated (partner).
Standard: RFC 5280 section 6.3.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain

from doorward.core.entities import Outcome
from doorward.verification.path.building import WorkBudget, WorkExceeded, judge_path
from doorward.verification.path.certificate import PathCertificate
from doorward.verification.path.conformance import PathInputs
from doorward.verification.path.policies import PolicyInputs
from doorward.verification.path.store import TrustStore
from doorward.verification.path.validation import CertificationPath
from doorward.verification.revocation.crl import Crl
from doorward.verification.revocation.crl_judging import CrlRules, judge_by_crls
from doorward.verification.revocation.evidence_index import EvidenceIndex
from doorward.verification.revocation.ocsp import OcspRules, judge_by_ocsp
from doorward.verification.revocation.status import RevocationStatus, StatusFinding, is_newer

SIGNER_DEPTH = 3
"""How many levels of CRL signers are followed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusSources:
    """The sources and rules with which a status is judged.

    Args:
        evidence_index: CRLs and OCSP responses.
        store: signers of CRLs, and their paths.
        inputs: the inputs of path validation; for signers of CRLs the purpose and the policies are ignored.
        crl_rules: how CRLs are judged.
        ocsp_rules: how OCSP responses are judged.
    """

    evidence_index: EvidenceIndex
    store: TrustStore
    inputs: PathInputs
    crl_rules: CrlRules
    ocsp_rules: OcspRules


def judge_path_status(
    path: CertificationPath, sources: StatusSources, now: datetime, work: WorkBudget | None = None
) -> tuple[StatusFinding, ...]:
    """Return the status of each certificate of a path except the anchor, in the order from the anchor to the leaf.

    Args:
        path: leaf first; a path that was validated, except for revocation.
        sources: see `StatusSources`.
        now: aware, UTC.
        work: the budget; None for a new one.

    Returns:
        Findings up to and including the first that is revoked.

    Standard: RFC 5280 section 6.3.
    """
    return _Judge(sources, now, work or WorkBudget()).judge(path, 0)


class _Judge:
    """One judgement. While a signer of CRLs is being judged, its own CRLs are not used."""

    def __init__(self, sources: StatusSources, now: datetime, work: WorkBudget) -> None:
        self._sources, self._now, self._work = sources, now, work
        self._is_signer_good: dict[tuple[str, str], bool] = {}

    def judge(self, path: CertificationPath, depth: int) -> tuple[StatusFinding, ...]:
        findings = []
        for position in range(len(path) - 2, -1, -1):
            finding = self._judge_one(path[position:], depth)
            findings.append(finding)
            if finding.status is RevocationStatus.REVOKED:
                break
        return tuple(findings)

    def _judge_one(self, path: CertificationPath, depth: int) -> StatusFinding:
        """Steps 2 and 5."""
        findings: list[StatusFinding] = []
        try:
            for finding in chain(
                self._judge_by_recorded(path),
                self._judge_by_responses(path),
                self._judge_by_crls(path, depth),
            ):
                findings.append(finding)  # noqa: PERF402  findings before the budget is used up are kept
        except WorkExceeded as exceeded:
            why = (f"judging its status exceeds the work limit: {exceeded}",)
            over_limit = StatusFinding(
                status=RevocationStatus.UNDETERMINED, certificate=path[0].sha256, why=why, unusable=True
            )
            findings = [over_limit, *(one for one in findings if one.status is RevocationStatus.REVOKED)]
        return self._choose(findings, path)

    def _choose(self, findings: list[StatusFinding], path: CertificationPath) -> StatusFinding:
        """Step 2: expired evidence that says revoked is overridden only by a good finding with a later time."""
        revoked: StatusFinding | None = None  # the newest expired finding that says revoked
        for finding in findings:
            if finding.status is RevocationStatus.REVOKED:
                if not self._is_expired(finding):
                    return finding
                revoked = finding if revoked is None or is_newer(finding, revoked) else revoked
        anchor = path[1] if len(path) == 2 else None  # noqa: PLR2004  the addresses that the anchor names count too
        unusable = self._sources.evidence_index.has_unusable(path[0], anchor)
        for finding in findings:
            if finding.status is RevocationStatus.GOOD and (revoked is None or is_newer(finding, revoked)):
                return replace(finding, unusable=True) if unusable else finding
        why = tuple(reason for finding in findings for reason in finding.why)
        if revoked is not None:
            return revoked
        return StatusFinding(
            status=RevocationStatus.UNDETERMINED,
            certificate=path[0].sha256,
            why=(*why, *(["the newest evidence cannot be used"] if unusable else [])),
            unusable=unusable or any(one.unusable for one in findings),
        )

    def _is_expired(self, finding: StatusFinding) -> bool:
        return finding.fresh_until is not None and finding.fresh_until < self._now

    def _judge_by_recorded(self, path: CertificationPath) -> Iterator[StatusFinding]:
        recorded = self._sources.evidence_index.find_recorded(path[0], path[1])
        if recorded is not None:
            yield recorded.build_finding(path[0].sha256)

    def _judge_by_responses(self, path: CertificationPath) -> Iterator[StatusFinding]:
        rules = self._sources.ocsp_rules
        for response in self._sources.evidence_index.responses_about(path[0]):
            yield judge_by_ocsp(path[0], path[1], response, self._now, rules, work=self._work)

    def _judge_by_crls(self, path: CertificationPath, depth: int) -> Iterator[StatusFinding]:
        def find_signers(crl: Crl, below: CertificationPath) -> Iterator[PathCertificate]:
            return self._find_signers(crl, below, depth)

        sources = self._sources
        return judge_by_crls(
            path, sources.evidence_index, self._now, find_signers, sources.crl_rules, work=self._work
        )

    def _find_signers(self, crl: Crl, path: CertificationPath, depth: int) -> Iterator[PathCertificate]:
        """Step 3."""
        anchor = path[-1]
        # Without the certificate itself: a certificate must not prove its own status.
        above = {one.sha256 for one in path[1:]}
        if anchor.subject == crl.issuer:
            yield anchor
        if depth >= SIGNER_DEPTH:
            return
        for candidate in self._sources.store.find_by_subject(crl.issuer):
            self._work.spend_candidate()
            if candidate.sha256 == path[1].sha256:
                continue
            key = (candidate.sha256, anchor.sha256)
            if key not in self._is_signer_good:
                # Not good while it is being judged, so that a signer cannot prove its own status.
                self._is_signer_good[key] = False
                self._is_signer_good[key] = candidate.sha256 in above or self._is_good(
                    candidate, anchor, depth
                )
            if self._is_signer_good[key]:
                yield candidate

    def _is_good(self, candidate: PathCertificate, anchor: PathCertificate, depth: int) -> bool:
        inputs = replace(self._sources.inputs, purpose=None, policies=PolicyInputs())
        judgement = judge_path(candidate, self._sources.store, inputs, self._now, self._work)
        if judgement.outcome is not Outcome.GOOD or judgement.path[-1].sha256 != anchor.sha256:
            return False
        findings = self.judge(judgement.path, depth + 1)
        return all(finding.status is RevocationStatus.GOOD for finding in findings)
