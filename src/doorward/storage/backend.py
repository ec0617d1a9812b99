"""What a database is to this room, whatever kind it is.

Not here: the kinds (`sqlite`, `postgresql`), which one an installation has (`opening`). Statements, tables and
migrations are the same for all of them; each kind brings its pools, the turn of its writers, its faults, and
the look at its own catalogue.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any, NamedTuple, Protocol

BUSY_TIMEOUT = timedelta(seconds=5)
"""How long to wait for another writer: `max_staleness` of the gateways is 5 s, so waiting longer gains nothing."""
READERS = 16
"""Transactions that read at the same time."""


class ServerHealth(NamedTuple):
    """How a database server is: a line for people, what is wrong (sentences), what to do, facts for `--json`."""

    text: str
    trouble: tuple[str, ...]
    hints: tuple[str, ...]
    facts: Mapping[str, str]


SchemaObject = tuple[str, str]
"""Kind and name of an object in the catalogue of a database."""


def compare_objects(
    found: Mapping[SchemaObject, object], expected: Mapping[SchemaObject, object]
) -> list[str]:
    """Return what differs from the schema of this program, a phrase for each object."""
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
    """The schema of a database as the database itself lists it, compared with that of this program."""

    @property
    def unchecked(self) -> str:
        """What `find_damage` cannot look at, as a sentence; empty if it looks at everything."""
        ...

    def has_table(self, connection: Any, name: str) -> bool:
        """Return whether there is a table of that name."""
        ...

    def is_ours(self, connection: Any) -> bool:
        """Return whether the schema is exactly that of this program."""
        ...

    def find_faults(self, connection: Any) -> list[str]:
        """Return what differs from the schema of this program, a phrase each."""
        ...

    def find_damage(self, connection: Any) -> list[str]:
        """Return what the database finds wrong with its own pages, as far as it can be asked."""
        ...


class Database(Protocol):
    """One database. Safe to share between threads.

    A transaction is what `connection` gives: SQLAlchemy's connection, or a `connection.DriverConnection`.
    """

    @property
    def catalogue(self) -> Catalogue:
        """The look at the schema."""
        ...

    def exists(self) -> bool:
        """Return whether an installation was begun here; raises as `read` if that cannot be known."""
        ...

    def create(self) -> None:
        """Make the place for the tables where it is missing, and see that it is fit for them."""
        ...

    def read(self) -> AbstractContextManager[Any]:
        """Open a read transaction: one snapshot, taken by its first statement.

        Raises:
            Unavailable: `store-busy`, `store-missing`, `store-unavailable` and the others of this kind.
            IntegrityError: `store-damaged`.
        """
        ...

    def write(self, *, traffic: bool = False) -> AbstractContextManager[Any]:
        """Open a change: one at a time, durable when the block has ended, undone on any exception.

        Args:
            traffic: refused (`store-full`) while it would take the room that is kept for withdrawals.

        Raises:
            Unavailable: as `read`, and `store-full`, `store-read-only`.
            IntegrityError: `store-damaged`, `store-contradiction`.
        """
        ...

    def announce(self, connection: Any) -> None:
        """Wake the followers on other machines, if and when the transaction commits."""
        ...

    def listening(self, notify: Callable[[], None]) -> AbstractContextManager[None]:
        """Call `notify` for each change that another machine commits, as long as the block runs."""
        ...

    def maintain(self) -> bool:
        """Do what has to be done now and then; return whether more is to do."""
        ...

    def is_low(self) -> bool:
        """Return whether there is so little room that traffic is refused; False if that cannot be known."""
        ...

    def check_health(self) -> ServerHealth | None:
        """Return how the server is; None if there is none. Raises as `read`."""
        ...

    def check_changes_with(self, check: Callable[[Any], None]) -> None:
        """Let `check` look at the schema before the first change, and before the first after each change of it."""
        ...

    def count_migration(self, connection: Any) -> None:
        """Tell every program that uses the database of a migration, with the commit of `connection`."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...


class SchemaGuard:
    """Lets a check look at the schema before the first change, and before the first after each change of it.

    A program that runs on while another version migrates the database would otherwise write, into the new
    schema, what it meant in the old one; and a trigger that was planted meanwhile would swallow what it
    writes. What the check raises, a write raises.

    Args:
        read_version: returns, cheaply, a value that a change of the schema changes.
    """

    def __init__(self, read_version: Callable[[Any], object]) -> None:
        self._read_version = read_version
        self._check: Callable[[Any], None] | None = None
        self._seen: object = object()

    def use(self, check: Callable[[Any], None]) -> None:
        """Use this check from now on."""
        self._check, self._seen = check, object()

    def look(self, connection: Any) -> None:
        """Check the schema if it was not checked since it last changed."""
        if self._check is None:
            return
        version = self._read_version(connection)
        if version != self._seen:
            self._check(connection)
            self._seen = version
