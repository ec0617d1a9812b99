"""Preparing a rollover of the root: a new root, a new issuing authority below it, and the cross-certificates.

    root-1 --signs--> NewWithOld (name and key of root-2)      for relying parties that have only the old root
    root-2 --signs--> OldWithNew (name and key of root-1)      for relying parties that have only the new root
    root-2 --signs--> issuing-2 (5 years)

Keys are made first. Then one transaction stores the four certificates, the first CRLs of the new root and of the new issuing
authority, its OCSP responder and the rollover. The further steps are those of any rollover (table); what they do to the roots
is in `root_moving`. The old root stays the current one until it retires: links and older clients name it.

Not here: a rollover below the same root (preparing).
Standard: RFC 4210 section 4.4; RFC 5280 sections 3.2 and 4.2.1.9.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from doorward.authority.exported_key import open_export_of_certificate
from doorward.authority.founding import load_root_key
from doorward.authority.issuing import certify_cross, certify_issuing, certify_root
from doorward.authority.making import add_authority, build_common_name, build_record, new_key
from doorward.authority.rollover.moving import rollover_event
from doorward.authority.rollover.preparing import add_next_authority
from doorward.authority.rollover.schedule import DEFAULT_WINDOW
from doorward.authority.rollover.table import RolloverStep, check_step
from doorward.authority.status.publication import publication_addresses
from doorward.authority.status.root_crl import publish_root_list
from doorward.core.certificate import CertificateFacts
from doorward.core.entities import TENANT
from doorward.core.errors import RequestRefused
from doorward.core.ports import PrivateKey
from doorward.stores.authority_protocols import RolloverRecord, RolloverState
from doorward.stores.change_result import ChangeResult
from doorward.stores.prerequisites import require_authority, require_keys, require_tenant
from doorward.stores.protocols import Stores
from doorward.stores.records import AuthorityKind, AuthorityRecord, ChangeKind, TenantRecord
from doorward.stores.services import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class _NextRoot:
    """Everything that was made for the new root, before anything is stored."""

    root: AuthorityRecord
    root_key: PrivateKey
    root_facts: CertificateFacts
    crosses: tuple[tuple[AuthorityRecord, CertificateFacts], ...]
    issuing: CertificateFacts
    issuing_name: str
    issuing_key: PrivateKey


def prepare_root(
    services: Services, *, actor: str, exported: bytes = b"", passphrase: bytes = b""
) -> ChangeResult[RolloverRecord]:
    """Begin a rollover of the root: make the next root and the next issuing authority; both old and new are trusted.

    Args:
        services: the ports of this process, with keys.
        actor: who acts.
        exported: the present root's exported key; empty if its key is in the key store.
        passphrase: of the export.

    Raises:
        NotFound: `not-founded`; `root-key-removed`.
        RequestRefused: `rollover-step-refused`; `root-cannot-certify-root`: the present root may certify no root;
            `export-unreadable`, `export-of-another-key`.
        Unavailable: `keys-unavailable`.
    """
    require_keys(services)
    with services.work.read() as stores:
        tenant = require_tenant(stores)
        old = require_authority(stores, AuthorityKind.ROOT)
        going = stores.rollovers.open()
        begun = going is not None and is_of_root(stores, going)
    if going is not None and going.state is RolloverState.PREPARED and begun:
        return ChangeResult(value=going, seq=going.seq, notes=("the rollover is prepared already",))
    check_step(going.state if going else None, RolloverStep.PREPARE)
    _require_room(old)
    if exported:
        hint = "nothing was changed; give the file that `doorward ca export --root` wrote, and its passphrase"
        old_key = open_export_of_certificate(old.der, exported, passphrase, hint=hint)
    else:
        old_key = load_root_key(services, old)
    now = services.clock.now()
    made = _make(services, tenant, old, old_key, now)
    with services.work.change() as stores:
        former = require_authority(stores, AuthorityKind.ISSUING)
        issuing = _store(services, stores, made, former, actor=actor, now=now)
        rollover = RolloverRecord(
            id=services.new_id("rol"),
            tenant=TENANT,
            state=RolloverState.PREPARED,
            old_id=former.id,
            new_id=issuing.id,
            key_name=made.issuing_name,
            request=b"",
            began_at=now,
            moved_at=now,
            seq=stores.changes.note(ChangeKind.AUTHORITY, issuing.id, now),
            window=DEFAULT_WINDOW,
        )
        stores.rollovers.add(rollover)
        stores.outbox.add(rollover_event(services, rollover, actor=actor, now=now))
    return ChangeResult(value=rollover, seq=rollover.seq)


def is_of_root(stores: Stores, rollover: RolloverRecord) -> bool:
    """Return whether a rollover replaces the root too: its two issuing authorities are below different roots."""
    found = [stores.authorities.get(one) for one in (rollover.old_id, rollover.new_id) if one]
    return len({one.issuer_id for one in found if one is not None}) > 1


def _require_room(old: AuthorityRecord) -> None:
    """Refuse a root with a path length that leaves no room for another root and its issuing authority."""
    certificate = x509.load_der_x509_certificate(old.der)
    found = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length
    if found is not None and found <= 1:
        raise RequestRefused(
            "root-cannot-certify-root",
            f"the root's path length {found} permits no other root below it, so no cross-certificate can be made",
            hint="found another installation with the new root, and enrol there (docs/how-to/replace-the-root.md)",
        )


def _make(
    services: Services, tenant: TenantRecord, old: AuthorityRecord, old_key: PrivateKey, now: datetime
) -> _NextRoot:
    keys = require_keys(services)
    with services.work.read() as stores:
        root_name, root_key = new_key(services, stores, keys, "root")
        issuing_name, issuing_key = new_key(services, stores, keys, "issuing")
    domain, above = tenant.trust_domain, x509.load_der_x509_certificate(old.der)
    minted = certify_root(
        services, common_name=build_common_name(domain, "Root", root_name), key=root_key, now=now
    )
    root = build_record(services, AuthorityKind.ROOT, minted.facts, root_name, now=now, current=False)
    addresses = publication_addresses(tenant.status_url, root.id)
    new_with_old = certify_cross(
        services,
        root=minted.certificate,
        issuer=above,
        issuer_key=old_key,
        addresses=publication_addresses(tenant.status_url, old.id),
        now=now,
    )
    old_with_new = certify_cross(
        services, root=above, issuer=minted.certificate, issuer_key=root_key, addresses=addresses, now=now
    )
    issuing = certify_issuing(
        services,
        common_name=build_common_name(domain, "Issuing", issuing_name),
        public_key=issuing_key.public_key(),
        root=minted.certificate,
        root_key=root_key,
        addresses=addresses,
        now=now,
    )

    return _NextRoot(
        root=root,
        root_key=root_key,
        root_facts=minted.facts,
        crosses=(
            (_cross(services, new_with_old.facts, root_name, old, now), new_with_old.facts),
            (_cross(services, old_with_new.facts, old.key_name, root, now), old_with_new.facts),
        ),
        issuing=issuing.facts,
        issuing_name=issuing_name,
        issuing_key=issuing_key,
    )


def _cross(
    services: Services, facts: CertificateFacts, key_name: str, by: AuthorityRecord, now: datetime
) -> AuthorityRecord:
    kind = AuthorityKind.ROOT
    return build_record(services, kind, facts, key_name, now=now, issuer_id=by.id, current=False)


def _store(
    services: Services, stores: Stores, made: _NextRoot, former: AuthorityRecord, *, actor: str, now: datetime
) -> AuthorityRecord:
    """Add everything in the caller's transaction; return the new issuing authority."""
    add_authority(services, stores, made.root, made.root_facts, actor=actor)
    for record, facts in made.crosses:
        add_authority(services, stores, record, facts, actor=actor)
    publish_root_list(services, stores, made.root, made.root_key, actor=actor, now=now)
    return add_next_authority(
        services,
        stores,
        made.issuing,
        root=made.root,
        old=former,
        key_name=made.issuing_name,
        key=made.issuing_key,
        actor=actor,
        now=now,
    )
