"""Running the migrations, with Alembic.

Importing this module takes a tenth of a second, and it is needed once per version. Not here: which migration is due
(`schema_versions`).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import Connection


def upgrade_to(connection: Connection, wanted: str) -> None:
    """Run every migration from the present revision to the wanted one."""

    def steps(revision: Any, _context: object) -> Any:
        return load_script()._upgrade_revs(wanted, revision)  # noqa: SLF001  as alembic's own cookbook does

    options = {"fn": steps, "transactional_ddl": True}  # both databases roll back CREATE TABLE
    context = MigrationContext.configure(connection, opts=options)
    with Operations.context(context):
        context.run_migrations()


@cache
def load_script() -> ScriptDirectory:
    """Return the migrations with all their files read."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    script = ScriptDirectory.from_config(config)
    list(script.walk_revisions())  # reads them
    return script
