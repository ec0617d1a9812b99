"""Path building: finds certification paths from a leaf to a trust anchor until one is good.

The search goes from the leaf upwards, by name, and backtracks at a dead end (cross-signed and rotated authorities
need that). A candidate joins a path if
1. its subject is the issuer name of the certificate below (6.1.3 a 4),
2. no certificate of the path has the same subject and key (a loop),
3. it breaks no rule alone (conformance); this is computed once for each judgement,
4. it signed the certificate below (6.1.3 a 1).
Candidates with the key identifier that the certificate names come first, anchors before intermediates, later
notAfter before earlier. A key identifier never excludes a candidate: it is only a hint (4.2.1.1).

The work has a limit, see `WorkBudget`; a search that exceeds it is refused.
Standard: RFC 5280 section 6.1; RFC 4158 sections 2.4 and 3.5 for the order of candidates and loops.
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
"""Certificates in a path, self-issued ones included."""
FAULT_LIMIT = 32
SHARES = 4
"""A budget is divided into at most four parts: a smaller part would not be enough for an honest partner that rotates
its keys, if nothing is cached yet."""


class WorkExceeded(Exception):
    """One judgement would cost more than its budget."""


@dataclass(slots=True)
class WorkBudget:
    """What a path search, or a judgement of status, may still cost: some tens of milliseconds in total.

    `signatures` counts verifications in units of one with P-256, see `count_verification_cost`; signatures that the
    store or the evidence index has cached cost nothing. `candidates` counts the authorities and CRLs that are looked at.
    """

    signatures: int = 200
    candidates: int = 2_000
    paths: int = 100
    names: ComparisonBudget = field(default_factory=ComparisonBudget)

    @classmethod
    def share(cls, number: int) -> WorkBudget:
        """Return the budget for one of several partners, so that one of them cannot use up the budget of the others.

        Up to four partners share one whole budget; if there are more partners, each has a quarter of the budget.
        """
        whole, parts = cls(), min(number, SHARES)
        return cls(
            signatures=whole.signatures // parts,
            candidates=whole.candidates // parts,
            paths=whole.paths // parts,
            names=ComparisonBudget(whole.names.left // parts),
        )

    def spend_candidate(self) -> None:
        """Count one candidate."""
        self.candidates -= 1
        if self.candidates < 0:
            raise WorkExceeded("candidates")

    def spend_signature(self, key: object) -> None:
        """Count one verification with this key."""
        self.signatures -= count_verification_cost(key)
        if self.signatures < 0:
            raise WorkExceeded("signatures")

    def spend_path(self) -> None:
        """Count one complete path."""
        self.paths -= 1
        if self.paths < 0:
            raise WorkExceeded("paths")


@dataclass(frozen=True, slots=True, kw_only=True)
class PathJudgement:
    """The first good path, leaf first; or no path, and the faults of the paths that were tried (at most 32).

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
        leaf: the presented certificate.
        store: anchors and intermediates.
        inputs: requirements for the path.
        now: aware, UTC.
        work: the budget; None for a new one.

    Returns:
        Good with the path, or bad with the faults; never undetermined: if the budget is exceeded, the fault is
        `work-exceeded`.

    Not checked: revocation, possession of the key, the identity of the holder.
    Standard: RFC 5280 section 6.1.
    """
    faults = list(check_leaf(leaf, inputs, now))
    if not faults:
        search = _Search(store, inputs, now, work or WorkBudget())
        try:
            for path in search.paths((leaf,)):
                search.work.spend_path()
                broken = check_path(path, inputs, search.work.names)
                if not broken:
                    return PathJudgement(outcome=Outcome.GOOD, path=path, faults=(), judged_at=now)
                search.faults.update(dict.fromkeys(broken))
        except (WorkExceeded, ComparisonsExceeded) as exceeded:
            detail = str(exceeded) or "names and policies"
            faults = [
                CertificationPathFault(rule=PathRule.WORK_EXCEEDED, certificate=leaf.sha256, detail=detail)
            ]
        faults += search.faults  # after the fault that ended the search: the limit below must not remove it
    return PathJudgement(outcome=Outcome.BAD, path=(), faults=tuple(faults[:FAULT_LIMIT]), judged_at=now)


class _Search:
    """One search; `faults` holds the faults that excluded candidates, in the order found."""

    def __init__(self, store: TrustStore, inputs: PathInputs, now: datetime, work: WorkBudget) -> None:
        self._store, self._inputs, self._now = store, inputs, now
        self.work = work
        self.faults: dict[CertificationPathFault, None] = {}
        self._checked: dict[PathCertificate, bool] = {}

    def paths(self, path: CertificationPath) -> Iterator[CertificationPath]:
        """Yield every complete path that begins with this one."""
        top = path[-1]
        joined = False
        for candidate in self._order(top):
            self.work.spend_candidate()
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
            self.work.spend_signature(issuer.key)
            holds = self._store.check_signature(child, issuer, strength)
        if not holds:
            self._note(PathRule.SIGNATURE_INVALID, child)
        return holds

    def _note(self, rule: PathRule, certificate: PathCertificate, detail: str = "") -> None:
        self.faults[CertificationPathFault(rule=rule, certificate=certificate.sha256, detail=detail)] = None
