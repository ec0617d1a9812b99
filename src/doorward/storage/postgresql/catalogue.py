"""Compares the schema of a PostgreSQL database, as its catalogue shows it, with the metadata.

Not here: migrations (`schema_versions`). A trigger, a rule, a row policy, a view instead of a table, a default, a
generated column: with one of these, an owner of the database changes the effect of every later statement, for example
it discards the events of one person. So every object in the schema is listed with its definition, and a missing,
altered or additional object is named. Only the order of columns is ignored, because migrations and metadata differ in
it. Objects of other users of the server are looked for first, by statements that cannot call a function or operator of
such a user (docs/design/0063):

    1. the database and the schema themselves: see `requirements`
    2. functions and operators, tables of another owner, and rights of others to change a table
    3. everything else

The same server makes the expected list from the metadata, in a temporary schema that is rolled back, because versions
of PostgreSQL word definitions differently. If the digest of the list equals the digest for PostgreSQL 15 to 18, the
expected list is not made.
Standard: https://www.postgresql.org/docs/current/catalogs.html.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from typing import Any

import psycopg

from doorward.core.errors import ConfigurationError
from doorward.storage.backend import SchemaObject, compare_objects
from doorward.storage.connection import driver_of
from doorward.storage.postgresql import lazy
from doorward.storage.postgresql.requirements import find_unmet

SCHEMA_SHA256 = "eccdc9c4a8bc1c3d71d83c10d2dd3f5408aad858b7b84d3a81aaa7eab574aeda"
"""The digest of this version's schema on PostgreSQL 15 and 18; a test prints the new value after a migration."""

_VERSION_TABLE = """CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"""

_OF_EXTENSION = """EXISTS (SELECT 1 FROM pg_depend AS d WHERE d.objid = {one}.oid AND d.deptype = 'e'
    AND d.classid = '{table}'::regclass::oid)"""
"""The object belongs to an extension, which an administrator of the server installed."""
_LISTS = (
    # tables, views and sequences; a temporary table of the expected list counts as a permanent one
    """SELECT 'relation', c.relname, concat_ws(' ', c.relkind::text,
        CASE c.relpersistence WHEN 'u' THEN 'unlogged' ELSE 'logged' END,
        CASE WHEN c.relrowsecurity OR c.relforcerowsecurity THEN 'row security' END,
        CASE WHEN c.relhassubclass OR c.relispartition THEN 'inheritance' END,
        c.reloptions::text)
    FROM pg_class AS c WHERE c.relnamespace = {schema} AND c.relkind <> 'i' AND NOT {class_}""",
    """SELECT 'column', c.relname || '.' || a.attname, concat_ws(' ', format_type(a.atttypid, a.atttypmod),
        CASE WHEN a.attnotnull THEN 'not null' END,
        'identity ' || nullif(a.attidentity::text, ''), 'generated ' || nullif(a.attgenerated::text, ''),
        'collate ' || nullif(a.attcollation, 0)::regcollation, 'default ' || pg_get_expr(f.adbin, f.adrelid))
    FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
    LEFT JOIN pg_attrdef AS f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
    WHERE c.relnamespace = {schema} AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND a.attnum > 0
    AND NOT a.attisdropped AND NOT {class_}""",
    """SELECT 'constraint', c.relname || '.' || o.conname, concat_ws(' ', pg_get_constraintdef(o.oid),
        CASE WHEN NOT o.convalidated THEN 'not validated' END)
    FROM pg_constraint AS o JOIN pg_class AS c ON c.oid = o.conrelid
    WHERE c.relnamespace = {schema} AND o.contype <> 'n' AND NOT {class_}""",
    # the definition contains the name of the schema, which differs in the expected list
    r"""SELECT 'index', c.relname, concat_ws(' ',
        regexp_replace(pg_get_indexdef(i.indexrelid), ' ON (ONLY )?("[^"]+"|[a-z0-9_]+)\.', ' ON \1'),
        CASE WHEN NOT (i.indisvalid AND i.indisready AND i.indislive) THEN 'invalid' END)
    FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid WHERE c.relnamespace = {schema}""",
    # triggers of foreign keys are listed only if they were disabled
    """SELECT 'trigger', c.relname || '.' || t.tgname, concat_ws(' ', pg_get_triggerdef(t.oid), t.tgenabled::text)
    FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
    WHERE c.relnamespace = {schema} AND (NOT t.tgisinternal OR t.tgenabled <> 'O')""",
    """SELECT 'rule', c.relname || '.' || r.rulename, pg_get_ruledef(r.oid)
    FROM pg_rewrite AS r JOIN pg_class AS c ON c.oid = r.ev_class
    WHERE c.relnamespace = {schema} AND NOT {class_}""",
    """SELECT 'row policy', c.relname || '.' || p.polname, 'policy' FROM pg_policy AS p
    JOIN pg_class AS c ON c.oid = p.polrelid WHERE c.relnamespace = {schema}""",
)
# Each function is named with its schema, and both sides of each operator have exactly its types. So the function and
# the operator of pg_catalog are used, even if other users have made others.
_FOREIGN_OBJECTS = (
    """SELECT 'function', p.oid::regprocedure::text FROM pg_proc AS p
    WHERE p.pronamespace = {schema} AND NOT {proc}""",
    """SELECT 'operator', o.oid::regoperator::text FROM pg_operator AS o
    WHERE o.oprnamespace = {schema} AND NOT {operator}""",
    """SELECT 'owner', pg_catalog.format('%s of %s', pg_catalog.pg_get_userbyid(c.relowner), c.relname)
    FROM pg_class AS c
    WHERE c.relnamespace = {schema} AND pg_catalog.pg_get_userbyid(c.relowner) <> current_user AND NOT {class_}""",
    """SELECT 'right', pg_catalog.format('%s on %s of %s', g.privilege_type, g.relname,
        CASE WHEN g.grantee = 0::oid THEN 'PUBLIC' ELSE pg_catalog.pg_get_userbyid(g.grantee)::text END)
    FROM (SELECT c.relname, c.relowner, a.grantee, a.privilege_type
            FROM pg_class AS c, pg_catalog.aclexplode(c.relacl) AS a WHERE c.relnamespace = {schema} AND NOT {class_}
        UNION ALL SELECT c.relname, c.relowner, a.grantee, a.privilege_type
            FROM pg_class AS c JOIN pg_attribute AS t ON t.attrelid = c.oid, pg_catalog.aclexplode(t.attacl) AS a
            WHERE c.relnamespace = {schema} AND NOT {class_}) AS g
    WHERE g.grantee <> g.relowner AND g.privilege_type <> 'SELECT'::text""",
)
"""Rights to read are not listed: the administrator of the database decides who may read."""
OUR_SCHEMA = "(SELECT s.oid FROM pg_namespace AS s WHERE s.nspname = current_schema())"
"""The schema with our tables, as SQL."""
_TEMPORARY = "pg_my_temp_schema()"


