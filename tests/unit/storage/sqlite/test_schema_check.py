"""An added, altered or removed object in the file is found, and no change is made then."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from doorward.core.errors import IntegrityError
from doorward.storage.schema_versions import HEAD, require_current
from doorward.storage.sqlite.database import SqliteDatabase
from doorward.storage.sqlite.schema_check import expected_objects, find_damage, find_schema_faults
from doorward.storage.sqlite.schema_digest import FILE_SETTINGS, SCHEMA_SHA256, digest_schema
from tests.support.sql_store import sqlite_database

SWALLOW = (
    "CREATE TRIGGER swallow BEFORE INSERT ON log_outbox WHEN instr(NEW.leaf, 'per_mallory') "
    "BEGIN SELECT RAISE(IGNORE); END"
)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[SqliteDatabase]:
    """A migrated database."""
    made = sqlite_database(tmp_path)
    yield made
    made.close()


def write(database: SqliteDatabase, script: str) -> None:
    """One write by another user with write access to the file."""
    with closing(sqlite3.connect(database.path)) as raw:
        raw.executescript(script)


def rewritten(kind: str, name: str, old: str, new: str) -> str:
    """A statement that changes the text of an object in place, as SQLite's own shell can."""
    old, new = old.replace("'", "''"), new.replace("'", "''")
    return (
        "PRAGMA writable_schema = ON; "
        f"UPDATE sqlite_master SET sql = replace(sql, '{old}', '{new}') WHERE type = '{kind}' AND name = '{name}'; "
        "PRAGMA writable_schema = RESET;"
    )


def test_a_migrated_file_has_no_fault(database: SqliteDatabase) -> None:
    """The migrations make the schema of the metadata."""
    require_current(database)
    with database.read() as connection:
        assert find_schema_faults(connection) == []
        assert find_damage(connection) == []


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (SWALLOW, "trigger 'swallow' does not belong there"),
        ("CREATE TABLE sqlean (x)", "table 'sqlean' does not belong there"),
        ("CREATE VIEW certificates_seen AS SELECT * FROM certificates", "view 'certificates_seen'"),
        ("CREATE INDEX planted ON changes (at)", "index 'planted' does not belong there"),
        ("CREATE UNIQUE INDEX planted ON log_openings (subject)", "index 'planted' does not belong there"),
        ("DROP INDEX uq_principals_name_in_use", "index 'uq_principals_name_in_use' is missing"),
        ("DROP TABLE log_checkpoints", "table 'log_checkpoints' is missing"),
        ("ALTER TABLE certificates ADD COLUMN why TEXT DEFAULT 'x'", "table 'certificates' was altered"),
        ("ALTER TABLE certificates ADD COLUMN v AS (state) VIRTUAL", "table 'certificates' was altered"),
        ("ALTER TABLE changes RENAME COLUMN at TO moment", "table 'changes' was altered"),
        (rewritten("table", "certificates", "'on-hold', ", ""), "table 'certificates' was altered"),
        (
            rewritten("table", "principals", "state TEXT NOT NULL", "state TEXT DEFAULT 'active'"),
            "was altered",
        ),
        (
            "DROP INDEX uq_principals_name_in_use; CREATE INDEX uq_principals_name_in_use ON principals (name)",
            "index 'uq_principals_name_in_use' was altered",
        ),
        (
            "DROP TABLE reserve; CREATE VIEW reserve AS SELECT 1 AS id, x'' AS filler",
            "view 'reserve' does not",
        ),
        ("ANALYZE", "table 'sqlite_stat1' does not belong there"),
        ("PRAGMA application_id = 7", "setting 'application_id' is 7"),
        ("PRAGMA default_cache_size = 1", "setting 'default_cache_size' is 1"),
    ],
)
def test_changes_of_the_schema_are_named(database: SqliteDatabase, script: str, said: str) -> None:
    """Triggers, views, tables, indexes, columns, defaults, checks and settings: one write each."""
    write(database, script)
    with pytest.raises(IntegrityError) as caught:
        require_current(database)
    assert caught.value.code == "schema-altered"
    assert said in caught.value.detail
    assert caught.value.hint


def test_many_differences_are_counted(database: SqliteDatabase) -> None:
    """The message stays short."""
    write(database, "".join(f"CREATE TABLE t{number} (x);" for number in range(9)))
    with pytest.raises(IntegrityError) as caught:
        require_current(database)
    assert "and 4 more" in caught.value.detail


def test_a_running_program_refuses_to_write_after_a_trigger_was_added(database: SqliteDatabase) -> None:
    """The next change after the plant is refused; after its removal, changes go on."""
    require_current(database)
    with database.write():
        pass
    write(database, SWALLOW)
    for _ in range(2):
        with pytest.raises(IntegrityError) as caught, database.write():
            pass
        assert caught.value.code == "schema-altered"
    write(database, "DROP TRIGGER swallow")
    with database.write():
        pass


def test_an_index_that_hides_a_row_is_damage(database: SqliteDatabase) -> None:
    """Text that was put back over an index of fewer rows is found by holding it against its table."""
    row = "INSERT INTO tenants VALUES ('ten_a', 'x', 'y', 1)"
    change = "INSERT INTO changes VALUES ('ten_a', 1, 'policy', 'x', 1); INSERT INTO log_outbox VALUES (1, 'ten_a', 'evt_a', x'00', 0)"
    write(database, f"{row}; {change}")
    write(
        database,
        "PRAGMA writable_schema = ON; CREATE INDEX ix_orders_hidden ON log_outbox (tenant) WHERE id > 1; "
        "UPDATE sqlite_master SET sql = 'CREATE INDEX ix_orders_hidden ON log_outbox (tenant)' "
        "WHERE name = 'ix_orders_hidden'; PRAGMA writable_schema = RESET",
    )
    with database.read() as connection:
        assert any("ix_orders_hidden" in one for one in find_damage(connection))


def test_a_name_cannot_break_a_line(database: SqliteDatabase) -> None:
    """The name of an added trigger is shown without its control characters."""
    write(database, 'CREATE TABLE "x\x1b[2J\n" (y)')
    with pytest.raises(IntegrityError) as caught:
        require_current(database)
    assert "\x1b" not in caught.value.detail
    assert "\n" not in caught.value.detail


def test_a_file_of_another_program_is_not_of_this_schema(tmp_path: Path) -> None:
    """An empty file with the right version number is not accepted as a Doorward database."""
    made = SqliteDatabase(tmp_path / "other.db")
    made.create()
    write(
        made,
        f"CREATE TABLE alembic_version (version_num VARCHAR(32)); INSERT INTO alembic_version VALUES ('{HEAD}')",
    )
    with pytest.raises(IntegrityError):
        require_current(made)
    made.close()


def test_the_digest_is_that_of_the_metadata() -> None:
    """After a migration was added: write the value that this test names into `storage/sqlite/schema_digest.py`."""
    assert digest_schema(expected_objects(), FILE_SETTINGS) == SCHEMA_SHA256
