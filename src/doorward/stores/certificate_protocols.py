"""The store Protocols of certificates, and of what tells their status: CRLs and OCSP responses; `protocols` binds them to one transaction.

Not here: lines of certificates (`line_protocols`), facts about them (`fact_protocols`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from doorward.stores.line_protocols import LineStore

if TYPE_CHECKING:
    from doorward.core.certificate import CertificateState, RevocationReason
    from doorward.stores.crl_pieces import CrlPiece
    from doorward.stores.records import (
        CertificateFilter,
        CertificateRecord,
        CrlRecord,
        OcspRecord,
        RevokedRow,
    )


class CertificateStore(LineStore, Protocol):
    """The inventory of certificates."""

    def add_intended(self, *certificates: CertificateRecord) -> None:
        """Record intents before the authority's key signs; raise `IntegrityError` for a duplicate serial."""
        ...

    def complete(self, *certificates: CertificateRecord) -> None:
        """Turn intents into valid certificates with the digest and the bytes of these records; nothing else of an intent changes.

        Raises:
            NotFound: one was not recorded; the transaction must not be committed then.
            IntegrityError: one was completed before; as above.
        """
        ...

    def add_seen(self, certificate: CertificateRecord) -> bool:
        """Add a partner's certificate; False if its digest, or its issuer and serial, is in the inventory already."""
        ...

    def assign(self, certificate_id: str, principal_id: str, authority_id: str) -> None:
        """Set the principal and the authority of a certificate; raise `NotFound` for an unknown one."""
        ...

    def get(self, certificate_id: str) -> CertificateRecord | None:
        """Return the certificate with this id."""
        ...

    def by_sha256(self, sha256: str) -> CertificateRecord | None:
        """Return the certificate with this digest; every connection asks this, so it uses an index."""
        ...

    def by_serial(self, authority_id: str, serial: int) -> CertificateRecord | None:
        """Return the certificate with this issuer and serial number."""
        ...

    def find(self, prefix: str) -> list[CertificateRecord]:
        """Return at most 2 certificates with an id, serial (hex) or SHA-256 that begins with `prefix`.

        The shortest prefix that a person may type is checked elsewhere (`inventory.SHORTEST_PREFIX`).
        """
        ...

    def set_state(
        self,
        certificate_id: str,
        state: CertificateState,
        *,
        reason: RevocationReason | None,
        revoked_at: datetime | None,
    ) -> None:
        """Set the state; the use case has checked the transition against `pki.lifecycle`."""
        ...

    def revoked(self, authority_id: str, not_after: datetime) -> Iterator[RevokedRow]:
        """Yield revoked and held certificates of an issuer that expire after `not_after`, always in the same order.

        There may be a million, so they are no records.
        """
        ...

    def counts(self) -> Mapping[str, int]:
        """Return the number of certificates by state."""
        ...

    def list(self, wanted: CertificateFilter) -> list[CertificateRecord]:
        """Return those that match, after `wanted.after_id`, in the order of their ids, which is the order of creation."""
        ...


class StatusStore(Protocol):
    """What the status listener serves: CRLs and pre-signed OCSP responses."""

    def crl(self, authority_id: str, partition: str = "") -> CrlRecord | None:
        """Return the newest CRL of this authority and partition; raise `IntegrityError` if it is damaged."""
        ...

    def check_crl(self, authority_id: str, partition: str = "") -> None:
        """Check the newest CRL of this authority and partition, one piece in memory at a time, and raise `IntegrityError` if it is damaged.

        Nothing happens if there is none.
        """
        ...

    def crl_heads(self, authority_id: str) -> list[CrlRecord]:
        """Return the newest CRL of every partition, sorted by name, with an empty `der`, because CRLs are large."""
        ...

    def crl_number(self, authority_id: str, partition: str = "") -> int | None:
        """Return the number of the newest CRL without reading the CRL, which may have megabytes."""
        ...

    def store_crl(self, crl: CrlRecord) -> None:
        """Replace the CRL of its partition; raise `IntegrityError` unless its number grows.

        Its pieces are stored too, unless they were added before.
        """
        ...

    def add_crl_pieces(self, pieces: Sequence[CrlPiece]) -> None:
        """Add pieces of a CRL that is stored later; those that are there already are left."""
        ...

    def forget_crl_pieces(self, most: int) -> int:
        """Remove pieces that belong to no stored CRL, at most so many; return how many."""
        ...

    def ocsp(self, certificate_id: str, hash_name: str) -> OcspRecord | None:
        """Return the pre-signed response."""
        ...

    def store_ocsp(self, *responses: OcspRecord) -> None:
        """Insert or replace pre-signed responses."""
        ...

    def forget_ocsp(self, certificate_id: str) -> None:
        """Remove the pre-signed responses of one certificate; it is not due any more."""
        ...

    def await_ocsp(self, certificate_id: str, since: datetime) -> None:
        """Remove the pre-signed responses of one certificate, and list it as due from `since` on."""
        ...

    def due_ocsp(self, by: datetime, limit: int) -> list[str]:
        """Return at most `limit` ids of certificates with a response that ends by then, or that wait for one since then.

        The certificates that have been due for the longest time come first. The work grows with `limit`, not with the
        inventory.
        """
        ...
