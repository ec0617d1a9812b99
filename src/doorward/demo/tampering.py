"""What an owner of the database could do: change one byte of a stored event, past every program.

For the story only; nothing else imports this.
"""

from __future__ import annotations

from pathlib import Path

from doorward.core.errors import NotFound


def alter_one_byte(database: Path, event_id: str) -> None:
    """Flip one letter of an event at rest, in the database's file; nobody may have it open.

    The letter stands inside the stored leaf, in the value of its `reason`. Copies that SQLite left
    in unused pages are altered alike; they mean nothing.

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
        raise NotFound("event-not-stored", "the event is not in the database's file")
    database.write_bytes(data)
