"""The store Protocols of `stores.protocols` over SQL, one module for each group of them.

Modules that most commands do not need are imported on first use, those that build statements with SQLAlchemy Core before
all (docs/design/0049, 0102).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from doorward.core.lazy_imports import import_lazily

if TYPE_CHECKING:
    from doorward.storage.repositories import authorities as authorities
    from doorward.storage.repositories import certificates as certificates
    from doorward.storage.repositories import deltas as deltas
    from doorward.storage.repositories import evidence as evidence
    from doorward.storage.repositories import fleets as fleets
    from doorward.storage.repositories import gateways as gateways
    from doorward.storage.repositories import manufacturers as manufacturers
    from doorward.storage.repositories import partners as partners
else:
    __getattr__ = import_lazily(
        __name__,
        {
            name: f"{__name__}.{name}"
            for name in (
                "authorities",
                "certificates",
                "deltas",
                "evidence",
                "fleets",
                "gateways",
                "manufacturers",
                "partners",
            )
        },
    )
