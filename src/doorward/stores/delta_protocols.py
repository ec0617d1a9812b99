"""The store Protocol of what delta CRLs are made of: changes of status, and the complete CRLs that may be extended.

Not here: the CRLs themselves, deltas too (`certificate_protocols.StatusStore`).
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from doorward.stores.records import CrlBase, StatusChange


class DeltaStore(Protocol):
    """Changes of status, in the order of the change sequence, and the bases of deltas."""

    def note(self, authority_id: str, seq: int, serial: int) -> None:
        """Note that the certificate of this issuer and serial number was revoked, held or released by the change with this number."""
        ...

    def since(self, authority_id: str, seq: int) -> list[StatusChange]:
        """Return the changes of an issuer's certificates after `seq`, in their order.

        A certificate that changed twice is there twice, both times as it is now. The work grows with the result.
        """
        ...

    def forget(self, authority_id: str, seq: int, most: int) -> None:
        """Remove the oldest changes up to `seq`, which no CRL needs any more, at most so many."""
        ...

    def bases(self, authority_id: str) -> list[CrlBase]:
        """Return the complete CRLs of an issuer that name a delta, by partition and number."""
        ...

    def add_base(self, base: CrlBase) -> None:
        """Add a complete CRL that names a delta."""
        ...

    def drop_bases(self, authority_id: str, partition: str, *, before: int, now: datetime) -> None:
        """Remove the bases of a partition with a smaller number than `before`, and those that have ended."""
        ...

    def end(self, authority_id: str, partition: str) -> None:
        """Remove the delta with this name: no complete CRL names it any more."""
        ...
