"""Resolves names within a time limit, which the machine's resolver does not have.

A look-up runs in a thread of its own. After the limit its thread is abandoned: the resolver gives up later. At most 8
look-ups run at once, abandoned ones included, so that a dead name server cannot use up threads.
Not here: which addresses may be asked (core.addresses).
"""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

from doorward.core.addresses import Address
from doorward.core.errors import Unavailable

LOOK_UPS = 8


class Resolver:
    """The machine's resolver; safe to share between threads. `look_up` is the resolver's function."""

    def __init__(self, look_up: Callable[..., list[Any]] = socket.getaddrinfo) -> None:
        self._ask = look_up
        self._free = threading.BoundedSemaphore(LOOK_UPS)

    def resolve(self, host: str, seconds: float) -> list[Address]:
        """Return all addresses of a host, each once, in the resolver's order.

        Raises:
            Unavailable: `fetch-unresolved`, `fetch-too-slow`.
        """
        if not self._free.acquire(timeout=max(seconds, 0)):
            raise Unavailable("fetch-too-slow", "too many names are being looked up")
        found: queue.SimpleQueue[list[Address] | None] = queue.SimpleQueue()
        try:
            threading.Thread(target=self._look_up, args=(host, found), name="look-up", daemon=True).start()
        except Exception as fault:  # no thread could be started: release the slot here
            self._free.release()
            raise Unavailable("fetch-unresolved", f"{host} could not be looked up now") from fault
        try:
            addresses = found.get(timeout=max(seconds, 0))
        except queue.Empty:
            raise Unavailable("fetch-too-slow", f"{host} was not looked up in time") from None
        if not addresses:
            raise Unavailable("fetch-unresolved", f"{host} has no address")
        return addresses

    def _look_up(self, host: str, found: queue.SimpleQueue[list[Address] | None]) -> None:
        try:
            rows = self._ask(host.encode("ascii"), None, type=socket.SOCK_STREAM)
            # A scope (`%eth0`) belongs to link-local addresses only, which are refused with or without it.
            texts = [str(row[4][0]).partition("%")[0] for row in rows]
            found.put(list(dict.fromkeys(ip_address(text) for text in texts)))
        except (OSError, ValueError):
            found.put(None)
        finally:
            self._free.release()
