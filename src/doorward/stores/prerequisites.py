"""Checks at the start of a use case: the tenant, an authority, its key, a partner or a principal must exist.

Each function returns the record, or raises an error with the next step as its hint. Not here: making them (founding).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from doorward.core.errors import NotFound, RequestRefused, Unavailable
from doorward.stores.authority_protocols import RolloverState
from doorward.stores.protocols import Stores
from doorward.stores.records import AuthorityKind, AuthorityRecord, TenantRecord
from doorward.stores.roots import cross_certificate_of
from doorward.stores.services import Services

if TYPE_CHECKING:
    from doorward.core.entities import Principal, PrincipalKind
    from doorward.core.ports import KeyStore, PrivateKey
    from doorward.stores.partner_records import PartnerRecord


def require_tenant(stores: Stores) -> TenantRecord:
    """Return the tenant; raise `NotFound` (`not-founded`) if the authority was not founded yet."""
    tenant = stores.tenants.get()
    if tenant is None:
        raise NotFound(
            "not-founded",
            "there is no authority here yet",
            hint="run `doorward init` or `doorward up`; after `init --root-offline`: doorward ca install CERTIFICATE --root ROOT",
        )
    return tenant


def require_partner(stores: Stores, name: str) -> PartnerRecord:
    """Return the partner with this name; raise `NotFound` (`partner-unknown`, `not-founded`)."""
    require_tenant(stores)
    partner = stores.partners.by_name(name)
    if partner is None:
        raise NotFound(
            "partner-unknown",
            f"no partner named {name[:64]} is trusted",
            hint="`doorward ca list` names them, `doorward ca import` adds one",
        )
    return partner


def require_principal(stores: Stores, name: str, kind: PrincipalKind | None = None) -> Principal:
    """Return the principal with this name; refuse if it is of another `kind` than the caller expects.

    Raises:
        NotFound: `principal-unknown`, `not-founded`.
        RequestRefused: `principal-kind`.
    """
    require_tenant(stores)
    principal = stores.directory.by_name(name)
    if principal is None:
        word = kind.value if kind else "person"
        raise NotFound(
            "principal-unknown",
            f"there is no {kind.value if kind else 'person, device or service'} named {name[:64]}",
            hint=f"`doorward {word} list` shows all names, `doorward {word} add` adds one",
        )
    if kind not in (None, principal.kind):
        found = principal.kind.value
        raise RequestRefused(
            "principal-kind", f"{name} is a {found}", hint=f"use `doorward {found} ...` instead"
        )
    return principal


def require_authority(stores: Stores, kind: AuthorityKind) -> AuthorityRecord:
    """Return the current authority certificate of a kind; raise `NotFound` (`not-founded`)."""
    require_tenant(stores)
    authority = stores.authorities.current(kind)
    if authority is None:
        raise NotFound(
            "not-founded",
            f"there is no {kind.value} certificate",
            hint="restore the database from a backup: `doorward init` makes all authority certificates at once",
        )
    return authority


def trusted_issuers(stores: Stores) -> list[AuthorityRecord]:
    """Return our issuing authorities that doors trust, the current one first; more than one during a rollover."""
    every = (one for one in stores.authorities.list() if one.kind is AuthorityKind.ISSUING)
    return sorted((one for one in every if one.retired_at is None), key=lambda one: not one.current)


def replaced_issuer(stores: Stores) -> str:
    """Return the id of the issuing authority with certificates that a rollover issues again now; empty if there is none."""
    rollover = stores.rollovers.open()
    if rollover is None:
        return ""
    return {RolloverState.DRAINING: rollover.old_id, RolloverState.REVERTING: rollover.new_id}.get(
        rollover.state, ""
    )


def require_keys(services: Services) -> KeyStore:
    """Return the key store; raise `Unavailable` (`keys-unavailable`) in a process that may not sign."""
    if services.keys is None:
        raise Unavailable(
            "keys-unavailable",
            "this process has no access to the signing keys",
            hint="run the command where `doorward serve` runs, with the key store's passphrase",
        )
    return services.keys


def load_key(services: Services, authority: AuthorityRecord) -> PrivateKey:
    """Return the private key of an authority certificate.

    Raises:
        Unavailable: `keys-unavailable`.
        NotFound: the key is not in the key store, for example the root's key after `remove_root_key`.
    """
    return require_keys(services).load(authority.key_name)


def issuing_chain(stores: Stores, authority_id: str) -> tuple[bytes, ...]:
    """Return the DER of the authority certificates that the holder of a leaf sends with it; the root is left out.

    During a rollover of the root, what is below the new root is sent with its cross-certificate by the old one.
    """
    authority = stores.authorities.get(authority_id)
    if authority is None or authority.kind is AuthorityKind.ROOT:
        return ()
    cross = cross_certificate_of(stores, authority.issuer_id)
    return (authority.der,) if cross is None else (authority.der, cross.der)
