"""Checks that a database file has exactly the schema of this program, so that added objects are found.

Not here: migrations (`schema_versions`), the content of the rows (`audit.verifying`).

A trigger, a view instead of a table, an index with a condition, a default, a generated column: with one of these, a
single write to the file changes the effect of every later statement, for example it discards the events of one person.
So every object of `sqlite_schema` is compared with the object that the metadata makes, including its text. Only the
order of the lines within one statement is ignored, because migrations and metadata differ in it. The settings that
the file stores are compared too. `find_damage` compares every index with its table, so that it finds a schema text
that was restored by hand but does not match the pages.

Standard: https://www.sqlite.org/schematab.html, /pragma.html#pragma_integrity_check.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import cache
from typing import Any

from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from doorward.storage.backend import SchemaObject, compare_objects
from doorward.storage.connection import driver_of
from doorward.storage.schema import metadata
from doorward.storage.sqlite.schema_digest import FILE_SETTINGS, Content, read_objects, read_settings

MAX_NAMED_FAULTS = 5
"""An error names at most this many damaged places."""
_VERSION_TABLE = (
    "CREATE TABLE alembic_version (\n\tversion_num VARCHAR(32) NOT NULL, \n"
    "\tCONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)\n)"
)


def find_schema_faults(connection: Any) -> list[str]:
    """Return how the schema differs from the schema of this program, a phrase for each object, with quoted names."""
    driver = driver_of(connection)
    faults = compare_objects(read_objects(driver), expected_objects())
    faults += [
        f"setting {setting!r} is {present!r}, but it must be {FILE_SETTINGS[setting]!r}"
        for setting, present in read_settings(driver).items()
        if present != FILE_SETTINGS[setting]
    ]
    return faults


def find_damage(connection: Any) -> list[str]:
    """Return the damage that SQLite finds; SQLite reads every page of the file for this."""
    driver = driver_of(connection)
    rows = [str(text) for (text,) in driver.execute(f"PRAGMA integrity_check({MAX_NAMED_FAULTS})")]
    return [] if rows == ["ok"] else rows


@cache
def expected_objects() -> dict[SchemaObject, Content]:
    """Return every object that the metadata makes."""
    dialect = sqlite.dialect()
    with closing(sqlite3.connect(":memory:")) as driver:
        driver.execute(_VERSION_TABLE)
        for table in metadata.sorted_tables:
            driver.execute(str(CreateTable(table).compile(dialect=dialect)))
            for index in table.indexes:
                driver.execute(str(CreateIndex(index).compile(dialect=dialect)))
        return read_objects(driver)
