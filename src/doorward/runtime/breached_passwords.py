"""The operator's file of stolen passwords: it is searched when a person chooses a password.

Two forms, told apart by the first line:
- SHA-1 in hex, a line each, sorted, perhaps with `:count` behind: the form of Have I Been Pwned's download
  ("ordered by hash"). It has some tens of gigabytes, so it is searched on the disk: 40 reads for one password.
- passwords in UTF-8, a line each: at most 64 MiB, kept in memory as SHA-1 (a hundred bytes for each).
SHA-1 only identifies a password here; no security depends on it.

Not here: who asks (`factors.password`).
Standard: NIST SP 800-63B-4 section 3.1.1.2 (blocklists).
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import BinaryIO

from doorward.core.errors import ConfigurationError, Fault, Unavailable
from doorward.factors.password import BreachedPasswords

MOST_PLAIN_BYTES = 64 * 1024 * 1024
LONGEST_LINE = 256
_SAMPLES = 64
_SETTING = "breached_passwords"

_HASH = re.compile(rb"([0-9A-Fa-f]{40})(?::[0-9]+)?\r?\n?")


def open_breached(path: Path) -> BreachedPasswords:
    """Return the list of a file.

    Raises:
        ConfigurationError: `breached-passwords-unusable`: it cannot be read, is empty or too large, or is not sorted.
    """
    try:
        with path.open("rb") as file:
            first = file.readline(LONGEST_LINE)
            if not first:
                raise _unusable(path, "is empty", "name a file with passwords, or leave the setting out")
            if _HASH.fullmatch(first):
                _require_sorted(path, file)
                return SortedHashes(path)
            size = path.stat().st_size
            if size > MOST_PLAIN_BYTES:
                hint = "hash it: a line each of SHA-1 in hex, sorted (`sort -u`)"
                raise _unusable(path, f"has {size} bytes of plain passwords", hint)
            file.seek(0)
            lines = file.read(MOST_PLAIN_BYTES).splitlines()
    except OSError as fault:
        hint = "the user of `doorward serve` must be able to read it"
        raise _unusable(path, f"cannot be read: {fault.strerror}", hint) from None
    return PlainPasswords(frozenset(_digest(line) for line in lines if line))


class PlainPasswords:
    """A list in memory."""

    def __init__(self, digests: frozenset[bytes]) -> None:
        self._digests = digests

    def contains(self, password: str) -> bool:
        """Return whether the list has it."""
        return _digest(password.encode("utf-8")) in self._digests


class SortedHashes:
    """A list on the disk; it is opened for each search, so that a newer file can replace it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def contains(self, password: str) -> bool:
        """Return whether the list has it.

        Raises:
            Unavailable: `breached-passwords-unreadable`: then no password may be chosen.
        """
        wanted = (
            hashlib.sha1(password.encode("utf-8"), usedforsecurity=False).hexdigest().upper().encode("ascii")
        )
        try:
            with self._path.open("rb") as file:
                return _search(file, wanted, self._path.stat().st_size)
        except OSError:
            raise Unavailable(
                "breached-passwords-unreadable",
                "the list of stolen passwords cannot be read",
                hint="tell your administrator: the setting breached_passwords names it",
            ) from None


def _search(file: BinaryIO, wanted: bytes, size: int) -> bool:
    """Binary search over offsets: compare the first line after the middle."""
    low, high = 0, size
    while low < high:
        middle = (low + high) // 2
        found = _line_behind(file, middle)
        if found == wanted:
            return True
        if found is None or found > wanted:
            high = middle
        else:
            low = middle + 1
    return False


def _line_behind(file: BinaryIO, offset: int) -> bytes | None:
    """Return the hash of the first line that begins at or after the offset; None at the end, empty for a malformed line."""
    file.seek(max(offset - 1, 0))
    if offset:
        file.readline(LONGEST_LINE)
    line = file.readline(LONGEST_LINE)
    match = _HASH.fullmatch(line)
    if match is None:
        return b"" if line.strip() else None
    return match[1].upper()


def _require_sorted(path: Path, file: BinaryIO) -> None:
    """Compare some lines all over the file: in an unsorted list the search would silently find nothing."""
    size = path.stat().st_size
    found = [_line_behind(file, size * number // _SAMPLES) for number in range(_SAMPLES)]
    hashes = [one for one in found if one is not None]
    if hashes != sorted(hashes) or b"" in hashes:
        raise _unusable(path, "is not sorted by hash", f"sort it: `LC_ALL=C sort -u {path.name}`")


def _digest(password: bytes) -> bytes:
    return hashlib.sha1(password, usedforsecurity=False).digest()


def _unusable(path: Path, what: str, hint: str) -> ConfigurationError:
    return ConfigurationError(
        [
            Fault(
                code="breached-passwords-unusable",
                message=f"the file {path} of {_SETTING} {what}",
                hint=hint,
                key=_SETTING,
            )
        ]
    )
