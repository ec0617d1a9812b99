"""The limit of the door's memory: from a setting, the machine or the control group."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from doorward.runtime.memory import LEAST_BYTES, heap_bytes, usable_bytes

MACHINE = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_the_setting_is_used_unchanged() -> None:
    """The setting is in MiB; 0 means a third of the usable memory."""
    assert heap_bytes(512) == 512 << 20
    assert heap_bytes(0) == max(LEAST_BYTES, usable_bytes() // 3)


@pytest.mark.parametrize(
    ("inner", "outer", "expected"),
    [
        ("max", "max", MACHINE),
        ("1000000", "max", 1_000_000),
        ("max", "2000000", 2_000_000),
        ("rubbish", "7", 7),
    ],
)
def test_the_smallest_group_counts(tmp_path: Path, inner: str, outer: str, expected: int) -> None:
    """cgroups(7): a group has no more than any group around it."""
    own = tmp_path / "own"
    own.write_text("0::/outer/inner\n")
    folder = tmp_path / "groups" / "outer" / "inner"
    folder.mkdir(parents=True)
    (folder / "memory.max").write_text(inner + "\n")
    (folder.parent / "memory.max").write_text(outer + "\n")
    assert usable_bytes(tmp_path / "groups", own) == expected


def test_without_groups_it_is_the_machine(tmp_path: Path) -> None:
    """Without control groups of version 2, the memory of the machine counts."""
    assert usable_bytes(tmp_path, tmp_path / "missing") == MACHINE
    (tmp_path / "own").write_text("4:memory:/x\n")
    assert usable_bytes(tmp_path, tmp_path / "own") == MACHINE
