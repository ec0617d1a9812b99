"""The CRLs of the issuing authorities: which are due, and their publication.

There is always one full CRL. If the certificates are divided into partitions (`Services.crl_partitions`), there is also
a CRL for each partition. Once a CRL was published, it is always published again, also after the division has
changed, because certificates name it. Certificates name a partition only after its CRL exists (issuing).

If a certificate was revoked, held or released since the full CRL was made, the full CRL and the CRLs of the
certificate's partitions are made again. With `Services.crl_deltas`, only their deltas are made again, and the complete CRLs
name these. Any CRL is made again when half of its lifetime is over, so that a relying party never gets one that
expires soon. All CRLs that are due are made in one read, and become the newest in one transaction. Their bytes are stored before
it, and what they replace is removed after it, in short transactions.

A certificate is listed from its revocation until one CRL after its expiry (RFC 5280 section 3.3). A certificate that
is released from hold is left out of the next complete CRL; in a delta it has the entry `removeFromCRL` (section 5.3.1).

Not here: revoking (revocation), what is read and listed (crl_planning, crl_deltas), signing and storing (crl_signing), the format of a
CRL (pki.crl), the root's CRL (root_crl), serving (web.status).
Standard: RFC 5280 sections 3.3, 5.1.2, 5.2.3 to 5.2.6.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from doorward.authority.status.crl_planning import (
    Planner,
    Published,
    find_changed,
    is_ahead,
    load_published,
)
from doorward.authority.status.crl_signing import CrlSigner, SignedScope, sign_plans, store_scope
from doorward.authority.status.partitions import FULL, delta_of, partition_names
from doorward.core.errors import NotFound
from doorward.core.ports import PrivateKey
from doorward.stores.crl_pieces import PIECE_BYTES, batch_pieces, split_crl
from doorward.stores.prerequisites import load_key, require_authority, require_tenant, trusted_issuers
from doorward.stores.protocols import Stores
from doorward.stores.records import AuthorityKind, AuthorityRecord, CrlRecord
from doorward.stores.services import Services

CRL_PAUSE = timedelta(seconds=10)
"""The shortest time between two CRLs: a CRL of 1,000,000 entries takes 1 to 2 seconds of one core. A delta takes milliseconds,
but each one is an event in the log for ever, and caches keep it for a minute."""


FORGOTTEN_TOGETHER = 5_000
"""Changes that are removed with one publication: some milliseconds, which other changes wait for. More are left for the next."""


def due_crls(services: Services, now: datetime, authority_id: str = "") -> tuple[str, ...]:
    """Return the names of the CRLs of an issuing authority that are due; the full one has the empty name.

    A CRL is due if it does not exist; if half of its lifetime is over; or if one of its certificates was
    revoked, held or released, but at most every 10 seconds. If it names a delta, then that one is due instead. A CRL
    that begins in the future is due too: the clock was ahead when it was made.

    Args:
        services: the ports of this process.
        now: aware, UTC.
        authority_id: the issuing authority; empty for the current one.

    Raises:
        NotFound: `not-founded`, `authority-unknown`.
    """
    with services.work.read() as stores:
        issuing = _require_issuing(stores, authority_id)
        published = load_published(stores, issuing.id, now)
        wanted = {FULL, *partition_names(services.crl_partitions), *published.scopes}
        due: set[str] = set()
        for scope in wanted:
            due |= _find_ending(published, scope, now)
        newest = published.newest(FULL)
        if newest is not None and (now >= newest.this_update + CRL_PAUSE or is_ahead(newest, now)):
            for scope in find_changed(stores, issuing.id, published, wanted):
                due.add(delta_of(scope) if services.crl_deltas and published.is_base(scope) else scope)
    return tuple(sorted(due))


def _find_ending(published: Published, scope: str, now: datetime) -> set[str]:
    """Return which CRLs of a scope are due, whatever was revoked."""
    complete, delta = published.heads.get(scope), published.heads.get(delta_of(scope))
    if complete is None or is_half_over(complete, now) or is_ahead(complete, now):
        return {scope}
    return {delta_of(scope)} if delta and (is_half_over(delta, now) or is_ahead(delta, now)) else set()


def publishing_authorities(services: Services) -> tuple[str, ...]:
    """Return the ids of the issuing authorities that publish CRLs now, the current one first."""
    with services.work.read() as stores:
        return tuple(one.id for one in trusted_issuers(stores))


def publish_crls(
    services: Services,
    names: Collection[str] = (FULL,),
    authority_id: str = "",
    *,
    next_update: datetime | None = None,
) -> dict[str, CrlRecord]:
    """Make and store the next one of each of these CRLs, and those that have to be made with them (crl_planning).

    Args:
        services: the ports of this process.
        names: as `due_crls` returns them.
        authority_id: the issuing authority; empty for the current one.
        next_update: for the last CRLs of an authority: when they end; None for `Services.crl_lifetime`.

    Returns:
        The newest CRL of each name. If another process has stored a newer one meanwhile, the stored ones: nothing was made.

    Raises:
        NotFound: `not-founded`, `authority-unknown`; the authority's key is not in the key store.
        Unavailable: `keys-unavailable`.
    """
    with services.work.read() as stores:
        signer = _load_signer(services, stores, authority_id)
        plans = Planner(services, signer, next_update).plan(stores, names)
    made = list(sign_plans(signer, plans))
    _store_pieces(services, [crl for one in made for crl, _ in one.crls])
    with services.work.change() as stores:
        # Its last CRLs must not be replaced by ones that end soon.
        too_late = next_update is None and _is_retired(stores, signer.issuing.id)
        stored = {} if too_late else _store(services, stores, signer, made)
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
    signer = CrlSigner(
        issuing=issuing,
        key=key,
        status_url=require_tenant(stores).status_url,
        now=now,
        through=stores.changes.head(),
    )
    plans = Planner(services, signer, None).plan_first((FULL, *partition_names(services.crl_partitions)))
    for one in sign_plans(signer, plans):
        store_scope(services, stores, one, actor=actor, now=now)


def is_half_over(crl: CrlRecord, now: datetime) -> bool:
    """Return whether half of a CRL's lifetime is over: the next one should be made now."""
    return now >= crl.this_update + (crl.next_update - crl.this_update) / 2


