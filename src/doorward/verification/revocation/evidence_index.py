"""The evidence that is at hand, ready to be asked: CRLs by issuer, OCSP answers by certificate.

A evidence cache never changes; whoever fetches something newer makes another with `with_crls` or `with_answers`.
Whether a signature on a CRL holds is found out once, so that a connection pays for a look-up only.

Not here: fetching (runtime), judging (crl_judging, ocsp).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from doorward.verification.path.building import WorkBudget
from doorward.verification.path.certificate import PathCertificate
from doorward.verification.path.names import CanonicalName
from doorward.verification.path.signatures import Strength, is_signature_valid
from doorward.verification.revocation.crl import Crl
from doorward.verification.revocation.sources import crl_urls
from doorward.verification.revocation.status import RecordedRevocation

_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class UnusableSources:
    """Of which sources what came last cannot be used.

    Args:
        lists: addresses of CRLs, as certificates name them.
        answers: SHA-256 (hex) of the certificates that these OCSP answers are about.
        anybody: whether a list is among them that may be about every certificate.
    """

    lists: frozenset[str] = frozenset()
    answers: frozenset[str] = frozenset()
    anybody: bool = False


class EvidenceIndex:
    """CRLs and OCSP answers; safe to share between threads.

    Args:
        crls: complete ones and deltas, of whatever issuer.
        answers: SHA-256 of a certificate (hex) -> OCSPResponses in DER about it, newest first.
        seen: revocations that were told before, even if the evidence is gone.
        unusable: see `UnusableSources`.
    """

    def __init__(
        self,
        crls: Iterable[Crl] = (),
        answers: Mapping[str, tuple[bytes, ...]] | None = None,
        *,
        seen: Iterable[RecordedRevocation] = (),
        unusable: UnusableSources | None = None,
    ) -> None:
        self._seen = {(one.issuer_key, one.serial): one for one in seen}
        self._unusable = unusable or UnusableSources()
        self._direct: dict[CanonicalName, tuple[Crl, ...]] = {}
        self._indirect: tuple[Crl, ...] = ()
        for crl in sorted(crls, key=lambda one: (one.this_update, one.number), reverse=True):
            if crl.scope.indirect:
                self._indirect += (crl,)
            else:
                self._direct[crl.issuer] = (*self._direct.get(crl.issuer, ()), crl)
        self._answers = dict(answers or {})
        self._signed: dict[tuple[str, str, Strength], bool] = {}

    def crls_about(self, certificate: PathCertificate) -> tuple[Crl, ...]:
        """Return the CRLs that may speak of a certificate, the newest first; indirect ones follow.

        These may speak of anybody's. Where the sources lie decides nothing: an address can be chosen.
        """
        return (*self._direct.get(certificate.issuer, ()), *self._indirect)

    def answers_about(self, certificate: PathCertificate) -> tuple[bytes, ...]:
        """Return the OCSP answers about a certificate, newest first."""
        return self._answers.get(certificate.sha256, ())

    def seen(self, certificate: PathCertificate, issuer: PathCertificate) -> RecordedRevocation | None:
        """Return the revocation of a certificate that was told before."""
        return self._seen.get((hashlib.sha256(issuer.key_bits).hexdigest(), certificate.serial))

    def has_unusable(self, certificate: PathCertificate, issuer: PathCertificate | None = None) -> bool:
        """Return whether what came last about a certificate cannot be used.

        Lists are taken from the addresses in it, or in its issuer if that is given (an anchor's own address).
        """
        unusable = self._unusable
        if unusable.anybody or certificate.sha256 in unusable.answers:
            return True
        named = (certificate,) if issuer is None else (certificate, issuer)
        return bool(unusable.lists) and any(url in unusable.lists for one in named for url in crl_urls(one))

    def is_signed(self, crl: Crl, signer: PathCertificate, strength: Strength, work: WorkBudget) -> bool:
        """Return whether a CRL's signature is by this key: RFC 5280 section 6.3.3 (g).

        Raises:
            WorkExceeded: it would have to be verified, and there is no more work for that.
        """
        key = (crl.sha256, signer.sha256, strength)
        known = self._signed.get(key)
        if known is None:
            work.take_signature(signer.key)
            known = is_signature_valid(signer.key, crl.signed, strength)
            if len(self._signed) < _REMEMBERED:
                self._signed[key] = known
        return known
