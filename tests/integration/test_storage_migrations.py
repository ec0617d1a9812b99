"""The revisions lead to the schema that the program uses."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from doorward.storage.database import Database, sqlite_url
from doorward.storage.schema import metadata
from doorward.storage.schema_versions import migrate


def statements(path: Path) -> dict[str, list[str]]:
    """What makes each table and index, its lines sorted: constraints have no order of their own."""
    with closing(sqlite3.connect(path)) as raw:
        found = raw.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {
        name: sorted(part.strip().rstrip(",") for part in re.split(r"\n", sql))
        for name, sql in found
        if name != "alembic_version"
    }


def test_metadata_and_revisions_agree(tmp_path: Path) -> None:
    """Alembic finds no difference, and neither does the text of any table, check constraints included."""
    database = Database(sqlite_url(tmp_path / "migrated.db"))
    migrate(database)
    with database.write() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    database.close()
    engine = create_engine(f"sqlite:///{tmp_path / 'direct.db'}")
    metadata.create_all(engine)
    engine.dispose()
    assert statements(tmp_path / "migrated.db") == statements(tmp_path / "direct.db")
