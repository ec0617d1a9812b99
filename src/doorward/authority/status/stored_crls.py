"""Checks that the stored CRLs are those that were signed.

A check reads every CRL, 24 MB with 500,000 entries. So a caller that looks often keeps a `StoredCrls`, which reads a CRL again
only if another one was published, or after ten minutes, because the stored bytes may be damaged at any time.

Not here: whether they are current (published_objects); handing them out, which checks them too (`StatusStore.crl`).
"""

from __future__ import annotations

from doorward.stores.prerequisites import require_authority, trusted_issuers
from doorward.stores.records import AuthorityKind
from doorward.stores.services import Services

AGAIN_SECONDS = 600.0


class StoredCrls:
    """Checks CRLs, and remembers the number of each good one and when it was checked. For one thread."""

    def __init__(self) -> None:
        # Number and moment, by authority and partition.
        self._whole: dict[tuple[str, str], tuple[int, float]] = {}

    def check(self, services: Services) -> None:
        """Return if every CRL of the root and of the trusted issuing authorities is stored as it was signed.

        Raises:
            NotFound: `not-founded`.
            IntegrityError: `crl-damaged`, with what to do.
        """
        now = services.clock.monotonic()
        with services.work.read() as stores:
            root = require_authority(stores, AuthorityKind.ROOT)
            for authority in (root, *trusted_issuers(stores)):
                for head in stores.status.crl_heads(authority.id):
                    number, then = self._whole.get((authority.id, head.partition), (-1, 0.0))
                    if number == head.number and now - then < AGAIN_SECONDS:
                        continue
                    stores.status.check_crl(authority.id, head.partition)
                    self._whole[authority.id, head.partition] = head.number, now
