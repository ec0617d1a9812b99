"""The founding of an authority: root, issuing authority, OCSP responder; and the root key's leave."""

from __future__ import annotations

from doorward.authority.done import Done
from doorward.authority.records import AuthorityRecord, TenantRecord
from doorward.authority.services import Services


def found(services: Services, *, trust_domain: str, status_url: str, actor: str) -> TenantRecord:
    raise NotImplementedError


def responder_due(services: Services) -> bool:
    """Say whether the OCSP responder's certificate should be renewed now (two thirds of its life are over)."""
    raise NotImplementedError


def renew_responder(services: Services, *, actor: str) -> Done[AuthorityRecord]:
    raise NotImplementedError


def export_root(services: Services, *, passphrase: bytes, actor: str) -> bytes:
    """Return the root's private key as encrypted PKCS#8 in PEM."""
    raise NotImplementedError


def remove_root_key(services: Services, *, exported: bytes, passphrase: bytes, actor: str) -> None:
    """Delete the root's private key; the export and its passphrase prove that it is kept elsewhere."""
    raise NotImplementedError
