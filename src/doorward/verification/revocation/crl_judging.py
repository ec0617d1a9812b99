"""RFC 5280 section 6.3: the status of one certificate by CRLs; its path is otherwise good.

For each CRL, newest first, and each distribution point of the certificate, or the one implied by its issuer's name:
(b) the CRL is issued by the certificate's issuer, or by the CRL issuer that the point names, and its scope contains
    the certificate;
(c) a delta is used only with the complete CRL that it extends, and only if the same key signed both;
(d, e) the CRL covers reasons that the distribution point is for;
(f) the signer may sign CRLs and has a good path to the same trust anchor;
(g, h) the signature is valid; of a CRL that is older than another one of the same issuer, scope and key only final
    revocations count;
(i to k) the certificate is looked up, in the delta first;
(l) the reasons are noted; if all reasons are covered and no CRL lists it, the certificate is good.
A CRL that fails a step is skipped and its fault is kept; if no CRL is left, the status is undetermined. An expired
CRL no longer proves a good status. If nothing newer is known, the certificates that it lists stay revoked; otherwise
withholding the next CRL would un-revoke a certificate.

Not here: where CRLs come from, and how long they may be used after their next update.
Standard: RFC 5280 sections 4.2.1.13, 5.2.4, 5.2.5 and 6.3.3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509

from doorward.verification.path.building import WorkBudget, WorkExceeded
from doorward.verification.path.certificate import PathCertificate
from doorward.verification.path.names import CanonicalName, canonicalise_name
from doorward.verification.path.signatures import Strength
from doorward.verification.path.validation import CertificationPath
from doorward.verification.revocation.crl import ALL_REASONS, Crl, PointNames, Scope, read_point_names
from doorward.verification.revocation.evidence_index import EvidenceIndex
from doorward.verification.revocation.status import CLOCK_SKEW, RevocationStatus, StatusFinding, usable_until
from doorward.verification.revocation.words import name_reason

POINT_LIMIT = 32
"""Distribution points of one certificate that are used."""

FindSigners = Callable[[Crl, CertificationPath], Iterable[PathCertificate]]
"""Finds the possible signers of a CRL about the leaf of this path: authorities with a good path to the same anchor."""


class CrlRejected(Exception):
    """A CRL that cannot be used for this certificate; `str()` says why."""


class _CrlNotVerified(CrlRejected):
    """A CRL about this certificate; its signature or time could not be verified."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _DistributionPoint:
    """One distribution point, or the implied one; `names` is None if it names only the CRL issuer."""

    names: PointNames | None
    issuers: frozenset[CanonicalName]
    reasons: frozenset[x509.ReasonFlags]


@dataclass(frozen=True, slots=True, kw_only=True)
class CrlRules:
    """How CRLs are judged.

    Args:
        strength: which keys and hashes are strong enough.
        grace: how long after its next update a CRL may still be used.
        skew: how far in the future its this update may be (clocks differ), as for OCSP responses.
    """

    strength: Strength
    grace: timedelta = timedelta(0)
    skew: timedelta = CLOCK_SKEW


def judge_by_crls(
    path: CertificationPath,
    evidence_index: EvidenceIndex,
    now: datetime,
    find_signers: FindSigners,
    rules: CrlRules,
    *,
    work: WorkBudget,
) -> Iterator[StatusFinding]:
    """Find the status of the first certificate of a path.

    Args:
        path: the certificate, its issuer, and on to the anchor; good without regard to revocation.
        evidence_index: the available CRLs.
        now: aware, UTC.
        find_signers: see `FindSigners`; called only for CRLs about the certificate.
        rules: see `CrlRules`.
        work: the budget.

    Yields:
        Good, revoked or undetermined, with the CRLs that it is based on. If it is not revoked, a finding follows for each
        expired CRL that lists it, with `fresh_until` in the past: it counts if nothing newer is known.

    Raises:
        WorkExceeded: the budget is used up; findings from expired CRLs were yielded before.

    Standard: RFC 5280 section 6.3.3.
    """
    judgement = _Judgement(path, evidence_index, now, find_signers, rules, work=work)
    try:
        for crl in evidence_index.crls_about(path[0]):
            if crl.base is None and judgement.process(crl):
                yield judgement.revoked()
                return
    except WorkExceeded:
        yield from judgement.ended
        raise
    yield from judgement.conclude()


