"""A unix socket that only our own user can reach, from its first moment on.

1. The folder is ours and has mode 0700; it is made if it is missing.
2. A socket of that name is removed if no process listens at it; anything else is left, and nothing listens.
3. The socket gets its mode before its name. Linux applies the mode of the unbound socket at bind(2), so neither a
   change of the process's umask is needed, which other threads would notice, nor is there a moment in between.
Standard: Linux unix(7).
"""

from __future__ import annotations

import os
import socket
import stat
from contextlib import suppress
from pathlib import Path

from doorward.enforcement.plan import check_socket_path

HINT = "check that the folder belongs to the gateway's user and has mode 0700, and that nothing else is there"
"""For the error of a caller."""

_BACKLOG = 128
_FOLDER_MODE = 0o700
_SOCKET_MODE = 0o600
_OTHERS = 0o077
_CONNECT_SECONDS = 1.0


class SocketRefused(Exception):
    """The place of a socket is not safe, or the kernel refuses; the text says why."""


def bind_private_socket(path: Path) -> socket.socket:
    """Return a socket that listens at `path` and does not block.

    Args:
        path: absolute, at most 107 bytes.

    Raises:
        SocketRefused: the folder is not ours alone, another file has the name, another process listens,
            or the kernel refuses.
    """
    try:
        check_socket_path(str(path))
        _check_folder(path.parent)
        _remove_stale(path)
        return _bind(path)
    except (OSError, ValueError) as error:
        raise SocketRefused(getattr(error, "strerror", None) or str(error)) from error


def remove_socket(path: Path, made: os.stat_result) -> None:
    """Remove our socket; a file that has its name since is left.

    Args:
        path: of the socket.
        made: what `lstat` said when it was made.
    """
    with suppress(OSError):
        if os.path.samestat(path.lstat(), made):
            path.unlink()


def _check_folder(folder: Path) -> None:
    folder.mkdir(mode=_FOLDER_MODE, exist_ok=True)
    found = folder.stat()
    if found.st_uid != os.geteuid():
        raise ValueError(f"the folder belongs to user {found.st_uid}")
    if found.st_mode & _OTHERS:
        raise ValueError(
            f"the folder has mode {stat.S_IMODE(found.st_mode):04o}, so other users can reach it"
        )


def _remove_stale(path: Path) -> None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise ValueError("a file that is not a socket has this name")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_CONNECT_SECONDS)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
    raise ValueError("another process listens at it")


def _bind(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.settimeout(0)
        os.fchmod(listener.fileno(), _SOCKET_MODE)
        listener.bind(str(path))
        _check_mode(path)
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def _check_mode(path: Path) -> None:
    if stat.S_IMODE(path.lstat().st_mode) & ~_SOCKET_MODE:
        path.unlink()
        raise ValueError("the kernel did not give the socket its mode")
