"""The inventory of certificates: find, list, count."""

from __future__ import annotations

from collections.abc import Mapping

from doorward.authority.records import AuthorityRecord, CertificateFilter, CertificateRecord
from doorward.authority.services import Services


def find_certificate(services: Services, text: str) -> CertificateRecord:
    """Find by id, serial (hex, colons allowed) or SHA-256, each also by a prefix of at least 6 characters."""
    raise NotImplementedError


def list_certificates(services: Services, wanted: CertificateFilter) -> list[CertificateRecord]:
    raise NotImplementedError


def certificate_counts(services: Services) -> Mapping[str, int]:
    raise NotImplementedError


def chain_of(services: Services, certificate_id: str) -> tuple[bytes, ...]:
    """Return DER certificates, leaf first, without the root."""
    raise NotImplementedError


def list_authorities(services: Services) -> list[AuthorityRecord]:
    raise NotImplementedError


def root_certificate(services: Services) -> AuthorityRecord:
    """Return the current root; `NotFound` (`not-founded`) before the founding."""
    raise NotImplementedError
