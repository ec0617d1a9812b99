"""The folder of a static export: which folder it may be, one process at a time, and its files.

A file `.doorward-log` in it has the verifier key of the log, so a folder of something else, or of another log, is not
written into. The file says nothing to a reader of the log, who needs a key from another place.

Everything in the folder may be read by those who may read the folder: its owner only, if the command made it.
Standard: flock(2), released by the kernel if the process is killed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from doorward.audit.merkle import HASH_BYTES
from doorward.audit.note import MAX_NOTE_BYTES
from doorward.audit.static_tiles import ENTRIES, MAX_ENTRY_BYTES, TileFile, TileName
from doorward.audit.tiles import TILE_HASHES
from doorward.core.errors import IntegrityError, RequestRefused, Unavailable
from doorward.files import read_limited, replace_file, sync_folder

MARK = ".doorward-log"
CHECKPOINT = "checkpoint"
_HASHES = TILE_HASHES * HASH_BYTES
_MAX_BUNDLE = TILE_HASHES * (2 + MAX_ENTRY_BYTES)
_OF_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_READERS = 0o444
_VISITORS = 0o555


class TileFolder:
    """A folder that this process has locked. `open_tile_folder` makes it."""

    def __init__(self, path: Path, mode: int) -> None:
        self._path = path
        self._mode = stat.S_IRUSR | stat.S_IWUSR | mode & _READERS
        self._folder_mode = stat.S_IRWXU | mode & _VISITORS
        self._known: set[Path] = set()

    def has(self, name: TileName) -> bool:
        """Return whether a complete tile or bundle is there, and can be one by its size."""
        try:
            facts = (self._path / name.path).stat()
        except FileNotFoundError:
            return False
        return stat.S_ISREG(facts.st_mode) and (
            facts.st_size > 0 if name.folder == ENTRIES else facts.st_size == _HASHES
        )

    def read(self, name: TileName) -> bytes:
        """Return the content of a file, which must be there."""
        return read_limited(self._path / name.path, _MAX_BUNDLE)

    def write(self, file: TileFile) -> bool:
        """Write a file that is not there; return whether it was not.

        Raises:
            IntegrityError: `tile-altered`: it is there with another content. The bytes behind a name never change.
        """
        path = self._path / file.name.path
        try:
            found = read_limited(path, _MAX_BUNDLE)
        except FileNotFoundError:
            self._make_folder(path.parent)
            replace_file(path, file.content, mode=self._mode)
            return True
        except ValueError:
            found = b""  # larger than any file of ours
        if found != file.content:
            raise self.altered(file.name)
        return False

    def altered(self, name: TileName) -> IntegrityError:
        """Return the error for a file that differs from the log."""
        return IntegrityError(
            "tile-altered",
            f"{self._path / name.path} differs from the log",
            hint="find out what changed it; without the file, the next export writes it again",
        )

    def drop_partial(self, name: TileName) -> None:
        """Remove the partial tiles that came before a complete one, which readers use instead."""
        folder = self._path / f"{name.path}.p"
        if folder.is_dir():
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()

    def checkpoint(self) -> str | None:
        """Return the checkpoint of the last export that was completed."""
        try:
            data = read_limited(self._path / CHECKPOINT, MAX_NOTE_BYTES)
        except FileNotFoundError:
            return None
        return data.decode("utf-8", "replace")

    def write_checkpoint(self, text: str) -> None:
        """Replace the checkpoint."""
        replace_file(self._path / CHECKPOINT, text.encode("utf-8"), mode=self._mode)

    def _make_folder(self, folder: Path) -> None:
        if folder in self._known or folder == self._path:
            return
        self._make_folder(folder.parent)
        if not folder.is_dir():
            folder.mkdir(mode=stat.S_IRWXU)
            sync_folder(folder.parent)
        if stat.S_IMODE(folder.stat().st_mode) != self._folder_mode:  # also after a crash at this place
            folder.chmod(self._folder_mode)
        self._known.add(folder)


@contextmanager
def open_tile_folder(path: Path, verifier_key: str) -> Iterator[TileFolder]:
    """Yield the folder, which is made if it does not exist, while this process has the lock.

    Args:
        path: in a folder that exists.
        verifier_key: of the log that the tiles are of.

    Raises:
        RequestRefused: `tiles-folder-unusable`: it is not empty and no export of this log, or others may write in it.
        Unavailable: `tiles-folder-busy`: another process exports into it.
    """
    try:
        path.mkdir(mode=stat.S_IRWXU)
    except FileExistsError:
        pass
    except FileNotFoundError:
        raise _unusable(path, f"{path.parent} does not exist", "make that folder first") from None
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except NotADirectoryError:
        raise _unusable(path, "it is not a folder", _NEW) from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno != errno.EWOULDBLOCK:
                raise
            raise Unavailable(
                "tiles-folder-busy", f"another process exports into {path}", hint="wait for its end"
            ) from None
        facts = os.fstat(descriptor)
        if facts.st_uid != os.geteuid() or facts.st_mode & _OF_OTHERS:
            raise _unusable(
                path,
                "it belongs to another user, or other users may write in it: they could lead the files elsewhere",
                "run the command as the folder's owner, and take the right away (`chmod go-w`)",
            )
        folder = TileFolder(path, stat.S_IMODE(facts.st_mode))
        _mark(path, verifier_key, facts.st_mode & _READERS)
        yield folder
    finally:
        os.close(descriptor)


_NEW = "name a new or empty folder with --tiles"


def _mark(path: Path, verifier_key: str, readers: int) -> None:
    """Refuse a folder of something else; give an empty one its mark."""
    mark, line = path / MARK, f"{verifier_key}\n".encode()
    try:
        if read_limited(mark, MAX_NOTE_BYTES) == line:
            return
    except FileNotFoundError:
        if not {one.name for one in path.iterdir()} - {
            f".{MARK}.new"
        }:  # left by a crash while the mark was made
            replace_file(mark, line, mode=stat.S_IRUSR | stat.S_IWUSR | readers)
            return
        raise _unusable(path, "it is not empty, and no export of this log", _NEW) from None
    raise _unusable(path, "it has the tiles of another log", _NEW)


def _unusable(path: Path, why: str, hint: str) -> RequestRefused:
    return RequestRefused("tiles-folder-unusable", f"{path} cannot have the tiles: {why}", hint=hint)
