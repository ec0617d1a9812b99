"""What needs SQLAlchemy's Core, imported when it is first used (docs/design/0049, 0060)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from doorward.core.late_imports import import_later

if TYPE_CHECKING:
    from doorward.storage.sqlite import core_view as core_view
    from doorward.storage.sqlite import schema_check as schema_check
else:
    __getattr__ = import_later(
        __name__,
        {
            "core_view": "doorward.storage.sqlite.core_view",
            "schema_check": "doorward.storage.sqlite.schema_check",
        },
    )
