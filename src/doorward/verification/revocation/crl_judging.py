"""RFC 5280 section 6.3: what CRLs say of one certificate of a path that is good otherwise.

For each distribution point of the certificate, or the one that its issuer's name implies, and each CRL:
(b) the CRL is its issuer's, or the CRL issuer's that the point names, and its scope holds the certificate;
(c) a delta is taken only with the complete CRL that it builds on;
(d, e) it covers reasons that no other CRL covered yet;
(f) whoever signed it may sign CRLs and has a good path to the same trust anchor;
(g, h) the signature holds;
(i to k) the certificate is looked up, in the delta first;
(l) the reasons are noted; once all are covered the certificate is good.
A CRL that fails a step is passed over and its fault is kept; without one that is left, the status is
undetermined. One that is only out of date says nothing good of anybody any more; but where nothing newer is
known, whom it lists stays revoked: or whoever keeps the next list from us would bring the revoked back.

Not here: where CRLs come from, and how old they may be beyond what they say themselves.
Standard: RFC 5280 sections 4.2.1.13, 5.2.4, 5.2.5 and 6.3.3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509

from doorward.verification.path.certificate import PathCertificate
from doorward.verification.path.names import CanonicalName, canonicalise_name
from doorward.verification.path.signatures import Strength
from doorward.verification.path.validation import Path
from doorward.verification.revocation.crl import ALL_REASONS, Crl, PointNames, read_point_names
from doorward.verification.revocation.shelf import Shelf
from doorward.verification.revocation.status import Status, StatusFinding, usable_until
from doorward.verification.revocation.words import name_reason

POINT_LIMIT = 32
"""Distribution points of a certificate that are looked at."""

FindSigners = Callable[[Crl, Path], Iterable[PathCertificate]]
"""Who may have signed a CRL about a certificate of this path: authorities with a good path of their own
to the same anchor."""


class Unfit(Exception):
    """A CRL that cannot be used for this certificate; `str()` says why."""


class _Ended(Unfit):
    """A CRL that is genuine and out of date."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Point:
    """One distribution point, or the implied one: `names` None where it names only the CRL's issuer."""

    names: PointNames | None
    issuers: frozenset[CanonicalName]
    reasons: frozenset[x509.ReasonFlags]


@dataclass(frozen=True, slots=True, kw_only=True)
class CrlRules:
    """How CRLs are judged.

    Args:
        strength: which keys and hashes are strong enough.
        grace: how long after its next update a CRL may still be used.
    """

    strength: Strength
    grace: timedelta = timedelta(0)


def judge_by_crls(
    path: Path, shelf: Shelf, now: datetime, find_signers: FindSigners, rules: CrlRules
) -> StatusFinding:
    """Return the status of the first certificate of a path.

    Args:
        path: the certificate, its issuer, and on to the anchor; good without regard to revocation.
        shelf: the CRLs that are at hand.
        now: aware, UTC.
        find_signers: see `FindSigners`; asked only for CRLs that concern the certificate.
        rules: see `CrlRules`.

    Returns:
        Good, revoked or undetermined, with the CRLs that it rests on.

    Standard: RFC 5280 section 6.3.3.
    """
    crls = shelf.crls_about(path[0])
    judgement = _Judgement(path, shelf, now, find_signers, rules)
    for point in _points(path[0]):
        for crl in crls:
            if crl.base is None and judgement.take(point, crl):
                return judgement.revoked()
        if judgement.covered >= ALL_REASONS:
            return judgement.good()
    return judgement.undetermined()


