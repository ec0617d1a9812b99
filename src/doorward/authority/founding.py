"""Founding an authority: root, issuing authority and OCSP responder; export and removal of the root's key.

    root-N (10 years) --signs--> issuing-N (5 years) --signs--> ocsp-N (30 days, renewed by itself)

The keys are stored first, then all rows are written in one transaction. After a crash in between there are keys
without a row; no certificate of theirs was published. They are not deleted, and the next founding uses the next free
numbers. Deleting them would destroy an authority if only its database is missing (a wrong path, a restore that was not
made yet).

The root's key is needed again once a year for the root's next CRL (root_crl), and to make another
issuing authority. `export_root` returns it encrypted under a passphrase. `remove_root_key` deletes it, but first opens
that export with its passphrase: a stored flag "was exported" could not tell whether the file is still readable.

Not here: the certificates themselves (issuing), settings, the place of the keys.
Standard: RFC 5280 section 3.2; RFC 6960 section 4.2.2.2; PKCS#8 (RFC 5958) with PBES2 (RFC 8018).
"""

from __future__ import annotations

from datetime import datetime

from cryptography import x509

from doorward.audit.events import EventType
from doorward.authority.exported_key import encrypt_private_key, open_export_of_certificate
from doorward.authority.issuing import certify_issuing, certify_responder, certify_root
from doorward.authority.status.publication import parse_status_url, publication_addresses
from doorward.authority.status.root_crl import publish_root_list
from doorward.core.certificate import CertificateFacts
from doorward.core.entities import TENANT
from doorward.core.errors import NotFound, RequestRefused
from doorward.core.names import COMMON_NAME_LIMIT, parse_trust_domain
from doorward.core.passphrase import check_passphrase
from doorward.core.ports import KeyKind, KeyStore, PrivateKey
from doorward.stores.change_result import ChangeResult
from doorward.stores.events import new_event
from doorward.stores.prerequisites import load_key, require_authority, require_keys, require_tenant
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


def responder_due(services: Services) -> bool:
    """Return whether the OCSP responder's certificate is due for renewal: two thirds of its lifetime are over."""
    with services.work.read() as stores:
        return _is_due(require_authority(stores, AuthorityKind.OCSP_RESPONDER), services.clock.now())


