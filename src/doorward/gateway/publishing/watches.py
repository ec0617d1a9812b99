"""How many files Envoy can watch: each needs an inotify instance, and Envoy aborts if it gets none.

Not here: which files there are (enforcement). The kernel counts instances by user, over all processes: an editor or
another service of the same user takes from the same number. On many systems it is 128. If one instance is missing,
Envoy ends, and so does each Envoy that is started after it. `--mode validate` does not find this, because it watches
no file.

1. Count all instances of this user, in every process that this process may inspect.
2. Other processes (one that hides its files, or one of another container with the same user) are found by
   trying: make as many instances as will be needed, and close them again.
3. Replaced files are watched until the old listener has drained: after a removed application, or while a replaced
   Envoy drains. So there must be room for everything twice. The instances that Envoy has now are counted too, so that
   a publication waits if the same listeners were replaced again and again.
4. An Envoy that starts with the configuration that was in force before needs room only once.
Standard: Linux inotify(7), "/proc interfaces", inotify_init(2) (EMFILE); measured with Envoy 1.40.
"""

from __future__ import annotations

import ctypes
import os
import resource
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from doorward.core.errors import ConfigurationError, Fault, Unavailable

MOST_PER_CHAIN = 4
"""For a chain with its own authorities."""

PER_CHAIN = 3
"""The route table, the secret, and the files that the secret names."""

BASE = 4
"""Listeners, clusters, the secret with the issuing authorities, and the filter that verifies sessions."""

SPARE = 8
"""Left for programs that this user starts later; so 128 instances are enough for 16 applications and the portal."""

LIMITS = (Path("/proc/sys/fs/inotify/max_user_instances"), Path("/proc/sys/user/max_inotify_instances"))

_OWN_FILES = 256
"""Descriptors that a trial leaves to this process, because connections come in meanwhile."""

_HINT = "sysctl -w fs.inotify.max_user_instances=8192, and the same in /etc/sysctl.d"
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class InotifyUsage:
    """How many inotify instances this user may have, and how many it has.

    Args:
        limit: how many instances this user may have; None if there is no limit.
        envoys: how many our own Envoys have, draining ones included.
        others: how many all other processes of this user have.
    """

    limit: int | None
    envoys: int = 0
    others: int = 0

    def lacks(self, wanted: int) -> bool:
        """Return whether so many instances, in addition to those of other processes, are more than the limit."""
        return self.limit is not None and wanted + self.others > self.limit


def read_inotify_usage(envoys: Collection[int] = (), *, proc: Path = Path("/proc")) -> InotifyUsage:
    """Return this user's present usage; `envoys` are the processes of our own Envoys."""
    limit = watch_limit()
    if limit is None:
        return InotifyUsage(limit=None)
    ours = set(envoys)
    return InotifyUsage(
        limit=limit,
        envoys=watches_taken(ours, proc),
        others=watches_taken([pid for pid in _processes_of(os.geteuid(), proc) if pid not in ours], proc),
    )


def envoys_of_user(proc: Path = Path("/proc")) -> list[int]:
    """Return the Envoy processes of this user, for a caller that did not start them."""
    found = []
    for pid in _processes_of(os.geteuid(), proc):
        with suppress(OSError):
            if b"envoy" in (proc / str(pid) / "cmdline").read_bytes().partition(b"\0")[0]:
                found.append(pid)
    return found


def watches_needed(chains: int, trusts: int = 0) -> int:
    """Return how many instances an Envoy needs.

    Args:
        chains: filter chains, the enrolment door included.
        trusts: how many of them have a secret with authorities of their own.
    """
    return BASE + PER_CHAIN * chains + trusts


def watches_taken(pids: Iterable[int], proc: Path = Path("/proc")) -> int:
    """Return how many instances these processes have; a process that has ended or cannot be inspected counts as none."""
    taken = 0
    for pid in pids:
        with suppress(OSError):
            taken += sum(_is_instance(one) for one in (proc / str(pid) / "fd").iterdir())
    return taken


def _processes_of(uid: int, proc: Path) -> list[int]:
    found = []
    for one in proc.iterdir():
        with suppress(OSError):  # it ended meanwhile
            if one.name.isascii() and one.name.isdigit() and one.stat().st_uid == uid:
                found.append(int(one.name))
    return found


