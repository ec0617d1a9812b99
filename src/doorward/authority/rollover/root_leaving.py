"""The end of a root that is trusted no more: its last CRL, and its key.

1. The last CRL is signed, valid until the root's own end, because none can be signed later. Relying parties that still have only
   this root see in it what is below the root and is trusted no more.
2. The caller destroys the key. If the key is not in the key store (exported, or a backup of the database was restored after it
   was destroyed), the CRL of the database stays, and its nextUpdate is the end of that.

Not here: how the trust is taken away (root_moving), the issuing authority below the root (leaving).
Standard: RFC 5280 sections 3.3 and 5.1.2.5.
"""

from __future__ import annotations

from doorward.authority.status.partitions import FULL
from doorward.authority.status.root_crl import publish_root_list
from doorward.stores.prerequisites import load_key, require_keys
from doorward.stores.records import AuthorityKind, AuthorityRecord
from doorward.stores.services import Services


def leave_root(services: Services, issuing: AuthorityRecord, *, actor: str) -> str:
    """Sign the last CRL of the root of a retired issuing authority, if that root is trusted no more; safe to repeat.

    Returns:
        The name of the root's key, which is to be destroyed; empty if the root stays.

    Raises:
        Unavailable: `keys-unavailable`.
    """
    names = require_keys(services).names()
    now = services.clock.now()
    with services.work.read() as stores:
        root = stores.authorities.get(issuing.issuer_id)
    if root is None or root.kind is not AuthorityKind.ROOT or root.retired_at is None:
        return ""
    if root.key_name not in names or root.not_after <= now:
        return root.key_name
    with services.work.change() as stores:
        head = next((one for one in stores.status.crl_heads(root.id) if one.partition == FULL), None)
        # In the root's last year, the CRL from before the retirement ends after the root. It does not list what retires now.
        if head is None or head.next_update != root.not_after:
            key = load_key(services, root)
            publish_root_list(services, stores, root, key, actor=actor, now=now, until=root.not_after)
    return root.key_name
