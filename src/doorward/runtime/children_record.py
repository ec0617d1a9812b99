"""The record of the processes that `up` has started, by which the next `up` finds them if this one is killed.

`serve` and `gateway` go on if only `up` is killed, so that the door stays open. The next `up` ends each of them when it starts
its own (docs/design/0113).

    1. a process is named by its id, its start time and the kernel's id of the boot, because an id can be used again
    2. the file belongs to the user of `up`, in a folder that the running parts cannot write: otherwise a part could name
       any process, and root would end it. A file of another user, or a malformed one, names no process
    3. a handle of the process is opened before its start time is compared, so the signal goes to that process only

Not here: that a role runs only once (`layout.only_one`), ending processes (gateway.envoy.process).
Standard: Linux proc_pid_stat(5), field 22; pidfd_open(2).
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from doorward.files import read_limited, replace_file
from doorward.gateway.envoy.process import Orphan, boot_id

MOST_BYTES = 4096
_START_FIELD = 22 - 3
"""Field 22 of `stat`, counted from the one after the program's name."""


class ChildrenRecord:
    """The record of one data directory; for the process that holds the lock of `up`.

    Args:
        file: its path.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def store(self, pids: Mapping[str, int], *, left: Collection[str] = ()) -> None:
        """Store which processes run now, by role; without any the file is removed.

        Args:
            pids: of children that are not reaped, so that these ids are not used again.
            left: roles that keep their recorded process.

        Raises:
            OSError: it cannot be written; the record of before remains.
        """
        children = {role: one for role, one in self._read().items() if role in left}
        children |= {role: (pid, _start_of(pid)) for role, pid in pids.items()}
        if not children:
            self._file.unlink(missing_ok=True)
            return
        value = json.dumps({"boot": boot_id(), "children": children})
        replace_file(
            self._file, value.encode(), durable=False
        )  # after a restart of the machine none of them runs

    def find(self) -> dict[str, Orphan]:
        """Return the recorded processes that still run, by role; the caller closes their handles."""
        found = {}
        for role, (pid, start) in self._read().items():
            with suppress(OSError):
                process = Orphan(pid)
                if _start_of(pid) == start and not process.has_ended():
                    found[role] = process
                else:
                    process.close()
        return found

    def _read(self) -> dict[str, tuple[int, int]]:
        """Return process id and start of each role; none if the file is not ours, malformed, or of another boot."""
        try:
            if self._file.lstat().st_uid != os.geteuid():
                return {}
            value: Any = json.loads(read_limited(self._file, MOST_BYTES))
            if value["boot"] != boot_id():
                return {}
            return {str(role): (int(pid), int(start)) for role, (pid, start) in value["children"].items()}
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return {}


def _start_of(pid: int) -> int:
    """Return when a process started, in clock ticks since the boot; -1 if there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return -1
    return int(text.rpartition(")")[2].split()[_START_FIELD])  # the name in parentheses may have spaces
