"""Whether a database file has the schema of this program and nothing else: what was planted there is found.

Not here: migrations (`schema_versions`), and what the rows say (`audit.verifying`).

A trigger, a view in the place of a table, an index with a condition, a default, a generated column: each
lets one write to the file change what every later statement does, such as to swallow the events of one
person. So every object of `sqlite_schema` is compared with what the metadata makes, its text included;
only the order of the lines within one statement is free, because migrations and metadata differ in it.
The settings that a file keeps are compared too, and `find_damage` holds every index against its table:
text that was put back by hand over other pages is found there.

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
from doorward.storage.sqlite.schema_digest import KEPT, Content, read_objects, read_settings

MOST_NAMED = 5
"""Damages that are named; one is enough to stop."""
_VERSION_TABLE = (
    "CREATE TABLE alembic_version (\n\tversion_num VARCHAR(32) NOT NULL, \n"
    "\tCONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)\n)"
)


def find_schema_faults(connection: Any) -> list[str]:
    """Return what differs from the schema of this program, a phrase each; a name is shown as SQLite quotes it."""
    driver = driver_of(connection)
    faults = compare_objects(read_objects(driver), expected_objects())
    faults += [
        f"setting {setting!r} is {present!r} and not {KEPT[setting]!r}"
        for setting, present in read_settings(driver).items()
        if present != KEPT[setting]
    ]
    return faults


def find_damage(connection: Any) -> list[str]:
    """Return what SQLite finds wrong with the pages of the file: it reads all of them."""
    driver = driver_of(connection)
    rows = [str(text) for (text,) in driver.execute(f"PRAGMA integrity_check({MOST_NAMED})")]
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
