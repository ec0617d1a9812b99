"""One process, named by a handle that stays valid when its process id is used again; and finding Envoy's processes.

Not here: when to start or end one (supervisor).
Standard: Linux pidfd_open(2), pidfd_send_signal(2), proc(5).
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Collection, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Protocol

from doorward.gateway.connections import sockdiag
from doorward.gateway.connections.endpoints import Endpoint
from doorward.gateway.connections.pidfd import open_process

_MAX_COMMAND_BYTES = 1 << 16
_KILLED_SECONDS = 2.0
"""From SIGKILL until the kernel has ended a process: the grace may be over by then."""


class Process(Protocol):
    """A running process, named by a handle: its process id alone could belong to another process by now."""

    @property
    def pid(self) -> int:
        """Its process id."""
        ...

    @property
    def descriptor(self) -> int:
        """A descriptor that is readable once it has ended, for polling; -1 if there is none."""
        ...

    def has_ended(self) -> bool:
        """Return whether it has ended."""
        ...

    def wait(self, seconds: float) -> bool:
        """Wait for its end at most so many seconds; return whether it has ended."""
        ...

    def send(self, number: signal.Signals) -> None:
        """Send a signal to exactly this process; do nothing if it has ended."""
        ...

    def close(self) -> None:
        """Close the handle; the process goes on."""
        ...


class Child:
    """A process that we started. Its process id is not used again until it is reaped, which happens here."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self._child = child
        self._descriptor = -1
        with suppress(OSError):  # an old kernel, or a filter of system calls
            self._descriptor = open_process(child.pid)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._child.pid

    @property
    def descriptor(self) -> int:
        """A descriptor that is readable once it has ended; -1 if the kernel gives none, or after `close`."""
        return self._descriptor

    @property
    def status(self) -> int | None:
        """The exit code, or minus the signal that ended it; None while it runs."""
        return self._child.poll()

    def has_ended(self) -> bool:
        """Return whether it has ended."""
        return self._child.poll() is not None

    def wait(self, seconds: float) -> bool:
        """Wait for its end at most so many seconds; return whether it has ended."""
        with suppress(subprocess.TimeoutExpired):
            self._child.wait(max(0.0, seconds))
        return self.has_ended()

    def send(self, number: signal.Signals) -> None:
        """Send a signal; do nothing if it has ended."""
        self._child.send_signal(number)

    def close(self) -> None:
        """Close the handle; Envoy goes on without us on purpose."""
        if self._child.returncode is None:
            self._child.returncode = 0  # otherwise its destructor would warn about a child that still runs
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class Orphan:
    """A process that an earlier run of ours started.

    Raises:
        OSError: there is no such process (ESRCH), or the kernel cannot name it (ENOSYS).
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._descriptor = open_process(pid)

    @property
    def descriptor(self) -> int:
        """A descriptor that is readable once it has ended; -1 after `close`."""
        return self._descriptor

    def has_ended(self) -> bool:
        """Return whether it has ended, reaped by its parent or not."""
        return self.wait(0)

    def wait(self, seconds: float) -> bool:
        """Wait for its end at most so many seconds; return whether it has ended."""
        if self._descriptor < 0:
            return True
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        return bool(poll.poll(max(0.0, seconds) * 1000))

    def send(self, number: signal.Signals) -> None:
        """Send a signal to exactly this process; do nothing if it has ended."""
        if self._descriptor >= 0:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._descriptor, number)

    def close(self) -> None:
        """Close the handle; the process goes on."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def end_process(process: Process, grace_seconds: float) -> bool:
    """Ask a process to end (SIGTERM), then do the same as `await_end`."""
    process.send(signal.SIGTERM)
    return await_end(process, grace_seconds)


def await_end(process: Process, grace_seconds: float) -> bool:
    """Wait for a process that was asked to end, and kill it after the grace; return when it has ended.

    Returns:
        Whether it ended before it was killed.
    """
    if process.wait(grace_seconds):
        return True
    process.send(signal.SIGKILL)
    process.wait(_KILLED_SECONDS)
    return False


