"""Preparing a rollover: the new issuing authority, with everything that relying parties will need of it.

The new authority gets its key first. Then one transaction stores its certificate, its OCSP responder, its first CRLs and
the rollover: nothing can name a CRL or a responder that does not exist. After a crash before that transaction there are keys
without a row; no certificate of theirs was published.

Not here: a root that is elsewhere (ceremony), the further steps (moving).
Standard: RFC 5280 sections 4.2.1.1, 4.2.1.2 and 4.2.1.9.
"""

from __future__ import annotations

from datetime import datetime

from cryptography import x509

from doorward.authority.exported_key import open_export_of_certificate
from doorward.authority.founding import load_root_key
from doorward.authority.issuing import certify_issuing
from doorward.authority.making import add_authority, add_responder, build_common_name, build_record, new_key
from doorward.authority.rollover.moving import rollover_event
from doorward.authority.rollover.schedule import DEFAULT_WINDOW
from doorward.authority.rollover.table import RolloverStep, check_step
from doorward.authority.status.crls import publish_first_crls
from doorward.authority.status.publication import publication_addresses
from doorward.core.certificate import CertificateFacts
from doorward.core.entities import TENANT
from doorward.core.errors import RequestRefused
from doorward.core.ports import PrivateKey
from doorward.stores.authority_protocols import RolloverRecord, RolloverState
from doorward.stores.change_result import ChangeResult
from doorward.stores.prerequisites import require_authority, require_keys, require_tenant
from doorward.stores.protocols import Stores
from doorward.stores.records import AuthorityKind, AuthorityRecord, ChangeKind
from doorward.stores.services import Services


def prepare(
    services: Services, *, actor: str, exported: bytes = b"", passphrase: bytes = b""
) -> ChangeResult[RolloverRecord]:
    """Begin a rollover: make the next issuing authority, which every door trusts from now on.

    Args:
        services: the ports of this process, with keys.
        actor: who acts.
        exported: the root's exported key; empty if the root's key is in the key store.
        passphrase: of the export.

    Raises:
        NotFound: `not-founded`; `root-key-removed`.
        RequestRefused: `rollover-step-refused`; `root-ends-soon`; `export-unreadable`, `export-of-another-key`.
        Unavailable: `keys-unavailable`.
    """
    keys = require_keys(services)
    with services.work.read() as stores:
        tenant = require_tenant(stores)
        root = require_authority(stores, AuthorityKind.ROOT)
        going = stores.rollovers.open()
    if going is not None and going.state is RolloverState.PREPARED:
        return ChangeResult(value=going, seq=going.seq, notes=("the rollover is prepared already",))
    check_step(going.state if going else None, RolloverStep.PREPARE)
    if exported:
        hint = "nothing was changed; give the file that `doorward ca export --root` wrote, and its passphrase"
        root_key = open_export_of_certificate(root.der, exported, passphrase, hint=hint)
    else:
        root_key = load_root_key(services, root)
    now = services.clock.now()
    with services.work.read() as stores:
        name, key = new_key(services, stores, keys, "issuing")
    signed = certify_issuing(
        services,
        common_name=build_common_name(tenant.trust_domain, "Issuing", name),
        public_key=key.public_key(),
        root=x509.load_der_x509_certificate(root.der),
        root_key=root_key,
        addresses=publication_addresses(tenant.status_url, root.id),
        now=now,
    )
    with services.work.change() as stores:
        old = require_authority(stores, AuthorityKind.ISSUING)
        authority = add_next_authority(
            services,
            stores,
            signed.facts,
            root=root,
            old=old,
            key_name=name,
            key=key,
            actor=actor,
            now=now,
        )
        rollover = RolloverRecord(
            id=services.new_id("rol"),
            tenant=TENANT,
            state=RolloverState.PREPARED,
            old_id=old.id,
            new_id=authority.id,
            key_name=name,
            request=b"",
            began_at=now,
            moved_at=now,
            seq=stores.changes.note(ChangeKind.AUTHORITY, authority.id, now),
            window=DEFAULT_WINDOW,
        )
        stores.rollovers.add(rollover)
        stores.outbox.add(rollover_event(services, rollover, actor=actor, now=now))
    return ChangeResult(value=rollover, seq=rollover.seq)


def add_next_authority(
    services: Services,
    stores: Stores,
    facts: CertificateFacts,
    *,
    root: AuthorityRecord,
    old: AuthorityRecord,
    key_name: str,
    key: PrivateKey,
    actor: str,
    now: datetime,
) -> AuthorityRecord:
    """Add the new authority, its OCSP responder and its first CRLs, in the caller's transaction; it does not issue yet.

    Raises:
        RequestRefused: `root-ends-soon`: the new authority would end before the old one.
    """
    if facts.not_after < old.not_after:
        raise RequestRefused(
            "root-ends-soon",
            f"the new authority would end {facts.not_after:%Y-%m-%d}, before the present one: "
            "no authority outlives the root that signs it",
            hint="replace the root too: doorward ca rotate prepare --root",
        )
    tenant = require_tenant(stores)
    authority = build_record(
        services, AuthorityKind.ISSUING, facts, key_name, now=now, issuer_id=root.id, current=False
    )
    add_authority(services, stores, authority, facts, actor=actor)
    add_responder(
        services,
        stores,
        require_keys(services),
        authority,
        key,
        trust_domain=tenant.trust_domain,
        actor=actor,
        now=now,
    )
    publish_first_crls(services, stores, authority, key, actor=actor, now=now)
    return authority
