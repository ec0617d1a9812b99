"""How much memory the door may use, from this machine or our control group.

Not here: what Envoy does at the limit (`enforcement.envoy.overload`).
Standard: Linux cgroups(7), control group v2, `memory.max`.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

LEAST_BYTES = 256 << 20
"""An idle Envoy uses 70 MiB: with less than this, a few connections would already be refused."""

_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUP = Path("/proc/self/cgroup")


def heap_bytes(mebibytes: int) -> int:
    """Return the bound of Envoy's heap: the setting, or a third of the memory if the setting is 0.

    A third, because two Envoys run while one is replaced, and other programs need memory too.
    """
    return mebibytes << 20 if mebibytes else max(LEAST_BYTES, usable_bytes() // 3)


def usable_bytes(groups: Path = _GROUPS, own: Path = _OWN_GROUP) -> int:
    """Return the memory of the machine, or of the smallest control group around us if that is less."""
    most = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError):
        for line in own.read_text(encoding="utf-8").splitlines():
            if line.startswith("0::/"):
                folder = groups / line.removeprefix("0::/")
                for one in (folder, *folder.parents):
                    if one.is_relative_to(groups):
                        most = min(most, _limit(one / "memory.max", most))
    return most


def _limit(file: Path, otherwise: int) -> int:
    try:
        return int(file.read_text(encoding="ascii"))  # `max` is no number
    except (OSError, ValueError):
        return otherwise
