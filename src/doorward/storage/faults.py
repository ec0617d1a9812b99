"""Templates of our errors for the errors of a database, the same for every kind of database.

Not here: which error of a driver means what (`sqlite.faults`, `postgresql.faults`); refusals that are part of a
store's contract, such as `name-taken` (the stores raise those). Each of these errors has ended the transaction, and
nothing of the transaction was stored.
"""

from __future__ import annotations

from typing import NamedTuple

from doorward.core.errors import DoorwardError, IntegrityError, Unavailable


class ErrorTemplate(NamedTuple):
    """One of our errors: its kind, code, detail and hint."""

    kind: type[DoorwardError]
    code: str
    detail: str
    hint: str

    def build(self, symbol: str) -> DoorwardError:
        """Return the error; `symbol` is the driver's name of the error, for the log."""
        return self.kind(self.code, self.detail, hint=self.hint, driver=symbol)


BUSY = ErrorTemplate(
    Unavailable,
    "store-busy",
    "another thread or process holds the write lock of the database",
    "try again; if the error stays, look for a Doorward process that hangs",
)
CONTRADICTION = ErrorTemplate(
    IntegrityError,
    "store-contradiction",
    "a constraint of the database refused a record",
    "this is a bug in Doorward: keep a copy of the database and report the error",
)