class _Judgement:
    """The state of one judgement: reasons covered, CRLs used, faults found.

    `_newest` holds issuer, scope and key of each CRL that was the newest of its kind.
    """

    def __init__(
        self,
        path: CertificationPath,
        evidence_index: EvidenceIndex,
        now: datetime,
        find_signers: FindSigners,
        rules: CrlRules,
        *,
        work: WorkBudget,
    ) -> None:
        self._path, self._evidence_index, self._now = path, evidence_index, now
        self._find_signers, self._rules, self._work = find_signers, rules, work
        self._points = tuple(_points(path[0]))
        self._deltas = [crl for crl in evidence_index.crls_about(path[0]) if crl.base is not None]
        self._newest: set[tuple[CanonicalName, Scope, bytes]] = set()
        self._covered: frozenset[x509.ReasonFlags] = frozenset()
        self._used: list[tuple[Crl, ...]] = []
        self._faults: dict[str, None] = {}
        self._reason = ""
        self._unusable = False
        self.ended: list[StatusFinding] = []

    def process(self, crl: Crl) -> bool:
        """Steps (b) to (l) for one complete CRL; return whether the certificate is revoked."""
        self._work.spend_candidate()
        try:
            covers = self._find_covered(crl)
            signer = self._find_signer(crl)
            kind = (crl.issuer, crl.scope, signer.key_bits)
            if kind in self._newest:
                return self._revokes_finally(crl)
            self._check_fresh(crl)
        except CrlRejected as rejected:
            self._faults[f"{crl.sha256[:16]}: {rejected}"] = None
            self._unusable |= isinstance(rejected, _CrlNotVerified)
            return False
        self._newest.add(kind)
        delta = self._find_delta(crl, signer)
        used = (crl, delta) if delta is not None else (crl,)
        listed, reason = _look_up(self._path[0], used)
        if listed:
            self._used, self._reason = [*self._used, used], reason
        elif not covers <= self._covered:
            self._used.append(used)
            self._covered |= covers
        return listed

    def _revokes_finally(self, crl: Crl) -> bool:
        """Return whether an older CRL, still in force, revokes the certificate for good (5.3.1: anything but a hold).

        The newer CRL may omit such an entry: some authorities divide their list into several CRLs and do not say so in
        the scope.
        """
        found, reason = crl.find(self._path[0].issuer, self._path[0].serial)
        final = found and reason not in {x509.ReasonFlags.certificate_hold, x509.ReasonFlags.remove_from_crl}
        if not final or self._now > usable_until(crl.next_update, self._rules.grace):
            return False
        self._used, self._reason = [(crl,)], name_reason(reason)
        return True

    def _find_covered(self, crl: Crl) -> frozenset[x509.ReasonFlags]:
        """Return the reasons for which a CRL covers the certificate: steps (b) and (d)."""
        covers: frozenset[x509.ReasonFlags] = frozenset()
        faults: dict[str, None] = {}
        for point in self._points:
            try:
                _check_scope(self._path[0], point, crl)
            except CrlRejected as rejected:
                faults[str(rejected)] = None
            else:
                covers |= point.reasons & (crl.scope.reasons or ALL_REASONS)
        if not covers:
            raise CrlRejected("; ".join(faults) or "it is for other reasons")
        return covers

    def _find_signer(self, crl: Crl) -> PathCertificate:
        """Steps (f) and (g)."""
        if crl.this_update > self._now + self._rules.skew:
            raise _CrlNotVerified("it begins later")
        signer = next((one for one in self._signers(crl) if self._signed(crl, one)), None)
        if signer is None:
            raise _CrlNotVerified("no authority that may sign it has signed it")
        return signer

    def _check_fresh(self, crl: Crl) -> None:
        """Reject an expired CRL. If it lists the certificate, this is kept, because nothing newer may be known."""
        ends = usable_until(crl.next_update, self._rules.grace)
        if self._now <= ends:
            return
        listed, reason = _look_up(self._path[0], (crl,))
        if listed:
            self.ended.append(self._build_finding(RevocationStatus.REVOKED, [(crl,)], reason))
        raise CrlRejected("it is out of date")

    def _signers(self, crl: Crl) -> Iterator[PathCertificate]:
        """Yield the possible signers: first the certificate's issuer, which is good because it is in the path."""
        issuer = self._path[1]
        if issuer.subject == crl.issuer:
            yield issuer
        yield from self._find_signers(crl, self._path)

    def _signed(self, crl: Crl, signer: PathCertificate) -> bool:
        if signer.key_usage is not None and not signer.key_usage.crl_sign:
            return False
        return self._evidence_index.is_signed(crl, signer, self._rules.strength, self._work)

    def _find_delta(self, complete: Crl, signer: PathCertificate) -> Crl | None:
        """Steps (c) and (h): return the newest delta that extends this complete CRL and has the same signer (5.2.4)."""
        for delta in self._deltas:
            fits = (
                delta.issuer == complete.issuer
                and delta.scope == complete.scope
                and delta.authority_key_id == complete.authority_key_id
                and delta.base is not None
                and delta.base <= complete.number < delta.number
                and delta.this_update >= complete.this_update  # an authority may restart its numbers
            )
            if not fits:
                continue
            self._work.spend_candidate()
            try:
                self._check_key(delta, signer)
                self._check_fresh(delta)
            except CrlRejected as rejected:
                self._faults[f"{delta.sha256[:16]}: {rejected}"] = None
            else:
                return delta
        return None

    def _check_key(self, delta: Crl, signer: PathCertificate) -> None:
        if self._find_signer(delta).key_bits != signer.key_bits:
            raise CrlRejected("its signing key is not that of its complete CRL")

    def revoked(self) -> StatusFinding:
        """Return the finding if the certificate is listed."""
        return self._build_finding(RevocationStatus.REVOKED, self._used, self._reason)

    def conclude(self) -> tuple[StatusFinding, ...]:
        """Return the findings if no usable CRL lists the certificate: good if all reasons are covered."""
        if self._covered >= ALL_REASONS:
            return (self._build_finding(RevocationStatus.GOOD, self._used), *self.ended)
        why = tuple(self._faults) or ("there is no CRL about it",)
        certificate = self._path[0].sha256
        undetermined = StatusFinding(
            status=RevocationStatus.UNDETERMINED, certificate=certificate, why=why, unusable=self._unusable
        )
        return (undetermined, *self.ended)

    def _build_finding(
        self, status: RevocationStatus, used: list[tuple[Crl, ...]], reason: str = ""
    ) -> StatusFinding:
        """Return a finding based on complete CRLs with their deltas; its time is that of the oldest of them."""
        every = [crl for pair in used for crl in pair]
        return StatusFinding(
            status=status,
            certificate=self._path[0].sha256,
            evidence=tuple(dict.fromkeys(crl.sha256 for crl in every)),
            reason=reason,
            this_update=min(max(crl.this_update for crl in pair) for pair in used),
            fresh_until=usable_until(min(crl.next_update for crl in every), self._rules.grace),
        )


