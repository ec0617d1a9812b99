"""The CRLs of the issuing authorities: which are due, and their publication.

There is always one full CRL. If the certificates are divided into partitions (`Services.crl_partitions`), there is also
a CRL for each partition. Once a CRL was published, it is always published again, also after the division has
changed, because certificates name it. Certificates name a partition only after its CRL exists (issuing).

If a certificate was revoked, held or released since the full CRL was made, the full CRL and the CRLs of the
certificate's partitions are made again. Any CRL is made again when half of its lifetime is over, so that
a relying party never gets one that expires soon. All CRLs that are due are made in one read, and become the
newest in one transaction. Their bytes are stored before it, and what they replace is removed after it, in short transactions.

A certificate is listed from its revocation until one CRL after its expiry (RFC 5280 section 3.3). A certificate that
is released from hold is left out of the next CRL: the entry `removeFromCRL` is for delta CRLs
(section 5.3.1), and there are none.

Not here: revoking (revocation), the format of a CRL (pki.crl), the root's CRL (root_crl), serving (web.status).
Standard: RFC 5280 sections 3.3, 5.1.2, 5.2.3 and 5.2.5.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

from cryptography import x509

from doorward.audit.events import EventType
from doorward.authority.status.partitions import FULL, division_of, partition_names, partition_of
from doorward.authority.status.publication import publication_addresses
from doorward.core.entities import TENANT
from doorward.core.errors import NotFound
from doorward.core.ports import PrivateKey
from doorward.pki.crl import EntryEncoder, build_crl, sign_crl
from doorward.pki.lifecycle import LISTED_STATES
from doorward.stores.crl_pieces import PIECE_BYTES, batch_pieces, split_crl
from doorward.stores.events import new_event
from doorward.stores.prerequisites import load_key, require_authority, require_tenant, trusted_issuers
from doorward.stores.protocols import Stores
from doorward.stores.records import (
    AuthorityKind,
    AuthorityRecord,
    CertificateRecord,
    ChangeKind,
    CrlRecord,
    RevokedRow,
)
from doorward.stores.services import Services

CRL_PAUSE = timedelta(seconds=10)
"""The shortest time between two CRLs: a CRL of 1,000,000 entries takes 1 to 2 seconds of one core."""

_LOOK_BACK = 200
"""Changes that are searched for a revocation; if there are more, every CRL counts as due."""


class _CrlInputs(NamedTuple):
    """The inputs of a batch of CRLs, from one snapshot; `numbers` and `entries` are by the names of the CRLs."""

    issuing: AuthorityRecord
    key: PrivateKey
    status_url: str
    through: int
    numbers: dict[str, int]
    entries: dict[str, list[bytes]]


def due_crls(services: Services, now: datetime, authority_id: str = "") -> tuple[str, ...]:
    """Return the names of the CRLs of an issuing authority that are due; the full one has the empty name.

    A CRL is due if it does not exist; if half of its lifetime is over; or if one of its certificates was
    revoked, held or released, but at most every 10 seconds.

    Args:
        services: the ports of this process.
        now: aware, UTC.
        authority_id: the issuing authority; empty for the current one.

    Raises:
        NotFound: `not-founded`, `authority-unknown`.
    """
    with services.work.read() as stores:
        issuing = _require_issuing(stores, authority_id)
        heads = {one.partition: one for one in stores.status.crl_heads(issuing.id)}
        wanted = {FULL, *partition_names(services.crl_partitions), *heads}
        due = {name for name in wanted if name not in heads or is_half_over(heads[name], now)}
        full = heads.get(FULL)
        if full is not None and now >= full.this_update + CRL_PAUSE:
            due |= _find_changed(stores, full, wanted)
    return tuple(sorted(due))


def publishing_authorities(services: Services) -> tuple[str, ...]:
    """Return the ids of the issuing authorities that publish CRLs now, the current one first."""
    with services.work.read() as stores:
        return tuple(one.id for one in trusted_issuers(stores))


def publish_crls(
    services: Services,
    partitions: Collection[str] = (FULL,),
    authority_id: str = "",
    *,
    next_update: datetime | None = None,
) -> dict[str, CrlRecord]:
    """Make and store the next CRL of each of these partitions.

    Args:
        services: the ports of this process.
        partitions: as `due_crls` returns them.
        authority_id: the issuing authority; empty for the current one.
        next_update: for the last CRLs of an authority: when they end; None for `Services.crl_lifetime`.

    Returns:
        The newest CRL of each partition. If another process has stored a newer one meanwhile, that one.

    Raises:
        NotFound: `not-founded`, `authority-unknown`; the authority's key is not in the key store.
        Unavailable: `keys-unavailable`.
    """
    now = services.clock.now()
    inputs = _load_inputs(services, partitions, authority_id)
    issuer = x509.load_der_x509_certificate(inputs.issuing.der)
    made = []
    for name in tuple(inputs.entries):
        entries = inputs.entries.pop(name)  # not kept while the next ones are made: there may be a million
        record = CrlRecord(
            authority_id=inputs.issuing.id,
            partition=name,
            tenant=TENANT,
            number=inputs.numbers[name],
            der=b"",
            this_update=now,
            next_update=next_update or now + services.crl_lifetime,
            through_seq=inputs.through,
        )
        address = publication_addresses(inputs.status_url, record.authority_id, name).crl
        unsigned = build_crl(
            issuer,
            entries,
            number=record.number,
            this_update=record.this_update,
            next_update=record.next_update,
            distribution_point="" if name == FULL else address,
        )
        size = len(entries)
        del entries
        made.append((replace(record, der=sign_crl(unsigned, inputs.key)), size))
    _store_pieces(services, [record for record, _ in made])
    with services.work.change() as stores:
        newest = {one.partition: one.number for one in stores.status.crl_heads(inputs.issuing.id)}
        stored = {}
        for record, size in made:
            name = record.partition
            if next_update is None and _is_retired(stores, record.authority_id):
                continue  # its last CRL must not be replaced by one that ends soon
            if newest.get(name, 0) < record.number:
                store_list(services, stores, record, entries=size, actor="system")
                stored[name] = record
            else:
                stored[name] = stores.status.crl(record.authority_id, name) or record
    _forget_pieces(services)
    return stored


def _store_pieces(services: Services, crls: Collection[CrlRecord]) -> None:
    """Store long CRLs before the transaction that publishes them, a piece in each transaction, so that no withdrawal waits."""
    if sum(len(one.der) for one in crls) <= PIECE_BYTES:
        return
    for batch in batch_pieces(piece for one in crls for piece in split_crl(one.der)):
        with services.work.change() as stores:
            stores.status.add_crl_pieces(batch)


def _forget_pieces(services: Services) -> None:
    """Remove the CRLs that were replaced, and pieces of one that a killed process did not publish; piece by piece as above."""
    more = True
    while more:
        with services.work.change() as stores:
            more = stores.status.forget_crl_pieces(1) > 0


def publish_first_crls(
    services: Services,
    stores: Stores,
    issuing: AuthorityRecord,
    key: PrivateKey,
    *,
    actor: str,
    now: datetime,
) -> None:
    """Sign and store the first CRLs of a new issuing authority, all empty, in the caller's transaction.

    So they exist before a certificate names them.
    """
    issuer = x509.load_der_x509_certificate(issuing.der)
    status_url = require_tenant(stores).status_url
    for name in (FULL, *partition_names(services.crl_partitions)):
        record = CrlRecord(
            authority_id=issuing.id,
            partition=name,
            tenant=TENANT,
            number=1,
            der=b"",
            this_update=now,
            next_update=now + services.crl_lifetime,
            through_seq=stores.changes.head(),
        )
        unsigned = build_crl(
            issuer,
            (),
            number=record.number,
            this_update=now,
            next_update=record.next_update,
            distribution_point=""
            if name == FULL
            else publication_addresses(status_url, issuing.id, name).crl,
        )
        store_list(services, stores, replace(record, der=sign_crl(unsigned, key)), entries=0, actor=actor)


def is_half_over(crl: CrlRecord, now: datetime) -> bool:
    """Return whether half of a CRL's lifetime is over: the next one should be made now."""
    return now >= crl.this_update + (crl.next_update - crl.this_update) / 2