def _store(
    services: Services, stores: Stores, signer: CrlSigner, made: Collection[SignedScope]
) -> dict[str, CrlRecord]:
    """Store all CRLs, and forget changes that none needs any more; store none if one of the scopes has a newer number.

    What the full CRL covers counts as published in every scope (`find_changed`). If a scope were left to another process that
    read earlier, and the full CRL stored, what came in between would be on neither list of that scope. So all is due again.
    """
    authority_id, now = signer.issuing.id, signer.now
    before = load_published(stores, authority_id, now)
    newest = {one.plan.scope: before.newest(one.plan.scope) for one in made}
    if any((head := newest[one.plan.scope]) is not None and head.number >= one.plan.number for one in made):
        names = [crl.partition for one in made for crl, _ in one.crls]
        found = [stores.status.crl(authority_id, name) for name in names]
        return {one.partition: one for one in found if one is not None}
    for one in made:
        store_scope(services, stores, one, actor="system", now=now)
    full = load_published(stores, authority_id, now).newest(FULL)
    if full is not None:
        # Also for bases that have ended: by the clock of another machine they may not have.
        bases = (one.through_seq for one in stores.deltas.bases(authority_id))
        stores.deltas.forget(authority_id, min((full.through_seq, *bases)), FORGOTTEN_TOGETHER)
    return {crl.partition: crl for one in made for crl, _ in one.crls}


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


def _load_signer(services: Services, stores: Stores, authority_id: str) -> CrlSigner:
    issuing = _require_issuing(stores, authority_id)
    return CrlSigner(
        issuing=issuing,
        key=load_key(services, issuing),
        status_url=require_tenant(stores).status_url,
        now=services.clock.now(),
        through=stores.changes.head(),
    )
