"""Delta CRLs: which complete CRL one extends, what it lists, and when it ends.

The rules:
1. A delta extends every complete CRL of its scope that names it, from its base on, until that CRL ends. So its base is the oldest
   one that has not ended, and a relying party that has any of them needs only the delta.
2. A delta stays small: if more certificates than its bound have changed since a base, that base is given up for good. If
   the newest complete CRL is given up, a new one is made. BaseCRLNumber never decreases.
3. It lists each certificate of its scope that changed since its base, as it is now: revoked or held with its reason, or released
   (`removeFromCRL`). A certificate that was held and released in between is listed too: an earlier delta may have held it.
4. Certificates that had ended before the base are left out, as in the next complete CRL (RFC 5280 section 3.3). A release is
   always listed.
5. It ends early, and never after the newest complete CRL.

Not here: which CRLs are due, and their publication (crls), the format (pki.crl).
Standard: RFC 5280 sections 5.2.4, 5.2.6 and 5.3.1.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta

from doorward.authority.status.partitions import division_of, partition_of
from doorward.pki.crl import EntryEncoder, encode_removal
from doorward.stores.records import CrlBase, StatusChange

FEWEST_CHANGES, MOST_CHANGES = 1_000, 10_000
"""A delta of 1,000 entries has 50 KB and takes some milliseconds, so a short CRL is not made again for fewer. Above 10,000 entries,
signing and storing a delta for each revocation would take more than a complete CRL from time to time."""

_PART_OF_BASE = 10
_PART_OF_LIFETIME = 4
_SHORTEST = timedelta(minutes=1)


def bound_of(base: CrlBase) -> int:
    """Return how many certificates may have changed before a complete CRL is made again: a tenth of it, 1,000 to 10,000."""
    return min(MOST_CHANGES, max(FEWEST_CHANGES, base.entries // _PART_OF_BASE))


def choose_base(bases: Sequence[CrlBase], changes: Sequence[StatusChange]) -> CrlBase | None:
    """Return the oldest base since which not too many certificates have changed; None if there is none.

    Args:
        bases: of one scope, oldest first, none that has ended.
        changes: of the same scope since the oldest base, one for each certificate.
    """
    for base in bases:
        if sum(one.seq > base.through_seq for one in changes) <= bound_of(bases[-1]):
            return base
    return None


def divide_changes(changes: Iterable[StatusChange], scopes: Collection[str]) -> dict[str, list[StatusChange]]:
    """Return the changes of each scope, in one pass; of each certificate only the last one."""
    newest = {one.serial: one for one in changes}
    found: dict[str, list[StatusChange]] = {scope: [] for scope in scopes}
    counts = {division_of(scope) for scope in scopes}
    for one in newest.values():
        for count in counts:
            scope = partition_of(one.serial, count)
            if scope in found:
                found[scope].append(one)
    return found


def encode_changes(changes: Iterable[StatusChange], base: CrlBase, now: datetime) -> list[bytes]:
    """Return the entries of a delta in DER.

    Args:
        changes: of the scope of the base, one for each certificate; those before the base are skipped.
        base: the complete CRL with BaseCRLNumber.
        now: thisUpdate of the delta.
    """
    encode = EntryEncoder().encode
    ended = int(base.this_update.timestamp())
    entries = []
    for one in changes:
        if one.seq <= base.through_seq:
            continue
        if not one.is_listed:
            entries.append(encode_removal(one.serial, now))
        elif one.end > ended:
            entries.append(encode(one.serial, one.at, one.reason))
    return entries


def delta_end(now: datetime, lifetime: timedelta, complete_end: datetime) -> datetime:
    """Return nextUpdate of a delta: a quarter of the lifetime of complete CRLs, but not after the newest complete CRL.

    A delta that ends early shows that a relying party is kept from newer ones.
    """
    return min(now + max(lifetime / _PART_OF_LIFETIME, _SHORTEST), complete_end)
