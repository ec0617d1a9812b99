"""Founding an authority: root, issuing authority and OCSP responder; export and removal of the root's key.

    root-N (10 years) --signs--> issuing-N (5 years) --signs--> ocsp-N (30 days, renewed by itself)

The keys are stored first, then all rows are written in one transaction. After a crash in between there are keys
without a row; no certificate of theirs was published. They are not deleted, and the next founding uses the next free
numbers. Deleting them would destroy an authority if only its database is missing (a wrong path, a restore that was not
made yet).

The root's key is needed again once a year for the root's next CRL (root_crl), and to make another
issuing authority. `export_root` returns it encrypted under a passphrase. `remove_root_key` deletes it, but first opens
that export with its passphrase: a stored flag "was exported" could not tell whether the file is still readable.

Not here: the certificates themselves (issuing), their keys and records (making), settings, the place of the keys.
Standard: RFC 5280 section 3.2; RFC 6960 section 4.2.2.2; PKCS#8 (RFC 5958) with PBES2 (RFC 8018).
"""

from __future__ import annotations

from datetime import datetime

from doorward.audit.events import EventType
from doorward.authority.exported_key import encrypt_private_key, open_export_of_certificate
from doorward.authority.issuing import certify_issuing, certify_root
from doorward.authority.making import add_authority, add_responder, build_common_name, build_record, new_key
from doorward.authority.status.publication import parse_status_url, publication_addresses
from doorward.authority.status.root_crl import publish_root_list
from doorward.core.entities import TENANT
from doorward.core.errors import NotFound, RequestRefused
from doorward.core.names import parse_trust_domain
from doorward.core.passphrase import check_passphrase
from doorward.core.ports import KeyStore, PrivateKey
from doorward.stores.change_result import ChangeResult
from doorward.stores.events import new_event
from doorward.stores.prerequisites import (
    load_key,
    require_authority,
    require_keys,
    require_tenant,
    trusted_issuers,
)
from doorward.stores.protocols import Stores
from doorward.stores.records import AuthorityKind, AuthorityRecord, ChangeKind, TenantRecord
from doorward.stores.services import Services


def found(services: Services, *, trust_domain: str, status_url: str, actor: str) -> TenantRecord:
    """Found the authority: make its keys and certificates and record them.

    Args:
        services: the ports of this process.
        trust_domain: a DNS name in lower case; it is part of every certificate and cannot be changed.
        status_url: the public address of CRL, OCSP and AIA, http or https; it is part of every certificate.
        actor: who acts.

    Raises:
        RequestRefused: `already-founded`.
        MalformedInput: `trust-domain-malformed`, `status-url-malformed`.
        Unavailable: `keys-unavailable`.
    """
    parse_trust_domain(trust_domain)
    address = parse_status_url(status_url)
    keys = require_keys(services)
    with services.work.change() as stores:
        if stores.tenants.get() is not None:
            raise RequestRefused(
                "already-founded",
                "there is an authority here already",
                hint="to make another authority, give another data directory with --data or DOORWARD_DATA",
            )
        now = services.clock.now()
        tenant = TenantRecord(id=TENANT, trust_domain=trust_domain, status_url=address, created_at=now)
        stores.tenants.add(tenant)
        _found_within(services, stores, keys, tenant, actor=actor)
    return tenant


def due_responders(services: Services) -> tuple[str, ...]:
    """Return the issuing authorities, by id, with an OCSP responder that is due: two thirds of its lifetime are over."""
    now = services.clock.now()
    with services.work.read() as stores:
        require_authority(stores, AuthorityKind.OCSP_RESPONDER)
        return tuple(
            one.id for one in trusted_issuers(stores) if _is_due(stores.authorities.responder(one.id), now)
        )


def renew_responder(services: Services, *, actor: str, issuing_id: str = "") -> ChangeResult[AuthorityRecord]:
    """Make a new key and certificate for the OCSP responder if they are due; remove the keys of expired responders.

    Responses signed by the old responder stay valid until their nextUpdate: they contain its certificate.

    Args:
        services: the ports of this process.
        actor: who acts.
        issuing_id: the issuing authority; empty for the current one.

    Returns:
        The current responder; an unchanged one if another process has renewed it already.

    Raises:
        NotFound: `not-founded`, `authority-unknown`; the issuing authority's key is not in the key store.
        Unavailable: `keys-unavailable`.
    """
    keys = require_keys(services)
    now = services.clock.now()
    with services.work.change() as stores:
        tenant = require_tenant(stores)
        issuing = require_authority(stores, AuthorityKind.ISSUING)
        if issuing_id:
            issuing = _require_trusted(stores, issuing_id)
        present = stores.authorities.responder(issuing.id)
        if present is not None and not _is_due(present, now):
            return ChangeResult(
                value=present, seq=stores.changes.head(), notes=("the responder is not due yet",)
            )
        responder = add_responder(
            services,
            stores,
            keys,
            issuing,
            load_key(services, issuing),
            trust_domain=tenant.trust_domain,
            actor=actor,
            now=now,
        )
        expired = [one for one in stores.authorities.list() if _is_expired_responder(one, now)]
        seq = stores.changes.note(ChangeKind.AUTHORITY, responder.id, now)
    held = set(keys.names())
    for one in expired:
        if one.key_name in held:
            keys.remove(one.key_name)
    return ChangeResult(value=responder, seq=seq)


