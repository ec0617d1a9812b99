"""Clients that open connections until Envoy may open no file: applications must still be reached."""

from __future__ import annotations

import resource
import socket
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from doorward.enforcement.plan import GatewayLimits
from tests.support.attacks import changed, exchange, has_ended, statuses
from tests.support.compiled_door import CompiledDoor, Kept
from tests.support.door_site import CLEARED, TELLER
from tests.support.doorway import eventually
from tests.support.envoy_process import facts_of

pytestmark = pytest.mark.xdist_group("posture-buffers")

FILES = 200
"""An idle Envoy has some 40 open."""

LIMITS = GatewayLimits(open_files=FILES, hello=timedelta(minutes=5))
UNLIMITED = changed(
    *(
        "base",
        "overload_manager",
        "resource_monitors",
        0,
        "typed_config",
        "max_active_downstream_connections",
    ),
    to=100 * FILES,
)


def open_files(door: CompiledDoor) -> int:
    """Return how many files Envoy has open."""
    return len(list(Path(f"/proc/{door.envoy.process.pid}/fd").iterdir()))


@pytest.mark.parametrize("with_field", [True, False], ids=["compiled", "without"])
def test_a_crowd_leaves_files_for_the_applications(kept: Kept, *, with_field: bool) -> None:
    """`max_active_downstream_connections`: clients have half of Envoy's files; without it, who was there before gets 503."""
    door = kept(*(() if with_field else (UNLIMITED,)), limits=LIMITS)
    door.authorizer.facts = facts_of(TELLER, CLEARED)
    resource.prlimit(door.envoy.process.pid, resource.RLIMIT_NOFILE, (FILES, FILES))

    def ask(path: str) -> list[int]:
        head = f"GET {path} HTTP/1.1\r\nHost: pay.test\r\n\r\n".encode()
        return statuses(exchange(connection, head, answers=1))

    with door.connect() as connection, ExitStack() as stack:
        assert ask("/nowhere") == [403]  # judged, and nothing was sent to the application
        crowd = [
            stack.enter_context(socket.create_connection(("127.0.0.1", door.site.port), timeout=30))
            for _ in range(2 * FILES)
        ]
        if with_field:
            assert eventually(lambda: has_ended(crowd[-1], 0.05))
            assert open_files(door) < FILES
        else:
            assert eventually(lambda: open_files(door) == FILES)
        assert ask("/accounts/7") == [200 if with_field else 503]
