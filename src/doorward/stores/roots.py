"""Our roots and their cross-certificates; during a rollover of the root there are two roots.

A cross-certificate is stored as a certificate of the root that it certifies (`AuthorityKind.ROOT`), with the root that signed
it as its issuer. It is never the current one. `NewWithOld` is the new root's name and key, signed by the old root.

Not here: making them (authority.rollover.root_preparing), which root is trusted when (authority.rollover.root_moving).
Standard: RFC 4210 section 4.4; RFC 5280 section 3.2.
"""

from __future__ import annotations

from collections.abc import Iterable

from doorward.stores.protocols import Stores
from doorward.stores.records import AuthorityKind, AuthorityRecord


def is_cross(record: AuthorityRecord) -> bool:
    """Return whether a record is a root's certificate by another root."""
    return record.kind is AuthorityKind.ROOT and bool(record.issuer_id)


def trusted_roots(stores: Stores) -> list[AuthorityRecord]:
    """Return our self-signed roots that are trusted, the current one first; more than one during a rollover of the root."""
    every = _trusted(stores.authorities.list())
    return sorted((one for one in every if not one.issuer_id), key=lambda one: not one.current)


def retired_roots(stores: Stores) -> list[AuthorityRecord]:
    """Return our self-signed roots that are trusted no more, the newest first."""
    every = (one for one in stores.authorities.list() if one.kind is AuthorityKind.ROOT)
    return [one for one in every if one.retired_at is not None and not one.issuer_id]


def cross_certificates(stores: Stores) -> list[AuthorityRecord]:
    """Return the cross-certificates between roots that are trusted, the one by the current root first."""
    roots = [one.id for one in trusted_roots(stores)]
    every = (one for one in _trusted(stores.authorities.list()) if one.issuer_id in roots)
    return sorted(every, key=lambda one: roots.index(one.issuer_id))


def cross_certificate_of(stores: Stores, root_id: str) -> AuthorityRecord | None:
    """Return the certificate of this root by the current root; None for the current root itself, and if there is none.

    Relying parties that have only the current root need it to verify what is below the other one.
    """
    current = stores.authorities.current(AuthorityKind.ROOT)
    if current is None or not root_id or root_id == current.id:
        return None
    root = stores.authorities.get(root_id)
    if root is None:
        return None
    found = (one for one in cross_certificates(stores) if one.issuer_id == current.id)
    return next((one for one in found if one.key_name == root.key_name), None)


def _trusted(every: Iterable[AuthorityRecord]) -> Iterable[AuthorityRecord]:
    return (one for one in every if one.kind is AuthorityKind.ROOT and one.retired_at is None)
