"""Ingestion of Envoy's access log into audit events: in order, no line twice, gaps are recorded.

Not here: the meaning of a line (`lines`). The position in each file and the events of its lines are stored in the
same transaction, so after a crash each line is recorded either completely or not at all.

Files: Envoy appends to `access.log`. At each start of an Envoy, and if the file has grown large, it is renamed to
`access-<number>.log`; a draining Envoy goes on writing into the renamed file. An Envoy that the next gateway adopts goes
on writing into `access.log` (docs/design/0076). The position is stored under the name
that the file has or will have after renaming. A number is never used twice, even after its file is deleted: otherwise
the stored position of the old file would skip lines of the new one.

Lines that a peer causes without a good certificate are recorded singly up to a limit and counted beyond it
(`lines.sender_of`, `audit.counting`); the counts are stored in the same transaction as the position. While the disk is
nearly full, every line is only counted, so that the log file does not fill the disk (docs/design/0045).
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import structlog

from doorward.audit.counting import EventLimiter
from doorward.audit.events import Event, EventType
from doorward.core.errors import DoorwardError, IntegrityError, MalformedInput, Unavailable
from doorward.gateway.access_log.counting import (
    CONNECTIONS,
    LINES,
    ConnectionEventLimiter,
    LogLimiter,
    describe_count,
    parse_stored_limiter,
)
from doorward.gateway.access_log.folder_watch import FolderWatch
from doorward.gateway.access_log.lines import LONGEST_LINE, AccessLine, malformed, parse_access_line
from doorward.gateway.access_log.selection import LineSelector, SelectedLines
from doorward.gateway.ballast import BALLAST
from doorward.stores.events import new_event
from doorward.stores.services import Services

LIVE = "access.log"
COUNTER = "access.next"
POLL_SECONDS = 0.05
BUSY_POLL_SECONDS = 0.25
"""The same after a look that found `BUSY_BYTES`: a transaction and its sequencing cost as much for 30 lines as for 1,000."""
BUSY_BYTES = 16 * 1024
"""About thirty lines: six hundred requests a second."""
QUIET_POLL_SECONDS = 0.25
"""The same after nothing was written for `QUIET_SECONDS`, if the kernel cannot tell when a file of the folder is written."""
QUIET_SECONDS = 5.0
LOOK_SECONDS = 1.0
"""While no line is written, counts that are due are looked at only so often, and files to which a draining Envoy may write."""
EVENT_SECONDS = 0.1
"""The kernel's event comes after the new size of a file is seen: a look in between finds the line without its event."""
FULL_LOOK_SECONDS = 10.0
"""So often every file is read in any case: it takes 0.8 ms, and finds nothing if no file has changed."""

BATCH_BYTES = 1024 * 1024
ROTATE_BYTES = 8 * 1024 * 1024
"""During a flood Envoy writes 5 MB a second; recorded lines must be deleted soon to free the disk."""
MOST_BACKLOG_BYTES = 8 * 1024 * 1024
"""Up to so many unrecorded bytes `status` reports no trouble: some seconds of work."""
STORE_SECONDS = 1.0
"""How often the counts of refused connections are stored; counts of lines are stored with the position."""

SETTLE_SECONDS = 2.0
"""How long a renamed file is not closed: Envoy flushes every 0.05 s, and opens the new file at a flush."""

_ROTATED = re.compile(r"access-([0-9]{1,12})\.log")
_NUMBER = re.compile(r"[0-9]{1,12}")
_log = structlog.get_logger("doorward.ingest")


