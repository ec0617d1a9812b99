"""The journal of live connections: a file by which the registry survives the gateway's process; one JSON line a change.

It names who is connected and until when, so that a restarted gateway can still end the connections of an Envoy
that ran on without it. It does not have the permissions of a connection, but the ids of its judgement (`following.adopted`).

It also names the last change that was followed, and the policy revision by which all connections were compared last. So
a gateway that starts knows which changes were made meanwhile, and whether the database was put back to an older state
(`following.change_mark`).

Lines are appended without fsync: the file must survive a crash of the gateway; a crash of the machine ends the
connections anyway. The first line has the kernel's boot id: cookies mean nothing after a reboot, so a journal of
another boot is ignored.
"""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from operator import attrgetter
from pathlib import Path
from typing import Any

from doorward.access.decision import SessionStatus
from doorward.core.errors import MalformedInput, Unavailable
from doorward.gateway.connections.connection import LiveConnection
from doorward.gateway.connections.endpoints import parse_endpoint

MAX_LINE_BYTES = 16_384
"""A connection may have two lists of ids, of 4 KiB each (`policy.grants.GRANTS_LIMIT_BYTES`)."""

_MARKS = re.compile(rb'^\{"followed":[^\n]*', re.MULTILINE)

_DEAD_LINES = 10_000
"""How many superseded lines the file may have before it is rewritten: about 3 MB."""


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _whole(value: object) -> int:
    if type(value) is not int or not 0 <= value < 1 << 64:
        raise ValueError(value)
    return value


def _revision(value: object) -> int:
    return -1 if type(value) is int and value == -1 else _whole(value)


def _words(value: object) -> tuple[str, ...]:
    return tuple(_text(value).split())


def _sessions(value: object) -> SessionStatus:
    return SessionStatus(epoch=_text(value))


def _moment(value: Any) -> datetime:
    return datetime.fromtimestamp(value, UTC)


_KEPT: Mapping[str, tuple[str, Callable[[Any], str | int | float], Callable[[Any], Any]]] = {
    "cookie": ("cookie", int, _whole),
    "connection_id": ("connection_id", str, _text),
    "epoch": ("epoch", int, _whole),
    "local": ("local", str, parse_endpoint),
    "remote": ("remote", str, parse_endpoint),
    "application_id": ("application_id", str, _text),
    "opened_at": ("admitted_at", datetime.timestamp, _moment),
    "certificate_id": ("certificate_id", str, _text),
    "sha256": ("sha256", str, _text),
    "principal_id": ("principal_id", str, _text),
    "revision": ("revision", int, _whole),
    "deadline": ("deadline", datetime.timestamp, _moment),
    "grants": ("grants", " ".join, _words),
    "decision": ("decision", str, _text),
    "shown": ("shown", lambda ids: " ".join(sorted(ids)), lambda text: frozenset(_words(text))),
    "sessions": ("sessions", lambda status: status.epoch, _sessions),
    "judged_grants": ("judged_grants", " ".join, _words),
    "judged_by": ("judged_by", int, _revision),
}
"""The fields of a live connection that are kept: field, key in the line, how to write and to read it.

The keys never change: after an update the gateway reads the lines of the earlier version. A key that an earlier version
did not write has the value in `_ADDED`."""

_ADDED: Mapping[str, str | int] = {
    "grants": "",
    "decision": "",
    "shown": "",
    "sessions": SessionStatus().epoch,
    "judged_by": -1,
}

NOT_KEPT: Mapping[str, Any] = {"subject": None, "permissions": None}
"""The values that an adopted connection has instead of those of a judgement; other fields have their default."""

_OWN = ("cookie", "connection_id", "local", "remote", "opened_at", "deadline", "decision")
"""The fields that differ from connection to connection; the others are mostly those of another one, and rendered once."""

_SHARED = tuple(name for name in _KEPT if name not in _OWN)
_REMEMBERED = 512
"""Of 2 KB each. Each policy revision makes those from before useless."""


def _values_of(names: Sequence[str]) -> Callable[[LiveConnection], tuple[Any, ...]]:
    """Return a function that reads fields of a connection.

    The process that adopts a connection knows no rules. It ends the connection when time alone takes a permission away.
    """
    return attrgetter(*("ends_at" if name == "deadline" else name for name in names))


_kept, _own, _shared = _values_of(tuple(_KEPT)), _values_of(_OWN), _values_of(_SHARED)
_OWN_FORMAT = ",".join(f'"{_KEPT[name][0]}":%s' for name in _OWN)
_OWN_WRITERS = tuple(_KEPT[name][1] for name in _OWN)


