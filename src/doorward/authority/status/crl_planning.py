"""Plans the CRLs of an issuing authority: what is read for them, and what each of them lists, from one snapshot.

Each plan is about one scope: the full CRL or a partition.
1. A scope is planned if the caller names it. If the caller names the full CRL or its delta, every scope with a change since the newest
   of these two is planned too: a change may have come after the caller looked, and would not be looked for later.
2. A complete CRL is made if the caller names it; if there is none that its delta can extend; or if the delta has grown too much. If the
   delta of the full CRL has, all complete CRLs are made.
3. A delta is made with each complete CRL, and alone if the caller names it, as long as a complete CRL that names it has not ended,
   also if deltas were switched off meanwhile. After that a complete CRL is made in its place, and the delta is removed.
4. A CRL that begins later than now was made while a clock was ahead. It is no base, and does not say which certificates have ended.

Not here: when CRLs are due (crls), signing and storing (crl_signing).
Standard: RFC 5280 sections 3.3 and 5.2.4.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from doorward.authority.status.crl_deltas import choose_base, delta_end, divide_changes, encode_changes
from doorward.authority.status.crl_signing import CrlSigner, ScopePlan
from doorward.authority.status.partitions import FULL, delta_of, division_of, is_delta, partition_of, scope_of
from doorward.core.entities import TENANT
from doorward.pki.crl import EntryEncoder
from doorward.stores.protocols import Stores
from doorward.stores.records import CrlBase, CrlRecord, RevokedRow, StatusChange
from doorward.stores.services import Services

AHEAD = timedelta(seconds=10)
"""How much later than now a CRL may begin: the clocks of two machines differ by less (`clock-differs`)."""


def is_ahead(one: CrlRecord | CrlBase, now: datetime) -> bool:
    """Return whether a CRL was made while a clock was ahead: relying parties do not take it yet, so it is made again."""
    return one.this_update > now + AHEAD


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What an issuing authority has published: the heads of its CRLs by name, and the bases that have not ended by scope."""

    heads: Mapping[str, CrlRecord]
    bases: Mapping[str, tuple[CrlBase, ...]]

    @property
    def scopes(self) -> set[str]:
        """The scopes of which there is a CRL."""
        return {scope_of(name) for name in self.heads}

    def newest(self, scope: str) -> CrlRecord | None:
        """Return the head with the largest number of a scope, complete or a delta."""
        found = [self.heads[one] for one in (scope, delta_of(scope)) if one in self.heads]
        return max(found, key=lambda one: one.number, default=None)

    def is_base(self, scope: str) -> bool:
        """Return whether the newest complete CRL of a scope names its delta."""
        head = self.heads.get(scope)
        return head is not None and any(one.number == head.number for one in self.bases.get(scope, ()))


def load_published(stores: Stores, authority_id: str, now: datetime) -> Published:
    """Return what an issuing authority has published."""
    bases: dict[str, tuple[CrlBase, ...]] = {}
    for one in stores.deltas.bases(authority_id):
        if one.next_update > now and not is_ahead(one, now):
            bases[one.partition] = (*bases.get(one.partition, ()), one)
    heads = {one.partition: one for one in stores.status.crl_heads(authority_id)}
    return Published(heads=heads, bases=bases)


def find_changed(
    stores: Stores, authority_id: str, published: Published, scopes: Collection[str]
) -> set[str]:
    """Return which of these scopes have a change since the newest full CRL, or its delta, was made."""
    newest = published.newest(FULL)
    if newest is None:
        return set()
    changes = stores.deltas.since(authority_id, newest.through_seq)
    counts = {division_of(scope) for scope in scopes}
    return {partition_of(one.serial, count) for one in changes for count in counts} & set(scopes)


