"""The root's CRL: one full CRL, which covers the certificates of the issuing authorities.

A relying party that checks every certificate of a path (`openssl verify -crl_check_all`, a partner's
door with `revocation: require`) refuses everybody if this CRL is missing. The first one is made at the founding.
While the root's key is in the key store, `serve` makes the next one when half of its lifetime is over. If
the key is kept offline, a person makes it with the exported key, which is used for one signature and not stored.

It lists each issuing authority that a rollover has retired or withdrawn, with the moment and the reason, until one CRL
after the end of its certificate. So a relying party that looks at this CRL refuses certificates that somebody makes
with a stolen key of such an authority, which are in no inventory. The next CRL is due at once if an authority is missing in it.

Not here: the issuing authority's CRLs (crls), serving (web.status), export and removal of the key (founding).
Standard: RFC 5280 sections 3.3, 5.1.2.5, 5.2.3, 5.3.1 and 6.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from cryptography import x509

from doorward.authority.exported_key import open_export_of_certificate
from doorward.authority.status.crl_signing import store_list
from doorward.authority.status.crls import is_half_over
from doorward.authority.status.partitions import FULL
from doorward.core.certificate import RevocationReason
from doorward.core.entities import TENANT
from doorward.core.errors import RequestRefused
from doorward.core.ports import PrivateKey
from doorward.pki.crl import CrlEntry, build_crl, encode_entries, sign_crl
from doorward.stores.prerequisites import load_key, require_authority, require_keys
from doorward.stores.protocols import Stores
from doorward.stores.records import AuthorityKind, AuthorityRecord, CrlRecord
from doorward.stores.roots import retired_roots, trusted_roots
from doorward.stores.services import Services

ROOT_LIST_LIFETIME = timedelta(days=365)
"""A key in a safe should be needed only once a year. The CA/Browser Forum allows twelve months for
CRLs that cover authorities (Baseline Requirements 4.9.7)."""


MOST_LISTS = 4
"""CRLs of roots that are handed out together; an agent reads as many."""


def publish_root_list(
    services: Services,
    stores: Stores,
    root: AuthorityRecord,
    key: PrivateKey,
    *,
    actor: str,
    now: datetime,
    until: datetime | None = None,
) -> CrlRecord:
    """Sign and store the next CRL of a root, with its event, in the caller's transaction.

    Args:
        services: the ports of this process.
        stores: the caller's transaction.
        root: the root's record, stored already.
        key: the root's private key.
        actor: who acts.
        now: aware, UTC; becomes thisUpdate.
        until: becomes nextUpdate; None for a year from now.

    Raises:
        IntegrityError: `issuer-key-mismatch`.
    """
    head = _head(stores, root)
    entries = _list_retired(stores, root, root.created_at if head is None else head.this_update)
    record = CrlRecord(
        authority_id=root.id,
        partition=FULL,
        tenant=TENANT,
        number=1 if head is None else head.number + 1,
        der=b"",
        this_update=now,
        next_update=now + ROOT_LIST_LIFETIME if until is None else until,
        through_seq=stores.changes.head(),
    )
    unsigned = build_crl(
        x509.load_der_x509_certificate(root.der),
        encode_entries(entries),
        number=record.number,
        this_update=record.this_update,
        next_update=record.next_update,
    )
    signed = replace(record, der=sign_crl(unsigned, key))
    store_list(services, stores, signed, entries=len(entries), actor=actor)
    return signed


def root_list_due(services: Services) -> bool:
    """Return whether this process can and should make the next CRL.

    It has the key, and half of the lifetime is over or a retired authority is missing in the CRL.

    Raises:
        NotFound: `not-founded`.
        Unavailable: `keys-unavailable`.
    """
    with services.work.read() as stores:
        root = require_authority(stores, AuthorityKind.ROOT)
        is_due = _is_due(stores, root, services.clock.now())
    return root.key_name in require_keys(services).names() and is_due


def renew_root_list(services: Services, *, actor: str) -> CrlRecord | None:
    """Make the next CRL with the key in the key store; None if it is not due any more.

    Raises:
        NotFound: `not-founded`, or the key was removed.
        Unavailable: `keys-unavailable`.
    """
    now = services.clock.now()
    with services.work.change() as stores:
        root = require_authority(stores, AuthorityKind.ROOT)
        if not _is_due(stores, root, now):
            return None
        return publish_root_list(services, stores, root, load_key(services, root), actor=actor, now=now)


def renew_exported_root_list(
    services: Services, *, exported: bytes, passphrase: bytes, actor: str
) -> CrlRecord:
    """Make the next CRL with the exported key, due or not; the key store is not needed.

    With the key of a root that has retired it is that root's last one, valid until the root's end.

    Args:
        services: the ports of this process.
        exported: the result of `founding.export_root`, at most 64 KiB.
        passphrase: the export's passphrase.
        actor: who acts.

    Raises:
        RequestRefused: `export-unreadable`, `export-of-another-key`.
        NotFound: `not-founded`.
    """
    with services.work.read() as stores:
        current = require_authority(stores, AuthorityKind.ROOT)
        retired = retired_roots(stores)
    now = services.clock.now()
    hint = "no list was made; give the file that `doorward ca export --root` wrote, and its passphrase"
    # Outside of the transaction: the key derivation takes a good part of a second, on purpose.
    root, key = _open_export(
        [current, *(one for one in retired if one.not_after > now)], exported, passphrase, hint
    )
    until = root.not_after if root.retired_at is not None else None
    with services.work.change() as stores:
        return publish_root_list(services, stores, root, key, actor=actor, now=now, until=until)


def _open_export(
    roots: Sequence[AuthorityRecord], exported: bytes, passphrase: bytes, hint: str
) -> tuple[AuthorityRecord, PrivateKey]:
    """Return the root that the export is of, and its key; the error is that of the first root."""
    first, *more = roots
    try:
        return first, open_export_of_certificate(first.der, exported, passphrase, hint=hint)
    except RequestRefused as refusal:
        if refusal.code != "export-of-another-key":
            raise
        for one in more:
            with suppress(RequestRefused):
                return one, open_export_of_certificate(one.der, exported, passphrase, hint=hint)
        raise


def root_list_end(services: Services) -> datetime | None:
    """Return nextUpdate of the root's newest CRL; None if there is none.

    Raises:
        NotFound: `not-founded`.
    """
    with services.work.read() as stores:
        head = _head(stores, require_authority(stores, AuthorityKind.ROOT))
    return None if head is None else head.next_update


def newest_root_lists(services: Services) -> tuple[bytes, ...]:
    """Return the newest CRL of each trusted root in DER, that of the current root first; then of roots that retired.

    A client drops a root only with the last CRL of that root (docs/design/0089).

    Raises:
        NotFound: `not-founded`.
    """
    with services.work.read() as stores:
        require_authority(stores, AuthorityKind.ROOT)
        gone = [one for one in retired_roots(stores) if one.not_after > services.clock.now()]
        every = (*trusted_roots(stores), *gone)[:MOST_LISTS]
        found = [stores.status.crl(root.id, FULL) for root in every]
    return tuple(crl.der for crl in found if crl is not None)


def unlisted_authorities(services: Services) -> tuple[AuthorityRecord, ...]:
    """Return the retired issuing authorities that have not ended and that the root's newest CRL does not list.

    There are some only if the root's key is offline: then a person signs the list (`renew_exported_root_list`).

    Raises:
        NotFound: `not-founded`.
    """
    with services.work.read() as stores:
        return _find_unlisted(stores, require_authority(stores, AuthorityKind.ROOT), services.clock.now())


def unlisted_by_retired_roots(services: Services) -> tuple[AuthorityRecord, ...]:
    """Return what a root that is trusted no more has signed and its newest CRL does not list.

    There is some only if that root's key is not here: then a person signs its last list (`renew_exported_root_list`).
    """
    now = services.clock.now()
    with services.work.read() as stores:
        roots = [one for one in retired_roots(stores) if one.not_after > now]
        return tuple(found for root in roots for found in _find_unlisted(stores, root, now))


def _find_unlisted(stores: Stores, root: AuthorityRecord, now: datetime) -> tuple[AuthorityRecord, ...]:
    retired = [one for one in retired_below(stores, root) if one.not_after > now]
    crl = stores.status.crl(root.id, FULL) if retired else None
    listed = (
        {one.serial_number for one in x509.load_der_x509_crl(crl.der)} if crl is not None else frozenset()
    )
    return tuple(one for one in retired if serial_of(one) not in listed)


def _list_retired(stores: Stores, root: AuthorityRecord, since: datetime) -> list[CrlEntry]:
    # Until one CRL after its end (RFC 5280 section 3.3); `since` is thisUpdate of the CRL before.
    return [
        CrlEntry(serial_of(one), one.retired_at, one.retired_reason or RevocationReason.UNSPECIFIED)
        for one in retired_below(stores, root)
        if one.retired_at is not None and one.not_after > since
    ]


def retired_below(stores: Stores, root: AuthorityRecord) -> list[AuthorityRecord]:
    """Return what a root has signed and no door trusts any more."""
    # Also a cross-certificate (`stores.roots`): the certificate of a root by another root.
    every = (one for one in stores.authorities.list() if one.kind is not AuthorityKind.OCSP_RESPONDER)
    return [one for one in every if one.issuer_id == root.id and one.retired_at is not None]


def serial_of(authority: AuthorityRecord) -> int:
    """Return the serial number of an authority's certificate."""
    return x509.load_der_x509_certificate(authority.der).serial_number


def _head(stores: Stores, root: AuthorityRecord) -> CrlRecord | None:
    return next(iter(stores.status.crl_heads(root.id)), None)


def _is_due(stores: Stores, root: AuthorityRecord, now: datetime) -> bool:
    head = _head(stores, root)
    return head is None or is_half_over(head, now) or bool(_find_unlisted(stores, root, now))
