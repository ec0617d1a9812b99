"""Envoy's access log -> audit events: in order, never twice, gaps on record.

Not here: what a line means (access_lines). The position in each file moves in the transaction that
queues its events, so a crash between the two is impossible: a line is either taken or not.

Files: Envoy appends to `access.log`. At each start of an Envoy, and when the file has grown large,
it is renamed to `access-<number>.log`; a draining Envoy goes on writing into the renamed one. The
position is kept under the name that the file has, or will have, once renamed. A number is never used
twice, also when the file is long deleted: what was taken of one file must not be left out of another.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import structlog

from doorward.audit.events import EventType
from doorward.authority.journal import write_event
from doorward.authority.services import Services
from doorward.authority.stores import Books
from doorward.core.errors import DoorwardError, IntegrityError
from doorward.gateway.access_lines import LONGEST_LINE, AccessLine, malformed, parse_access_line
from doorward.gateway.files import replace_file

LIVE = "access.log"
COUNTER = "access.next"
POLL_SECONDS = 0.05
BATCH_BYTES = 256 * 1024
ROTATE_BYTES = 64 * 1024 * 1024

SETTLE_SECONDS = 2.0
"""How long a renamed file is left alone: Envoy flushes every 0.05 s, and opens the new one at a flush."""

_ROTATED = re.compile(r"access-([0-9]{1,12})\.log")
_NUMBER = re.compile(r"[0-9]{1,12}")
_log = structlog.get_logger("doorward.ingest")


class Ingest:
    """Reads the access log of one gateway.

    Args:
        services: the use cases' ports.
        gateway_id: whose log it is.
        folder: where the files are.
        reopen: tells the running Envoy to open `access.log` anew.
    """

    def __init__(self, services: Services, gateway_id: str, folder: Path, reopen: Callable[[], None]) -> None:
        self._services = services
        self._gateway_id = gateway_id
        self._folder = folder
        self._reopen = reopen
        self._lock = threading.Lock()
        self._renamed_at = -SETTLE_SECONDS
        self._reopen_due = False
        self._trouble = ""

    def trouble(self) -> str:
        """Return why the access log is not being taken in, in a sentence; empty where it is."""
        return self._trouble

    def run(self, stop: threading.Event) -> None:
        """Take what is there, again and again, until `stop` is set; then once more."""
        while True:
            last = stop.wait(POLL_SECONDS)
            self._say(self._look())
            if last:
                return

    def _look(self) -> str:
        try:
            while self.take():
                pass
            self._rotate_when_large()
        except DoorwardError as error:
            return f"the access log waits in its file: {error.detail}"
        except OSError as error:
            return f"the access log cannot be read: {error.strerror}"
        except Exception:  # noqa: BLE001  this thread must not end: the log would go missing silently
            _log.exception("taking in the access log failed; it is tried again")
            return "the access log waits in its file: an internal error, see the log"
        return ""

    def _say(self, trouble: str) -> None:
        if trouble and trouble != self._trouble:
            _log.error(trouble)
        self._trouble = trouble

    def take(self) -> bool:
        """Take the next lines of every file, oldest file first; return True where there may be more."""
        with self._lock:
            more = False
            for path, name in self._files():
                more = self._take_from(path, name) or more
            return more

    def rotate(self) -> None:
        """Rename the live file, so that the next Envoy starts a new one; lines stay in order."""
        with self._lock:
            self._rename()

    def finish(self, *, writers: bool, final: bool = False) -> None:
        """Delete renamed files to which nobody writes any more; a torn last line is put on record.

        Args:
            writers: whether a draining Envoy may still write into one of them.
            final: no Envoy is left, so that a file renamed just now is complete as well.
        """
        with self._lock:
            # Asked under the lock: what another thread renames meanwhile is still being written.
            since = self._services.clock.monotonic() - self._renamed_at
            if not final and (writers or self._reopen_due or since < SETTLE_SECONDS):
                return
            for path, name in self._files():
                if path.name != LIVE:
                    self._close(path, name)

    def note_gap(self, began_at: datetime, ended_at: datetime, reason: str) -> None:
        """Put on record that requests of this interval may be missing."""
        event = write_event(
            self._services,
            EventType.ACCESS_GAP,
            actor="system",
            data={"gateway": self._gateway_id, "reason": reason, "from_at": began_at, "to_at": ended_at},
        )
        self._services.work.record([event])

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
        """Return the name that the live file will have, and keep its number for good."""
        counter = self._folder / COUNTER
        least = _read_number(counter)
        number = max([least, *(one + 1 for one in self._rotated())])
        if number != least or not counter.exists():
            replace_file(counter, str(number).encode(), durable=True)  # or a name would be given twice
        return f"access-{number}.log"

    def _take_from(self, path: Path, name: str) -> bool:
        with self._services.work.read() as books:
            position = books.ingest.position(self._gateway_id, name)
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            if size < position:
                self._give_up(name, position, size)
                return False
            file.seek(position)
            data = file.read(BATCH_BYTES)
        end = data.rfind(b"\n") + 1
        if not end and len(data) > LONGEST_LINE:
            end = len(data)  # no line of Envoy is so long: give this up rather than wait for ever
        if not end:
            return False
        lines = [one for one in data[:end].split(b"\n") if one]
        events = [parse_access_line(line, self._gateway_id) for line in lines]
        self._keep([one for one in events if one], name, position, position + end)
        return len(data) == BATCH_BYTES

    def _give_up(self, name: str, position: int, size: int) -> None:
        """Go on at the end of a file that somebody cut short: what is left of it was taken before."""
        now = self._services.clock.now()
        gap = AccessLine(
            type=EventType.ACCESS_GAP,
            data={"gateway": self._gateway_id, "reason": "log-shrunk", "from_at": now, "to_at": now},
        )
        self._keep([gap], name, position, size)

    def _close(self, path: Path, name: str) -> None:
        while self._take_from(path, name):
            pass
        with self._services.work.read() as books:
            position = books.ingest.position(self._gateway_id, name)
        with path.open("rb") as file:
            file.seek(position)
            rest = file.read(LONGEST_LINE + 1)
        if rest:
            self._keep([malformed(rest, self._gateway_id, "line-torn")], name, position, position + len(rest))
        self._next_name()  # its number stays used up when the file is gone
        path.unlink()

    def _keep(self, lines: list[AccessLine], name: str, position: int, end: int) -> None:
        with self._services.work.change() as books:
            books.ingest.advance(self._gateway_id, name, position, end)
            for line in lines:
                self._queue(books, line)

    def _queue(self, books: Books, line: AccessLine) -> None:
        try:
            event = write_event(
                self._services, line.type, actor=line.actor, data=line.data, personal=line.personal
            )
        except DoorwardError as error:
            # The catalogue refused what a peer made Envoy write; the line must not stop all others.
            raw = repr((line.data, line.personal)).encode()
            spare = malformed(raw, self._gateway_id, error.code)
            event = write_event(
                self._services, spare.type, actor="system", data=spare.data, personal=spare.personal
            )
        books.outbox.add(event)

    def _rotate_when_large(self) -> None:
        with self._lock:
            live = self._folder / LIVE
            if live.exists() and live.stat().st_size > ROTATE_BYTES:
                self._reopen_due = True  # until Envoy was told, it writes into the renamed file
                self._rename()
            due = self._reopen_due
        if due:
            self._reopen()  # Envoy may take its time: nobody waits for it with the lock
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
            hint="write a number into it that is larger than that of any access-N.log before",
        )
    return int(text)
