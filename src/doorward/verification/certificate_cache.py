"""A cache of parsed leaf certificates, so that a certificate that connects often is not parsed each time.

The key is the SHA-256 of the DER, so equal bytes give an equal result. Verdicts are not cached: dates, state and
revocation are judged each time.

Callers cache only certificates that are in the inventory, so that strangers cannot displace the certificates of
regular users. If they could, the only cost would be time.

Not here: the parsers (parsing). Without a cache each certificate is parsed each time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from doorward.verification.lru_cache import LruCache, V
from doorward.verification.parsing import (
    CERTIFICATE_LIMIT,
    ParsedCertificate,
    PartnerLeaf,
    parse_certificate,
    parse_partner_leaf,
)

LEAVES = 20_000
LEAVES_BYTES = 64 * 1024 * 1024
"""For each of the two kinds of parsed certificates, as estimated below: about twenty thousand plain leaves of our own
(35 MB), or five thousand leaves of partners."""
LONGEST_LEAF = CERTIFICATE_LIMIT // 4
"""Bytes of DER. The largest honest leaf is shorter; a longer one is parsed each time."""

# Bytes of memory for each byte of DER, and for each subject alternative name: measured, and rounded up.
_READ_GROWTH, _READ_NAME = 4, 256
_PARTNER_GROWTH, _PARTNER_NAME = 32, 656


class CertificateCache:
    """Parsed leaf certificates; safe to share between threads.

    Certificates that do not parse are not cached.
    """

    def __init__(self, *, count: int = LEAVES, weight: int = LEAVES_BYTES) -> None:
        self._read = LruCache[bytes, ParsedCertificate](count=count, weight=weight)
        self._partners = LruCache[bytes, PartnerLeaf](count=count, weight=weight)

    def __len__(self) -> int:
        return len(self._read) + len(self._partners)

    def parse(self, der: bytes) -> ParsedCertificate:
        """Return the result of `parse_certificate`; raises the same errors."""

        def weigh(leaf: ParsedCertificate) -> int:
            return _READ_GROWTH * len(der) + _READ_NAME * len(leaf.facts.san)

        return _recall(self._read, der, parse_certificate, weigh)

    def parse_partner(self, der: bytes) -> PartnerLeaf:
        """Return the result of `parse_partner_leaf`; raises the same errors."""

        def weigh(leaf: PartnerLeaf) -> int:
            return _PARTNER_GROWTH * len(der) + _PARTNER_NAME * len(leaf.path.names)

        return _recall(self._partners, der, parse_partner_leaf, weigh)


def _recall(
    kept: LruCache[bytes, V], der: bytes, parse: Callable[[bytes], V], weigh: Callable[[V], int]
) -> V:
    if len(der) > LONGEST_LEAF:
        return parse(der)
    key = hashlib.sha256(der).digest()
    value = kept.get(key)
    if value is None:
        value = parse(der)
        kept.put(key, value, weigh(value))
    return value
