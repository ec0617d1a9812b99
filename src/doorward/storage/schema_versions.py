"""How a database file comes to the schema of this version, and stays away from a newer one.

Not here: the schema itself (`schema`; `tests/integration/test_storage_migrations.py` holds the two
together). Each revision is one module in `migrations/versions`, frozen once it was released.

The whole way to the head is one transaction: a crash on the way leaves the old schema.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from doorward.core.errors import Unavailable
from doorward.storage.database import Database

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0001"
"""The revision that this version of Doorward reads and writes."""


def migrate(database: Database) -> None:
    """Bring the database to `HEAD`; make the file where there is none.

    Raises:
        Unavailable: `schema-newer` where a newer Doorward was here; and what `Database.write` raises.
    """
    database.create()
    with database.write() as connection:
        found = _revision(connection)
        if found == HEAD:
            return
        _upgrade(connection, found)


def require_current(database: Database) -> None:
    """Return where the database has the schema of this version.

    Raises:
        Unavailable: `schema-newer`, `schema-older` (also for a file that was never migrated).
    """
    with database.read() as connection:
        found = _revision(connection)
    if found == HEAD:
        return
    if found is None or _is_known(found):
        raise Unavailable(
            "schema-older",
            "the database has an older schema than this program",
            hint="stop every Doorward process of this data directory, then run `doorward init`",
            found=found or "none",
            wanted=HEAD,
        )
    raise _newer(found)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def _upgrade(connection: Connection, found: str | None) -> None:
    # alembic takes a tenth of a second to import, and is needed once per version
    from alembic import command  # noqa: PLC0415

    if found is not None and not _is_known(found):
        raise _newer(found)
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _is_known(revision: str) -> bool:
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    script = ScriptDirectory.from_config(_config())
    return revision in {known.revision for known in script.walk_revisions()}


def _config() -> Config:
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    return config


def _newer(found: str) -> Unavailable:
    return Unavailable(
        "schema-newer",
        "the database was written by a newer version of Doorward",
        hint="run that version, or restore the backup from before it was installed",
        found=found,
        wanted=HEAD,
    )
