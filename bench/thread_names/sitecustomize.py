"""Gives each Python thread of a measured process its name in the kernel too, so that /proc shows which thread used the CPU.

Python does so itself from 3.14 on. This folder is on PYTHONPATH only for the processes that `make bench` starts; it costs one
system call for each thread that is started.
"""

from __future__ import annotations

import ctypes
import threading

_PR_SET_NAME = 15
_libc = ctypes.CDLL(None)
_run = threading.Thread.run


def _run_with_name(thread: threading.Thread) -> None:
    _libc.prctl(_PR_SET_NAME, thread.name.encode()[:15], 0, 0, 0)
    _run(thread)


threading.Thread.run = _run_with_name  # type: ignore[assignment,method-assign]
