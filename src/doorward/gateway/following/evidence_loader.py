"""Loading evidence of revocation in a thread of its own: reading a long CRL takes seconds.

The follower says which partner's evidence changed, and asks which newer evidence is loaded.
If evidence cannot be read, it is tried again each second; until then the older evidence counts, until it expires.
Not here: the evidence caches themselves (`partners.evidence_cache`), and ending connections because of it (follower).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

from doorward.core.errors import DoorwardError
from doorward.partners.evidence_cache import EvidenceCache
from doorward.stores.services import Services

RETRY_SECONDS = 1.0

_log = structlog.get_logger("doorward.evidence")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Loaded:
    """One loading of an evidence cache; `seq` is the first change that asked for it. Two are never equal."""

    seq: int


class EvidenceLoader:
    """Fills the evidence caches of one process; `run` is for a thread of its own.

    Args:
        services: the use cases' ports.
        evidence_cache: the cache to fill.
    """

    def __init__(self, services: Services, evidence_cache: EvidenceCache) -> None:
        self._services = services
        self._evidence_cache = evidence_cache
        self._condition = threading.Condition()
        self._wanted: dict[str, int] = {}  # partner to the first change that asks for it
        self._busy: dict[str, int] = {}  # the same, while it is being loaded
        self._loaded: dict[str, _Loaded] = {}  # the same, until the follower has acted on it
        self._trouble = ""

    def load_all(self) -> None:
        """Fill the cache of every partner in this thread, before the door opens; `run` tries again those that fail.

        Raises:
            Unavailable: the database cannot be read.
        """
        with self._services.work.read() as stores:
            partners, head = [one.id for one in stores.partners.list()], stores.changes.head()
        self._wanted = {one: head for one in partners if self._load(one) is None}

    def changed(self, partner_id: str, seq: int) -> None:
        """Ask for a partner's evidence to be loaded again because of a change; returns at once."""
        with self._condition:
            self._wanted.setdefault(partner_id, seq)
            self._condition.notify_all()

    @contextmanager
    def taken(self) -> Iterator[frozenset[str]]:
        """Yield the partners with newly loaded evidence; they count as pending until the block ends without an error."""
        with self._condition:
            taken = dict(self._loaded)
        yield frozenset(taken)
        if taken:
            with self._condition:  # a partner that was loaded again meanwhile has another value, and stays
                self._loaded = {
                    one: loaded for one, loaded in self._loaded.items() if taken.get(one) is not loaded
                }

    def pending(self) -> int | None:
        """Return the first change with evidence that is not loaded or not acted on; None if there is none."""
        with self._condition:
            loaded = [one.seq for one in self._loaded.values()]
            return min((*self._wanted.values(), *self._busy.values(), *loaded), default=None)

    def trouble(self) -> str:
        """Return why evidence could not be loaded, for `status`; empty if all is well."""
        return self._trouble

    def run(self, stop: threading.Event) -> None:
        """Load the requested evidence, until `stop` is set and `wake` was called."""
        while not stop.is_set():
            with self._condition:
                self._condition.wait_for(lambda: self._wanted or stop.is_set())
                self._busy, self._wanted = self._wanted, {}
            failed = {}
            for partner, seq in self._busy.items():
                newer = self._load(partner)
                if newer is None:
                    failed[partner] = seq
                elif newer:
                    with self._condition:
                        before = self._loaded.get(partner)
                        self._loaded[partner] = _Loaded(seq=min(seq, before.seq) if before else seq)
            if not failed:
                self._trouble = ""
            with self._condition:
                self._wanted = {**self._wanted, **failed}
                self._busy = {}
            if failed:
                stop.wait(RETRY_SECONDS)

    def wake(self) -> None:
        """Make `run` check its `stop`."""
        with self._condition:
            self._condition.notify_all()

    def _load(self, partner_id: str) -> bool | None:
        """Return whether the evidence changed; None if it cannot be read."""
        try:
            return self._evidence_cache.load(partner_id)
        except DoorwardError as error:
            self._trouble = f"revocation evidence cannot be read: {error.detail}"
            _log.error("revocation evidence cannot be read", partner=partner_id, code=error.code)
        except Exception:  # noqa: BLE001  this thread must not end: evidence would expire without a message
            self._trouble = "revocation evidence cannot be read, see the log"
            _log.exception("revocation evidence cannot be read", partner=partner_id)
        self._evidence_cache.mark_unread(partner_id)
        return None
