"""Readings of leaves, kept for a while: whoever connects every day is not parsed every time.

The key is the SHA-256 of the DER, so that the same bytes give the same reading, whoever asks. A reading is
no verdict: dates, state and revocation are judged each time.

Callers keep only certificates that are in the inventory, so that strangers cannot push out those who come
every day; where they could, it would cost time and nothing else.

Not here: what the parsers read (parsing). Without such a memory everything is read anew.
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
"""For each of the two kinds of readings, as estimated below: of plain leaves about twenty thousand of our own
(35 MB), or five thousand of partners."""
LONGEST_LEAF = CERTIFICATE_LIMIT // 4
"""Bytes of DER. The largest honest leaf is shorter; a longer one is read each time."""

# Bytes in memory for a byte of DER, and for each subject alternative name: measured, and rounded up.
_READ_GROWTH, _READ_NAME = 4, 256
_PARTNER_GROWTH, _PARTNER_NAME = 32, 656


class CertificateCache:
    """Readings of leaves; safe to share between threads.

    The same bytes give the same reading, whoever asks. What does not parse is not kept.
    """

    def __init__(self, *, count: int = LEAVES, weight: int = LEAVES_BYTES) -> None:
        self._read = LruCache[bytes, ParsedCertificate](count=count, weight=weight)
        self._partners = LruCache[bytes, PartnerLeaf](count=count, weight=weight)

    def __len__(self) -> int:
        return len(self._read) + len(self._partners)

    def parse(self, der: bytes) -> ParsedCertificate:
        """Return what `parse_certificate` returns; raises what it raises."""

        def weigh(leaf: ParsedCertificate) -> int:
            return _READ_GROWTH * len(der) + _READ_NAME * len(leaf.facts.san)

        return _recall(self._read, der, parse_certificate, weigh)

    def parse_partner(self, der: bytes) -> PartnerLeaf:
        """Return what `parse_partner_leaf` returns; raises what it raises."""

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
