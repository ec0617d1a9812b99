"""Whether the database is the one that ran here before, or an older one that was put back.

In an older database, sessions that were ended since are open again, and enrolment tickets that were used. So both roles
check before they serve anything, and `serve` checks again every five seconds. If the database was put back, every session
is ended under an epoch that was never in use, and every ticket is voided (docs/design/0065).

    1. the mark is in `run/`, which no backup contains: if it is missing, everything was put back
    2. the mark has the change time (ctime) of the file `founded`: no program can set a ctime, so it differs in a copy of
       the whole data directory
    3. the mark has the number of the last change: a database with a lower number is an older one

Not here: revocations that the copy lacks, which an operator replays (docs/how-to/back-up.md); the gateway's own watch over
the sequence of changes (gateway.following).
"""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

import structlog

from doorward.directory.session_ending import withdraw_after_restore
from doorward.stores.services import Services

MAX_MARK_BYTES = 1024
SYSTEM = "system"

_log = structlog.get_logger("doorward.continuity")


class Continuity:
    """The watch of one process.

    Args:
        services: the use cases' ports.
        mark: the file of the mark, shared by the processes of one data directory.
        founded: a file that is written once.
    """

    def __init__(self, services: Services, mark: Path, founded: Path) -> None:
        self._services = services
        self._mark = mark
        self._founded = founded

    def look(self) -> bool:
        """If the database is an older one, end its sessions and tickets; then store its last change number.

        Returns:
            Whether it was put back, or is checked for the first time.

        Raises:
            Unavailable: as `UnitOfWork.change`; the next check tries again.
            OSError: the mark cannot be written, or `founded` cannot be found.
        """
        descriptor = os.open(self._mark, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # both roles may start at once
            text = os.pread(descriptor, MAX_MARK_BYTES, 0)
            changed_at = self._founded.stat().st_ctime_ns
            put_back = not _is_ahead(text, changed_at, self._head())
            if put_back:
                ended = withdraw_after_restore(self._services, actor=SYSTEM)
                say = _log.warning if ended else _log.info
                say("the database is new or was restored: all earlier sessions were ended", ended=ended)
            mark = json.dumps({"founded": changed_at, "head": self._head()}).encode()
            if mark != text.rstrip():
                # In the place of the old one, which is on the disk already: there may be no room for another block.
                os.pwrite(descriptor, mark.ljust(len(text)), 0)
        finally:
            os.close(descriptor)
        return put_back

    def _head(self) -> int:
        with self._services.work.read() as stores:
            return stores.changes.head()


def _is_ahead(text: bytes, changed_at: int, head: int) -> bool:
    """Return whether a database with the last change `head` is not older than the mark; False for a malformed mark."""
    try:
        mark = json.loads(text)
        return bool(mark["founded"] == changed_at and mark["head"] <= head)
    except (ValueError, KeyError, TypeError):
        return False
