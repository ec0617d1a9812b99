"""Migrating a database to the schema of this version, and refusing a newer schema."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import inspect

from doorward.core.errors import Unavailable
from doorward.storage.migrating import load_script, upgrade_to
from doorward.storage.schema import metadata
from doorward.storage.schema_versions import (
    HEAD,
    REVISIONS,
    is_older,
    migrate,
    require_current,
)
from doorward.storage.sqlite.database import SqliteDatabase
from tests.support.commands import run_python
from tests.support.refusals import refused


@pytest.fixture
def database(tmp_path: Path) -> SqliteDatabase:
    """A database that is not there yet."""
    return SqliteDatabase(tmp_path / "db" / "doorward.db")


def set_revision(database: SqliteDatabase, revision: str) -> None:
    """Pretend that another version was here."""
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = ?", (revision,))


def test_migrating_makes_everything(database: SqliteDatabase) -> None:
    """File, directory and every table are there, and a second time changes nothing."""
    assert migrate(database) == ""
    assert migrate(database) is None
    require_current(database)
    assert not is_older(database)
    with database.read() as connection:
        names = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'").scalars()
        assert set(metadata.tables) | {"alembic_version"} == set(names)
    database.close()


def test_the_revisions_are_those_of_alembic() -> None:
    """The constants that a start compares are alembic's, and there is one line of revisions."""
    script = load_script()
    assert script.get_heads() == [HEAD]
    assert [one.revision for one in script.walk_revisions()][::-1] == list(REVISIONS)


def test_a_newer_schema_is_refused(database: SqliteDatabase) -> None:
    """An old program leaves a newer database alone, for reading and for migrating."""
    migrate(database)
    set_revision(database, "9999")
    for act in (migrate, require_current, is_older):
        with refused(Unavailable, "schema-newer") as caught:
            act(database)
        assert caught.value.context == {"found": "9999", "wanted": HEAD}
    database.close()


def test_a_file_without_a_schema_is_older(database: SqliteDatabase) -> None:
    """A program does not run on a database that was never migrated. There is nothing to back up then."""
    database.create()
    with refused(Unavailable, "schema-older") as caught:
        require_current(database)
    assert "first start" in caught.value.hint
    database.close()


