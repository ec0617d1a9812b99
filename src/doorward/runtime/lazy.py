"""Modules that only some conditions of an installation need, imported on first use (docs/design/0049, 0060)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from doorward.core.lazy_imports import import_lazily

if TYPE_CHECKING:
    from doorward.policy import document as document
    from doorward.stores import policy_snapshot as policy_snapshot
else:
    __getattr__ = import_lazily(
        __name__,
        {"document": "doorward.policy.document", "policy_snapshot": "doorward.stores.policy_snapshot"},
    )
