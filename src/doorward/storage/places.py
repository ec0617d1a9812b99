"""Which database an installation has: the file in its data directory, or the one that a setting names.

The one module that knows the kinds of databases; each is imported when it is chosen (docs/design/0049).
"""

from __future__ import annotations

from pathlib import Path

from doorward.storage.backend import Database


def open_database(file: Path, *, one_shot: bool) -> Database:
    """Return the database; nothing is opened before it is used.

    Args:
        file: the SQLite file.
        one_shot: for a process of one command: no pools, and no Core before a statement asks for it.
    """
    if one_shot:
        from doorward.storage.sqlite.one_shot import OneShotDatabase  # noqa: PLC0415  only this kind

        return OneShotDatabase(file)
    from doorward.storage.sqlite.database import SqliteDatabase  # noqa: PLC0415  needs Core

    return SqliteDatabase(file)
