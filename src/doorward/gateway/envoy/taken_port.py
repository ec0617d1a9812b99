"""Checking whether another program has the door's port, before any other step of the start.

An Envoy that an earlier run of this installation left may have the port: the supervisor takes over from it.
Not here: the check just before Envoy starts, which waits for a replaced Envoy (supervisor, diagnosis).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from doorward.core.errors import DoorwardError, Unavailable
from doorward.gateway.connections.endpoints import Endpoint
from doorward.gateway.envoy.diagnosis import check_free
from doorward.gateway.envoy.process import find_holder, pids_by_argument
from doorward.gateway.envoy.program import LOG_ARGUMENT


def check_not_taken(listeners: Sequence[Endpoint], folder: Path) -> None:
    """Raise if the door cannot listen on one of these addresses, even after the supervisor takes over from an old Envoy.

    Args:
        listeners: where Envoy will listen.
        folder: where the folders of Envoy's runs are.

    Raises:
        Unavailable: as `check_free`; `port-in-use` only if no Envoy of this installation can be the holder.
    """
    for listener in listeners:
        try:
            check_free([listener])
        except Unavailable as error:
            if error.code != "port-in-use" or not _may_be_ours(listener, folder):
                raise


def _may_be_ours(listener: Endpoint, folder: Path) -> bool:
    ours = pids_by_argument(LOG_ARGUMENT, folder)
    if not ours:
        return False
    with suppress(DoorwardError, OSError):
        holder = find_holder(listener)
        return not holder or holder in ours
    return True
