"""What the steps of a rollover do to the roots, if it replaces the root too.

A root is trusted as long as its issuing authority is (table). The old root stays the current one until it is trusted no more:
then, in the same transaction, the new one becomes the current root. A cross-certificate ends with either of its two roots.

Not here: the steps themselves (moving, leaving), making the root (root_preparing).
Standard: RFC 4210 section 4.4.
"""

from __future__ import annotations

from datetime import datetime

from doorward.core.certificate import RevocationReason
from doorward.stores.protocols import Stores
from doorward.stores.records import AuthorityKind, AuthorityRecord


def retire_root(
    stores: Stores,
    leaving: AuthorityRecord,
    staying: AuthorityRecord,
    now: datetime,
    reason: RevocationReason,
) -> None:
    """Take the trust from the root of an issuing authority that is trusted no more, in the caller's transaction.

    Args:
        stores: the caller's transaction.
        leaving: the issuing authority that is trusted no more.
        staying: the issuing authority that stays; if it has the same root, nothing happens.
        now: aware, UTC.
        reason: what the CRL of a root says of the cross-certificate that it signed.
    """
    root = root_that_leaves(leaving, staying)
    if not root:
        return
    current = stores.authorities.current(AuthorityKind.ROOT)
    if current is None or current.id != staying.issuer_id:
        stores.authorities.make_current(staying.issuer_id)
    gone = stores.authorities.get(root)
    for one in stores.authorities.list():
        # The root itself, its cross-certificates of other roots, and theirs of it.
        theirs = root in (one.id, one.issuer_id) or (gone is not None and one.key_name == gone.key_name)
        if one.kind is AuthorityKind.ROOT and theirs and one.retired_at is None:
            stores.authorities.retire(one.id, now, reason)


def root_that_leaves(leaving: AuthorityRecord, staying: AuthorityRecord) -> str:
    """Return the id of the root that leaves with an issuing authority; empty if both have the same root."""
    return leaving.issuer_id if leaving.issuer_id != staying.issuer_id else ""