def is_same_entry(one: LiveConnection, other: LiveConnection) -> bool:
    """Return whether both have the same line in the journal."""
    return bool(_kept(one) == _kept(other))


def render_entry(connection: LiveConnection) -> bytes:
    """Return the line of an admitted connection."""
    values = [_dump(write(value)) for write, value in zip(_OWN_WRITERS, _own(connection), strict=True)]
    return f"{{{_OWN_FORMAT % tuple(values)},{_render_shared(_shared(connection))}\n".encode()


def _dump(value: str | float) -> str:
    """Do the same as `json.dumps`, for texts and finite numbers."""
    return encode_basestring_ascii(value) if isinstance(value, str) else repr(value)


@lru_cache(_REMEMBERED)
def _render_shared(values: tuple[Any, ...]) -> str:
    """Return the end of a line: the shared fields, and the closing brace."""
    rows = (_KEPT[name] for name in _SHARED)
    fields = {key: write(value) for (key, write, _), value in zip(rows, values, strict=True)}
    if fields["judged_grants"] == fields["grants"]:
        del fields["judged_grants"]
    return json.dumps(fields, separators=(",", ":"))[1:]


@dataclass(frozen=True, slots=True)
class Condemned:
    """A connection that must end; its line stands before the cut, and one that it has ended after it."""

    cookie: int


def parse_line(line: bytes) -> LiveConnection | Condemned | int:
    """Return the adopted connection of a line, or the one that must end, or the cookie of one that has ended by this line.

    Args:
        line: at most `MAX_LINE_BYTES`, with or without its newline.

    Raises:
        MalformedInput: for anything else (`journal-line-malformed`).
    """
    try:
        if len(line) > MAX_LINE_BYTES:
            raise _malformed()
        fields = json.loads(line)
        if set(fields) == {"ended"}:
            return _whole(fields["ended"])
        if set(fields) == {"condemned"}:
            return Condemned(_whole(fields["condemned"]))
        fields = {**_ADDED, **fields}
        fields.setdefault("judged_grants", fields["grants"])
        kept = {name: read(fields[key]) for name, (key, _, read) in _KEPT.items()}
        return LiveConnection(**kept, **NOT_KEPT, adopted=True)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, OSError, RecursionError):
        raise _malformed() from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """The mark of the last change that was followed, empty if none is known (`following.change_mark`).

    `revision` is the policy revision by which every live connection was compared last; -1 if it is not known.
    """

    mark: str = ""
    revision: int = -1


NOTHING_FOLLOWED = Followed()


def parse_followed(line: bytes) -> Followed | None:
    """Return the last followed change in a line; None for any other line."""
    try:
        if not line.startswith(b'{"followed":') or len(line) > MAX_LINE_BYTES:
            return None
        fields = json.loads(line)
        return Followed(mark=_text(fields["followed"]), revision=_revision(fields.get("revision", -1)))
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return None


def _malformed() -> MalformedInput:
    return MalformedInput("journal-line-malformed", "not a line of the connection journal")


def parse_journal(lines: Iterable[bytes], boot_id: str) -> dict[int, LiveConnection]:
    """Return the connections that were live when the journal ended, by cookie; one that was condemned is past its deadline.

    A line that does not parse is skipped: a crash may have torn the last one. The reconciler finds a
    connection that is missing here as an unknown socket and cuts it.
    """
    rows: Iterator[bytes] = iter(lines)
    if next(rows, b"") != _heading(boot_id):
        return {}
    live: dict[int, LiveConnection] = {}
    for line in rows:
        try:
            entry = parse_line(line)
        except MalformedInput:
            continue
        if isinstance(entry, int):
            live.pop(entry, None)
        elif isinstance(entry, Condemned):
            if entry.cookie in live:
                live[entry.cookie] = live[entry.cookie].past_deadline()
        else:
            live[entry.cookie] = entry
    return live


