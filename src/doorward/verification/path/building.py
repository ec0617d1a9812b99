"""From a leaf to a trust anchor: every path there is, one after the other, until one is good.

The search goes from the leaf upwards, by name, and comes back where a way is closed (cross-signed and
rotated authorities need that). A candidate joins a path where
1. its subject is the issuer's name of the certificate below (6.1.3 a 4),
2. no certificate of the path has its subject and key already (a loop),
3. it breaks no rule by itself (conformance), found out once for each judgement,
4. it signed the certificate below (6.1.3 a 1).
Candidates with the key identifier that the certificate names come first, anchors before others, later
ends before earlier ones. A key identifier never rules anybody out: it is a hint (4.2.1.1).

Work is bounded by construction, see `WorkBudget`; whoever exceeds it is refused.
Standard: RFC 5280 section 6.1; RFC 4158 section 2.4 and 3.5 for the order of candidates and loops.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import NoReturn

from doorward.core.entities import Outcome
from doorward.verification.path.certificate import PathCertificate
from doorward.verification.path.conformance import PathInputs, check_dates, check_leaf
from doorward.verification.path.constraints import ComparisonBudget, ComparisonsExceeded
from doorward.verification.path.rules import CertificationPathFault, PathRule
from doorward.verification.path.signatures import count_verification_cost
from doorward.verification.path.store import TrustStore
from doorward.verification.path.validation import CertificationPath, check_path

DEPTH_LIMIT = 20
"""Certificates of a path, self-issued ones included."""
FAULT_LIMIT = 32
SHARES = 4
"""Parts of a budget at most: less than a quarter would not carry the first look at an honest partner's rotation."""


class WorkExceeded(Exception):
    """One judgement would cost more than it may."""