class _Judgement:
    """The state of one judgement: reasons covered, CRLs used, faults met."""

    def __init__(
        self, path: Path, shelf: Shelf, now: datetime, find_signers: FindSigners, rules: CrlRules
    ) -> None:
        self._path, self._shelf, self._now = path, shelf, now
        self._find_signers, self._rules = find_signers, rules
        self.covered: frozenset[x509.ReasonFlags] = frozenset()
        self._used: list[Crl] = []
        self._faults: dict[str, None] = {}
        self._reason = ""
        self._ended: StatusFinding | None = None

    def take(self, point: _Point, crl: Crl) -> bool:
        """Steps (b) to (l) for one complete CRL; return whether the certificate is revoked."""
        certificate = self._path[0]
        try:
            _check_scope(certificate, point, crl)
            covers = point.reasons & (crl.scope.reasons or ALL_REASONS)
            if covers <= self.covered:
                return False
            self._check_genuine(crl)
        except Unfit as unfit:
            self._faults[f"{crl.sha256[:16]}: {unfit}"] = None
            if isinstance(unfit, _Ended):
                self._note_ended(crl)
            return False
        delta = self._find_delta(crl)
        listed, reason = delta.find(certificate.issuer, certificate.serial) if delta else (False, None)
        if not listed:
            listed, reason = crl.find(certificate.issuer, certificate.serial)
        self._used += [crl, delta] if delta else [crl]
        if listed and reason is not x509.ReasonFlags.remove_from_crl:
            self._reason = name_reason(reason)
            return True
        self.covered |= covers
        return False

    def _check_genuine(self, crl: Crl) -> None:
        """Freshness, and steps (f) and (g)."""
        if self._now < crl.this_update:
            raise Unfit("it begins later")
        if not any(self._signed(crl, signer) for signer in self._signers(crl)):
            raise Unfit("nobody who may sign it did")
        if self._now > usable_until(crl.next_update, self._rules.grace):
            raise _Ended("it is out of date")

    def _note_ended(self, crl: Crl) -> None:
        """Keep the last word of a list that is out of date, where it is a bad one."""
        certificate = self._path[0]
        listed, reason = crl.find(certificate.issuer, certificate.serial)
        if listed and reason is not x509.ReasonFlags.remove_from_crl:
            self._ended = StatusFinding(
                status=Status.REVOKED,
                certificate=certificate.sha256,
                evidence=(crl.sha256,),
                reason=name_reason(reason),
                fresh_until=usable_until(crl.next_update, self._rules.grace),
            )

    def _signers(self, crl: Crl) -> Iterator[PathCertificate]:
        """The issuer of the certificate first, which is good: it stands in the path."""
        issuer = self._path[1]
        if issuer.subject == crl.issuer:
            yield issuer
        yield from self._find_signers(crl, self._path)

    def _signed(self, crl: Crl, signer: PathCertificate) -> bool:
        if signer.key_usage is not None and not signer.key_usage.crl_sign:
            return False
        return self._shelf.is_signed(crl, signer, self._rules.strength)

    def _find_delta(self, complete: Crl) -> Crl | None:
        """Steps (c) and (h): the newest delta that builds on this complete CRL (5.2.4)."""
        fitting = [
            delta
            for delta in self._shelf.crls_about(self._path[0])
            if delta.base is not None
            and delta.issuer == complete.issuer
            and delta.scope == complete.scope
            and delta.authority_key_id == complete.authority_key_id
            and delta.base <= complete.number < delta.number
        ]
        for delta in sorted(fitting, key=lambda one: one.number, reverse=True):
            try:
                self._check_genuine(delta)
            except Unfit as unfit:
                self._faults[f"{delta.sha256[:16]}: {unfit}"] = None
            else:
                return delta
        return None

    def revoked(self) -> StatusFinding:
        """The finding where the certificate is listed."""
        return self._found(Status.REVOKED, reason=self._reason)

    def good(self) -> StatusFinding:
        """The finding where all reasons are covered."""
        return self._found(Status.GOOD)

    def _found(self, status: Status, reason: str = "") -> StatusFinding:
        return StatusFinding(
            status=status,
            certificate=self._path[0].sha256,
            evidence=tuple(dict.fromkeys(crl.sha256 for crl in self._used)),
            reason=reason,
            fresh_until=usable_until(min(crl.next_update for crl in self._used), self._rules.grace),
        )

    def undetermined(self) -> StatusFinding:
        """The finding where something is left open: revoked, if that was the last word."""
        if self._ended is not None:
            return self._ended
        why = tuple(self._faults) or ("no CRL speaks of it",)
        return StatusFinding(status=Status.UNDETERMINED, certificate=self._path[0].sha256, why=why)


def _points(certificate: PathCertificate) -> Iterator[_Point]:
    """The certificate's distribution points; then the one that its issuer implies (6.3.3)."""
    issuer = certificate.certificate.issuer
    for point in certificate.crl_points[:POINT_LIMIT]:
        named = tuple(one.value for one in point.crl_issuer or () if isinstance(one, x509.DirectoryName))
        yield _Point(
            names=read_point_names(point.full_name, point.relative_name, named or (issuer,)),
            issuers=frozenset(canonicalise_name(name) for name in named),
            reasons=frozenset(point.reasons) if point.reasons else ALL_REASONS,
        )
    implied = frozenset({("DirectoryName", certificate.issuer)})
    yield _Point(names=implied, issuers=frozenset(), reasons=ALL_REASONS)


def _check_scope(certificate: PathCertificate, point: _Point, crl: Crl) -> None:
    """Step (b)."""
    scope = crl.scope
    if point.issuers:
        if crl.issuer not in point.issuers or not scope.indirect:
            raise Unfit("it is not the CRL issuer's that the certificate names")
    elif crl.issuer != certificate.issuer:
        raise Unfit("it is another issuer's")
    if scope.points is not None:
        wanted = point.names
        if wanted is None:
            wanted = frozenset(("DirectoryName", name) for name in point.issuers)
        if not scope.points & wanted:
            raise Unfit("it is for another distribution point")
    if scope.only_attributes:
        raise Unfit("it is for attribute certificates")
    if scope.only_users and certificate.is_ca:
        raise Unfit("it is for end entities")
    if scope.only_authorities and not certificate.is_ca:
        raise Unfit("it is for authorities")