def _render_followed(followed: Followed) -> bytes:
    fields = {"followed": followed.mark, "revision": followed.revision}
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


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
        self.adopted: tuple[LiveConnection, ...] = ()
        self.followed = NOTHING_FOLLOWED
        self._torn = False
        try:
            is_current = self._read()
            self._open(is_current=is_current)
        except OSError as error:
            raise self._unavailable(error) from error

    def add(self, connection: LiveConnection) -> None:
        """Write that a connection was admitted, or that one of its kept fields changed.

        Raises:
            Unavailable: the line could not be written, so the connection must not be admitted.
        """
        self.add_all([connection])

    def add_all(self, connections: Sequence[LiveConnection]) -> None:
        """Do the same as `add` for many connections with one write.

        Raises:
            Unavailable: as `add`; then none of them has a line.
        """
        lines = {one.cookie: render_entry(one) for one in connections}
        try:
            self._append(b"".join(lines.values()))
        except OSError as error:
            raise self._unavailable(error) from error
        self._dead += sum(cookie in self._lines for cookie in lines)
        self._lines |= lines

    def condemn(self, cookie: int) -> None:
        """Write that a connection must end; the next gateway ends it if this one dies before the cut.

        A full disk is ignored, as in `end`.
        """
        if cookie in self._lines:
            line = b'{"condemned":%d}\n' % cookie
            self._lines[cookie] += line
            with suppress(OSError):
                self._append(line)

    def end(self, cookie: int) -> None:
        """Write that a connection has ended; nothing is written for a connection without a line.

        A full disk is ignored here: ending connections must never depend on a disk, and after a restart
        the reconciler finds that the socket is gone.
        """
        self.end_all((cookie,))

    def end_all(self, cookies: Iterable[int]) -> None:
        """Do the same as `end` for many connections with one write."""
        ended = [cookie for cookie in cookies if self._lines.pop(cookie, None) is not None]
        if ended:
            self._dead += 2 * len(ended)
            with suppress(OSError):
                self._append(b"".join([b'{"ended":%d}\n' % cookie for cookie in ended]))

    def follow(self, followed: Followed) -> None:
        """Write which change was followed last.

        On a full disk the former mark is taken out of the file. If it stayed, the next start would not see a permission
        that a connection gained after this mark and lost later. Without a mark, the next start ends all connections. The
        next change writes a new mark.

        Args:
            followed: with a mark of at most 1,000 characters.
        """
        self.followed = followed
        self._dead += 1
        try:
            self._append(_render_followed(followed))
        except OSError:
            self._blot_marks()

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _read(self) -> bool:
        """Read the file; return whether there is one of this boot."""
        try:
            with self._path.open("rb") as file:
                is_current = file.readline(MAX_LINE_BYTES + 1) == _heading(self._boot_id)
                file.seek(0)
                lines = iter(lambda: file.readline(MAX_LINE_BYTES + 1), b"")
                live = parse_journal(self._note_followed(lines), self._boot_id)
        except FileNotFoundError:
            return False
        self.adopted = tuple(live.values())
        self._lines = {cookie: render_entry(entry) for cookie, entry in live.items()}
        return is_current

    def _open(self, *, is_current: bool) -> None:
        """Compact the file; on a full disk go on with the old one, or no gateway could withdraw anything any more."""
        try:
            self._compact()
        except OSError as error:
            if error.errno != errno.ENOSPC or not is_current:
                raise
            self._path.with_name(self._path.name + ".new").unlink(missing_ok=True)
            self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            self._torn = True  # its last line may be torn

    def _note_followed(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        for line in lines:
            self.followed = parse_followed(line) or self.followed
            yield line

    def _append(self, line: bytes) -> None:
        if self._dead > _DEAD_LINES + len(self._lines):
            self._compact()
        if self._torn:  # on a full disk only half of the line before may be written: end it here
            line = b"\n" + line
        self._torn = True
        written = os.write(self._file, line)
        if written != len(line):
            self._cut_off(written)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._torn = False

    def _cut_off(self, written: int) -> None:
        """Take the beginning of a write that did not fit out of the file: lines in it were not acted on."""
        with suppress(OSError):
            os.ftruncate(self._file, os.fstat(self._file).st_size - written)

    def _blot_marks(self) -> None:
        """Write blanks over every mark in the file, in its place: that needs no room on the disk."""
        with suppress(OSError), self._path.open("r+b") as file:
            content = file.read()
            for found in _MARKS.finditer(content):
                file.seek(found.start())
                file.write(b" " * len(found[0]))

    def _compact(self) -> None:
        """Write a new file with only the live connections, and replace the old file with it."""
        fresh = self._path.with_name(self._path.name + ".new")
        fresh.unlink(missing_ok=True)
        file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            with open(file, "wb", closefd=False) as stream:
                stream.write(_heading(self._boot_id))
                if self.followed.mark:
                    stream.write(_render_followed(self.followed))
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