def _find_changed(stores: Stores, full: CrlRecord, wanted: Collection[str]) -> set[str]:
    """Return the CRLs with a change since the full one was made; all of them if there are too many changes to read."""
    changes = stores.changes.since(full.through_seq, limit=_LOOK_BACK)
    if len(changes) == _LOOK_BACK:
        return set(wanted)
    counts = {division_of(name) for name in wanted}
    changed: set[str] = set()
    for change in changes:
        record = stores.certificates.get(change.subject) if change.kind is ChangeKind.CERTIFICATE else None
        if record is not None and _may_have_changed(record, full):
            changed |= {partition_of(record.serial, count) for count in counts}
    return changed


def _may_have_changed(record: CertificateRecord, full: CrlRecord) -> bool:
    # A valid certificate that is older than the CRL may have been released since then.
    return record.authority_id == full.authority_id and (
        record.state in LISTED_STATES or record.created_at <= full.this_update
    )


def _require_issuing(stores: Stores, authority_id: str) -> AuthorityRecord:
    if not authority_id:
        return require_authority(stores, AuthorityKind.ISSUING)
    found = stores.authorities.get(authority_id)
    if found is None or found.kind is not AuthorityKind.ISSUING:
        raise NotFound("authority-unknown", f"there is no issuing authority {authority_id[:64]} here")
    return found


