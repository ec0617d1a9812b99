"""What a verifier trusts and knows: anchors, the intermediates that may sign, and who signed whom.

A store never changes; whoever imports or drops an authority makes another. Signatures between its own
certificates, and what each authority breaks by itself, are found out once and remembered. So are the
signatures under the leaves that came last, where they hold: a leaf without one cannot push out those with.
Standard: RFC 5280 section 6.1.1 (d); RFC 5937: an anchor's own constraints hold too.
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
"""Certificates. A bridge with every authority of a country has some hundreds."""
_REMEMBERED = 100_000
LEAF_SIGNATURES = 10_000
"""Of leaves; with their keys some 4 MB."""


class TrustStore:
    """Trust anchors and intermediates; safe to share between threads.

    Args:
        anchors: trusted by decision; a path ends at the first it meets.
        intermediates: known, never trusted by themselves.

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
        """Return whether a path may end here."""
        return certificate.sha256 in self._anchors

    def find_by_subject(self, name: CanonicalName) -> Sequence[PathCertificate]:
        """Return all certificates with this subject, anchors first."""
        return self._by_subject.get(name, ())

    def find_faults(
        self, authority: PathCertificate, inputs: PathInputs
    ) -> tuple[CertificationPathFault, ...]:
        """Return what an authority of this store breaks by itself, its dates left out; found out once."""
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
        """Return what is known of a signature; None where it was never checked."""
        key = (child.sha256, issuer.sha256, strength)
        known = self._signed.get(key)
        return self._leaves.get(key) if known is None else known

    def check_signature(self, child: PathCertificate, issuer: PathCertificate, strength: Strength) -> bool:
        """Return whether `issuer` signed `child`; remember it where both are of this store, or where it holds.

        No signature has part of an octet. The library does not look at the count of unused bits, so that
        one certificate would have several spellings, each with a SHA-256 of its own.
        """
        holds = child.signature_whole and is_signature_valid(issuer.key, child.signed, strength)
        key = (child.sha256, issuer.sha256, strength)
        if child.sha256 not in self._members:
            if holds:
                self._leaves.put(key, holds)
        elif len(self._signed) < _REMEMBERED:
            self._signed[key] = holds
        return holds
