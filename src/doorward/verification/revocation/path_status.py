"""The status of every certificate of a path, from the available evidence.

1. From the anchor downwards, so that nothing relies on a revoked authority. The anchor's own status is not judged.
2. OCSP responses, CRLs and recorded revocations are all used. Revoked by any of them is revoked; otherwise good by one
   of them is good. Revoked by expired evidence is revoked unless a good finding has a later time. A recorded
   revocation that is final stays, even if its evidence is gone; a recorded hold ends with a newer good finding
   (RFC 5280 section 5.3.1).
3. The signer of a CRL that is not in the path needs a good path of its own to the same anchor, and a good
   status without its own CRL: section 6.3.3 (f).
4. The first revoked certificate ends the judgement. After an undetermined one the certificates below are still
   judged: if an operator tolerates an authority with an unknown status, a revoked leaf must still be refused.
5. An undetermined finding says whether there is evidence that cannot be used: not genuine, unknown to the
   responder, malformed, or too much work. Missing or merely expired evidence is a different case.
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
    """The sources for a judgement of status.

    Args:
        evidence_index: CRLs and OCSP responses.
        store: signers of CRLs, and their paths.
        inputs: as for the path; purpose and policies are ignored for signers of CRLs.
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
        path: leaf first, good without regard to revocation.
        sources: see `StatusSources`.
        now: aware, UTC.
        work: the budget; None for a new one.

    Returns:
        Findings up to and including the first that is revoked.

    Standard: RFC 5280 section 6.3.
    """
    return _Judge(sources, now, work or WorkBudget()).judge(path, 0)


class _Judge:
    """One judgement. While a signer is being judged, its own CRLs do not count for it."""

    def __init__(self, sources: StatusSources, now: datetime, work: WorkBudget) -> None:
        self._sources, self._now, self._work = sources, now, work
        self._signers: dict[tuple[str, str], bool] = {}

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
                self._ask_recorded(path), self._ask_responses(path), self._ask_crls(path, depth)
            ):
                findings.append(finding)  # noqa: PERF402  findings before the budget is used up are kept
        except WorkExceeded as exceeded:
            why = (f"judging its status exceeds the work limit: {exceeded}",)
            lost = StatusFinding(
                status=RevocationStatus.UNDETERMINED, certificate=path[0].sha256, why=why, unusable=True
            )
            findings = [lost, *(one for one in findings if one.status is RevocationStatus.REVOKED)]
        return self._choose(findings, path)

    def _choose(self, findings: list[StatusFinding], path: CertificationPath) -> StatusFinding:
        """Step 2: expired evidence that says revoked is overridden only by a good finding with a later time."""
        last: StatusFinding | None = None
        for finding in findings:
            if finding.status is RevocationStatus.REVOKED:
                if not self._has_ended(finding):
                    return finding
                last = finding if last is None or is_newer(finding, last) else last
        anchor = path[1] if len(path) == 2 else None  # noqa: PLR2004  the anchor's own addresses count too
        unusable = self._sources.evidence_index.has_unusable(path[0], anchor)
        for finding in findings:
            if finding.status is RevocationStatus.GOOD and (last is None or is_newer(finding, last)):
                return replace(finding, unusable=True) if unusable else finding
        why = tuple(word for finding in findings for word in finding.why)
        if last is not None:
            return last
        return StatusFinding(
            status=RevocationStatus.UNDETERMINED,
            certificate=path[0].sha256,
            why=(*why, *(["the newest evidence cannot be used"] if unusable else [])),
            unusable=unusable or any(one.unusable for one in findings),
        )

    def _has_ended(self, finding: StatusFinding) -> bool:
        return finding.fresh_until is not None and finding.fresh_until < self._now

    def _ask_recorded(self, path: CertificationPath) -> Iterator[StatusFinding]:
        recorded = self._sources.evidence_index.find_recorded(path[0], path[1])
        if recorded is not None:
            yield recorded.build_finding(path[0].sha256)

    def _ask_responses(self, path: CertificationPath) -> Iterator[StatusFinding]:
        rules = self._sources.ocsp_rules
        for response in self._sources.evidence_index.responses_about(path[0]):
            yield judge_by_ocsp(path[0], path[1], response, self._now, rules, work=self._work)

    def _ask_crls(self, path: CertificationPath, depth: int) -> Iterator[StatusFinding]:
        def find_signers(crl: Crl, below: CertificationPath) -> Iterator[PathCertificate]:
            return self._find_signers(crl, below, depth)

        sources = self._sources
        return judge_by_crls(
            path, sources.evidence_index, self._now, find_signers, sources.crl_rules, work=self._work
        )

    def _find_signers(self, crl: Crl, path: CertificationPath, depth: int) -> Iterator[PathCertificate]:
        """Step 3."""
        anchor = path[-1]
        above = {
            one.sha256 for one in path[1:]
        }  # without the certificate itself: it must not prove its own status
        if anchor.subject == crl.issuer:
            yield anchor
        if depth >= SIGNER_DEPTH:
            return
        for candidate in self._sources.store.find_by_subject(crl.issuer):
            self._work.spend_candidate()
            if candidate.sha256 == path[1].sha256:
                continue
            key = (candidate.sha256, anchor.sha256)
            if key not in self._signers:
                self._signers[key] = (
                    False  # not good while it is being judged, so that it cannot prove its own status
                )
                self._signers[key] = candidate.sha256 in above or self._is_good(candidate, anchor, depth)
            if self._signers[key]:
                yield candidate

    def _is_good(self, candidate: PathCertificate, anchor: PathCertificate, depth: int) -> bool:
        inputs = replace(self._sources.inputs, purpose=None, policies=PolicyInputs())
        judgement = judge_path(candidate, self._sources.store, inputs, self._now, self._work)
        if judgement.outcome is not Outcome.GOOD or judgement.path[-1].sha256 != anchor.sha256:
            return False
        findings = self.judge(judgement.path, depth + 1)
        return all(finding.status is RevocationStatus.GOOD for finding in findings)
