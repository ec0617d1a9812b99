"""Whether an empty database is fit to hold an installation, before anything is made in it.

Not here: its tables (`schema_versions`). Everything that could not be mended later is asked now:

    1. the server's version
    2. its encoding, and that text is compared by code point: prefix look-ups and every order rely on it
    3. that nothing else is in it
    4. that this user may make tables

Standard: https://www.postgresql.org/docs/current/multibyte.html, /collation.html.
"""

from __future__ import annotations

from typing import Any

from doorward.core.errors import ConfigurationError, Fault
from doorward.storage.connection import driver_of

LEAST_VERSION = 140000
"""Older ones are no longer kept by the project."""
_BY_CODE_POINT = frozenset({"C", "POSIX", "C.UTF-8", "C.UTF8"})
_MAKE = "make another: createdb --template=template0 --encoding=UTF8 --locale=C --owner={user} NAME"
_FACTS = """SELECT current_setting('server_version_num')::int, current_setting('server_version'),
        pg_encoding_to_char(d.encoding), d.datcollate, d.datlocprovider::text, current_user,
        coalesce(current_schema(), ''),
        coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)
    FROM pg_database AS d WHERE d.datname = current_database()"""
_FOREIGN = """SELECT c.relname FROM pg_class AS c
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
    AND NOT EXISTS (SELECT 1 FROM pg_depend AS d
        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
    ORDER BY c.relname"""


def check_place(connection: Any) -> None:
    """Return if tables can be made here, or are here already.

    Raises:
        ConfigurationError: `database-too-old`, `database-encoding`, `database-collation`,
            `database-not-empty`, `database-forbidden`; all at once.
    """
    driver = driver_of(connection)
    number, version, encoding, collation, provider, user, schema, may_create = driver.execute(
        _FACTS
    ).fetchone()
    make = _MAKE.format(user=user)
    faults = []
    if number < LEAST_VERSION:
        faults.append(
            _fault("database-too-old", f"the server is PostgreSQL {version}", "use version 14 or later")
        )
    if encoding != "UTF8":
        faults.append(_fault("database-encoding", f"the database is encoded in {encoding}", make))
    if provider == "i" or (provider == "c" and collation.upper() not in _BY_CODE_POINT):
        faults.append(
            _fault("database-collation", f"the database sorts text by {collation}, not by code point", make)
        )
    if not schema:
        faults.append(
            _fault("database-forbidden", "no schema of the search path exists", "make the schema first")
        )
        raise ConfigurationError(faults)
    present = [str(name) for (name,) in driver.execute(_FOREIGN).fetchall()]
    if "alembic_version" in present and "change_counters" in present:
        present = []  # an installation: what it is like is looked at elsewhere
    if present:
        faults.append(
            _fault("database-not-empty", f"the schema {schema} holds {_some(present)} already", make)
        )
    elif not may_create:
        faults.append(
            _fault(
                "database-forbidden",
                f"{user} may not make tables in the schema {schema}",
                f"make {user} the owner of the database, or: GRANT CREATE ON SCHEMA {schema} TO {user}",
            )
        )
    if faults:
        raise ConfigurationError(faults)


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")  # noqa: PLR2004


def _fault(code: str, message: str, hint: str) -> Fault:
    return Fault(code=code, message=message, hint=hint, key="database")
