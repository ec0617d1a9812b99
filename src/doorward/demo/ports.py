"""Ports for servers that start a moment later.

If the kernel chose a port, it could give the same port to an outgoing connection a moment later. So these ports lie below
the kernel's range: only another server can take one in between. Each process starts at a random port and tries one after
another. Two processes cannot take the same port: each port is claimed by the name of an abstract unix socket, which the
kernel gives to one process at a time, and frees when the process ends.

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
"""How many claims one process keeps: by then the server of the oldest one listens, or never will."""

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_turn = itertools.count(secrets.randbelow(1 << 16))
_claims: deque[int] = deque()


def free_port() -> int:
    """Return a port of 127.0.0.1 on which no server listens now, and which no outgoing connection gets.

    Raises:
        Unavailable: `no-free-port`.
    """
    span = _first_of_the_kernel() - LOWEST
    for _ in range(_TRIES):
        # If an administrator gave nearly all ports to the kernel, the kernel chooses.
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
    """Claim a port against other processes that use this function; return whether it is ours."""
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
