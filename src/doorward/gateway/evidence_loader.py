"""The evidence of revocation is put in place apart from everything else: a long list takes seconds to read.

Not here: the shelves themselves (`authority.shelves`), and who is ended by what they say (follower).
One thread; the follower tells it which partner's evidence changed, and takes from it what is in place.
What cannot be read is tried again each second: until then the older evidence stays, and ends by its date.
"""

from __future__ import annotations

import threading

import structlog

from doorward.authority.services import Services
from doorward.authority.shelves import Shelves
from doorward.core.errors import DoorwardError

RETRY_SECONDS = 1.0

_log = structlog.get_logger("doorward.evidence")


class EvidenceLoader:
    """Fills the shelves of one process; `run` is for a thread of its own.

    Args:
        services: the use cases' ports.
        shelves: what is filled.
    """

    def __init__(self, services: Services, shelves: Shelves) -> None:
        self._services = services
        self._shelves = shelves
        self._condition = threading.Condition()
        self._wanted: set[str] = set()
        self._loaded: set[str] = set()
        self._trouble = ""

    def load_all(self) -> None:
        """Fill every shelf, in this thread, before the door opens; what cannot be read is left to `run`.

        Raises:
            Unavailable: the database cannot be read.
        """
        with self._services.work.read() as books:
            partners = [one.id for one in books.partners.list()]
        self._wanted = {one for one in partners if not self._load(one)}

    def changed(self, partner_id: str) -> None:
        """Ask for a partner's shelf to be filled anew; returns at once."""
        with self._condition:
            self._wanted.add(partner_id)
            self._condition.notify_all()

    def take_loaded(self) -> frozenset[str]:
        """Return the partners whose newer evidence is in place since the last call."""
        if not self._loaded:  # asked twenty times a second
            return frozenset()
        with self._condition:
            taken, self._loaded = frozenset(self._loaded), set()
            return taken

    def trouble(self) -> str:
        """Return why evidence is not in place, for `status`; empty where all is well."""
        return self._trouble

    def run(self, stop: threading.Event) -> None:
        """Fill what is asked for until `stop` is set and `wake` was called."""
        while not stop.is_set():
            with self._condition:
                self._condition.wait_for(lambda: self._wanted or stop.is_set())
                wanted, self._wanted = self._wanted, set()
            failed = {one for one in sorted(wanted) if not self._load(one)}
            if failed and not stop.wait(RETRY_SECONDS):
                with self._condition:
                    self._wanted |= failed
            elif not failed:
                self._trouble = ""

    def wake(self) -> None:
        """Let `run` look at its `stop`."""
        with self._condition:
            self._condition.notify_all()

    def _load(self, partner_id: str) -> bool:
        try:
            newer = self._shelves.load(partner_id)
        except DoorwardError as error:
            self._trouble = f"evidence of revocation cannot be read: {error.detail}"
            _log.error("evidence cannot be read", partner=partner_id, code=error.code)
            return False
        except Exception:  # noqa: BLE001  this thread must not end: evidence would grow old unseen
            self._trouble = "evidence of revocation cannot be read, see the log"
            _log.exception("evidence cannot be read", partner=partner_id)
            return False
        if newer:
            with self._condition:
                self._loaded.add(partner_id)
        return True
