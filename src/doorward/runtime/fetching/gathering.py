"""Fetches the evidence of partners' revocations, in threads of its own, in parallel to the other jobs of `serve`.

Not here: what is due, which sources may be asked and which answers are kept (partners.evidence), HTTP (fetcher).
One run scans a page of sources and starts as many fetches as there are slots, each in a thread. When a fetch ends, the next
run starts. A dead or slow responder blocks only its own thread, until its deadline. At `stop`, fetches that are running are
left: their leases expire.
"""

from __future__ import annotations

import threading
import time

import structlog

from doorward.core.errors import DoorwardError, Unavailable
from doorward.core.ports import Fetcher, FetchResponse
from doorward.partners.evidence import (
    FetchSlots,
    FetchTask,
    SourceScan,
    lease_due,
    process_fetch_result,
    record_failure,
)
from doorward.stores.services import Services

_log = structlog.get_logger("doorward.gathering")


class Gathering:
    """The work of one job (`work`, `wait`)."""

    def __init__(self, services: Services, fetcher: Fetcher, stop: threading.Event) -> None:
        self._services, self._fetcher, self._stop = services, fetcher, stop
        self._scan = SourceScan(services)
        self._slots = FetchSlots()
        self._logged_left_out: dict[str, int] = {}
        self._logged_unread: dict[str, tuple[str, ...]] = {}
        self._returned = threading.Event()
        self._threads: set[threading.Thread] = set()

    def work(self) -> bool:
        """Do one run; return whether there is more to scan at once."""
        more = self._scan.step()
        for partner_id, count in self._scan.left_out.items():
            if self._logged_left_out.get(partner_id) != count:
                _log.warning(
                    "a partner's certificates name more CRLs and OCSP responders than the limit allows",
                    partner=partner_id,
                    left_out=count,
                )
        self._logged_left_out = dict(self._scan.left_out)
        for name, unread in self._scan.unread.items():
            if self._logged_unread.get(name) != unread:
                _log.warning(
                    "authorities of a partner cannot be read: paths through them are not built",
                    partner=name,
                    sha256=unread,
                )
        self._logged_unread = dict(self._scan.unread)
        tasks = lease_due(self._services, self._slots)
        for place, task in enumerate(tasks):
            thread = threading.Thread(target=self._run, args=(task,), name="evidence", daemon=True)
            self._threads.add(thread)
            try:
                thread.start()
            except Exception:  # no thread could be started: the leases expire, but the slots must be released
                self._threads.discard(thread)
                for left in tasks[place:]:
                    self._leave(left)
                raise
        return more

    def wait(self, seconds: float) -> None:
        """Wait until a fetch has ended, or for so many seconds."""
        self._returned.wait(seconds)
        self._returned.clear()

    def join(self, seconds: float) -> None:
        """Wait for running fetches, at most so many seconds; `stop` was set."""
        end = time.monotonic() + seconds
        for thread in tuple(self._threads):
            thread.join(max(end - time.monotonic(), 0))

    def _run(self, task: FetchTask) -> None:
        came = False
        try:
            outcome = self._fetch(task)
            came = isinstance(outcome, FetchResponse)
            self._slots.note_result(
                task.evidence.partner_id,
                task.host,
                failed=isinstance(outcome, DoorwardError),
                now=self._services.clock.now(),
            )
            if not self._stop.is_set():
                self._take(task, outcome)
        except Exception as fault:  # noqa: BLE001  the lease expires, and the source is tried again
            _log.exception("fetched evidence could not be processed", url=task.request.url)
            self._tell(task, fault, came=came)
        finally:
            self._leave(task)
            self._threads.discard(threading.current_thread())
            self._returned.set()

    def _tell(self, task: FetchTask, fault: Exception, *, came: bool) -> None:
        """Store the reason with the source, if the database can be written."""
        internal = Unavailable("internal-error", "the answer could not be stored; see the log of `serve`")
        try:
            if isinstance(fault, DoorwardError):  # the database failed: it is tried again
                record_failure(self._services, task.evidence, fault)
            else:
                record_failure(self._services, task.evidence, internal, unusable=came)
        except Exception:  # noqa: BLE001  as above
            _log.exception("a failed fetch could not be recorded", url=task.request.url)

    def _leave(self, task: FetchTask) -> None:
        self._slots.release(task.evidence.partner_id, task.host, task.evidence.kind)

    def _fetch(self, task: FetchTask) -> FetchResponse | DoorwardError:
        try:
            return self._fetcher.fetch(task.request)
        except DoorwardError as error:
            return error

    def _take(self, task: FetchTask, outcome: FetchResponse | DoorwardError) -> None:
        failure = process_fetch_result(self._services, task, outcome)
        if failure is not None:
            _log.warning(
                "fetching evidence failed",
                partner=task.evidence.partner_id,
                url=task.request.url,
                code=failure.code,
                detail=failure.detail,
            )