def renew_responder(services: Services, *, actor: str) -> ChangeResult[AuthorityRecord]:
    """Make a new key and certificate for the OCSP responder if they are due; remove the keys of expired responders.

    Responses signed by the old responder stay valid until their nextUpdate: they contain its certificate.

    Returns:
        The current responder; an unchanged one if another process has renewed it already.

    Raises:
        NotFound: `not-founded`.
        Unavailable: `keys-unavailable`.
    """
    keys = require_keys(services)
    now = services.clock.now()
    with services.work.change() as stores:
        tenant = require_tenant(stores)
        present = require_authority(stores, AuthorityKind.OCSP_RESPONDER)
        if not _is_due(present, now):
            return ChangeResult(
                value=present, seq=stores.changes.head(), notes=("the responder is not due yet",)
            )
        issuing = require_authority(stores, AuthorityKind.ISSUING)
        responder = _add_responder(
            services,
            stores,
            keys,
            trust_domain=tenant.trust_domain,
            issuer=x509.load_der_x509_certificate(issuing.der),
            issuer_key=load_key(services, issuing),
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
    key = _load_root_key(services, root)
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
    _load_root_key(services, root)
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
    root_name, root_key = _new_key(services, keys, "root")
    minted = certify_root(
        services, common_name=_common_name(domain, "Root", root_name), key=root_key, now=now
    )
    root = _build_record(services, AuthorityKind.ROOT, minted.facts, root_name, now)
    _add(services, stores, root, minted.facts, actor=actor)
    publish_root_list(services, stores, root, root_key, actor=actor, now=now)

    issuing_name, issuing_key = _new_key(services, keys, "issuing")
    signed = certify_issuing(
        services,
        common_name=_common_name(domain, "Issuing", issuing_name),
        public_key=issuing_key.public_key(),
        root=minted.certificate,
        root_key=root_key,
        addresses=publication_addresses(tenant.status_url, root.id),
        now=now,
    )
    issuing = _build_record(services, AuthorityKind.ISSUING, signed.facts, issuing_name, now)
    _add(services, stores, issuing, signed.facts, actor=actor)

    _add_responder(
        services,
        stores,
        keys,
        trust_domain=domain,
        issuer=signed.certificate,
        issuer_key=issuing_key,
        actor=actor,
        now=now,
    )
    stores.changes.note(ChangeKind.AUTHORITY, issuing.id, now)


def _add_responder(
    services: Services,
    stores: Stores,
    keys: KeyStore,
    *,
    trust_domain: str,
    issuer: x509.Certificate,
    issuer_key: PrivateKey,
    actor: str,
    now: datetime,
) -> AuthorityRecord:
    name, key = _new_key(services, keys, "ocsp")
    minted = certify_responder(
        services,
        common_name=_common_name(trust_domain, "OCSP", name),
        public_key=key.public_key(),
        issuer=issuer,
        issuer_key=issuer_key,
        now=now,
    )
    responder = _build_record(services, AuthorityKind.OCSP_RESPONDER, minted.facts, name, now)
    _add(services, stores, responder, minted.facts, actor=actor)
    return responder


def _new_key(services: Services, keys: KeyStore, word: str) -> tuple[str, PrivateKey]:
    """Make a key and store it under the next number."""
    taken = [int(name.removeprefix(f"{word}-")) for name in keys.names() if _is_numbered(name, word)]
    name = f"{word}-{max(taken, default=0) + 1}"
    key = services.factory.generate(KeyKind.P256)
    keys.store(name, key)
    return name, key


def _is_numbered(name: str, word: str) -> bool:
    return name.startswith(f"{word}-") and name.removeprefix(f"{word}-").isdigit()


def _common_name(trust_domain: str, word: str, key_name: str) -> str:
    """Return a common name that no other certificate of this authority has (RFC 5280 section 4.1.2.6)."""
    tail = f" {word} {key_name.rpartition('-')[2]}"
    return trust_domain[: COMMON_NAME_LIMIT - len(tail)].rstrip(".-") + tail


def _build_record(
    services: Services, kind: AuthorityKind, facts: CertificateFacts, key_name: str, now: datetime
) -> AuthorityRecord:
    return AuthorityRecord(
        id=services.new_id("aut"),
        tenant=TENANT,
        kind=kind,
        der=facts.der,
        key_name=key_name,
        created_at=now,
        not_after=facts.not_after,
        current=True,
    )


def _add(
    services: Services, stores: Stores, authority: AuthorityRecord, facts: CertificateFacts, *, actor: str
) -> None:
    stores.authorities.add(authority)
    event = new_event(
        services,
        EventType.AUTHORITY_CREATED,
        actor=actor,
        at=authority.created_at,
        data={
            "authority": authority.id,
            "kind": authority.kind.value,
            "sha256": facts.sha256,
            "subject": facts.subject,
            "key_kind": facts.key_kind,
            "not_before": facts.not_before,
            "not_after": facts.not_after,
        },
    )
    stores.outbox.add(event)


def _is_due(responder: AuthorityRecord, now: datetime) -> bool:
    return now >= responder.not_after - (responder.not_after - responder.created_at) / 3


def _is_expired_responder(authority: AuthorityRecord, now: datetime) -> bool:
    return (
        authority.kind is AuthorityKind.OCSP_RESPONDER and not authority.current and authority.not_after < now
    )


def _load_root_key(services: Services, root: AuthorityRecord) -> PrivateKey:
    if root.key_name not in require_keys(services).names():
        raise NotFound(
            "root-key-removed",
            "the root's key is not on this machine: it was removed after its export",
            hint="use the file that `doorward ca export --root` wrote",
        )
    return load_key(services, root)