def test_an_interrupted_migration_leaves_the_old_schema(
    database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All tables are made in one transaction, or none."""

    def fail(connection: object, wanted: str) -> None:
        upgrade(connection, wanted)  # type: ignore[arg-type]
        raise KeyError

    from doorward.storage import migrating

    upgrade = migrating.upgrade_to
    monkeypatch.setattr(migrating, "upgrade_to", fail)
    with pytest.raises(KeyError):
        migrate(database)
    database.close()
    with closing(sqlite3.connect(database.path)) as raw:
        assert raw.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)


def test_an_older_known_revision_is_older(database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older known revision needs a migration."""
    migrate(database)
    monkeypatch.setattr("doorward.storage.schema_versions.HEAD", "9999")
    assert is_older(database)
    with pytest.raises(Unavailable) as caught:
        require_current(database)
    assert (caught.value.code, caught.value.context["found"]) == ("schema-older", HEAD)
    assert "doorward init" in caught.value.hint
    database.close()


def test_a_start_knows_an_older_schema_without_alembic(database: SqliteDatabase, tmp_path: Path) -> None:
    """The ordinary user may not read the revisions' files: an older schema is recognised without them."""
    migrate(database)
    database.close()
    code = (
        "import sys; from doorward.storage import schema_versions as v; from doorward.storage.sqlite.database import *\n"
        "from pathlib import Path\n"
        f"v.HEAD = '9999'; database = SqliteDatabase(Path({str(database.path)!r}))\n"
        "try: v.require_current(database)\n"
        "except Exception as error: print(error.code, 'alembic' in sys.modules)\n"
    )
    done = run_python("-c", code)
    assert done.stdout.split() == ["schema-older", "False"], done.stderr


def test_a_running_program_writes_nothing_into_another_schema(database: SqliteDatabase) -> None:
    """A program that opened the database before a migration may change nothing after it; others may."""
    migrate(database)
    require_current(database)
    with database.write():
        pass
    other = SqliteDatabase(database.path)
    with other.write() as connection:  # only data: SQLite's own count of alterations stays as it was
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        other.record_migration(connection)
    other.close()
    for _ in range(2):
        with pytest.raises(Unavailable) as caught, database.write() as connection:
            connection.exec_driver_sql("INSERT INTO event_counts VALUES ('g', 's', 't', '')")
        assert caught.value.code == "schema-newer"
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM event_counts").scalar() == 0
    set_revision(other, HEAD)
    with database.write() as connection:
        connection.exec_driver_sql("INSERT INTO event_counts VALUES ('g', 's', 't', '')")
    other.close()
    database.close()


def test_a_database_of_the_first_revision_is_migrated(database: SqliteDatabase) -> None:
    """A new table needs no new installation: later revisions add their tables, and rows are kept."""
    database.create()
    with database.write() as connection:
        upgrade_to(connection, "0001")
        connection.exec_driver_sql(
            "INSERT INTO evidence (partner_id, kind, source, about, tenant, try_at, sha256, etag, failures, problem, der)"
            " VALUES ('ptn_1', 'crl', 'http://a.example/', '', 'ten_1', 5, 'ab', '', 2, 'slow', X'0102')"
        )
    assert migrate(database) == "0001"
    with database.read() as connection:
        tables = set(inspect(connection).get_table_names())
        row = connection.exec_driver_sql("SELECT problem, unusable, der FROM evidence").one()
        connection.exec_driver_sql("SELECT * FROM revocations_seen")
        indexes = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'index'").scalars()
        assert {"ix_evidence_due", "uq_partners_name_in_use"} <= set(indexes)
    assert {"event_counts", "reserve"} <= tables
    assert not {one for one in tables if one.endswith("_before")}
    assert row == ("slow", 0, b"\x01\x02")


def test_a_revocation_before_the_migration_is_on_the_next_lists(database: SqliteDatabase) -> None:
    """What changed since the full list of a current issuer is noted with its number; what is older, new or not ours is not."""
    database.create()
    with database.write() as connection:
        upgrade_to(connection, "0022")
        for issuer, kind, retired in (("i", "issuing", "NULL"), ("o", "issuing", "5"), ("r", "root", "NULL")):
            connection.exec_driver_sql(
                f"INSERT INTO authorities VALUES ('{issuer}', 't', '{kind}', X'00', 'k', 0, 9, 1, '', {retired}, NULL)"
            )
            connection.exec_driver_sql(
                f"INSERT INTO crls VALUES ('{issuer}', '', 't', 1, 50, 99, 3, CAST('{issuer}' AS BLOB))"
            )
        for number, (issuer, state, created) in enumerate(
            (
                ("i", "revoked", 60),
                ("i", "valid", 40),  # perhaps released
                ("i", "valid", 60),
                ("i", "intended", 60),
                ("o", "revoked", 60),
                ("p", "revoked", 60),
                ("i", "on-hold", 40),
            )
        ):
            connection.exec_driver_sql(
                "INSERT INTO certificates (id, tenant, authority_id, serial, profile, state, not_before, not_after, "
                "created_at, principal_id, subject_name, replaces, spki_sha256, der) "
                f"VALUES ('c{number}', 't', '{issuer}', '{number}', 'person', '{state}', 0, 99, {created}, '', '', '', '', X'00')"
            )
            connection.exec_driver_sql(
                f"INSERT INTO changes VALUES ('t', {number + 4}, 'certificate', 'c{number}', 70)"
            )
        connection.exec_driver_sql(
            "INSERT INTO changes VALUES ('t', 3, 'certificate', 'c0', 20), ('t', 20, 'policy', 'c1', 70)"
        )
    migrate(database)
    with database.read() as connection:
        rows = connection.exec_driver_sql("SELECT * FROM status_changes ORDER BY seq").all()
    assert [tuple(row) for row in rows] == [("t", "i", 4, "0"), ("t", "i", 5, "1"), ("t", "i", 10, "6")]
    database.close()
