"""Checks that a database meets the requirements of an installation: before tables are made, and at each start.

Not here: the tables (`schema_versions`). Checked each time:

    1. the server's version
    2. the encoding, and that text is compared by code point, because prefix look-ups and sort orders need it
    3. that no other user may make objects in our schema, because an operator there could run code as our user
       (CVE-2018-1058, docs/design/0063)

Before tables are made, also:

    4. that the schema is empty
    5. that this user may make tables

Each function is named with its schema, and both sides of each operator have exactly its types, so that no function or
operator of another user is called.
Standard: https://www.postgresql.org/docs/current/multibyte.html, /collation.html.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from doorward.core.errors import ConfigurationError, Fault
from doorward.storage.connection import driver_of

LEAST_VERSION = 140000
"""The PostgreSQL project no longer supports older versions."""
_BY_CODE_POINT = frozenset({"C", "POSIX", "C.UTF-8", "C.UTF8"})
_MAKE = "make another database: createdb --template=template0 --encoding=UTF8 --locale=C --owner={user} NAME"
_PROPERTIES = """SELECT pg_catalog.current_setting('server_version_num')::int, pg_catalog.current_setting('server_version'),
        pg_catalog.pg_encoding_to_char(d.encoding), d.datcollate,
        coalesce(pg_catalog.jsonb_extract_path_text(pg_catalog.to_jsonb(d), 'datlocprovider'), 'c'),
        pg_catalog.quote_ident(current_user::text)
    FROM pg_database AS d WHERE d.datname = pg_catalog.current_database()"""
_SCHEMA = """SELECT pg_catalog.quote_ident(s.nspname::text), pg_catalog.has_schema_privilege(s.oid, 'CREATE')
    FROM pg_namespace AS s WHERE s.nspname = pg_catalog.current_schema()"""
# The owner of the schema may make objects too. It must be our user, the database's owner or an administrator.
_CREATORS = """SELECT m.owns, CASE WHEN m.creator = 0::oid THEN 'PUBLIC' ELSE
        pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(m.creator)::text) END
    FROM (SELECT true AS owns, s.nspowner AS creator FROM pg_namespace AS s
            WHERE s.nspname = pg_catalog.current_schema()
        UNION SELECT false, a.grantee FROM pg_namespace AS s, pg_catalog.aclexplode(s.nspacl) AS a
            WHERE s.nspname = pg_catalog.current_schema() AND a.privilege_type = 'CREATE'::text
            AND a.grantee <> s.nspowner) AS m
    WHERE NOT EXISTS (SELECT 1 FROM pg_roles AS r WHERE r.oid = m.creator AND (r.rolsuper
        OR r.rolname = current_user OR (m.owns AND (r.rolname = 'pg_database_owner'::name OR r.oid =
            (SELECT d.datdba FROM pg_database AS d WHERE d.datname = pg_catalog.current_database())))))
    ORDER BY 1, 2"""
_FOREIGN = """SELECT c.relname FROM pg_class AS c
    JOIN pg_namespace AS s ON s.oid = c.relnamespace AND s.nspname = pg_catalog.current_schema()
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT EXISTS (SELECT 1 FROM pg_depend AS d
        WHERE d.classid = 'pg_class'::regclass::oid AND d.objid = c.oid AND d.deptype = 'e')
    ORDER BY c.relname"""


def check_requirements(connection: Any) -> None:
    """Check that tables can be made here, or that an installation is here already.

    Raises:
        ConfigurationError: the codes of `find_unmet`, `database-not-empty`, `database-forbidden`; all at once.
    """
    driver = driver_of(connection)
    faults = find_unmet(driver)
    schema_row = driver.execute(_SCHEMA).fetchone()
    if schema_row is None:
        faults.append(
            _fault(
                "database-forbidden",
                "no schema of the search path exists",
                "make the schema, then start again",
            )
        )
        raise ConfigurationError(faults)
    user, (schema, may_create) = _properties(driver).user, schema_row
    present = [str(name) for (name,) in driver.execute(_FOREIGN).fetchall()]
    if "alembic_version" in present and "change_counters" in present:
        present = []  # an installation; `schema_versions` checks it
    if present:
        message = f"the schema {schema} is not empty: it holds {_some(present)}"
        faults.append(_fault("database-not-empty", message, _MAKE.format(user=user)))
    elif not may_create:
        faults.append(
            _fault(
                "database-forbidden",
                f"{user} may not make tables in the schema {schema}",
                f"make {user} the owner of the database, or: GRANT USAGE, CREATE ON SCHEMA {schema} TO {user}",
            )
        )
    if faults:
        raise ConfigurationError(faults)


def find_unmet(driver: Any) -> list[Fault]:
    """Return the requirements that the database does not meet, independent of its content.

    Args:
        driver: the connection.

    Returns:
        `database-too-old`, `database-encoding`, `database-collation`, `database-open`.
    """
    facts = _properties(driver)
    make = _MAKE.format(user=facts.user)
    faults = []
    if facts.number < LEAST_VERSION:
        message = f"the server is PostgreSQL {facts.version}, which is too old"
        faults.append(_fault("database-too-old", message, "use PostgreSQL 14 or later"))
    if facts.encoding != "UTF8":
        faults.append(
            _fault(
                "database-encoding",
                f"the encoding of the database is {facts.encoding}, but it must be UTF8",
                make,
            )
        )
    if facts.provider == "i" or (facts.provider == "c" and facts.collation.upper() not in _BY_CODE_POINT):
        message = f"the database sorts text by {facts.collation}, but it must sort by code point"
        faults.append(_fault("database-collation", message, make))
    return faults + _find_open(driver, facts.user)


def _find_open(driver: Any, user: str) -> list[Fault]:
    """Return a fault for each other user who may make objects in our schema."""
    schema_row = driver.execute(_SCHEMA).fetchone()
    return [
        _fault(
            "database-open",
            f"{creator} {'owns' if owns else 'may make objects in'} the schema {schema_row[0]}, "
            f"and could run code as {user}",
            f"as its owner: ALTER SCHEMA {schema_row[0]} OWNER TO {user}"
            if owns
            else f"as its owner: REVOKE CREATE ON SCHEMA {schema_row[0]} FROM {creator}",
        )
        for owns, creator in driver.execute(_CREATORS).fetchall()
    ]


class _Properties(NamedTuple):
    number: int
    version: str
    encoding: str
    collation: str
    provider: str
    user: str


def _properties(driver: Any) -> _Properties:
    return _Properties(*driver.execute(_PROPERTIES).fetchone())


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")  # noqa: PLR2004


def _fault(code: str, message: str, hint: str) -> Fault:
    return Fault(code=code, message=message, hint=hint, key="database")
