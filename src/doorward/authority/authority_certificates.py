"""The certificates of our own authority, to show and to export. Reads only.

Not here: the root's key (`founding`), partners' authorities (`partners.importing`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cryptography import x509

from doorward.stores.prerequisites import require_authority, trusted_issuers
from doorward.stores.records import AuthorityKind, AuthorityRecord
from doorward.stores.roots import cross_certificates, is_cross, trusted_roots
from doorward.stores.services import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorityCertificate:
    """One certificate of our authority.

    Args:
        record: the stored record.
        subject: RFC 4514 text.
        sha256: of the certificate, hexadecimal.
        is_cross: whether it is a root's certificate by another root.
    """

    record: AuthorityRecord
    subject: str
    sha256: str
    is_cross: bool


def list_authority_certificates(services: Services) -> list[AuthorityCertificate]:
    """Return all certificates of our authority, newest first."""
    with services.work.read() as stores:
        records = stores.authorities.list()
    return [
        AuthorityCertificate(
            record=one,
            subject=x509.load_der_x509_certificate(one.der).subject.rfc4514_string(),
            sha256=hashlib.sha256(one.der).hexdigest(),
            is_cross=is_cross(one),
        )
        for one in records
    ]


def current_authority_certificates(services: Services) -> tuple[bytes, ...]:
    """Return the DER of the trusted roots and of the trusted issuing authorities; empty before the founding.

    The current root comes first, and of the issuing authorities the one that issues now. During a rollover there are two.
    """
    with services.work.read() as stores:
        return tuple(one.der for one in (*trusted_roots(stores), *trusted_issuers(stores)))


def root_bundle(services: Services) -> tuple[bytes, ...]:
    """Return the DER of the trusted roots, the current one first, and of their cross-certificates.

    A client that has one of the roots can see which of the others it may trust: it has signed them.

    Raises:
        NotFound: `not-founded`.

    Standard: RFC 4210 section 4.4.
    """
    with services.work.read() as stores:
        require_authority(stores, AuthorityKind.ROOT)
        return tuple(one.der for one in (*trusted_roots(stores), *cross_certificates(stores)))
