"""What is made durable: every fsync of a test, while the real one still happens.

Not here: whether the disk obeys.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest


def watch_syncing(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, bool]]:
    """Return a list that grows with each fsync: the path at that moment, and whether it is a folder."""
    real, synced = os.fsync, []

    def fsync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        synced.append((path, stat.S_ISDIR(os.fstat(descriptor).st_mode)))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return synced
