"""CRLs in pieces, so that storing a long one never holds the lock of writers for long.

A CRL of 500,000 entries has 24 MB. In one transaction they hold the lock for 0.2 s and more, and a withdrawal would wait. So its pieces
are stored beforehand, a few in each transaction, under the digest of the whole; the transaction that makes it the
newest CRL finds them there (docs/design/0117, 0123).

Not here: making CRLs (`authority.status.crls`), storing the pieces
(`certificate_protocols.StatusStore`, `partner_protocols.EvidenceStore`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

PIECE_BYTES = 256 * 1024
"""64 pages of SQLite: a commit of some milliseconds."""


class CrlPiece(NamedTuple):
    """A part of a CRL: the SHA-256 of the whole in hex, the number of the part from 0, and at most `PIECE_BYTES` of DER."""

    sha256: str
    number: int
    content: bytes


def split_crl(der: bytes) -> list[CrlPiece]:
    """Return the pieces of a CRL; at least one."""
    digest = hashlib.sha256(der).hexdigest()
    starts = range(0, max(len(der), 1), PIECE_BYTES)
    return [CrlPiece(digest, number, der[start : start + PIECE_BYTES]) for number, start in enumerate(starts)]


def count_pieces(der: bytes) -> int:
    """Return how many pieces a CRL has, without computing its digest."""
    return max(1, -(-len(der) // PIECE_BYTES))


def batch_pieces(pieces: Iterable[CrlPiece]) -> Iterator[Sequence[CrlPiece]]:
    """Yield pieces that are stored together: at most `PIECE_BYTES` in all."""
    batch: list[CrlPiece] = []
    size = 0
    for one in pieces:
        if batch and size + len(one.content) > PIECE_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(one)
        size += len(one.content)
    if batch:
        yield batch
