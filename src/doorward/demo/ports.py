"""Ports for servers that start a moment later.

A port that the kernel chose is one that it may give, a moment later, to any outgoing connection. So
these lie below its range: only another server can take one in between. They are tried one after
another from a place that each process draws, so that two of them, or one twice, rarely meet.
"""

from __future__ import annotations

import itertools
import secrets
import socket
from contextlib import suppress
from pathlib import Path

from doorward.core.errors import Unavailable

LOWEST = 20_000
_TRIES = 100
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_turn = itertools.count(secrets.randbelow(1 << 16))


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nobody listens now, and which no outgoing connection gets.

    Raises:
        Unavailable: `no-free-port`.
    """
    span = _first_of_the_kernel() - LOWEST
    for _ in range(_TRIES):
        # Where an administrator gave the kernel nearly all of them, it chooses.
        port = LOWEST + next(_turn) % span if span > _TRIES else 0
        with suppress(OSError), socket.create_server(("127.0.0.1", port)) as listener:
            return int(listener.getsockname()[1])
    raise Unavailable(
        "no-free-port",
        f"none of {_TRIES} ports that were tried on 127.0.0.1 is free",
        hint="end a program that listens on thousands of ports",
    )


def _first_of_the_kernel() -> int:
    try:
        return int(_RANGE.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return 0
