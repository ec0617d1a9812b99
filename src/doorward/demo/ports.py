"""Ports for servers that start a moment later.

A port that the kernel chose is one that it may give, a moment later, to any outgoing connection. So
these lie below its range: only another server can take one in between. They are tried one after
another from a place that each process draws. Two processes that come to the same place at one time are kept apart by
a claim on each port: the name of an abstract unix socket, which the kernel gives once, and takes back when a process ends.

Standard: Linux unix(7), abstract sockets.
"""

from __future__ import annotations

import itertools
import os
import secrets
import socket
from collections import deque
from contextlib import suppress
from pathlib import Path

from doorward.core.errors import Unavailable

LOWEST = 20_000
_TRIES = 100
_CLAIMS_KEPT = 64
"""Ports that one process keeps from the others: by then its own server listens, or never will."""

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_turn = itertools.count(secrets.randbelow(1 << 16))
_claims: deque[int] = deque()


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nobody listens now, and which no outgoing connection gets.

    Raises:
        Unavailable: `no-free-port`.
    """
    span = _first_of_the_kernel() - LOWEST
    for _ in range(_TRIES):
        # Where an administrator gave the kernel nearly all of them, it chooses.
        port = LOWEST + next(_turn) % span if span > _TRIES else 0
        if port and not _claim(port):
            continue
        with suppress(OSError), socket.create_server(("127.0.0.1", port)) as listener:
            return int(listener.getsockname()[1])
    raise Unavailable(
        "no-free-port",
        f"none of {_TRIES} ports that were tried on 127.0.0.1 is free",
        hint="end a program that listens on thousands of ports",
    )


def _claim(port: int) -> bool:
    """Keep a port from other processes that ask here; say whether it is ours now."""
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0doorward-port-{port}")
    except OSError:
        claim.close()
        return False
    _claims.append(claim.detach())
    if len(_claims) > _CLAIMS_KEPT:
        os.close(_claims.popleft())
    return True


def _first_of_the_kernel() -> int:
    try:
        return int(_RANGE.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return 0
