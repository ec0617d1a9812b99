"""The available evidence, indexed: CRLs by issuer, OCSP responses by certificate.

An index never changes; if newer evidence is fetched, a new one is built. Whether the signature of a CRL is valid is
computed once and cached, so that a connection costs only a look-up.

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
    """Sources of which the newest evidence cannot be used.

    Args:
        crl_urls: addresses of CRLs, as certificates name them.
        certificates: SHA-256 (hex) of the certificates that unusable OCSP responses are about.
        any_certificate: whether one of the CRLs may be about any certificate.
    """

    crl_urls: frozenset[str] = frozenset()
    certificates: frozenset[str] = frozenset()
    any_certificate: bool = False


class EvidenceIndex:
    """CRLs and OCSP responses; safe to share between threads.

    Args:
        crls: complete CRLs and deltas, of any issuer.
        responses: SHA-256 of a certificate (hex) -> OCSPResponses in DER about it, newest first.
        recorded: revocations that were recorded before, even if their evidence is gone.
        unusable: see `UnusableSources`.
    """

    def __init__(
        self,
        crls: Iterable[Crl] = (),
        responses: Mapping[str, tuple[bytes, ...]] | None = None,
        *,
        recorded: Iterable[RecordedRevocation] = (),
        unusable: UnusableSources | None = None,
    ) -> None:
        self._recorded = {(one.issuer_key, one.serial): one for one in recorded}
        self._unusable = unusable or UnusableSources()
        self._direct: dict[CanonicalName, tuple[Crl, ...]] = {}
        self._indirect: tuple[Crl, ...] = ()
        for crl in sorted(crls, key=lambda one: (one.this_update, one.number), reverse=True):
            if crl.scope.indirect:
                self._indirect += (crl,)
            else:
                self._direct[crl.issuer] = (*self._direct.get(crl.issuer, ()), crl)
        self._responses = dict(responses or {})
        self._signed: dict[tuple[str, str, Strength], bool] = {}

    def crls_about(self, certificate: PathCertificate) -> tuple[Crl, ...]:
        """Return the CRLs that may be about a certificate, newest first, then the indirect ones.

        An indirect CRL may be about any certificate. The address of a CRL does not matter, because the maker of a
        certificate chooses it.
        """
        return (*self._direct.get(certificate.issuer, ()), *self._indirect)

    def responses_about(self, certificate: PathCertificate) -> tuple[bytes, ...]:
        """Return the OCSP responses about a certificate, newest first."""
        return self._responses.get(certificate.sha256, ())

    def find_recorded(
        self, certificate: PathCertificate, issuer: PathCertificate
    ) -> RecordedRevocation | None:
        """Return the recorded revocation of a certificate, or None."""
        if not self._recorded:
            return None
        return self._recorded.get((hashlib.sha256(issuer.key_bits).hexdigest(), certificate.serial))

    def has_unusable(self, certificate: PathCertificate, issuer: PathCertificate | None = None) -> bool:
        """Return whether the newest evidence about a certificate cannot be used.

        CRLs count if the certificate names their address, or its issuer if one is given (for an anchor's own address).
        """
        unusable = self._unusable
        if unusable.any_certificate or certificate.sha256 in unusable.certificates:
            return True
        named = (certificate,) if issuer is None else (certificate, issuer)
        return bool(unusable.crl_urls) and any(
            url in unusable.crl_urls for one in named for url in crl_urls(one)
        )

    def is_signed(self, crl: Crl, signer: PathCertificate, strength: Strength, work: WorkBudget) -> bool:
        """Return whether a CRL was signed with this key: RFC 5280 section 6.3.3 (g).

        Raises:
            WorkExceeded: the signature is not cached, and the budget is used up.
        """
        key = (crl.sha256, signer.sha256, strength)
        known = self._signed.get(key)
        if known is None:
            work.spend_signature(signer.key)
            known = is_signature_valid(signer.key, crl.signed, strength)
            if len(self._signed) < _REMEMBERED:
                self._signed[key] = known
        return known
