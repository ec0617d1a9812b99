"""Change one byte of a stored event directly, as the owner of the database could.

For the demo only: nothing else imports this module.
"""

from __future__ import annotations

from pathlib import Path

from doorward.core.errors import NotFound
from doorward.runtime.compose import Installation
from doorward.storage.backend import Database
from doorward.storage.connection import driver_of


def alter_one_byte(installation: Installation, event_id: str) -> str:
    """Flip one letter of an event at rest, and return where; no process may have the database open.

    Raises:
        NotFound: the event is not there.
    """
    if installation.settings.database:
        alter_row(installation.database, event_id)
        return "in its row of the database"
    alter_file(installation.layout.database, event_id)
    return "in the database's file"


def alter_row(database: Database, event_id: str) -> None:
    """Do it with a statement, as the owner of a PostgreSQL database can."""
    with database.write() as connection:
        if not driver_of(connection).execute(_ALTER, {"of": event_id}).rowcount:
            raise _not_stored()


_ALTER = """UPDATE log_leaves
    SET leaf = overlay(leaf PLACING 'K'::bytea FROM position('"key-compromise"'::bytea IN leaf) + 1)
    WHERE event_id = %(of)s AND position('"key-compromise"'::bytea IN leaf) > 0"""


def alter_file(database: Path, event_id: str) -> None:
    """Do it in the bytes of a SQLite file.

    The letter stands inside the stored leaf, in the value of its `reason`. Copies that SQLite left
    in unused pages are altered too; SQLite does not read them.

    Raises:
        NotFound: the event is not in the file.
    """
    data = bytearray(database.read_bytes())
    mark, altered, start = event_id.encode("ascii"), 0, 0
    while (place := data.find(mark, start)) >= 0:
        start = place + len(mark)
        begin = data.rfind(b'{"actor"', max(0, place - 4096), place)
        word = data.find(b'"key-compromise"', begin, begin + 4096) if begin >= 0 else -1
        if word >= 0:
            data[word + 1] = ord("K")
            altered += 1
    if not altered:
        raise _not_stored()
    database.write_bytes(data)


def _not_stored() -> NotFound:
    return NotFound("event-not-stored", "the event is not in the database")
