"""A statement that the driver runs directly: SQL text, or a Core statement that is compiled once.

Not here: the statements themselves (`repositories`), and conversion: parameters and rows have the driver's types, so
the caller converts them (`types`, `values`). Core statements are used this way on the few hot paths (the look-ups of
each connection, the event log), because Core costs 25 µs a statement and 9 µs a row of a batch more, on SQLite.
Common commands run SQL text, because loading Core takes longer than such a command (docs/design/0049). The parameters
of a text are named, as in `:name`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from doorward.storage.connection import core_of, driver_of, open_cursor, takes_pyformat

if TYPE_CHECKING:
    from sqlalchemy.sql import ClauseElement

DriverRow = tuple[Any, ...]
"""A row of the driver, in the order of the statement's columns."""

_NAMED = re.compile(r":([a-z][a-z0-9_]*)")
_BATCH = 1000
"""Rows that are fetched at a time, because a result may have a million."""


class _Text(NamedTuple):
    sql: str
    names: tuple[str, ...] | None  # order of positional parameters; None for named ones
    fixed: Mapping[str, Any]  # values within the statement, such as the offset of a limit

    def arrange(self, values: Mapping[str, Any]) -> Any:
        if self.fixed:
            values = {**self.fixed, **values}
        return values if self.names is None else [values[name] for name in self.names]


class DriverStatement:
    """A statement with its SQL text; a Core statement is compiled on first use of each dialect.

    Args:
        statement: SQL text, the same for every database, or a Core statement; with named parameters.
            No parameter may expand (no IN list), and values within the statement must have the driver's types.
        columns: the columns that an insert sets; None for every other statement.
        large: the result may have a million rows; a server-side cursor fetches it in batches.
    """

    def __init__(
        self, statement: str | ClauseElement, columns: Iterable[str] | None = None, *, large: bool = False
    ) -> None:
        self._statement = statement
        self._large = large
        if isinstance(statement, str):
            self._plain = _Text(sql=statement, names=None, fixed={})
            self._pyformat = _Text(sql=_NAMED.sub(r"%(\1)s", statement), names=None, fixed={})
        self._columns = None if columns is None else list(columns)
        self._texts: dict[str, _Text] = {}

    def row(self, connection: Any, values: Mapping[str, Any]) -> DriverRow | None:
        """Return the first row, or None."""
        text = self._text(connection)
        cursor = open_cursor(connection)
        try:
            cursor.execute(text.sql, text.arrange(values))
            found: DriverRow | None = cursor.fetchone()
            return found
        finally:
            cursor.close()

    def rows(self, connection: Any, values: Mapping[str, Any]) -> Iterator[DriverRow]:
        """Yield every row; a large result is not loaded as a whole."""
        text = self._text(connection)
        closed = driver_of(connection).ProgrammingError
        cursor = open_cursor(connection, kept=self._large)
        try:
            cursor.execute(text.sql, text.arrange(values))
            while batch := cursor.fetchmany(_BATCH):
                yield from batch
        finally:
            with suppress(closed):  # an interrupted command may close its connection before its cursors
                cursor.close()

    def run_many(self, connection: Any, rows: Iterable[Mapping[str, Any]]) -> int:
        """Run the statement once for each row of values; return the number of affected database rows."""
        text = self._text(connection)
        cursor = open_cursor(connection)
        try:
            values = [text.arrange(row) for row in rows]
            if len(values) == 1:
                cursor.execute(text.sql, values[0])  # psycopg's executemany costs more for one row
            else:
                cursor.executemany(text.sql, values)
            return max(0, int(cursor.rowcount))  # -1 if there was nothing to run
        finally:
            cursor.close()

    def _text(self, connection: Any) -> _Text:
        if isinstance(self._statement, str):
            return self._pyformat if takes_pyformat(connection) else self._plain
        dialect = core_of(connection).dialect
        known = self._texts.get(dialect.name)
        if known is None:
            compiled: Any = self._statement.compile(dialect=dialect, column_keys=self._columns)
            known = self._texts[dialect.name] = _Text(
                sql=str(compiled),
                names=tuple(compiled.positiontup) if compiled.positional else None,
                fixed={name: value for name, value in compiled.params.items() if value is not None},
            )
        return known


_LISTED = (1, 4, 16, 64)
"""How many values one text takes: few texts, so that the driver and the database keep each of them prepared."""


class ListStatement:
    """A look-up of many values of one column; `{listed}` in the SQL text stands for them, as in `id IN ({listed})`.

    The last value is repeated until a text takes as many. If a value is listed twice, more than 64 places apart, its
    rows come twice.
    """

    def __init__(self, text: str) -> None:
        self._statements = [
            (size, DriverStatement(text.replace("{listed}", ", ".join(f":{name}" for name in _names(size)))))
            for size in _LISTED
        ]

    def rows(
        self, connection: Any, listed: Collection[str], values: Mapping[str, Any]
    ) -> Iterator[DriverRow]:
        """Yield every row of the listed values; none if no value is listed."""
        wanted, most = list(listed), _LISTED[-1]
        for start in range(0, len(wanted), most):
            part = wanted[start : start + most]
            size, statement = next(one for one in self._statements if one[0] >= len(part))
            part += part[-1:] * (size - len(part))
            yield from statement.rows(connection, {**values, **dict(zip(_names(size), part, strict=True))})


@cache
def _names(size: int) -> tuple[str, ...]:
    return tuple(f"listed_{place}" for place in range(size))
