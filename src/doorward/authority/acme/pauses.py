"""Pauses of directories: after an authority was not reached, or refused because of its limits, it is left alone for a while.

Without a pause each order of an authority that does not answer would wait for it in turn, and the orders at other
authorities behind them. After a pause one order tries; if the authority is still away, the next pause is longer. A part of
each pause is random, so that many installations do not come back at the same moment. Pauses are in the database: a restart
does not shorten them.

Not here: when one order is tried again (outcomes).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from doorward.core.entities import TENANT
from doorward.stores.acme_protocols import AcmePauseRecord
from doorward.stores.services import Services

LONGEST_LIMIT = timedelta(minutes=10)
"""How long other orders wait after a server refused one because of its limits: the limit may be one of those hosts alone."""

_STEPS = tuple(timedelta(minutes=one) for one in (1, 2, 5, 10, 20, 30))
"""After the first, second … failure in a row, less up to a quarter; the last one repeats."""


class DirectoryPauses:
    """The pauses of all directories; for one thread.

    Args:
        services: the ports.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._known: Mapping[str, AcmePauseRecord] = {}

    def read(self) -> None:
        """Read the pauses; `is_paused` answers by them."""
        with self._services.work.read() as stores:
            self._known = {one.directory: one for one in stores.acme.pauses()}

    def is_paused(self, directory: str) -> bool:
        """Return whether a directory must not be asked now."""
        found = self._known.get(directory)
        return found is not None and found.until > self._services.clock.now()

    def begin(self, directory: str) -> datetime:
        """Pause a directory that was not reached; return the end of the pause."""
        former = self._known.get(directory)
        failures = former.failures + 1 if former is not None else 1
        step = _STEPS[min(failures, len(_STEPS)) - 1]
        until = self._services.clock.now() + step * (1 - self._services.random.token(1)[0] / 1024)
        self._save(directory, failures, until)
        return until

    def limit(self, directory: str, pause: timedelta) -> None:
        """Pause a directory that refused an order because of its limits."""
        self._save(directory, 0, self._services.clock.now() + min(pause, LONGEST_LIMIT))

    def end(self, directory: str) -> None:
        """Forget the pause of a directory that answered."""
        if directory in self._known:
            with self._services.work.change() as stores:
                stores.acme.remove_pause(directory)
            self.read()

    def _save(self, directory: str, failures: int, until: datetime) -> None:
        record = AcmePauseRecord(directory=directory, tenant=TENANT, failures=failures, until=until)
        with self._services.work.change() as stores:
            stores.acme.save_pause(record)
        self.read()
