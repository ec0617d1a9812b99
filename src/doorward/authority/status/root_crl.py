"""The root's own revocation list: one full list, which speaks of the issuing authority's certificate.

Whoever asks for the status of every certificate of a path (`openssl verify -crl_check_all`, a partner's
door with `revocation: require`) refuses everybody where there is none. The first is made at the founding.
While the root's key is in the key store `serve` makes the next one when half of its time is over; where
the key is kept offline, a person does with the exported key, which is held for one signature and not stored.

It is always empty: nothing here revokes an issuing authority yet.

Not here: the issuing authority's lists (crls), serving (web.status), export and removal of the key (founding).
Standard: RFC 5280 sections 5.1.2.5, 5.2.3 and 6.3.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from cryptography import x509

from doorward.authority.exported_key import open_export_of
from doorward.authority.status.crls import is_half_over, store_list
from doorward.authority.status.partitions import FULL
from doorward.core.entities import TENANT
from doorward.core.ports import PrivateKey
from doorward.pki.crl import build_crl, sign_crl
from doorward.stores.prerequisites import load_key, require_authority, require_keys
from doorward.stores.protocols import Stores
from doorward.stores.records import AuthorityKind, AuthorityRecord, CrlRecord
from doorward.stores.services import Services

ROOT_LIST_LIFETIME = timedelta(days=365)
"""A key in a safe is fetched once a year and no oftener; the CA/Browser Forum allows twelve months for the
lists that speak of authorities (Baseline Requirements 4.9.7)."""


def publish_root_list(
    services: Services, stores: Stores, root: AuthorityRecord, key: PrivateKey, *, actor: str, now: datetime
) -> CrlRecord:
    """Sign and store the next list of a root, with its event, in the caller's transaction.

    Args:
        services: the ports of this process.
        stores: the caller's transaction.
        root: the root's certificate, stored already.
        key: the root's.
        actor: who acts.
        now: aware, UTC: thisUpdate.

    Raises:
        IntegrityError: `issuer-key-mismatch`.
    """
    head = _head(stores, root)
    record = CrlRecord(
        authority_id=root.id,
        partition=FULL,
        tenant=TENANT,
        number=1 if head is None else head.number + 1,
        der=b"",
        this_update=now,
        next_update=now + ROOT_LIST_LIFETIME,
        through_seq=stores.changes.head(),
    )
    unsigned = build_crl(
        x509.load_der_x509_certificate(root.der),
        (),
        number=record.number,
        this_update=record.this_update,
        next_update=record.next_update,
    )
    signed = replace(record, der=sign_crl(unsigned, key))
    store_list(services, stores, signed, entries=0, actor=actor)
    return signed


def root_list_due(services: Services) -> bool:
    """Say whether this process can and should make the next list: the key is here, half of the time is over.

    Raises:
        NotFound: `not-founded`.
        Unavailable: `keys-unavailable`.
    """
    with services.work.read() as stores:
        root = require_authority(stores, AuthorityKind.ROOT)
        head = _head(stores, root)
    here = root.key_name in require_keys(services).names()
    return here and _is_due(head, services.clock.now())


def renew_root_list(services: Services, *, actor: str) -> CrlRecord | None:
    """Make the next list with the key of the key store; None where another process was quicker.

    Raises:
        NotFound: `not-founded`, or the key was removed.
        Unavailable: `keys-unavailable`.
    """
    now = services.clock.now()
    with services.work.change() as stores:
        root = require_authority(stores, AuthorityKind.ROOT)
        if not _is_due(_head(stores, root), now):
            return None
        return publish_root_list(services, stores, root, load_key(services, root), actor=actor, now=now)


def renew_exported_root_list(
    services: Services, *, exported: bytes, passphrase: bytes, actor: str
) -> CrlRecord:
    """Make the next list with the exported key, whenever it is asked for; the key store is not needed.

    Args:
        services: the ports of this process.
        exported: what `founding.export_root` returned, at most 64 KiB.
        passphrase: what opens it.
        actor: who acts.

    Raises:
        RequestRefused: `export-unreadable`, `export-of-another-key`.
        NotFound: `not-founded`.
    """
    with services.work.read() as stores:
        root = require_authority(stores, AuthorityKind.ROOT)
    hint = "no list was made; name the file that `doorward ca export --root` wrote, and its passphrase"
    # Outside of the transaction: opening takes a good part of a second, on purpose.
    key = open_export_of(root.der, exported, passphrase, hint=hint)
    with services.work.change() as stores:
        return publish_root_list(services, stores, root, key, actor=actor, now=services.clock.now())


def root_list_end(services: Services) -> datetime | None:
    """Return nextUpdate of the newest list of the root; None where there is none, and so no certificate names it.

    Raises:
        NotFound: `not-founded`.
    """
    with services.work.read() as stores:
        head = _head(stores, require_authority(stores, AuthorityKind.ROOT))
    return None if head is None else head.next_update


def _head(stores: Stores, root: AuthorityRecord) -> CrlRecord | None:
    return next(iter(stores.status.crl_heads(root.id)), None)


def _is_due(head: CrlRecord | None, now: datetime) -> bool:
    return head is None or is_half_over(head, now)
