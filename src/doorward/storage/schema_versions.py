"""How a database comes to the schema of this version, and stays away from a newer one.

Not here: the schema itself (`schema`; `tests/integration/test_storage_migrations.py` holds the two
together). Each revision is one module in `migrations/versions`, frozen once it was released.

The whole way to the head is one transaction: a crash on the way leaves the old schema. Only
`doorward init` takes it (docs/design/0024). Whoever opened the database before it and would write
after it is refused: see `require_current`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from doorward.core.errors import IntegrityError, Unavailable
from doorward.storage import lazy
from doorward.storage.backend import Catalogue, Database
from doorward.storage.connection import driver_of

if TYPE_CHECKING:
    pass

REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007")
"""Every revision, oldest first. Here, so that a start knows an older schema without reading a file.

A new one runs on every kind of database, and changes the digest of each (`sqlite.schema_digest`,
`postgresql.catalogue`); the tests of both say the new value."""

HEAD = REVISIONS[-1]
"""The revision that this version of Doorward reads and writes."""

MOST_NAMED = 5
"""Differences that are named in an error; one is enough to stop."""


def migrate(database: Database) -> str | None:
    """Bring the database to `HEAD`; begin it where there is none.

    Returns:
        The revision that it had before, empty for none; None where it was at `HEAD` already.

    Raises:
        Unavailable: `schema-newer` where a newer Doorward was here; and what `Database.write` raises.
    """
    database.create()
    with database.write() as connection:
        found = _revision(database.catalogue, connection)
        if found == HEAD:
            return None
        if found is not None and found not in REVISIONS:
            raise _newer(found)
        lazy.migrating.upgrade_to(connection, HEAD)
        database.count_migration(connection)
        return found or ""


def require_current(database: Database) -> None:
    """Return where the database has the schema of this version, and keep its changes to that schema.

    Raises:
        Unavailable: `schema-newer`, `schema-older` (also for a file that was never migrated).
        IntegrityError: `schema-altered` if something was planted, altered or removed. From now on
            `Database.write` raises the same if the file was brought to another schema.
    """
    check = partial(_check, database.catalogue)
    with database.read() as connection:
        check(connection)
    database.check_changes_with(check)


def is_older(database: Database) -> bool:
    """Return whether `migrate` would change something.

    Raises:
        Unavailable: `schema-newer`.
    """
    with database.read() as connection:
        found = _revision(database.catalogue, connection)
    if found is not None and found not in REVISIONS:
        raise _newer(found)
    return found != HEAD


def load_revisions() -> None:
    """Read every revision, and alembic, now: once root is given up, their files may be out of reach."""
    lazy.migrating.load_script()


def _check(catalogue: Catalogue, connection: Any) -> None:
    found = _revision(catalogue, connection)
    if found == HEAD:
        if not catalogue.is_ours(connection) and (faults := catalogue.find_faults(connection)):
            raise _altered(faults)
        return
    if found is None or found in REVISIONS:
        raise Unavailable(
            "schema-older",
            "the database has an older schema than this program",
            hint="stop Doorward, back up, then run `doorward init`",
            found=found or "none",
            wanted=HEAD,
        )
    raise _newer(found)


def _altered(faults: list[str]) -> IntegrityError:
    more = f" and {len(faults) - MOST_NAMED} more" if len(faults) > MOST_NAMED else ""
    return IntegrityError(
        "schema-altered",
        f"the database was altered from outside: {'; '.join(faults[:MOST_NAMED])}{more}",
        hint="stop Doorward, keep a copy of the database, look who can write to it, and restore the last backup",
    )


def _revision(catalogue: Catalogue, connection: Any) -> str | None:
    if not catalogue.has_table(connection, "alembic_version"):
        return None
    row = driver_of(connection).execute("SELECT version_num FROM alembic_version").fetchone()
    return None if row is None else str(row[0])


def _newer(found: str) -> Unavailable:
    return Unavailable(
        "schema-newer",
        "the database was written by a newer version of Doorward",
        hint="run that version, or restore the backup from before it was installed",
        found=found,
        wanted=HEAD,
    )