def _look_up(certificate: PathCertificate, used: Iterable[Crl]) -> tuple[bool, str]:
    """Steps (i to k): return whether the certificate is listed, and why; the delta is last and overrides."""
    listed, reason = False, None
    for crl in used:
        found, why = crl.find(certificate.issuer, certificate.serial)
        if found:
            listed, reason = why is not x509.ReasonFlags.remove_from_crl, why
    return listed, name_reason(reason) if listed else ""


def _points(certificate: PathCertificate) -> Iterator[_DistributionPoint]:
    """Yield the certificate's distribution points, then the one that its issuer implies (6.3.3)."""
    issuer = certificate.certificate.issuer
    for point in certificate.crl_points[:POINT_LIMIT]:
        named = tuple(one.value for one in point.crl_issuer or () if isinstance(one, x509.DirectoryName))
        yield _DistributionPoint(
            names=read_point_names(point.full_name, point.relative_name, named or (issuer,)),
            issuers=frozenset(canonicalise_name(name) for name in named),
            reasons=frozenset(point.reasons) if point.reasons else ALL_REASONS,
        )
    implied = frozenset({("DirectoryName", certificate.issuer)})
    yield _DistributionPoint(names=implied, issuers=frozenset(), reasons=ALL_REASONS)


def _check_scope(certificate: PathCertificate, point: _DistributionPoint, crl: Crl) -> None:
    """Step (b)."""
    scope = crl.scope
    if point.issuers:
        if crl.issuer not in point.issuers or not scope.indirect:
            raise CrlRejected("it is not from the CRL issuer that the certificate names")
    elif crl.issuer != certificate.issuer:
        raise CrlRejected("it is from another issuer")
    if scope.points is not None:
        wanted = point.names
        if wanted is None:
            wanted = frozenset(("DirectoryName", name) for name in point.issuers)
        if not scope.points & wanted:
            raise CrlRejected("it is for another distribution point")
    if scope.only_attributes:
        raise CrlRejected("it is for attribute certificates")
    if scope.only_users and certificate.is_ca:
        raise CrlRejected("it is for end entities")
    if scope.only_authorities and not certificate.is_ca:
        raise CrlRejected("it is for authorities")
