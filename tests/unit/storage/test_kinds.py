"""Code for one kind of database stays in its folder."""

from __future__ import annotations

import re
from pathlib import Path

import doorward.storage

ROOM = Path(doorward.storage.__path__[0])
OF_ONE_KIND = re.compile(
    r"import (sqlite3|psycopg)\b|PRAGMA|BEGIN IMMEDIATE|sqlite_master|sqlite_schema|zeroblob|pg_[a-z]+|LISTEN|NOTIFY"
)


def test_shared_modules_name_no_kind_of_database() -> None:
    """No driver and no statement of one kind outside of its folder; migrations may, they are frozen."""
    found = [
        f"{path.relative_to(ROOM)}: {hit.group()}"
        for path in sorted(ROOM.rglob("*.py"))
        if path.relative_to(ROOM).parts[0] not in {"sqlite", "postgresql", "migrations"}
        for hit in OF_ONE_KIND.finditer(path.read_text(encoding="utf-8"))
    ]
    assert found == []
