"""How many files Envoy may watch: each costs an inotify instance, and without one Envoy aborts.

Not here: which files there are (enforcement). The kernel counts instances by user, and 128 are the
default of many systems: one application more than there is room for would end Envoy, and every start
after it. `--mode validate` does not find this, for it watches nothing.

What was replaced is watched until it has drained: a renewed certificate, a removed application, or a
whole Envoy beside its successor. So there must be room for everything twice. And where the same is
replaced again and again within that time, what Envoy holds in fact is counted, and the next waits.
Standard: Linux inotify(7), "/proc interfaces"; measured with Envoy 1.40.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from doorward.core.errors import ConfigurationError, Fault, Unavailable

MOST_PER_CHAIN = 4
"""With authorities of its own."""

PER_CHAIN = 3
"""The route table, the secret, and the files that the secret names."""

BASE = 3
"""Listeners, clusters, and the secret with the issuing authorities."""

SPARE = 8
"""Left for whatever else this user runs; with it the usual 128 instances are room for 18 applications."""

LIMITS = (Path("/proc/sys/fs/inotify/max_user_instances"), Path("/proc/sys/user/max_inotify_instances"))


def watches_needed(chains: int, trusts: int = 0) -> int:
    """Return how many instances an Envoy takes.

    Args:
        chains: filter chains, the enrolment door included.
        trusts: how many of them have a secret with authorities of their own.
    """
    return BASE + PER_CHAIN * chains + trusts


def watches_taken(pids: Iterable[int], proc: Path = Path("/proc")) -> int:
    """Return how many instances processes hold; one that is gone, or not ours to look at, counts as none."""
    taken = 0
    for pid in pids:
        with suppress(OSError):
            taken += sum(_is_instance(one) for one in (proc / str(pid) / "fd").iterdir())
    return taken


def _is_instance(descriptor: Path) -> bool:
    try:
        return str(descriptor.readlink()) == "anon_inode:inotify"
    except OSError:  # closed since it was listed
        return False


def check_room(taken: int, chains: int, limit: int | None) -> None:
    """Return when so many more chains can be watched now.

    Args:
        taken: as `watches_taken` returned it, for every Envoy that lives.
        chains: filter chains that are new or replaced.
        limit: as `watch_limit` returned it.

    Raises:
        Unavailable: `watches-draining`.
    """
    if chains and limit is not None and taken + MOST_PER_CHAIN * chains + SPARE > limit:
        raise Unavailable(
            "watches-draining",
            "doors were replaced so often that Envoy could watch no more files; what it drains is awaited",
            hint="nothing: it goes on within half a minute; more inotify instances make it rarer",
        )


def watch_limit(files: Iterable[Path] = LIMITS) -> int | None:
    """Return how many instances this user may have, None where nobody says."""
    found = []
    for file in files:
        try:
            found.append(int(file.read_text(encoding="ascii")))
        except (OSError, ValueError):
            continue
    return min(found, default=None)


def check_watches(chains: int, limit: int | None, *, trusts: int = 0) -> None:
    """Return when there is room.

    Args:
        chains: filter chains of the configuration to come.
        trusts: how many of them have a secret with authorities of their own.
        limit: as `watch_limit` returned it.

    Raises:
        ConfigurationError: `watches-exhausted`.
    """
    needed = 2 * watches_needed(chains, trusts) + SPARE
    if limit is not None and needed > limit:
        raise ConfigurationError(
            [
                Fault(
                    code="watches-exhausted",
                    message=f"{chains} doors need up to {needed} inotify instances, and this user may have {limit}",
                    hint="sysctl -w fs.inotify.max_user_instances=8192, and the same in /etc/sysctl.d",
                    file="/proc/sys/fs/inotify/max_user_instances",
                )
            ]
        )