def _is_retired(stores: Stores, authority_id: str) -> bool:
    found = stores.authorities.get(authority_id)
    return found is not None and found.retired_at is not None


def _load_inputs(services: Services, partitions: Collection[str], authority_id: str) -> _CrlInputs:
    """Load the inputs of all of these CRLs in one read."""
    with services.work.read() as stores:
        issuing = _require_issuing(stores, authority_id)
        key = load_key(services, issuing)
        heads = {one.partition: one for one in stores.status.crl_heads(issuing.id)}
        # A certificate stays listed until a CRL was issued after its expiry (RFC 5280 section 3.3).
        since = {
            name: heads[name].this_update if name in heads else issuing.created_at for name in partitions
        }
        return _CrlInputs(
            issuing=issuing,
            key=key,
            status_url=require_tenant(stores).status_url,
            through=stores.changes.head(),
            numbers={name: heads[name].number + 1 if name in heads else 1 for name in partitions},
            entries=_divide(stores.certificates.revoked(issuing.id, min(since.values())), since),
        )


def _divide(revoked: Iterable[RevokedRow], since: Mapping[str, datetime]) -> dict[str, list[bytes]]:
    """Return the entries of each CRL in DER, in one pass: there may be a million certificates and 256 CRLs.

    An entry is encoded once, and the CRLs share it.
    """
    encode = EntryEncoder().encode
    entries: dict[str, list[bytes]] = {name: [] for name in since}
    after = {name: int(moment.timestamp()) for name, moment in since.items()}
    counts = {division_of(name) for name in since}
    if counts == {1}:  # its own limit was that of the query
        return {FULL: [encode(serial, at, reason) for serial, _, at, reason in revoked]}
    for serial, end, at, reason in revoked:
        entry = b""
        for count in counts:
            name = partition_of(serial, count)
            if name in after and end > after[name]:
                entry = entry or encode(serial, at, reason)
                entries[name].append(entry)
    return entries


def store_list(services: Services, stores: Stores, crl: CrlRecord, *, entries: int, actor: str) -> None:
    """Store a CRL and its event, in the caller's transaction.

    Raises:
        IntegrityError: `crl-number`: its number is not larger than the stored one.
    """
    stores.status.store_crl(crl)
    event = new_event(
        services,
        EventType.CRL_PUBLISHED,
        actor=actor,
        data={
            "authority": crl.authority_id,
            "partition": crl.partition,
            "sha256": hashlib.sha256(crl.der).hexdigest(),
            "number": crl.number,
            "entries": entries,
            "this_update": crl.this_update,
            "next_update": crl.next_update,
        },
    )
    stores.outbox.add(event)
