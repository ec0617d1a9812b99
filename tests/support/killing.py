"""A process that dies at its n-th change of a folder, without ending the test's process.

    with dying(folder, at=7) as death:
        keeper.step(now)          # raises Died at its seventh change; every later change raises too
    death.happened

Python reports each open, rename, link, mkdir, chmod and removal to audit hooks before it is done. From the n-th on the
hook raises, so that neither the step itself nor any clean-up after it reaches the disk, as after kill -9.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_CHANGES = frozenset(
    {"os.rename", "os.link", "os.symlink", "os.mkdir", "os.chmod", "os.chown", "os.remove", "os.rmdir"}
)
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Died(BaseException):
    """The process is dead; no `except Exception` sees it."""


class Death:
    """When a process dies.

    Args:
        folder: changes below it count.
        at: the number of the change, from 1.
        error: what every change raises from then on.
    """

    def __init__(self, folder: Path, at: int, error: BaseException) -> None:
        self.folder = str(folder)
        self.left = at
        self.error = error

    @property
    def happened(self) -> bool:
        """Whether it died."""
        return self.left <= 0

    def see(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Raise if this is a change, and the time has come."""
        if event == "open":
            path, _, flags = arguments
            if not isinstance(flags, int) or not flags & _WRITES:
                return
        elif event in _CHANGES:
            # The last path is the one that is made.
            paths = [one for one in arguments if isinstance(one, str | bytes | os.PathLike)]
            path = paths[-1] if paths else ""
        else:
            return
        text = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else ""
        # rmtree names entries by a descriptor of their folder, and a link's target is relative.
        relative = not text.startswith("/") and event in {"os.remove", "os.rmdir", "os.symlink"}
        if text.startswith(self.folder) or relative:
            self.left -= 1
            if self.left <= 0:
                raise self.error


_deaths: list[Death] = []
_installed: list[bool] = []


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    for death in _deaths:
        death.see(event, arguments)


@contextmanager
def dying(folder: Path, at: int, error: BaseException | None = None) -> Iterator[Death]:
    """Die at the `at`-th change below a folder; with another error, only fail there (a full disk)."""
    if not _installed:
        sys.addaudithook(_hook)  # it cannot be removed; it does nothing without a death
        _installed.append(True)
    death = Death(folder, at, error or Died())
    _deaths.append(death)
    try:
        with suppress(Died):
            yield death
    finally:
        _deaths.remove(death)
