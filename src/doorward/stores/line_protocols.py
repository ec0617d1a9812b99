"""Lines of certificates: each certificate with those that were renewed from it, and lines with two holders of keys.

A line begins with a certificate that renews none. Its newest certificate has no successor. If a certificate that has a
successor is renewed once more with another key, two parties have keys of the line: perhaps the device was copied.
Not here: SQL (storage), the rules of renewal (`authority.issuing.renewal`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from doorward.stores.records import CertificateRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class SuspectedClone:
    """A suspicion about a line.

    Args:
        certificate_id: the newest certificate of the line when the suspicion arose.
        tenant: of the certificate.
        shown_id: the older certificate that was to be renewed last.
        first_at: when this happened for the first time.
        last_at: when it happened last.
        told_at: when it was last recorded as an event.
        number: how often it happened.
        untold: how often it happened since the last event.
    """

    certificate_id: str
    tenant: str
    shown_id: str
    first_at: datetime
    last_at: datetime
    told_at: datetime
    number: int = 1
    untold: int = 0


class LineStore(Protocol):
    """What the inventory knows about lines and keys; a part of `stores.certificate_protocols.CertificateStore`."""

    def successors(self, certificate_id: str) -> Sequence[CertificateRecord]:
        """Return the certificates that were renewed from this one, oldest first, intents included."""
        ...

    def has_key(self, spki_sha256: str) -> bool:
        """Return whether a certificate that was ever valid, ours or a partner's, has this key; False for an empty digest.

        An intent does not count: after a crash, a client asks again with the same key.
        """
        ...

    def revoked_keys(self, spki_sha256s: Collection[str]) -> frozenset[str]:
        """Return which of these keys a revoked certificate, ours or a partner's, has; an empty digest is no key."""
        ...

    def renewed_since(self, principal_id: str, since: datetime) -> Sequence[datetime]:
        """Return when each renewal of this principal since then was recorded, oldest first; intents count."""
        ...


class SuspectedCloneStore(Protocol):
    """Suspicions that are not cleared, by the newest certificate of the line."""

    def get(self, certificate_id: str) -> SuspectedClone | None:
        """Return the suspicion about the line of this newest certificate."""
        ...

    def save(self, suspicion: SuspectedClone) -> None:
        """Insert or replace the suspicion of its certificate."""
        ...

    def remove(self, certificate_id: str) -> bool:
        """Remove it; False if there was none."""
        ...

    def list(self, limit: int = 100) -> Sequence[SuspectedClone]:
        """Return the suspicions, those that happened last first."""
        ...

    def count(self) -> int:
        """Return how many there are."""
        ...


class LineStores(Protocol):
    """The stores of this file, as part of `stores.protocols.Stores`."""

    @property
    def suspected_clones(self) -> SuspectedCloneStore:
        """Lines with two holders of keys."""
        ...
