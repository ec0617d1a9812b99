"""One owner for a folder: locks that the kernel holds, so that none is left over after a crash.

`owned` is for a process that runs on; `turn` is for one change of the folder, and waits for another change to end.
The file itself stays and means nothing; it holds the number of the process that had the lock last, for messages.

Standard: flock(2). On Windows: LockFile by `msvcrt.locking`.
"""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from doorward.agent.parents import check_parents
from doorward.agent.pending import FOLDER as RENEWING
from doorward.agent.store import GENERATIONS
from doorward.core.errors import ConfigurationError, Fault, Unavailable

if sys.platform == "win32":  # pragma: no cover - this branch needs Windows
    import msvcrt
else:
    import fcntl

OWNER, TURN = ".agent.lock", ".turn.lock"
TURN_SECONDS = 60.0
"""A turn has a few requests of at most 30 seconds each; another command waits as long as one usual turn."""

_PAUSE = 0.05
_OTHERS_WRITE = 0o022
_OWN = (GENERATIONS, RENEWING)


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Be the only agent that runs for a folder.

    Raises:
        Unavailable: `folder-owned`: another agent runs for it. ConfigurationError: `folder-unusable`, `folder-foreign`.
    """
    with _held(folder, OWNER, 0.0, "an agent already runs for", "stop that agent, or use it"):
        yield


@contextmanager
def turn(folder: Path, seconds: float = TURN_SECONDS) -> Iterator[None]:
    """Be the only process that changes a folder now.

    Raises:
        Unavailable: `folder-owned`: another process has changed it for `seconds`. ConfigurationError: `folder-unusable`, `folder-foreign`.
    """
    with _held(folder, TURN, seconds, "another process changes", "try again in a minute"):
        yield


def check_folder(folder: Path) -> None:
    """Refuse a folder in which another user could put links, or which another user could replace.

    Raises:
        ConfigurationError: `folder-foreign`, `folder-unusable`.
    """
    if os.name != "posix":  # the access list of a folder in Windows is inherited, and belongs to its user
        return
    try:
        check_parents(folder)
        status = folder.stat()
    except OSError as error:
        raise _unusable(folder, error) from None
    if status.st_uid != os.geteuid():
        raise _foreign(
            folder, "belongs to another user", "run the agent as this user: systemctl --user, or sudo -u"
        )
    if status.st_mode & _OTHERS_WRITE:
        raise _foreign(folder, "is writable by other users", f"chmod go-w {folder}")
    for path in (folder / name for name in _OWN):
        _check_own(path, status.st_uid)


def _check_own(path: Path, owner: int) -> None:
    """Refuse what another user put here while the folder was open to it: the agent deletes and writes below it."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return  # the agent makes it
    except OSError as error:
        raise _unusable(path, error) from None
    if not stat.S_ISDIR(status.st_mode):
        raise _foreign(path, "is a link or a file", f"look where it leads, then remove it: rm {path}")
    if status.st_uid != owner:
        raise _foreign(path, "belongs to another user", "find out who made it, then remove it")


def _foreign(folder: Path, why: str, hint: str) -> ConfigurationError:
    return ConfigurationError([Fault(code="folder-foreign", message=f"the folder {folder} {why}", hint=hint)])


def _unusable(folder: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        [
            Fault(
                code="folder-unusable",
                message=f"{folder} cannot be used: {error.strerror or error}",
                hint="name a folder that `doorward enroll` made, as a user who may write in it",
            )
        ]
    )


@contextmanager
def _held(folder: Path, name: str, seconds: float, what: str, hint: str) -> Iterator[None]:
    check_folder(folder)
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        descriptor = os.open(folder / name, flags, 0o600)
    except OSError as error:
        raise _unusable(folder, error) from None
    try:
        until = time.monotonic() + seconds
        while not _lock(descriptor):
            if time.monotonic() >= until:
                holder = (
                    os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
                    if hasattr(os, "pread")
                    else ""
                )
                by = f" (process {holder})" if holder.isdigit() else ""
                raise Unavailable("folder-owned", f"{what} {folder}{by}", hint=hint)
            time.sleep(_PAUSE)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode("ascii"))
        yield
    finally:
        os.close(descriptor)  # gives the lock back


def _lock(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":  # pragma: no cover - this branch needs Windows
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
