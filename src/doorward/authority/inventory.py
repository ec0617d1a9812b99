"""The inventory of certificates and authorities: find, list, count. Reads only.

Not here: changing a certificate (revocation, issuing).
"""

from __future__ import annotations

from collections.abc import Mapping

from doorward.core.errors import NotFound, RequestRefused
from doorward.stores.prerequisites import issuing_chain, require_authority
from doorward.stores.protocols import Stores
from doorward.stores.records import AuthorityKind, AuthorityRecord, CertificateFilter, CertificateRecord
from doorward.stores.services import Services

SHORTEST_PREFIX = 6
"""Characters of a prefix; a shorter one is more often a typing error. Git's short hashes have 7."""


def find_certificate(services: Services, text: str) -> CertificateRecord:
    """Return the one certificate that a person means.

    Args:
        services: the ports of this process.
        text: its id, serial (hex) or SHA-256, complete or at least the first 6 characters; colons,
            spaces and upper case are accepted, because other tools print them.

    Raises:
        RequestRefused: `certificate-text-too-short`, `certificate-ambiguous`.
        NotFound: `certificate-unknown`.
    """
    with services.work.read() as stores:
        return find_within(stores, text)


def find_with_chain(services: Services, text: str) -> tuple[CertificateRecord, tuple[bytes, ...]]:
    """Return the certificate that a person means, and its chain as `chain_of` does; raises as `find_certificate`."""
    with services.work.read() as stores:
        record = find_within(stores, text)
        return record, (record.der, *issuing_chain(stores, record.authority_id))


def find_within(stores: Stores, text: str) -> CertificateRecord:
    """Return the one certificate that a person means; as `find_certificate`, in the caller's transaction."""
    prefix = "".join(text.lower().split()).replace(":", "")
    if len(prefix) < SHORTEST_PREFIX:
        raise RequestRefused(
            "certificate-text-too-short",
            f"'{text[:64]}' names no certificate: at least {SHORTEST_PREFIX} characters are needed",
            hint="give the first characters of its id, serial or SHA-256; `doorward cert list` and `cert list --of NAME` show ids",
        )
    found = stores.certificates.find(prefix)
    if len(found) > 1:
        # A complete id, serial or digest is never ambiguous, even if a longer one begins with it.
        found = [one for one in found if prefix in (one.id, f"{one.serial:x}", one.sha256)] or found
    if not found:
        raise NotFound(
            "certificate-unknown",
            f"no certificate has an id, serial or SHA-256 that begins with {prefix[:64]}",
            hint="`doorward cert list` shows all of them",
        )
    if len(found) > 1:
        raise RequestRefused(
            "certificate-ambiguous",
            f"more than one certificate begins with {prefix[:64]}, such as {found[0].id} and {found[1].id}",
            hint="give more characters",
        )
    return found[0]


def require_certificate(stores: Stores, certificate_id: str) -> CertificateRecord:
    """Return the certificate with this id; raise `NotFound` (`certificate-unknown`)."""
    record = stores.certificates.get(certificate_id)
    if record is None:
        raise NotFound(
            "certificate-unknown",
            f"there is no certificate {certificate_id[:64]}",
            hint="`doorward cert list` shows all of them",
        )
    return record


def list_certificates(services: Services, wanted: CertificateFilter) -> list[CertificateRecord]:
    """Return one page of certificates, oldest first."""
    with services.work.read() as stores:
        return stores.certificates.list(wanted)


def certificate_counts(services: Services) -> Mapping[str, int]:
    """Return the number of certificates by state."""
    with services.work.read() as stores:
        return stores.certificates.counts()


def chain_of(services: Services, certificate_id: str) -> tuple[bytes, ...]:
    """Return DER certificates, leaf first, without the root; raise `NotFound` (`certificate-unknown`)."""
    with services.work.read() as stores:
        record = require_certificate(stores, certificate_id)
        return (record.der, *issuing_chain(stores, record.authority_id))


def list_authorities(services: Services) -> list[AuthorityRecord]:
    """Return all our own authority certificates, newest first."""
    with services.work.read() as stores:
        return stores.authorities.list()


def root_certificate(services: Services) -> AuthorityRecord:
    """Return the current root; raise `NotFound` (`not-founded`)."""
    with services.work.read() as stores:
        return require_authority(stores, AuthorityKind.ROOT)
