"""The interface of a database, the same for every kind.

Not here: the kinds (`sqlite`, `postgresql`), which one an installation has (`opening`). Statements, tables and
migrations are the same for all kinds. Each kind has its own connection pools, write lock, error table and check of
its catalogue.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol

BUSY_TIMEOUT = timedelta(seconds=5)
"""How long to wait for another writer. After `max_staleness` (5 s) the gateways refuse connections anyway."""
READERS = 16
"""How many transactions may read at the same time."""


class ServerHealth(NamedTuple):
    """The health of a database server: a line for people, problems (sentences), hints, facts for `--json`."""

    text: str
    trouble: tuple[str, ...]
    hints: tuple[str, ...]
    facts: Mapping[str, str]


SchemaObject = tuple[str, str]
"""Kind and name of an object in the catalogue of a database."""


def compare_objects(
    found: Mapping[SchemaObject, object], expected: Mapping[SchemaObject, object]
) -> list[str]:
    """Return how a schema differs from the schema of this program, a phrase for each object."""
    foreign = (
        f"{kind} {name!r} does not belong there" for kind, name in sorted(found.keys() - expected.keys())
    )
    missing = (f"{kind} {name!r} is missing" for kind, name in sorted(expected.keys() - found.keys()))
    altered = (
        f"{kind} {name!r} was altered"
        for kind, name in sorted(found.keys() & expected.keys())
        if found[kind, name] != expected[kind, name]
    )
    return [*foreign, *missing, *altered]


class Catalogue(Protocol):
    """Compares the schema of a database, as its own catalogue lists it, with the schema of this program."""

    @property
    def unchecked(self) -> str:
        """A sentence about what `find_damage` cannot check; empty if it checks everything."""
        ...

    def has_table(self, connection: Any, name: str) -> bool:
        """Return whether there is a table of that name."""
        ...

    def is_current(self, connection: Any) -> bool:
        """Return whether the schema is exactly that of this program."""
        ...

    def find_faults(self, connection: Any) -> list[str]:
        """Return how the schema differs from the schema of this program, a phrase for each object."""
        ...

    def find_damage(self, connection: Any) -> list[str]:
        """Return the damage that the database itself finds in its pages, if it can check them."""
        ...


class Database(Protocol):
    """One database. Safe to share between threads.

    A transaction is an open connection: SQLAlchemy's, or a `connection.DriverConnection`.
    """

    @property
    def catalogue(self) -> Catalogue:
        """The check of the schema."""
        ...

    def exists(self) -> bool:
        """Return whether an installation was begun here; raises as `read`."""
        ...

    def create(self) -> None:
        """Make the file if it is missing (SQLite), or check that the database is usable (PostgreSQL)."""
        ...

    def read(self) -> AbstractContextManager[Any]:
        """Open a read transaction: one snapshot, taken by its first statement.

        Raises:
            Unavailable: `store-busy`, `store-missing`, `store-unavailable` and the other `store-*` codes.
            IntegrityError: `store-damaged`.
        """
        ...

    def write(self, *, traffic: bool = False) -> AbstractContextManager[Any]:
        """Open a change: one at a time, durable when the block has ended, rolled back on any exception.

        Args:
            traffic: refuse the change (`store-full`) if it would use the space that is reserved for withdrawals.

        Raises:
            Unavailable: as `read`, and `store-full`, `store-read-only`.
            IntegrityError: `store-damaged`, `store-contradiction`.
        """
        ...

    def commit_marks(self) -> Callable[[], object | None]:
        """Return a function with equal results only if nothing was committed in between; None means that it cannot tell.

        The look costs much less than a transaction. A mark that was read before a transaction covers what that one has seen.
        """
        ...

    def notify_on_commit(self, connection: Any) -> None:
        """Notify the followers on other machines when the transaction commits."""
        ...

    def listening(self, notify: Callable[[], None]) -> AbstractContextManager[None]:
        """Call `notify` for each change that another machine commits, as long as the block runs."""
        ...

    def maintain(self) -> bool:
        """Do the periodic maintenance; return whether there is more to do."""
        ...

    def erasing(self) -> AbstractContextManager[None]:
        """Return a context for erasing values. It notes this durably, so that `maintain` removes their remains also after a crash."""
        ...

    def remove_remains(self) -> bool:
        """Remove copies of erased values outside of tables, as far as the database can; call it after `erasing`.

        Returns:
            False if a reader or another erasure prevents it now; `maintain` tries again.
        """
        ...

    def is_low(self) -> bool:
        """Return whether so little disk space is free that traffic is refused; False if that is unknown."""
        ...

    def server_clock(self) -> datetime | None:
        """Return the time of the server's clock, aware; None if the database has no server. Raises as `read`."""
        ...

    def check_health(self) -> ServerHealth | None:
        """Return the health of the server; None if the database has no server. Raises as `read`."""
        ...

    def set_schema_check(self, check: Callable[[Any], None]) -> None:
        """Run `check` before the first change, and again before the next change after the schema was altered."""
        ...

    def record_migration(self, connection: Any) -> None:
        """Let every program that uses the database notice a migration, when `connection` commits."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...


class SchemaGuard:
    """Runs a check of the schema before the first change, and again after the schema was altered.

    Otherwise a program that is running while another version migrates the database would write rows of the old
    schema into the new one, and a trigger that an attacker adds could discard what the program writes. A write
    raises what the check raises.

    Args:
        read_version: returns, cheaply, a value that differs after each change of the schema.
    """

    def __init__(self, read_version: Callable[[Any], object]) -> None:
        self._read_version = read_version
        self._check: Callable[[Any], None] | None = None
        self._seen: object = object()

    def set_check(self, check: Callable[[Any], None]) -> None:
        """Set the check."""
        self._check, self._seen = check, object()

    def check(self, connection: Any) -> None:
        """Run the check if the schema was altered since the last check."""
        if self._check is None:
            return
        version = self._read_version(connection)
        if version != self._seen:
            self._check(connection)
            self._seen = version
