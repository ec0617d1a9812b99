"""What people are told of the roots in a rollover that replaces the root too: in its status, and before a root is given up.

Not here: the rest of a rollover (viewing). Reads only.
"""

from __future__ import annotations

from doorward.authority.rollover.progress import leaving_id, staying_id
from doorward.authority.rollover.root_moving import root_that_leaves
from doorward.stores.authority_protocols import RolloverRecord
from doorward.stores.protocols import Stores
from doorward.stores.records import AuthorityRecord
from doorward.stores.services import Services


def view_roots(stores: Stores, rollover: RolloverRecord) -> tuple[AuthorityRecord, ...]:
    """Return the old and the new root of a rollover that replaces the root; empty for any other."""
    issuing = [stores.authorities.get(one) for one in (rollover.old_id, rollover.new_id) if one]
    found = [stores.authorities.get(one.issuer_id) for one in issuing if one is not None]
    roots = [one for one in found if one is not None]
    return tuple(roots) if len({one.id for one in roots}) > 1 else ()


def warn_of_root(services: Services, rollover: RolloverRecord) -> tuple[str, ...]:
    """Return what happens to a root if the leaving authority is trusted no more; empty if its root stays."""
    with services.work.read() as stores:
        ids = (leaving_id(rollover), staying_id(rollover))
        leaving, staying = (stores.authorities.get(one) if one else None for one in ids)
        if leaving is None or staying is None or not root_that_leaves(leaving, staying):
            return ()
        root = stores.authorities.get(leaving.issuer_id)
        links = len(stores.invitations.open_at(services.clock.now()))
    if root is None:
        return ()
    here = services.keys is not None and root.key_name in services.keys.names()
    end = (
        f"its last revocation list is signed, and the key {root.key_name} is destroyed"
        if here
        else "its key is not here: sign its last list with the export (doorward ca renew-root-list), then destroy that"
    )
    named = (f"{links} open one-time links name it, and end with it",) if links and root.current else ()
    others = f"programs that have only the root {root.key_name} refuse our servers then: give them the other root first"
    return (others, f"the root {root.key_name} ({root.id}) is trusted no more; {end}", *named)
