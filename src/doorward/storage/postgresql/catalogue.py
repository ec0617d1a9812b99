"""The schema of a PostgreSQL database, as its catalogue shows it, compared with what the metadata makes.

Not here: migrations (`schema_versions`). A trigger, a rule, a policy of rows, a view in the place of a table,
a default, a generated column: each lets an owner of the database change what every later statement
does, such as to swallow the events of one person. So every object in the schema is listed with its definition,
and one that is missing, altered or of nobody is named; only the order of columns is free, because migrations
and metadata differ in it. What another user of the server has there is looked at first, in words that
no function or operator of that user can answer (docs/design/0063):

    1. the place itself: see `requirements`
    2. functions and operators, tables of another owner, and rights of others to change a table
    3. everything else

The expected list is made by the same server, from the metadata, in a temporary schema that is rolled back:
a version of PostgreSQL may word definitions in its own way. A digest of the list, as PostgreSQL 15 and 18 word it, spares
that where it is equal.
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

SCHEMA_SHA256 = "40ff680fa89e9845dbb11c638cbae5d25652f6648f5a0793f23cd6b97621a99c"
"""Of this version's schema, as PostgreSQL 15 and 18 word it; a test says the new value after a migration."""

_VERSION_TABLE = """CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"""

_OF_EXTENSION = """EXISTS (SELECT 1 FROM pg_depend AS d WHERE d.objid = {one}.oid AND d.deptype = 'e'
    AND d.classid = '{table}'::regclass::oid)"""
"""The server's administrator put it there."""
_LISTS = (
    # tables, views and sequences; a temporary table stands for one that is kept
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
    # its definition names the schema, which is another for the expected list
    r"""SELECT 'index', c.relname, concat_ws(' ',
        regexp_replace(pg_get_indexdef(i.indexrelid), ' ON (ONLY )?("[^"]+"|[a-z0-9_]+)\.', ' ON \1'),
        CASE WHEN NOT (i.indisvalid AND i.indisready AND i.indislive) THEN 'invalid' END)
    FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid WHERE c.relnamespace = {schema}""",
    # of a foreign key, only one that was switched off
    """SELECT 'trigger', c.relname || '.' || t.tgname, concat_ws(' ', pg_get_triggerdef(t.oid), t.tgenabled::text)
    FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
    WHERE c.relnamespace = {schema} AND (NOT t.tgisinternal OR t.tgenabled <> 'O')""",
    """SELECT 'rule', c.relname || '.' || r.rulename, pg_get_ruledef(r.oid)
    FROM pg_rewrite AS r JOIN pg_class AS c ON c.oid = r.ev_class
    WHERE c.relnamespace = {schema} AND NOT {class_}""",
    """SELECT 'row policy', c.relname || '.' || p.polname, 'policy' FROM pg_policy AS p
    JOIN pg_class AS c ON c.oid = p.polrelid WHERE c.relnamespace = {schema}""",
)
# Each function is named with its schema, and each operator has exactly the types of its two sides: then one of
# pg_catalog is used, whatever else there is.
_OF_OTHERS = (
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
"""What another user may read is the business of the database's administrator."""
OURS = "(SELECT s.oid FROM pg_namespace AS s WHERE s.nspname = current_schema())"
"""The schema that holds our tables, in SQL; its name may be any text."""
_TEMPORARY = "pg_my_temp_schema()"


class PostgresqlCatalogue:
    """Compares the schema of a database with that of this program.

    Args:
        connect: opens a connection that may make temporary tables.
    """

    unchecked = (
        "the pages of the PostgreSQL database were not checked: its own tools do that, such as pg_amcheck"
    )

    def __init__(self, connect: Callable[[], psycopg.Connection]) -> None:
        self._connect = connect
        self._expected: dict[SchemaObject, str] | None = None

    def has_table(self, connection: Any, name: str) -> bool:
        """Return whether there is a table of that name."""
        return has_table(connection, name)

    def is_ours(self, connection: Any) -> bool:
        """Return whether the schema is exactly that of this program.

        Raises:
            ConfigurationError: others may make objects in it, or the database is unfit: see `requirements`.
        """
        driver = driver_of(connection)
        if faults := find_unmet(driver):
            raise ConfigurationError(faults)
        if _read_of_others(driver):
            return False
        found = read_objects(driver, OURS)
        return digest(found) == SCHEMA_SHA256 or found == self.expected()

    def find_faults(self, connection: Any) -> list[str]:
        """Return what differs from the schema of this program, a phrase each."""
        driver = driver_of(connection)
        foreign = [fault.message for fault in find_unmet(driver)] or [
            f"{kind} {name!r} does not belong there" for kind, name in _read_of_others(driver)
        ]
        return foreign or compare_objects(read_objects(driver, OURS), self.expected())

    def find_damage(self, connection: Any) -> list[str]:  # noqa: ARG002  part of the interface
        """Return nothing: see `unchecked`."""
        return []

    def expected(self) -> dict[SchemaObject, str]:
        """Return every object that the metadata makes on this server."""
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
        f"SELECT 1 FROM pg_class WHERE relnamespace = {OURS} AND relname = %s AND relkind = 'r'",  # noqa: S608  our own text
        (name,),
    )
    return row.fetchone() is not None


def read_objects(driver: Any, schema: str) -> dict[SchemaObject, str]:
    """Return every object of a schema with its definition.

    Args:
        driver: the connection.
        schema: its oid, in SQL.
    """
    rows = driver.execute(_union(_LISTS, schema))
    return {(str(kind), str(name)): str(definition) for kind, name, definition in rows}


def _read_of_others(driver: Any) -> list[SchemaObject]:
    return sorted((str(kind), str(name)) for kind, name in driver.execute(_union(_OF_OTHERS, OURS)))


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
