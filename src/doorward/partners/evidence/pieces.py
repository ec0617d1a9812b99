"""Storing a partner's long CRL piece by piece, each in a transaction of some milliseconds, so that no withdrawal waits for it.

Readers never see a part of it: the row names the whole by its SHA-256, and is changed in one transaction after the pieces
are there (docs/design/0123).
Not here: that transaction (fetch_results).
"""

from __future__ import annotations

from doorward.stores.crl_pieces import PIECE_BYTES, batch_pieces, split_crl
from doorward.stores.services import Services


def store_pieces(services: Services, body: bytes) -> None:
    """Store the pieces of a CRL if it is long.

    Raises:
        Unavailable: as a change; the disk may be nearly full, and a long CRL must not use what is reserved for withdrawals.
    """
    if len(body) <= PIECE_BYTES:
        return
    for batch in batch_pieces(split_crl(body)):
        with services.work.change(traffic=True) as stores:
            stores.evidence.add_pieces(batch)


def forget_pieces(services: Services, sha256: str) -> None:
    """Remove the pieces of a CRL unless a row has it."""
    more = True
    while more:
        with services.work.change() as stores:
            more = stores.evidence.forget_pieces(sha256, 1) > 0
