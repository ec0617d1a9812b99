"""The way to the agent's folder: each folder and link on it belongs to this user or to root, and only they may write there.

Another user who may write in a folder on the way could put another folder in the place of ours, with links in it. The
precedent is StrictModes of OpenSSH. A folder with the sticky bit, as /tmp, is accepted: only the owner of an entry, and of
the folder, may replace the entry there.

Not checked: access lists (ACL). Standard: POSIX path resolution, section 4.16.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from doorward.core.errors import ConfigurationError, Fault

_OTHERS_WRITE = 0o022
_MOST_LINKS = 40
"""The limit of Linux."""


def check_parents(folder: Path) -> None:
    """Refuse a folder that another user could replace with another one.

    Args:
        folder: of an identity; it is checked itself only if it is a link.

    Raises:
        ConfigurationError: `folder-foreign`. OSError: the way cannot be followed.
    """
    path = folder.absolute()
    at = Path(path.anchor)
    # If this process has a user namespace of its own, root outside of it may have any number here: / is root's.
    trusted = {0, os.geteuid(), at.lstat().st_uid}
    rest, links = list(path.parts[1:]), 0
    while rest:
        _check_folder(folder, at, trusted)
        name = rest.pop(0)
        if name == "..":
            at = at.parent
            continue
        entry = at / name
        status = entry.lstat()
        if not stat.S_ISLNK(status.st_mode):
            at = entry
            continue
        if status.st_uid not in trusted:
            raise _foreign(
                folder, f"{entry} is a link of another user", f"look where it leads: ls -l {entry}"
            )
        links += 1
        if links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        target = entry.readlink()
        at = Path(target.anchor) if target.is_absolute() else at
        rest = [*(part for part in target.parts if part != target.anchor), *rest]


def _check_folder(folder: Path, at: Path, trusted: set[int]) -> None:
    status = at.lstat()
    if status.st_uid not in trusted:
        raise _foreign(
            folder, f"{at} belongs to another user", "name a folder below one of root or of your own"
        )
    if status.st_mode & _OTHERS_WRITE and not status.st_mode & stat.S_ISVTX:
        raise _foreign(folder, f"{at} is writable by other users", f"chmod go-w {at}")


def _foreign(folder: Path, why: str, hint: str) -> ConfigurationError:
    message = f"another user could replace the folder {folder}: {why}"
    return ConfigurationError([Fault(code="folder-foreign", message=message, hint=hint)])