class PostgresqlCatalogue:
    """Compares the schema of a database with that of this program.

    Args:
        connect: opens a connection that may make temporary tables.
    """

    unchecked = "the pages of the PostgreSQL database were not checked: use its own tools for that, such as pg_amcheck"

    def __init__(self, connect: Callable[[], psycopg.Connection]) -> None:
        self._connect = connect
        self._expected: dict[SchemaObject, str] | None = None

    def has_table(self, connection: Any, name: str) -> bool:
        """Return whether there is a table of that name."""
        return has_table(connection, name)

    def is_current(self, connection: Any) -> bool:
        """Return whether the schema is exactly that of this program.

        Raises:
            ConfigurationError: the database does not meet the requirements, see `requirements`.
        """
        driver = driver_of(connection)
        if faults := find_unmet(driver):
            raise ConfigurationError(faults)
        if _read_foreign_objects(driver):
            return False
        found = read_objects(driver, OUR_SCHEMA)
        return digest(found) == SCHEMA_SHA256 or found == self.expected()

    def find_faults(self, connection: Any) -> list[str]:
        """Return how the schema differs from the schema of this program, a phrase for each object."""
        driver = driver_of(connection)
        foreign = [fault.message for fault in find_unmet(driver)] or [
            f"{kind} {name!r} does not belong there" for kind, name in _read_foreign_objects(driver)
        ]
        return foreign or compare_objects(read_objects(driver, OUR_SCHEMA), self.expected())

    def find_damage(self, connection: Any) -> list[str]:  # noqa: ARG002  part of the interface
        """Return nothing: see `unchecked`."""
        return []

    def expected(self) -> dict[SchemaObject, str]:
        """Return the objects that this server makes from the metadata."""
        if self._expected is None:
            with self._connect() as driver:
                driver.execute("SET LOCAL search_path = pg_temp")
                driver.execute(_VERSION_TABLE)
                lazy.core_view.make_tables(driver)
                self._expected = read_objects(driver, _TEMPORARY)
                driver.rollback()
        return self._expected


def has_table(connection: Any, name: str) -> bool:
    """Return whether the schema has a table of that name."""
    row = driver_of(connection).execute(
        f"SELECT 1 FROM pg_class WHERE relnamespace = {OUR_SCHEMA} AND relname = %s AND relkind = 'r'",  # noqa: S608  our own text
        (name,),
    )
    return row.fetchone() is not None


def read_objects(driver: Any, schema: str) -> dict[SchemaObject, str]:
    """Return every object of a schema with its definition.

    Args:
        driver: the connection.
        schema: its oid, as SQL.
    """
    rows = driver.execute(_union(_LISTS, schema))
    return {(str(kind), str(name)): str(definition) for kind, name, definition in rows}


def _read_foreign_objects(driver: Any) -> list[SchemaObject]:
    return sorted(
        (str(kind), str(name)) for kind, name in driver.execute(_union(_FOREIGN_OBJECTS, OUR_SCHEMA))
    )


def _union(lists: Iterable[str], schema: str) -> str:
    of_extension = {
        name: _OF_EXTENSION.format(one=one, table=table)
        for name, one, table in (
            ("class_", "c", "pg_class"),
            ("proc", "p", "pg_proc"),
            ("operator", "o", "pg_operator"),
        )
    }
    return " UNION ALL ".join(one.format(schema=schema, **of_extension) for one in lists)


def digest(objects: dict[SchemaObject, str]) -> str:
    """Return the SHA-256 of a schema, in hex: equal for equal schemas only."""
    value = sorted([*key, definition] for key, definition in objects.items())
    return hashlib.sha256(json.dumps(value).encode("ascii")).hexdigest()
