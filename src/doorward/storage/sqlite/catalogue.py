"""`storage.backend.Catalogue` of a SQLite file: usually one digest answers, without loading Core.

Not here: the comparison (`schema_digest`, `schema_check`).
"""

from __future__ import annotations

from typing import Any

from doorward.storage.connection import driver_of
from doorward.storage.sqlite import lazy
from doorward.storage.sqlite.schema_digest import has_this_schema

# `schema_check` names the differences. It compares with the metadata, which needs Core.


class SqliteCatalogue:
    """Compares the schema of a file with that of this program."""

    unchecked = ""

    def has_table(self, connection: Any, name: str) -> bool:
        """Return whether the file has a table of that name."""
        row = driver_of(connection).execute(
            "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (name,)
        )
        return row.fetchone() is not None

    def is_current(self, connection: Any) -> bool:
        """Return whether the file has exactly the schema of this program."""
        return has_this_schema(driver_of(connection))

    def find_faults(self, connection: Any) -> list[str]:
        """Return how the schema differs from the schema of this program, a phrase for each object."""
        return lazy.schema_check.find_schema_faults(connection)

    def find_damage(self, connection: Any) -> list[str]:
        """Return the damage that SQLite finds; SQLite reads every page of the file for this."""
        return lazy.schema_check.find_damage(connection)
