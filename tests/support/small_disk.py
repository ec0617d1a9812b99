"""A small file system of its own, and filling it to the last byte.

with small_disk(folder / "disk", megabytes=100) as disk:
    with filled(disk):
        ...                 # nothing more can be written there
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

OTHER = "other"
"""The name of the file that fills it."""


@contextmanager
def small_disk(folder: Path, *, megabytes: int, mode: str = "0711") -> Iterator[Path]:
    """Mount a file system of this size in a new folder; skip the test if that is not allowed."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode={mode}", "tmpfs", str(folder)],
        check=False,
        capture_output=True,
    )
    if os.geteuid() != 0 or mounted.returncode:
        pytest.skip("only root may mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path) -> None:
    """Fill it completely."""
    with (disk / OTHER).open("ab", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    assert shutil.disk_usage(disk).free == 0


@contextmanager
def filled(disk: Path) -> Iterator[None]:
    """Fill it completely; free the space after the block."""
    fill(disk)
    try:
        yield
    finally:
        (disk / OTHER).unlink()