class Ingest:
    """Reads the access log of one gateway.

    Args:
        services: the use cases' ports.
        gateway_id: the gateway of the log.
        folder: where the files are.
        reopen: tells the running Envoy to open `access.log` again.
        event_limiter: counts events of connections; its counts are stored here, too.
        watch: says when a file of the folder is written, and is closed when `run` ends; None if the folder is polled.
    """

    def __init__(
        self,
        services: Services,
        gateway_id: str,
        folder: Path,
        reopen: Callable[[], None],
        event_limiter: ConnectionEventLimiter | None = None,
        *,
        watch: FolderWatch | None = None,
    ) -> None:
        self._services = services
        self._gateway_id = gateway_id
        self._folder = folder
        self._live = folder / LIVE  # joining costs more than a look at the file
        self._reopen = reopen
        self._lock = threading.Lock()
        self._renamed_at = -SETTLE_SECONDS
        self._reopen_due = False
        self._trouble = ""
        self._event_limiter = event_limiter or ConnectionEventLimiter(services.clock)
        self._limiter: EventLimiter | None = None
        self._log_limiter = LogLimiter(services.clock)
        self._selector = LineSelector(services, gateway_id)
        self._room = True
        self._stored_at = -STORE_SECONDS
        self._backlog = 0
        self._taken = 0
        self._positions: dict[str, int] = {}
        self._full: set[str] = set()
        self._only_live = False  # whether there was no renamed file at the last look
        self._watch = watch

    def trouble(self) -> str:
        """Return why the access log is not being recorded, in a sentence; empty if all is well."""
        if not self._room:
            return "the disk is nearly full: lines of the access log are only counted, not recorded"
        if self._backlog > MOST_BACKLOG_BYTES:
            return f"the access log is behind: {self._backlog // 2**20} MiB are not recorded yet"
        return self._trouble

    def backlog(self) -> int:
        """Return how many bytes of the access log were not recorded yet, at the last look."""
        return self._backlog

    def wake(self) -> None:
        """End a wait for the next line, because `run` is to stop."""
        watch = self._watch  # the thread of `run` may end it meanwhile
        if watch is not None:
            watch.wake()

    def run(self, stop: threading.Event) -> None:
        """Record new lines again and again until `stop` is set, and `wake` was called; then once more."""
        try:
            self._run(stop)
        finally:
            self._end_watch()

    def _run(self, stop: threading.Event) -> None:
        settled: tuple[int, ...] | None = None  # the files when nothing was left of them
        looked_at = read_at = changed_at = 0.0
        before: tuple[int, ...] = ()
        while True:
            last, heard = self._wait(stop, self._services.clock.monotonic() - changed_at, before)
            found, now = self._fingerprint(), self._services.clock.monotonic()
            if found != before or heard:
                before, changed_at = found, now
            self._taken = 0
            is_settled = found == settled and not heard and not last
            if is_settled and now - looked_at < LOOK_SECONDS:
                continue
            read = not is_settled or not self._only_live or now - read_at >= FULL_LOOK_SECONDS
            if read:
                read_at = now
            self._set_trouble(self._record_all(read=read))
            settled = None if self._trouble or self._backlog else found
            looked_at = now
            if last:
                return

    def _wait(self, stop: threading.Event, unchanged: float, before: tuple[int, ...]) -> tuple[bool, bool]:
        """Wait until the next look; return whether it is the last one, and whether a file was certainly written."""
        watch, why = self._watch, "no event came for a line that was written"
        try:
            if unchanged < QUIET_SECONDS or watch is None or not watch.arm():
                return stop.wait(self._pause(unchanged)), False
            if self._fingerprint() != before or watch.wait(LOOK_SECONDS):
                return stop.is_set(), True
            is_deaf = self._fingerprint() != before and not watch.wait(EVENT_SECONDS)
        except OSError as error:  # this thread must not end
            is_deaf, why = True, str(error)
        if is_deaf and not stop.is_set():
            _log.warning("the access log is polled: inotify does not work", folder=str(self._folder), why=why)
            self._end_watch()
        return stop.is_set(), False

    def _end_watch(self) -> None:
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.close()

    def _pause(self, unchanged: float) -> float:
        """Return how long to wait until the next look, if nothing was written for so many seconds."""
        if self._taken >= BUSY_BYTES:
            return BUSY_POLL_SECONDS
        return QUIET_POLL_SECONDS if unchanged >= QUIET_SECONDS else POLL_SECONDS

    def _fingerprint(self) -> tuple[int, ...]:
        """Return what changes if Envoy writes a line, or if a file is renamed, made or deleted."""
        try:
            folder, live = self._folder.stat(), self._live.stat()
        except OSError:
            return ()
        return (folder.st_mtime_ns, live.st_ino, live.st_size)

    def _record_all(self, *, read: bool) -> str:
        """Record lines, if the files are to be read, and counts; return what is wrong, empty if all is well."""
        try:
            more = True
            while more:
                more = read and self.take()
                self._rotate_when_large()
                self.record_counts()
        except DoorwardError as error:
            return f"new lines of the access log are not recorded yet: {error.detail}"
        except OSError as error:
            return f"the access log cannot be read: {error.strerror}"
        except Exception:  # noqa: BLE001  this thread must not end: lines would be missing without a message
            _log.exception("new lines of the access log could not be recorded; they will be tried again")
            return "new lines of the access log are not recorded yet: internal error, see the log"
        return ""

    def _set_trouble(self, trouble: str) -> None:
        if trouble and trouble != self._trouble:
            _log.error(trouble)
        self._trouble = trouble

    def take(self) -> bool:
        """Record the next lines of every file, oldest file first; return True if there may be more."""
        with self._lock:
            more, backlog, files = False, 0, self._files()
            self._only_live = all(path.name == LIVE for path, _ in files)
            for path, name in files:
                left = self._record_from(path, name)
                more, backlog = more or left > 0, backlog + left
            self._backlog = backlog
            return more

    def record_counts(self, *, final: bool = False) -> None:
        """Record the counts of windows that are over; store the counts of refused connections.

        Args:
            final: record also the counts of the present window: nothing is counted after this.

        Raises:
            Unavailable: the record cannot be written; the counts stay and are recorded later.
        """
        with self._lock:
            limiter, now = self._loaded_limiter().copy(), self._services.clock.now()
            counts = limiter.close() if final or limiter.is_over(now) else ()
            due = self._event_limiter.due(final=final)
            monotonic = self._services.clock.monotonic()
            state = None
            if due or monotonic - self._stored_at >= STORE_SECONDS:
                state, self._stored_at = self._event_limiter.changed_state(), monotonic
            if not counts and not due and state is None:
                self._limiter = limiter
                return
            with self._services.work.change(traffic=True) as stores:
                for count in (*counts, *due):
                    stores.outbox.add(self._selector.build_event(describe_count(count, self._gateway_id)))
                if counts:
                    stores.ingest.store_counts(self._gateway_id, LINES, limiter.render())
                if state is not None:
                    stores.ingest.store_counts(self._gateway_id, CONNECTIONS, state)
            self._limiter = limiter
            self._event_limiter.clear_due()

    def _loaded_limiter(self) -> EventLimiter:
        if self._limiter is None:  # not in the constructor: making a gateway must not fail because of this
            with self._services.work.read() as stores:
                self._limiter = parse_stored_limiter(stores.ingest.counts(self._gateway_id, LINES))
                former = stores.ingest.counts(self._gateway_id, CONNECTIONS)
            with suppress(MalformedInput):
                self._event_limiter.restore(former)
        return self._limiter

    def adopt(self) -> None:
        """Go on with an Envoy of an earlier gateway: before any file counts as complete, it opens `access.log` again.

        The earlier gateway may have died between renaming the file and telling Envoy.
        """
        with self._lock:
            self._reopen_due = True

    def rotate(self) -> None:
        """Rename the live file, so that the next Envoy starts a new one; the lines stay in order."""
        with self._lock:
            self._rename()

    def finish(self, *, writers: bool, final: bool = False) -> None:
        """Record and delete renamed files to which no process writes any more; an incomplete last line is recorded, too.

        Args:
            writers: whether a draining Envoy may still write into one of them.
            final: whether no Envoy is left, so that a file renamed just now is complete as well.
        """
        with self._lock:
            # Read under the lock: another thread may rename a file meanwhile, which is still being written.
            since = self._services.clock.monotonic() - self._renamed_at
            if not final and (self._reopen_due or since < SETTLE_SECONDS):
                return
            for path, name in self._files():
                if path.name == LIVE or (writers and not final and name not in self._full):
                    continue
                self._finish_file(path, name)
                self._full.discard(name)

    def last_written(self) -> datetime | None:
        """Return when Envoy last wrote a line, by the file's own time; None if there is no file."""
        try:
            return datetime.fromtimestamp((self._folder / LIVE).stat().st_mtime, UTC)
        except (OSError, OverflowError, ValueError):
            return None

    def note_gap(self, began_at: datetime, ended_at: datetime, reason: str) -> None:
        """Record that requests of this interval may be missing."""
        self._services.work.record([self.build_gap(began_at, ended_at, reason)])

    def build_gap(self, began_at: datetime, ended_at: datetime, reason: str) -> Event:
        """Return the event that requests of this interval may be missing."""
        return new_event(
            self._services,
            EventType.ACCESS_GAP,
            actor="system",
            data={"gateway": self._gateway_id, "reason": reason, "from_at": began_at, "to_at": ended_at},
        )

    def _rename(self) -> None:
        live = self._folder / LIVE
        if live.exists():
            live.rename(self._folder / self._next_name())
            self._next_name()
            self._renamed_at = self._services.clock.monotonic()

    def _files(self) -> list[tuple[Path, str]]:
        rotated = sorted(self._rotated())
        files = [(self._folder / f"access-{number}.log", f"access-{number}.log") for number in rotated]
        live = self._folder / LIVE
        return [*files, (live, self._next_name())] if live.exists() else files

    def _rotated(self) -> list[int]:
        found = (_ROTATED.fullmatch(path.name) for path in self._folder.iterdir())
        return [int(match.group(1)) for match in found if match]

    def _next_name(self) -> str:
        """Return the name that the live file will get; store its number so that it is never used again."""
        counter = self._folder / COUNTER
        least = _read_number(counter)
        number = max([least, *(one + 1 for one in self._rotated())])
        if number != least or not counter.exists():
            # Durable: otherwise a number could be used twice after a crash of the machine.
            BALLAST.replace_file(counter, str(number).encode(), durable=True)
        return f"access-{number}.log"

    def _record_from(self, path: Path, name: str) -> int:
        """Record one batch of lines; return how many bytes are left."""
        position = self._position(name)
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            if size < position:
                self._skip_truncated(name, position, size)
                return 0
            file.seek(position)
            data = file.read(BATCH_BYTES)
        end = data.rfind(b"\n") + 1
        if not end and len(data) > LONGEST_LINE:
            end = len(data)  # Envoy writes no line of this length: skip it rather than wait for ever
        if not end:
            return 0
        taken = self._record_batch(data[:end], name, position)
        return size - position - taken if taken < end or len(data) == BATCH_BYTES else 0

    def _position(self, name: str) -> int:
        """Return the stored position of a file. It is remembered: `advance` refuses to move from any other one."""
        known = self._positions.get(name)
        if known is None:
            with self._services.work.read() as stores:
                known = self._positions[name] = stores.ingest.position(self._gateway_id, name)
        return known

    def _record_batch(self, data: bytes, name: str, position: int) -> int:
        """Record or count complete lines; return how many bytes that covered."""
        limiter = self._loaded_limiter()
        try:
            selection = self._selector.select(data, limiter.copy(), room=True)
            self._store(selection, name, position)
            self._room = True
        except Unavailable as error:
            if error.code != "store-full":
                raise
            self._room = False
            selection = self._selector.select(data, limiter.copy(), room=False)
            self._store(selection, name, position, traffic=False)
        self._taken += selection.end
        for key, line in selection.refused:
            if self._log_limiter.allows(key):
                self._log_refusal(line)
        return selection.end

    def _skip_truncated(self, name: str, position: int, size: int) -> None:
        """Go on at the end of a file that was truncated: its remaining lines were recorded before; record a gap."""
        now = self._services.clock.now()
        gap = AccessLine(
            type=EventType.ACCESS_GAP,
            data={"gateway": self._gateway_id, "reason": "log-shrunk", "from_at": now, "to_at": now},
        )
        self._store_line(gap, name, position, size)

    def _finish_file(self, path: Path, name: str) -> None:
        while self._record_from(path, name) > 0:
            pass
        position = self._position(name)
        with path.open("rb") as file:
            file.seek(position)
            rest = file.read(LONGEST_LINE + 1)
        if rest:
            torn = malformed(rest, self._gateway_id, "line-torn")
            self._store_line(torn, name, position, position + len(rest))
        self._next_name()  # store the number as used, before the file is deleted
        path.unlink()
        self._positions.pop(name, None)

    def _store(self, selection: SelectedLines, name: str, position: int, *, traffic: bool = True) -> None:
        """Store the blocks and the position after their lines in one transaction."""
        self._positions.pop(name, None)  # after a failure it is read again
        with self._services.work.change(traffic=traffic) as stores:
            stores.ingest.advance(self._gateway_id, name, position, position + selection.end)
            if selection.limiter != self._limiter:
                stores.ingest.store_counts(self._gateway_id, LINES, selection.limiter.render())
            for block in selection.blocks:
                stores.outbox.add_block(block)
        self._limiter = selection.limiter
        self._positions[name] = position + selection.end

    def _store_line(self, line: AccessLine, name: str, position: int, end: int) -> None:
        self._positions.pop(name, None)
        with self._services.work.change(traffic=True) as stores:
            stores.ingest.advance(self._gateway_id, name, position, end)
            stores.outbox.add(self._selector.build_event(line))
        self._positions[name] = end

    def _log_refusal(self, line: AccessLine | bytes) -> None:
        found = parse_access_line(line, self._gateway_id) if isinstance(line, bytes) else line
        if found is not None:
            _log.warning(f"refused: {found.type.value}", **_log_fields(found))

    def _rotate_when_large(self) -> None:
        with self._lock:
            live = self._folder / LIVE
            if live.exists() and live.stat().st_size > ROTATE_BYTES:
                self._reopen_due = True  # until Envoy reopens its logs, it writes into the renamed file
                self._full.add(self._next_name())  # after that, not even a draining Envoy writes into it
                self._rename()
            due = self._reopen_due
        if due:
            self._reopen()  # without the lock, because Envoy may be slow
            with self._lock:
                self._renamed_at = self._services.clock.monotonic()
                self._reopen_due = False


def _read_number(counter: Path) -> int:
    try:
        text = counter.read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        return 1
    if not _NUMBER.fullmatch(text):
        raise IntegrityError(
            "access-counter-damaged",
            f"{counter} holds no number",
            hint="write a number into it that is larger than the number of every earlier access-N.log",
        )
    return int(text)


def _log_fields(line: AccessLine) -> dict[str, str]:
    """Return the log fields of a refusal: ids and reasons, and no name of a person."""
    names = ("application", "principal", "certificate", "status", "reason", "request", "connection")
    fields = {name: str(line.data[name]) for name in names if name in line.data}
    return fields | {"source": line.personal.get("source", "")}
