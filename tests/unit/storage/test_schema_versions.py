"""A database comes to the schema of this version, and stays away from a newer one."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

from doorward.core.errors import Unavailable
from doorward.storage.database import Database, sqlite_url
from doorward.storage.schema import metadata
from doorward.storage.schema_versions import HEAD, _config, migrate, require_current


@pytest.fixture
def database(tmp_path: Path) -> Database:
    """A database that is not there yet."""
    return Database(sqlite_url(tmp_path / "db" / "doorward.db"))


def set_revision(database: Database, revision: str) -> None:
    """Pretend that another version was here."""
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = ?", (revision,))


def test_migrating_makes_everything(database: Database) -> None:
    """File, directory and every table are there, and a second time changes nothing."""
    migrate(database)
    migrate(database)
    require_current(database)
    with database.read() as connection:
        names = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'").scalars()
        assert set(metadata.tables) | {"alembic_version"} == set(names)
    database.close()


def test_the_head_is_the_newest_revision() -> None:
    """The constant that the fast path compares is alembic's head, and there is one line of revisions."""
    script = ScriptDirectory.from_config(_config())
    assert script.get_heads() == [HEAD]


def test_a_newer_schema_is_refused(database: Database) -> None:
    """An old program leaves a newer database alone, for reading and for migrating."""
    migrate(database)
    set_revision(database, "9999")
    for act in (migrate, require_current):
        with pytest.raises(Unavailable) as caught:
            act(database)
        assert caught.value.code == "schema-newer"
        assert caught.value.context == {"found": "9999", "wanted": HEAD}
    database.close()


def test_a_file_without_a_schema_is_older(database: Database) -> None:
    """A program does not run on a database that was never migrated."""
    database.create()
    with pytest.raises(Unavailable) as caught:
        require_current(database)
    assert caught.value.code == "schema-older"
    assert caught.value.hint
    database.close()


def test_an_interrupted_migration_leaves_the_old_schema(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All tables are made in one transaction, or none."""

    def fail(connection: object, found: object) -> None:
        upgrade(connection, found)  # type: ignore[arg-type]
        raise KeyError

    from doorward.storage import schema_versions

    upgrade = schema_versions._upgrade
    monkeypatch.setattr(schema_versions, "_upgrade", fail)
    with pytest.raises(KeyError):
        migrate(database)
    database.close()
    assert sqlite3.connect(database.path).execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)


def test_an_older_known_revision_is_older(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A revision that this version knows and has left behind asks for a migration."""
    migrate(database)
    monkeypatch.setattr("doorward.storage.schema_versions.HEAD", "0002")
    with pytest.raises(Unavailable) as caught:
        require_current(database)
    assert (caught.value.code, caught.value.context["found"]) == ("schema-older", "0001")
    database.close()
