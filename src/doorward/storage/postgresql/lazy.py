"""Modules that need SQLAlchemy Core, imported on first use (docs/design/0049, 0060)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from doorward.core.lazy_imports import import_lazily

if TYPE_CHECKING:
    from doorward.storage.postgresql import core_view as core_view
else:
    __getattr__ = import_lazily(__name__, {"core_view": "doorward.storage.postgresql.core_view"})
