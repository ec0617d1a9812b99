"""The trust store: anchors, intermediates, and cached results about their signatures and rules.

A store never changes; if an authority is imported or removed, a new one is built. Whether one of its certificates
signed another, and which rules each authority breaks alone, is computed once and cached. Valid signatures of recent
leaves are cached too. Invalid ones are not, so that they cannot displace valid ones.
Standard: RFC 5280 section 6.1.1 (d); RFC 5937: an anchor's own constraints apply too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from doorward.verification.lru_cache import LruCache
from doorward.verification.path.certificate import PathCertificate
from doorward.verification.path.conformance import PathInputs, check_authority
from doorward.verification.path.names import CanonicalName
from doorward.verification.path.rules import CertificationPathFault
from doorward.verification.path.signatures import Strength, is_signature_valid

STORE_LIMIT = 10_000
"""Certificates. A bridge CA with all authorities of a country has some hundreds."""
_REMEMBERED = 100_000
LEAF_SIGNATURES = 10_000
"""Cached signatures of leaves; with their keys about 4 MB."""


class TrustStore:
    """Trust anchors and intermediates; safe to share between threads.

    Args:
        anchors: trusted by the operator's decision; a path ends at the first anchor.
        intermediates: known, but not trusted by themselves.

    Raises:
        ValueError: more than `STORE_LIMIT` certificates.
    """

    def __init__(
        self, anchors: Iterable[PathCertificate], intermediates: Iterable[PathCertificate] = ()
    ) -> None:
        self._anchors = {one.sha256: one for one in anchors}
        others = {one.sha256: one for one in intermediates if one.sha256 not in self._anchors}
        if len(self._anchors) + len(others) > STORE_LIMIT:
            raise ValueError(f"a store holds at most {STORE_LIMIT} certificates")
        self._by_subject: dict[CanonicalName, list[PathCertificate]] = {}
        for one in (*self._anchors.values(), *others.values()):
            self._by_subject.setdefault(one.subject, []).append(one)
        self._members = self._anchors.keys() | others.keys()
        self._signed: dict[tuple[str, str, Strength], bool] = {}
        self._leaves = LruCache[tuple[str, str, Strength], bool](count=LEAF_SIGNATURES)
        self._faults: dict[tuple[str, PathInputs], tuple[CertificationPathFault, ...]] = {}

    def is_anchor(self, certificate: PathCertificate) -> bool:
        """Return whether a path may end with this certificate."""
        return certificate.sha256 in self._anchors

    def find_by_subject(self, name: CanonicalName) -> Sequence[PathCertificate]:
        """Return all certificates with this subject, anchors first."""
        return self._by_subject.get(name, ())

    def find_faults(
        self, authority: PathCertificate, inputs: PathInputs
    ) -> tuple[CertificationPathFault, ...]:
        """Return the rules that an authority of this store breaks alone, except its dates; cached."""
        key = (authority.sha256, inputs)
        known = self._faults.get(key)
        if known is None:
            known = check_authority(authority, inputs, anchor=self.is_anchor(authority))
            if len(self._faults) < _REMEMBERED:
                self._faults[key] = known
        return known

    def find_checked_signature(
        self, child: PathCertificate, issuer: PathCertificate, strength: Strength
    ) -> bool | None:
        """Return the cached result about a signature; None if it is not cached."""
        key = (child.sha256, issuer.sha256, strength)
        known = self._signed.get(key)
        return self._leaves.get(key) if known is None else known

    def check_signature(self, child: PathCertificate, issuer: PathCertificate, strength: Strength) -> bool:
        """Return whether `issuer` signed `child`; cached if both are in this store, or if it is true.

        A signature must consist of whole octets. The library ignores the count of unused bits, so with a different count one
        certificate would have several encodings, each with its own SHA-256.
        """
        holds = child.signature_whole and is_signature_valid(issuer.key, child.signed, strength)
        key = (child.sha256, issuer.sha256, strength)
        if child.sha256 not in self._members:
            if holds:
                self._leaves.put(key, holds)
        elif len(self._signed) < _REMEMBERED:
            self._signed[key] = holds
        return holds