def export_root(services: Services, *, passphrase: bytes, actor: str) -> bytes:
    """Return the root's private key as encrypted PKCS#8 in PEM.

    Args:
        services: the ports of this process.
        passphrase: as `core.passphrase` requires; it is not stored.
        actor: who acts.

    Raises:
        RequestRefused: `passphrase-short`, `passphrase-long`.
        NotFound: `not-founded`; `root-key-removed`.
        Unavailable: `keys-unavailable`.
    """
    check_passphrase(passphrase)
    with services.work.read() as stores:
        root = require_authority(stores, AuthorityKind.ROOT)
    key = load_root_key(services, root)
    pem = encrypt_private_key(key, passphrase, services.random)
    # The event is stored before the key is returned: no export of the root's key may go unrecorded.
    event = new_event(services, EventType.AUTHORITY_ROOT_EXPORTED, actor=actor, data={"authority": root.id})
    services.work.record([event])
    return pem


def remove_root_key(services: Services, *, exported: bytes, passphrase: bytes, actor: str) -> None:
    """Delete the root's private key, after checking that the export can be opened and holds this key.

    Args:
        services: the ports of this process.
        exported: the result of `export_root`, at most 64 KiB.
        passphrase: the export's passphrase.
        actor: who acts.

    Raises:
        RequestRefused: `export-unreadable`, `export-of-another-key`.
        NotFound: `not-founded`; `root-key-removed`.
        Unavailable: `keys-unavailable`.
    """
    with services.work.read() as stores:
        root = require_authority(stores, AuthorityKind.ROOT)
    load_root_key(services, root)
    hint = "the key was not removed; export it again: doorward ca export --root"
    open_export_of_certificate(root.der, exported, passphrase, hint=hint)
    event = new_event(services, EventType.AUTHORITY_ROOT_REMOVED, actor=actor, data={"authority": root.id})
    services.work.record([event])
    require_keys(services).remove(root.key_name)


def _found_within(
    services: Services, stores: Stores, keys: KeyStore, tenant: TenantRecord, *, actor: str
) -> None:
    """Make and add the three certificates, each signed by the one before, and the root's first CRL."""
    now, domain = tenant.created_at, tenant.trust_domain
    root_name, root_key = new_key(services, stores, keys, "root")
    minted = certify_root(
        services, common_name=build_common_name(domain, "Root", root_name), key=root_key, now=now
    )
    root = build_record(services, AuthorityKind.ROOT, minted.facts, root_name, now=now)
    add_authority(services, stores, root, minted.facts, actor=actor)
    publish_root_list(services, stores, root, root_key, actor=actor, now=now)

    issuing_name, issuing_key = new_key(services, stores, keys, "issuing")
    signed = certify_issuing(
        services,
        common_name=build_common_name(domain, "Issuing", issuing_name),
        public_key=issuing_key.public_key(),
        root=minted.certificate,
        root_key=root_key,
        addresses=publication_addresses(tenant.status_url, root.id),
        now=now,
    )
    issuing = build_record(
        services, AuthorityKind.ISSUING, signed.facts, issuing_name, issuer_id=root.id, now=now
    )
    add_authority(services, stores, issuing, signed.facts, actor=actor)
    add_responder(services, stores, keys, issuing, issuing_key, trust_domain=domain, actor=actor, now=now)
    stores.changes.note(ChangeKind.AUTHORITY, issuing.id, now)


def _require_trusted(stores: Stores, issuing_id: str) -> AuthorityRecord:
    for one in trusted_issuers(stores):
        if one.id == issuing_id:
            return one
    raise NotFound("authority-unknown", f"there is no issuing authority {issuing_id[:64]} that is trusted")


def _is_due(responder: AuthorityRecord | None, now: datetime) -> bool:
    return responder is None or now >= responder.not_after - (responder.not_after - responder.created_at) / 3


def _is_expired_responder(authority: AuthorityRecord, now: datetime) -> bool:
    return (
        authority.kind is AuthorityKind.OCSP_RESPONDER and not authority.current and authority.not_after < now
    )


def load_root_key(services: Services, root: AuthorityRecord) -> PrivateKey:
    """Return the root's private key; raise `NotFound` (`root-key-removed`) if it is not in the key store."""
    if root.key_name not in require_keys(services).names():
        raise NotFound(
            "root-key-removed",
            "the root's key is not on this machine: it was removed after its export",
            hint="use the file that `doorward ca export --root` wrote",
        )
    return load_key(services, root)
