"""The file in which the registry outlives the gateway's process: one JSON line for each change.

Not here: what a connection may do. The journal names who is connected and until when, no more, so
that a restarted gateway can still end the connections of an Envoy that went on without it.

Lines are appended without fsync: the file must survive our own death, and the death of the machine
ends the connections that it tells of. The first line carries the kernel's boot id: cookies mean
nothing after a reboot, and a journal of another boot is dropped whole.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from doorward.core.errors import MalformedInput, Unavailable
from doorward.gateway.connections.endpoints import Endpoint, parse_endpoint

MAX_LINE_BYTES = 4096
_DEAD_LINES = 10_000
"""How many superseded lines are borne before the file is written anew: about 3 MB."""

_TEXTS = ("connection_id", "sha256", "certificate_id", "principal_id", "application_id", "class_token")


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """What the journal keeps of a live connection; the words are those of `LiveConnection`."""

    cookie: int
    connection_id: str
    epoch: int
    local: Endpoint
    remote: Endpoint
    sha256: str
    certificate_id: str
    principal_id: str
    application_id: str
    class_token: str
    revision: int
    deadline: datetime
    admitted_at: datetime


def render_entry(entry: JournalEntry) -> bytes:
    """Return the line that tells of an admitted connection."""
    fields: dict[str, Any] = {name: getattr(entry, name) for name in _TEXTS}
    fields |= {
        "cookie": entry.cookie,
        "epoch": entry.epoch,
        "local": str(entry.local),
        "remote": str(entry.remote),
        "revision": entry.revision,
        "deadline": entry.deadline.timestamp(),
        "admitted_at": entry.admitted_at.timestamp(),
    }
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


def parse_line(line: bytes) -> JournalEntry | int:
    """Return the entry of a line, or the cookie of a connection that the line says has ended.

    Args:
        line: at most 4,096 bytes, with or without its newline.

    Raises:
        MalformedInput: for anything else (`journal-line-malformed`).
    """
    try:
        if len(line) > MAX_LINE_BYTES:
            raise _malformed()
        fields = json.loads(line)
        if set(fields) == {"ended"}:
            return _whole(fields["ended"])
        texts = {name: fields[name] for name in _TEXTS}
        if not all(isinstance(text, str) for text in texts.values()):
            raise _malformed()
        return JournalEntry(
            cookie=_whole(fields["cookie"]),
            epoch=_whole(fields["epoch"]),
            local=parse_endpoint(fields["local"]),
            remote=parse_endpoint(fields["remote"]),
            revision=_whole(fields["revision"]),
            deadline=datetime.fromtimestamp(fields["deadline"], UTC),
            admitted_at=datetime.fromtimestamp(fields["admitted_at"], UTC),
            **texts,
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, OSError, RecursionError):
        raise _malformed() from None


def _whole(value: object) -> int:
    if type(value) is not int or not 0 <= value < 1 << 64:
        raise ValueError(value)
    return value


def _malformed() -> MalformedInput:
    return MalformedInput("journal-line-malformed", "not a line of the connection journal")


def parse_journal(lines: Iterable[bytes], boot_id: str) -> dict[int, JournalEntry]:
    """Return the connections that were live when the journal ended, by cookie.

    A line that does not parse is skipped: the last one may be torn by our own death, and what is
    missing here is found by the reconciler as an unknown socket and cut.
    """
    rows: Iterator[bytes] = iter(lines)
    if next(rows, b"") != _heading(boot_id):
        return {}
    live: dict[int, JournalEntry] = {}
    for line in rows:
        try:
            entry = parse_line(line)
        except MalformedInput:
            continue
        if isinstance(entry, int):
            live.pop(entry, None)
        else:
            live[entry.cookie] = entry
    return live


def _heading(boot_id: str) -> bytes:
    return json.dumps({"journal": 1, "boot": boot_id}, separators=(",", ":")).encode() + b"\n"


class Journal:
    """The open journal. Not thread-safe: the registry calls it under its own lock.

    Args:
        path: the file; made with mode 0600, read and compacted on opening.
        boot_id: the kernel's `/proc/sys/kernel/random/boot_id`.

    Raises:
        Unavailable: the file cannot be read or written (`journal-unavailable`).
    """

    def __init__(self, path: Path, *, boot_id: str) -> None:
        self._path = path
        self._boot_id = boot_id
        self._lines: dict[int, bytes] = {}
        self._dead = 0
        self._file = -1
        self.adopted: tuple[JournalEntry, ...] = ()
        self._torn = False
        try:
            self._read()
            self._compact()
        except OSError as error:
            raise self._unavailable(error) from error

    def add(self, entry: JournalEntry) -> None:
        """Write that a connection was admitted, or admitted anew.

        Raises:
            Unavailable: it could not be written, so it must not be admitted.
        """
        line = render_entry(entry)
        try:
            self._append(line)
        except OSError as error:
            raise self._unavailable(error) from error
        self._dead += entry.cookie in self._lines
        self._lines[entry.cookie] = line

    def end(self, cookie: int) -> None:
        """Write that a connection has ended; one that was never written is none of ours.

        A full disk is borne here: after a restart the reconciler finds that the socket is gone, and
        ending connections must never depend on a disk.
        """
        if self._lines.pop(cookie, None) is not None:
            self._dead += 2
            with suppress(OSError):
                self._append(b'{"ended":%d}\n' % cookie)

    def close(self) -> None:
        """Close the file; what was written stays."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _read(self) -> None:
        try:
            with self._path.open("rb") as file:
                lines = iter(lambda: file.readline(MAX_LINE_BYTES + 1), b"")
                live = parse_journal(lines, self._boot_id)
        except FileNotFoundError:
            return
        self.adopted = tuple(live.values())
        self._lines = {cookie: render_entry(entry) for cookie, entry in live.items()}

    def _append(self, line: bytes) -> None:
        if self._dead > _DEAD_LINES + len(self._lines):
            self._compact()
        if self._torn:  # a full disk may have taken half of the line before: let it spoil only itself
            line = b"\n" + line
        self._torn = True
        if os.write(self._file, line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._torn = False

    def _compact(self) -> None:
        """Write only what is live into a new file and put it in the old one's place."""
        fresh = self._path.with_name(self._path.name + ".new")
        fresh.unlink(missing_ok=True)
        file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            with open(file, "wb", closefd=False) as stream:
                stream.write(_heading(self._boot_id))
                stream.writelines(self._lines.values())
            fresh.replace(self._path)
        except OSError:
            os.close(file)
            raise
        self.close()
        self._file, self._dead, self._torn = file, 0, False

    def _unavailable(self, error: OSError) -> Unavailable:
        return Unavailable(
            "journal-unavailable",
            f"the journal of live connections cannot be kept: {error.strerror}",
            hint=f"make room for, or give this user access to, {self._path}",
        )
