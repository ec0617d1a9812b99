"""Modules that only a migration needs, imported on first use (docs/design/0049, 0060)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from doorward.core.lazy_imports import import_lazily

if TYPE_CHECKING:
    from doorward.storage import migrating as migrating
else:
    __getattr__ = import_lazily(__name__, {"migrating": "doorward.storage.migrating"})
