"""Waiting until a file of a folder is written, made, renamed or removed, instead of looking again and again.

Not here: what is read then (`ingest`). While lines are written all the time, events would cost more than looks, so each
`arm` asks for one event only.
Standard: Linux inotify(7); Python's standard library has no access to it.
"""

from __future__ import annotations

import ctypes
import os
import select
from contextlib import suppress
from pathlib import Path

from doorward.gateway.wakeup import Wakeup

_MODIFY, _MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x2, 0x40, 0x80, 0x100, 0x200
_ONE_EVENT = 0x80000000
_MASK = _MODIFY | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _ONE_EVENT
_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC
_EVENT_BYTES = 64 * 1024

_libc = ctypes.CDLL(None)


class FolderWatch:
    """Wakes one thread at the next event in a folder.

    Args:
        folder: need not exist yet.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = os.fsencode(folder)
        self._wakeup = Wakeup()
        self._is_armed = self._has_begun = False
        self._descriptor = -1

    def arm(self) -> bool:
        """Ask for the next event, unless that was done since the last one; return whether `wait` will see it.

        It will not if this user has no instance of inotify left, or if there is no such folder.
        """
        if not self._has_begun:
            self._has_begun = True
            self._descriptor = int(_libc.inotify_init1(ctypes.c_int(_FLAGS)))
        if self._descriptor >= 0 and not self._is_armed:
            self._take()
            added = _libc.inotify_add_watch(
                ctypes.c_int(self._descriptor), self._folder, ctypes.c_uint32(_MASK)
            )
            self._is_armed = int(added) >= 0
        return self._is_armed

    def wait(self, seconds: float) -> bool:
        """Return True as soon as there was an event since `arm`; False after so many seconds, or after `wake`."""
        waiting = select.poll()  # select(2) fails if a process has more than 1,024 files open
        waiting.register(self._wakeup.descriptor, select.POLLIN)
        waiting.register(self._descriptor, select.POLLIN)
        found = any(one == self._descriptor for one, _ in waiting.poll(max(0.0, seconds) * 1000))
        self._wakeup.clear()
        if found:
            self._is_armed = False
        return found

    def wake(self) -> None:
        """End the present `wait`, or the next one; callable from any thread."""
        self._wakeup.set()

    def close(self) -> None:
        """Give everything back; afterwards `arm` returns False."""
        self._is_armed, self._has_begun = False, True
        self._wakeup.close()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _take(self) -> None:
        """Forget earlier events, such as the one that says that the watch was removed."""
        with suppress(BlockingIOError):
            while os.read(self._descriptor, _EVENT_BYTES):
                pass
