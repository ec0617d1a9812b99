"""The revisions lead to the schema that the program uses."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, text

from doorward.core.addresses import PRIVATE_NETWORKS, parse_private_networks
from doorward.storage.migrating import upgrade_to
from doorward.storage.schema import metadata
from doorward.storage.schema_versions import HEAD, migrate
from doorward.storage.sqlite.database import SqliteDatabase


def statements(path: Path) -> dict[str, list[str]]:
    """The statement of each table and index, with sorted lines, because the order of constraints has no meaning."""
    with closing(sqlite3.connect(path)) as raw:
        found = raw.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {
        name: sorted(part.strip().rstrip(",") for part in re.split(r"\n", sql))
        for name, sql in found
        if name != "alembic_version"
    }


def test_metadata_and_revisions_agree(tmp_path: Path) -> None:
    """Alembic finds no difference, and neither does the text of any table, check constraints included."""
    database = SqliteDatabase(tmp_path / "migrated.db")
    migrate(database)
    with database.write() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    database.close()
    engine = create_engine(f"sqlite:///{tmp_path / 'direct.db'}")
    metadata.create_all(engine)
    engine.dispose()
    assert statements(tmp_path / "migrated.db") == statements(tmp_path / "direct.db")


def test_a_partner_keeps_its_private_networks(tmp_path: Path) -> None:
    """If private addresses were allowed, every private network is allowed; otherwise none."""
    path = tmp_path / "older.db"
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        upgrade_to(connection, "0001")
        for number in (0, 1):
            connection.execute(
                text(
                    "INSERT INTO partners (id, tenant, name, revocation, max_staleness, refresh, allow_private, "
                    "source, kind, domain, groups, everyone, permitted, excluded, created_at) VALUES "
                    f"('ptn_{number}', 'ten_1', 'p{number}', 'require', 0, 60, {number}, 'email', 'person', '', "
                    "'[]', 0, '[]', '[]', 0)"
                )
            )
        upgrade_to(connection, HEAD)
        rows = connection.execute(
            text("SELECT allow_private, crl_urls, ocsp_urls FROM partners ORDER BY id")
        ).all()
    engine.dispose()
    assert json.loads(rows[0][0]) == []
    assert parse_private_networks(json.loads(rows[1][0])) == tuple(
        sorted(PRIVATE_NETWORKS, key=lambda one: (one.version, int(one.network_address)))
    )
    assert [row[1:] for row in rows] == [("[]", "[]"), ("[]", "[]")]
