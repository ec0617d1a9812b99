"""Modules that need SQLAlchemy Core, imported on first use (docs/design/0049, 0060)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from doorward.core.lazy_imports import import_lazily

if TYPE_CHECKING:
    from doorward.storage.sqlite import core_view as core_view
    from doorward.storage.sqlite import schema_check as schema_check
else:
    __getattr__ = import_lazily(
        __name__,
        {
            "core_view": "doorward.storage.sqlite.core_view",
            "schema_check": "doorward.storage.sqlite.schema_check",
        },
    )