@dataclass(slots=True)
class WorkBudget:
    """What a search for a path, or a judgement of status, may still cost: some tens of milliseconds.

    `signatures` counts verifications in units of one by P-256, see `count_verification_cost`; those that the store or the
    evidence cache remembers count only the first time. `candidates` counts authorities and CRLs that are looked at.
    """

    signatures: int = 200
    candidates: int = 2_000
    paths: int = 100
    names: ComparisonBudget = field(default_factory=ComparisonBudget)

    @classmethod
    def share(cls, number: int) -> WorkBudget:
        """Return a budget for one of so many partners, so that none can use up another's.

        Up to four have one whole budget together; a quarter of it is the least that one gets.
        """
        whole, parts = cls(), min(number, SHARES)
        return cls(
            signatures=whole.signatures // parts,
            candidates=whole.candidates // parts,
            paths=whole.paths // parts,
            names=ComparisonBudget(whole.names.left // parts),
        )

    def take_candidate(self) -> None:
        """Count one candidate."""
        self.candidates -= 1
        if self.candidates < 0:
            raise WorkExceeded("candidates")

    def take_signature(self, key: object) -> None:
        """Count one verification by this key."""
        self.signatures -= count_verification_cost(key)
        if self.signatures < 0:
            raise WorkExceeded("signatures")

    def take_path(self) -> None:
        """Count one complete path."""
        self.paths -= 1
        if self.paths < 0:
            raise WorkExceeded("paths")


@dataclass(frozen=True, slots=True, kw_only=True)
class PathJudgement:
    """The first good path, leaf first; or none, and what stood in the way (at most 32 faults).

    It has no truth value: compare `outcome`.
    """

    outcome: Outcome
    path: CertificationPath
    faults: tuple[CertificationPathFault, ...]
    judged_at: datetime

    def __bool__(self) -> NoReturn:
        raise TypeError("a PathJudgement has no truth value; compare .outcome")


def judge_path(
    leaf: PathCertificate,
    store: TrustStore,
    inputs: PathInputs,
    now: datetime,
    work: WorkBudget | None = None,
) -> PathJudgement:
    """Find a good path for a leaf.

    Args:
        leaf: what was presented.
        store: anchors and intermediates.
        inputs: what is asked of the path.
        now: aware, UTC.
        work: its budget; a fresh one where None.

    Returns:
        Good with the path, or bad with the faults; never undetermined: work that exceeds the budget is
        the fault `work-exceeded`.

    Not checked: revocation, possession of the key, whose name it is.
    Standard: RFC 5280 section 6.1.
    """
    faults = list(check_leaf(leaf, inputs, now))
    if not faults:
        search = _Search(store, inputs, now, work or WorkBudget())
        try:
            for path in search.paths((leaf,)):
                search.work.take_path()
                broken = check_path(path, inputs, search.work.names)
                if not broken:
                    return PathJudgement(outcome=Outcome.GOOD, path=path, faults=(), judged_at=now)
                search.faults.update(dict.fromkeys(broken))
        except (WorkExceeded, ComparisonsExceeded) as exceeded:
            detail = str(exceeded) or "names and policies"
            faults = [
                CertificationPathFault(rule=PathRule.WORK_EXCEEDED, certificate=leaf.sha256, detail=detail)
            ]
        faults += search.faults  # after what ended the search: the limit below must not cut that off
    return PathJudgement(outcome=Outcome.BAD, path=(), faults=tuple(faults[:FAULT_LIMIT]), judged_at=now)


class _Search:
    """One search; `faults` holds what ruled candidates out, in the order found."""

    def __init__(self, store: TrustStore, inputs: PathInputs, now: datetime, work: WorkBudget) -> None:
        self._store, self._inputs, self._now = store, inputs, now
        self.work = work
        self.faults: dict[CertificationPathFault, None] = {}
        self._checked: dict[PathCertificate, bool] = {}

    def paths(self, path: CertificationPath) -> Iterator[CertificationPath]:
        """Every complete path that begins with this one."""
        top = path[-1]
        joined = False
        for candidate in self._order(top):
            self.work.take_candidate()
            if any(one.subject == candidate.subject and one.key_bits == candidate.key_bits for one in path):
                continue
            joined = True
            if not self._is_sound(candidate) or not self._signed(top, candidate):
                continue
            longer = (*path, candidate)
            if self._store.is_anchor(candidate):
                yield longer
            elif len(longer) < DEPTH_LIMIT:
                yield from self.paths(longer)
            else:
                self._note(
                    PathRule.PATH_TOO_LONG, candidate, f"a path has at most {DEPTH_LIMIT} certificates"
                )
        if not joined:
            self._note(PathRule.ISSUER_UNKNOWN, top)

    def _order(self, below: PathCertificate) -> list[PathCertificate]:
        wanted = below.authority_key_id

        def rank(candidate: PathCertificate) -> tuple[bool, bool, float]:
            differs = wanted is not None and candidate.subject_key_id != wanted
            return (differs, not self._store.is_anchor(candidate), -candidate.not_after.timestamp())

        candidates = self._store.find_by_subject(below.issuer)
        return sorted(candidates, key=rank) if len(candidates) > 1 else list(candidates)

    def _is_sound(self, candidate: PathCertificate) -> bool:
        """Step 3."""
        known = self._checked.get(candidate)
        if known is None:
            faults = (*self._store.find_faults(candidate, self._inputs), *check_dates(candidate, self._now))
            self.faults.update(dict.fromkeys(faults))
            known = self._checked[candidate] = not faults
        return known

    def _signed(self, child: PathCertificate, issuer: PathCertificate) -> bool:
        """Step 4."""
        strength = self._inputs.strength
        holds = self._store.find_checked_signature(child, issuer, strength)
        if holds is None:
            self.work.take_signature(issuer.key)
            holds = self._store.check_signature(child, issuer, strength)
        if not holds:
            self._note(PathRule.SIGNATURE_INVALID, child)
        return holds

    def _note(self, rule: PathRule, certificate: PathCertificate, detail: str = "") -> None:
        self.faults[CertificationPathFault(rule=rule, certificate=certificate.sha256, detail=detail)] = None