class Planner:
    """Plans the CRLs of one issuing authority in one snapshot.

    Args:
        services: the ports of this process.
        signer: what the CRLs have in common.
        last: when the last CRLs of an authority end: its own end. They name no delta. None for ordinary ones.
    """

    def __init__(self, services: Services, signer: CrlSigner, last: datetime | None) -> None:
        self._services, self._signer, self._last = services, signer, last
        self._names_delta = services.crl_deltas and last is None
        self._end = last or signer.now + services.crl_lifetime

    def plan(self, stores: Stores, names: Collection[str]) -> list[ScopePlan]:
        """Return the plans for these CRLs, and for those that have to be made with them."""
        issuing = self._signer.issuing
        published = self._without_older(load_published(stores, issuing.id, self._signer.now))
        complete = {name for name in names if not is_delta(name)}
        scopes = {scope_of(name) for name in names}
        if FULL in scopes:
            changed = find_changed(stores, issuing.id, published, published.scopes)
            complete |= {one for one in changed if not (self._names_delta and published.is_base(one))}
            scopes |= changed
        extended = [base for scope in scopes for base in published.bases.get(scope, ())]
        since = min((one.through_seq for one in extended), default=self._signer.through)
        changes = divide_changes(stores.deltas.since(issuing.id, since), scopes)
        chosen = {one: choose_base(published.bases.get(one, ()), changes[one]) for one in scopes}
        if self._names_delta and FULL in scopes and chosen[FULL] is None:
            # One read for all; otherwise their deltas would read the same changes again and again.
            scopes |= published.scopes
            complete, chosen, changes = set(scopes), dict.fromkeys(scopes), divide_changes((), scopes)
        complete |= {one for one in scopes if self._needs_complete(published, one, chosen[one])}
        entries = self._load_entries(stores, published, complete)
        return [
            self._plan_scope(published, scope, entries.get(scope), chosen[scope], changes[scope])
            for scope in sorted(scopes)
        ]

    def _without_older(self, published: Published) -> Published:
        """Leave out the bases of partitions that are older than every base of the full CRL.

        A delta of a partition is read from the changes of the whole issuer since its base. What has become too much for a
        delta of the full CRL is too much to read for each delta of a partition.
        """
        full = published.bases.get(FULL)
        if not full or not self._names_delta:
            return published
        kept = {
            scope: tuple(one for one in bases if one.through_seq >= full[0].through_seq)
            for scope, bases in published.bases.items()
        }
        return replace(published, bases=kept)

    def _needs_complete(self, published: Published, scope: str, chosen: CrlBase | None) -> bool:
        head, bases = published.heads.get(scope), published.bases.get(scope, ())
        grown = chosen is None and self._names_delta
        return head is None or head.next_update <= self._signer.now or not bases or grown

    def _load_entries(
        self, stores: Stores, published: Published, complete: Collection[str]
    ) -> dict[str, list[bytes]]:
        """Return the entries of complete CRLs.

        A certificate stays listed until a complete CRL was issued after its expiry (RFC 5280 section 3.3).
        """
        if not complete:
            return {}
        issuing, heads = self._signer.issuing, published.heads
        since = {
            name: min(heads[name].this_update, self._signer.now) if name in heads else issuing.created_at
            for name in sorted(complete)
        }
        return divide_revoked(stores.certificates.revoked(issuing.id, min(since.values())), since)

    def _plan_scope(
        self,
        published: Published,
        scope: str,
        entries: list[bytes] | None,
        chosen: CrlBase | None,
        changes: list[StatusChange],
    ) -> ScopePlan:
        newest, now = published.newest(scope), self._signer.now
        number = 1 if newest is None else newest.number + 1
        own = None
        if entries is not None and self._names_delta:
            own = self._new_base(scope, number, len(entries))
        # If deltas are off, or for the last time, no newer base will come: the newest is extended, whatever the size.
        base = chosen or own or next(reversed(published.bases.get(scope, ())), None)
        end = self._end if entries is not None else published.heads[scope].next_update
        return ScopePlan(
            scope=scope,
            number=number,
            entries=entries,
            end=end,
            own=own,
            base=base,
            changes=[] if base is None else encode_changes(changes, base, now),
            delta_end=self._last or delta_end(now, self._services.crl_lifetime, end),
        )

    def _new_base(self, scope: str, number: int, size: int) -> CrlBase:
        return CrlBase(
            authority_id=self._signer.issuing.id,
            partition=scope,
            tenant=TENANT,
            number=number,
            this_update=self._signer.now,
            next_update=self._end,
            through_seq=self._signer.through,
            entries=size,
        )

    def plan_first(self, names: Iterable[str]) -> list[ScopePlan]:
        """Return the plans of the first, empty CRLs of a new authority."""
        nothing = Published(heads={}, bases={})
        return [self._plan_scope(nothing, name, [], None, []) for name in names]


def divide_revoked(revoked: Iterable[RevokedRow], since: Mapping[str, datetime]) -> dict[str, list[bytes]]:
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
