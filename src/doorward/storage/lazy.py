"""Modules that only a migration or a block of events needs, imported on first use (docs/design/0049, 0060)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from doorward.core.lazy_imports import import_lazily

if TYPE_CHECKING:
    from doorward.storage import log_packing as log_packing
    from doorward.storage import migrating as migrating
else:
    __getattr__ = import_lazily(
        __name__,
        {
            "log_packing": "doorward.storage.log_packing",
            "migrating": "doorward.storage.migrating",
        },
    )
