"""Checks by one digest that a database file has the schema of this program, so that no command loads Core for it.

Not here: naming the differences (`schema_check`, which compares each object with the metadata). Both use the
same facts: every object of `sqlite_schema` with its text, and the settings that the file stores. A unit test compares
`SCHEMA_SHA256` with the metadata, and prints the new value after a migration was added.

Standard: https://www.sqlite.org/schematab.html.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from typing import Any

from doorward.storage.backend import SchemaObject

SCHEMA_SHA256 = "a0431fcc94e6e621027f886420bf57939311ded025c396320daf5954933a9781"
"""The digest of this version's schema."""

FILE_SETTINGS: dict[str, Any] = {
    "application_id": 0,
    "auto_vacuum": 0,
    "encoding": "UTF-8",
    "default_cache_size": -2000,
}
"""Settings that a file stores for every program that opens it, with the values of our files."""

Content = tuple[str, tuple[str, ...]]
"""The table of an object, and the sorted lines of its text."""

_ALL = "SELECT type, name, tbl_name, sql FROM sqlite_schema"


def read_objects(driver: sqlite3.Connection) -> dict[SchemaObject, Content]:
    """Return every object of the file."""
    return {
        (str(kind), str(name)): (str(table), _parts(sql)) for kind, name, table, sql in driver.execute(_ALL)
    }


def read_settings(driver: sqlite3.Connection) -> dict[str, Any]:
    """Return the settings of `FILE_SETTINGS` that the file has."""
    return {setting: driver.execute(f"PRAGMA {setting}").fetchone()[0] for setting in FILE_SETTINGS}


def digest_schema(objects: dict[SchemaObject, Content], settings: dict[str, Any]) -> str:
    """Return the SHA-256 of a schema, in hex: equal for equal schemas only."""
    value = [
        sorted([*key, table, *lines] for key, (table, lines) in objects.items()),
        sorted(settings.items()),
    ]
    return hashlib.sha256(json.dumps(value).encode("ascii")).hexdigest()


def has_this_schema(driver: sqlite3.Connection) -> bool:
    """Return whether the file has exactly the schema of this program."""
    return digest_schema(read_objects(driver), read_settings(driver)) == SCHEMA_SHA256


def _parts(sql: object) -> tuple[str, ...]:
    """Return the sorted lines of a statement, without the commas between them."""
    return tuple(sorted(line.strip().removesuffix(",") for line in str(sql or "").split("\n")))
