"""Modules that only some commands need of an installation, imported on first use (docs/design/0049, 0060).

Loading SQLAlchemy, the key store or `cryptography` takes longer than most commands. The roles import all of it
before they begin (`preloading`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from doorward.core.lazy_imports import import_lazily

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ed25519 as ed25519

    from doorward.agent import link as link
    from doorward.audit import note as note
    from doorward.authority import founding as founding
    from doorward.authority import gateways as gateways
    from doorward.authority import inventory as inventory
    from doorward.runtime import privileges as privileges
    from doorward.runtime import roles as roles
    from doorward.storage import event_store as event_store
    from doorward.storage import keystore as keystore
    from doorward.storage import passphrase as passphrase
else:
    __getattr__ = import_lazily(
        __name__,
        {
            "ed25519": "cryptography.hazmat.primitives.asymmetric.ed25519",
            "event_store": "doorward.storage.event_store",
            "founding": "doorward.authority.founding",
            "gateways": "doorward.authority.gateways",
            "inventory": "doorward.authority.inventory",
            "keystore": "doorward.storage.keystore",
            "link": "doorward.agent.link",
            "note": "doorward.audit.note",
            "passphrase": "doorward.storage.passphrase",
            "privileges": "doorward.runtime.privileges",
            "roles": "doorward.runtime.roles",
        },
    )
