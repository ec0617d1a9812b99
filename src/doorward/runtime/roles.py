"""Common to the roles: giving up root, and reporting that they are ready."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection
from contextlib import suppress

from doorward.runtime.preloading import keep_what_is_loaded, preload_all
from doorward.runtime.privileges import Account, Capability, drop, shed

READY_VARIABLE = "DOORWARD_READY_FD"

SWITCH_SECONDS = 0.0005
"""How long a thread of the door may keep the interpreter while others wait for it. Cutting connections makes many short system
calls, and after each of them the thread waits for its turn: with Python's 5 ms that took up to 135 ms for 2 ms of work."""


def is_root() -> bool:
    """Return whether this process runs as root."""
    return os.geteuid() == 0


def become_ordinary(
    account: Account | None,
    *,
    keep: frozenset[Capability],
    hand_down: frozenset[Capability],
    never: Collection[str] = (),
) -> None:
    """Give up root for good if we have it, and in any case every capability but the named ones; then loading is over.

    Args:
        account: the user to become (`Installation.account`); None if we are not root.
        keep: as in `privileges.drop`.
        hand_down: the same.
        never: as in `preloading.preload_all`.
    """
    if account is None:
        shed(keep=keep, hand_down=hand_down)
    else:
        preload_all(never)
        drop(account, keep=keep, hand_down=hand_down)
    keep_what_is_loaded()


def take_short_turns() -> None:
    """Let the threads of this process take turns in the interpreter at short intervals."""
    sys.setswitchinterval(SWITCH_SECONDS)


def say_ready() -> None:
    """Tell the process that started us that we are ready: one line on the descriptor in DOORWARD_READY_FD."""
    descriptor = os.environ.pop(READY_VARIABLE, "")
    if descriptor.isascii() and descriptor.isdigit():
        with suppress(OSError):  # the process that started us may be gone; the door opens anyway
            os.write(int(descriptor), b"ready\n")
            os.close(int(descriptor))
