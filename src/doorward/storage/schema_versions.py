"""Bringing a database to the schema of this version, and refusing a database with another schema.

Not here: the schema itself (`schema`; `tests/integration/test_storage_migrations.py` compares it with the
migrations). Each revision is one module in `migrations/versions`; it is never edited after its release.

All migrations run in one transaction, so a crash leaves the old schema. Only `doorward init` runs them
(docs/design/0024). A process that opened the database before a migration cannot write after it: see
`require_current`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from doorward.core.errors import IntegrityError, Unavailable
from doorward.storage import lazy
from doorward.storage.backend import Catalogue, Database
from doorward.storage.connection import driver_of

REVISIONS = (
    "0001",
    "0002",
    "0003",
    "0004",
    "0005",
    "0006",
    "0007",
    "0008",
    "0009",
    "0010",
    "0011",
    "0012",
    "0013",
    "0014",
    "0015",
    "0016",
    "0019",
    "0018",
    "0020",
    "0021",
    "0022",
    "0023",
    "0024",
    "0025",
)
"""Every revision, oldest first, so that Doorward recognises an older schema at start without reading the migrations.

A new revision must run on every kind of database. It changes the digests in `sqlite.schema_digest` and
`postgresql.catalogue`; the tests of both print the new digest."""

HEAD = REVISIONS[-1]
"""The revision that this version of Doorward reads and writes."""

MAX_NAMED_FAULTS = 5
"""An error names at most this many differences."""


def migrate(database: Database) -> str | None:
    """Migrate the database to `HEAD`; an empty database gets its tables.

    Returns:
        The previous revision, empty if there was none; None if the database was at `HEAD` already.

    Raises:
        Unavailable: `schema-newer` if a newer Doorward has migrated the database; and every error of `Database.write`.
    """
    database.create()
    with database.write() as connection:
        found = _revision(database.catalogue, connection)
        if found == HEAD:
            return None
        if found is not None and found not in REVISIONS:
            raise _newer(found)
        lazy.migrating.upgrade_to(connection, HEAD)
        database.record_migration(connection)
        return found or ""


def require_current(database: Database) -> None:
    """Check that the database has the schema of this version, and check it again before writes.

    Raises:
        Unavailable: `schema-newer`, `schema-older` (also if the database was never migrated).
        IntegrityError: `schema-altered` if an object was added, altered or removed. After this call,
            `Database.write` raises the same errors if the schema has changed.
    """
    check = partial(_check, database.catalogue)
    with database.read() as connection:
        check(connection)
    database.set_schema_check(check)


def is_older(database: Database) -> bool:
    """Return whether `migrate` would change the schema.

    Raises:
        Unavailable: `schema-newer`.
    """
    with database.read() as connection:
        found = _revision(database.catalogue, connection)
    if found is not None and found not in REVISIONS:
        raise _newer(found)
    return found != HEAD


def load_revisions() -> None:
    """Import Alembic and every revision now, because a process that has given up root may be unable to read the files."""
    lazy.migrating.load_script()


def _check(catalogue: Catalogue, connection: Any) -> None:
    found = _revision(catalogue, connection)
    if found == HEAD:
        if not catalogue.is_current(connection) and (faults := catalogue.find_faults(connection)):
            raise _altered(faults)
        return
    if found is None:
        raise Unavailable(
            "schema-older",
            "the database has no tables yet: its first start is not finished",
            hint="if the first start is still running, wait for its end; otherwise run the same command again, or `doorward init`",
            found="none",
            wanted=HEAD,
        )
    if found in REVISIONS:
        raise Unavailable(
            "schema-older",
            f"the database has schema {found}, and this version of Doorward needs {HEAD}",
            hint="stop Doorward, make a backup, then run `doorward init`, which migrates the database",
            found=found,
            wanted=HEAD,
        )
    raise _newer(found)


def _altered(faults: list[str]) -> IntegrityError:
    more = f" and {len(faults) - MAX_NAMED_FAULTS} more" if len(faults) > MAX_NAMED_FAULTS else ""
    return IntegrityError(
        "schema-altered",
        f"a program other than Doorward altered the schema of the database: {'; '.join(faults[:MAX_NAMED_FAULTS])}{more}",
        hint="stop Doorward, keep a copy of the database, find out who can write to it, and restore the last backup",
    )


def _revision(catalogue: Catalogue, connection: Any) -> str | None:
    if not catalogue.has_table(connection, "alembic_version"):
        return None
    row = driver_of(connection).execute("SELECT version_num FROM alembic_version").fetchone()
    return None if row is None else str(row[0])


def _newer(found: str) -> Unavailable:
    return Unavailable(
        "schema-newer",
        f"the database has schema {found}, which needs a newer version of Doorward than this one (schema {HEAD})",
        hint="run the newer version, or restore a backup that was made before the newer version was installed",
        found=found,
        wanted=HEAD,
    )
