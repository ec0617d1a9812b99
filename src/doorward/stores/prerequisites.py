"""What must stand before anything else can be done: the tenant, its authorities, their keys, a principal.

Not here: making them (founding). Each function returns the thing or refuses with the next step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from doorward.core.errors import NotFound, RequestRefused, Unavailable
from doorward.stores.protocols import Stores
from doorward.stores.records import AuthorityKind, AuthorityRecord, TenantRecord
from doorward.stores.services import Services

if TYPE_CHECKING:
    from doorward.core.entities import Principal, PrincipalKind
    from doorward.core.ports import KeyStore, PrivateKey
    from doorward.stores.partner_records import PartnerRecord


def require_tenant(stores: Stores) -> TenantRecord:
    """Return the tenant; raise `NotFound` (`not-founded`) before the founding."""
    tenant = stores.tenants.get()
    if tenant is None:
        raise NotFound(
            "not-founded", "there is no authority here yet", hint="run `doorward init`, or `doorward up`"
        )
    return tenant


def require_partner(stores: Stores, name: str) -> PartnerRecord:
    """Return the partner of that name; raise `NotFound` (`partner-unknown`, `not-founded`)."""
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
    """Return the principal of that name; `kind` is what the asker takes it for."""
    require_tenant(stores)
    principal = stores.directory.by_name(name)
    if principal is None:
        word = kind.value if kind else "person"
        raise NotFound(
            "principal-unknown",
            f"there is no {kind.value if kind else 'person, device or service'} named {name[:64]}",
            hint=f"`doorward {word} list` shows who there is, `doorward {word} add` adds one",
        )
    if kind not in (None, principal.kind):
        found = principal.kind.value
        raise RequestRefused(
            "principal-kind", f"{name} is a {found}", hint=f"use the command `doorward {found} ...`"
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
            hint="restore the database from a backup: the founding makes all of them at once",
        )
    return authority


def require_keys(services: Services) -> KeyStore:
    """Return the key store; raise `Unavailable` (`keys-unavailable`) in a process that may not sign."""
    if services.keys is None:
        raise Unavailable(
            "keys-unavailable",
            "this process has no access to the signing keys",
            hint="run it where `doorward serve` runs, with the key store's passphrase",
        )
    return services.keys


def load_key(services: Services, authority: AuthorityRecord) -> PrivateKey:
    """Return the private key of an authority certificate.

    Raises:
        Unavailable: `keys-unavailable`.
        NotFound: the key is not in the store (the root's, after it was removed).
    """
    return require_keys(services).load(authority.key_name)


def issuing_chain(stores: Stores, authority_id: str) -> tuple[bytes, ...]:
    """Return the DER of the authority certificates that a leaf's holder presents: without the root."""
    authority = stores.authorities.get(authority_id)
    if authority is None or authority.kind is AuthorityKind.ROOT:
        return ()
    return (authority.der,)
