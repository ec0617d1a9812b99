"""What a database refuses, in words of ours that are the same for every kind of database.

Not here: which error of which driver means what (`sqlite.faults`, `postgresql.faults`), refusals that are part of
a store's contract (`name-taken`; the stores raise those). Whatever arrives here ended the transaction: nothing
of it was kept.
"""

from __future__ import annotations

from typing import NamedTuple

from doorward.core.errors import DoorwardError, IntegrityError, Unavailable


class ErrorTemplate(NamedTuple):
    """An error of ours: its kind, code, detail and hint."""

    kind: type[DoorwardError]
    code: str
    detail: str
    hint: str

    def build(self, symbol: str) -> DoorwardError:
        """Return the error; `symbol` is the driver's own name for what happened, for the log."""
        return self.kind(self.code, self.detail, hint=self.hint, driver=symbol)


BUSY = ErrorTemplate(
    Unavailable,
    "store-busy",
    "the database is busy with somebody else's change",
    "try again; if it stays so, look for a process that hangs in the middle of a change",
)
CONTRADICTION = ErrorTemplate(
    IntegrityError,
    "store-contradiction",
    "the database refused a record that contradicts what it holds",
    "this is a fault of the program: keep the database as it is and report it",
)