def boot_id() -> str:
    """Return the kernel's id of this boot; empty if there is none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def find_by_argument(name: str, folder: Path) -> Iterator[tuple[Orphan, Path]]:
    """Find our processes that were started with `name` followed by a path below `folder`.

    The command line is read after the handle was opened, so the handle belongs to that process. Only
    processes of the same user count: another user can write any command line.

    Yields:
        The process and the path; the caller closes the process.
    """
    wanted, root = name.encode(), os.fsencode(folder) + b"/"
    try:
        numbers = [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]  # noqa: PTH208 - names only
    except OSError:
        return
    for pid in numbers:
        if not _is_candidate(pid, wanted, root):  # cheap: no handle for every process
            continue
        try:
            process = Orphan(pid)
        except OSError:
            continue
        path = _argument(pid, wanted, root)
        if path is None or process.has_ended():
            process.close()
        else:
            yield process, path


def _is_candidate(pid: int, wanted: bytes, root: bytes) -> bool:
    return pid != os.getpid() and _argument(pid, wanted, root) is not None


def pids_by_argument(name: str, folder: Path) -> frozenset[int]:
    """Return the process ids of such processes of any user: only a hint at the owner of a port, never to act on."""
    wanted, root = name.encode(), os.fsencode(folder) + b"/"
    with suppress(OSError):
        found = [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]  # noqa: PTH208 - names only
        return frozenset(pid for pid in found if _argument(pid, wanted, root, any_user=True) is not None)
    return frozenset()


def _argument(pid: int, wanted: bytes, root: bytes, *, any_user: bool = False) -> Path | None:
    try:
        if not any_user and os.stat(f"/proc/{pid}").st_uid != os.geteuid():  # noqa: PTH116 - called for every process
            return None
        with Path(f"/proc/{pid}/cmdline").open("rb") as file:
            words = file.read(_MAX_COMMAND_BYTES).split(b"\0")
    except OSError:
        return None
    for word, following in pairwise(words):
        if word == wanted and following.startswith(root):
            return Path(os.fsdecode(following))
    return None


def _program(entry: Path) -> str:
    """Return a process's name; if it was started by a descriptor, as our Envoy, its `comm` is only a number."""
    name = (entry / "comm").read_text().strip()
    if name.isdecimal():
        with suppress(OSError):
            name = (entry / "exe").readlink().name.removesuffix(" (deleted)")
    return name


def holder_of(listener: Endpoint) -> str:
    """Return the process that listens there, as `nginx (process 812)`; empty if it cannot be seen."""
    pid = find_holder(listener)
    return f"{_program(Path(f'/proc/{pid}'))} (process {pid})" if pid else ""


def find_holder(listener: Endpoint) -> int:
    """Return the id of a process that listens there; 0 if none can be seen.

    Without root only processes of the same user can be seen.
    """
    found = sockdiag.dump_listeners(listener.port)
    inodes = {
        facts.inode
        for facts in found
        if facts.local.address == listener.address or facts.local.is_wildcard or listener.is_wildcard
    }
    if not inodes:
        return 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if _holds(entry, inodes):
                    return int(entry.name)
    return 0


def listens(pid: int, listener: Endpoint) -> bool:
    """Return whether a process of this user listens on exactly this address and port.

    Raises:
        OSError: the process has ended, or belongs to another user.
        Unavailable: the kernel cannot be asked (`sockdiag-unavailable`).
    """
    found = sockdiag.dump_listeners(listener.port)
    inodes = {facts.inode for facts in found if facts.local.address == listener.address}
    return _holds(Path(f"/proc/{pid}"), inodes)


def _holds(entry: Path, inodes: Collection[int]) -> bool:
    """Return whether a process, named by its folder in `/proc`, has one of these sockets."""
    links = {f"socket:[{inode}]" for inode in inodes}
    return any(_link_of(one) in links for one in (entry / "fd").iterdir())


def _link_of(descriptor: Path) -> str:
    """Return what a file descriptor is; empty if the process has closed it meanwhile, which must not hide the others."""
    with suppress(OSError):
        return os.readlink(descriptor)  # noqa: PTH115
    return ""