def _is_instance(descriptor: Path) -> bool:
    try:
        return str(descriptor.readlink()) == "anon_inode:inotify"
    except OSError:  # closed since it was listed
        return False


def can_create(count: int) -> bool:
    """Return whether this user can have so many more instances, by making and closing them.

    Fewer are tried if this process could not open so many files: its own connections need some.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    headroom = soft - sum(1 for _ in Path("/proc/self/fd").iterdir()) - _OWN_FILES
    made: list[int] = []
    try:
        for _ in range(min(count, headroom)):
            descriptor = _libc.inotify_init1(os.O_CLOEXEC)
            if descriptor < 0:
                return False
            made.append(descriptor)
        return True
    finally:
        for descriptor in made:
            os.close(descriptor)


def check_free_instances(usage: InotifyUsage, chains: int, secrets: int = 0) -> None:
    """Return if Envoy can watch the new files now.

    Args:
        usage: with the instances of every Envoy that runs.
        chains: filter chains that are new or replaced.
        secrets: files of secrets that are new or changed: Envoy makes the new watch before it removes the old one.

    Raises:
        Unavailable: `watches-draining`.
    """
    more = MOST_PER_CHAIN * chains + SPARE if chains else secrets
    if usage.limit is None or not more:
        return
    if usage.lacks(usage.envoys + more) or not can_create(more):
        raise Unavailable(
            "watches-draining",
            f"Envoy cannot watch {more} more files now: this user may have {usage.limit} inotify instances, Envoy has "
            f"{usage.envoys} and other processes have {usage.others}; publishing resumes when replaced doors have drained",
            hint="if doors were replaced often, wait half a minute; otherwise " + _HINT,
        )


def watch_limit(files: Iterable[Path] = LIMITS) -> int | None:
    """Return how many instances this user may have; None if the system has no such limit."""
    found = []
    for file in files:
        try:
            found.append(int(file.read_text(encoding="ascii")))
        except (OSError, ValueError):
            continue
    return min(found, default=None)


def check_watches(chains: int, usage: InotifyUsage, *, trusts: int = 0) -> None:
    """Return if there is room for a new configuration and for the one that it replaces.

    Args:
        chains: filter chains of the new configuration.
        trusts: how many of them have a secret with authorities of their own.
        usage: as `read_inotify_usage` returned it.

    Raises:
        ConfigurationError: `watches-exhausted`.
    """
    needed = 2 * watches_needed(chains, trusts) + SPARE
    if usage.lacks(needed):
        raise _exhausted(chains, needed, usage)


def check_start(chains: int, usage: InotifyUsage, *, trusts: int = 0) -> None:
    """Return if an Envoy can start with so many chains while others drain; raises as `check_watches`."""
    needed = watches_needed(chains, trusts)
    if usage.lacks(needed + usage.envoys) or (usage.limit is not None and not can_create(needed)):
        raise _exhausted(chains, needed + usage.envoys, usage)


def describe_shortage(chains: int, usage: InotifyUsage, *, trusts: int = 0) -> str:
    """Return a sentence if the next change would be refused because instances are missing; empty if there is room.

    Args:
        chains: filter chains in force.
        trusts: how many of them have a secret with authorities of their own.
        usage: as it is now.
    """
    if usage.lacks(2 * watches_needed(chains, trusts) + SPARE):
        what = "the next change of the policy will be refused"
    elif usage.lacks(2 * watches_needed(chains + 1, trusts) + SPARE):
        what = "no further application has room"
    else:
        return ""
    return (
        f"{what}: {chains} doors watch files, this user may have {usage.limit} inotify instances, "
        f"and its other processes have {usage.others} ({_HINT})"
    )


def _exhausted(chains: int, needed: int, usage: InotifyUsage) -> ConfigurationError:
    held = f", of which its other processes have {usage.others}" if usage.others else ""
    return ConfigurationError(
        [
            Fault(
                code="watches-exhausted",
                message=f"{chains} doors need up to {needed} inotify instances, "
                f"and this user may have {usage.limit}{held}",
                hint=_HINT,
                file="/proc/sys/fs/inotify/max_user_instances",
            )
        ]
    )
