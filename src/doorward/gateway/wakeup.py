"""Waking a thread that waits for sockets.

Standard: Linux eventfd(2).
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress


class Wakeup:
    """Wakes a thread that polls; safe to set after it was closed."""

    def __init__(self) -> None:
        self.descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._lock = threading.Lock()
        self._open = True

    def set(self) -> None:
        """Wake it, now or when it polls next."""
        with self._lock:  # after `close` another file may have the number
            if self._open:
                os.eventfd_write(self.descriptor, 1)

    def clear(self) -> None:
        """Forget that it was set."""
        with suppress(BlockingIOError):
            os.eventfd_read(self.descriptor)

    def close(self) -> None:
        """Close it; do nothing if it is closed."""
        with self._lock:
            if self._open:
                os.close(self.descriptor)
            self._open = False
