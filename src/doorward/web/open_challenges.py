"""What the listener of http-01 answers from: the open tokens and the hosts of the door, in memory.

Any stranger can ask this listener, as often as the network allows. So a request takes no thread of the pool that enrolment
and the portal use, and does not read the database by itself: requests share one reading, which has a thread of its own
and begins at most every `PAUSE_SECONDS`. A token that is not known yet waits for the next reading, because another process
may have just stored it. Without requests nothing is read.

Not here: the routes (acme_challenges).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from doorward.authority.acme.showing import list_http_challenges
from doorward.core.errors import Unavailable
from doorward.core.names import own_hosts
from doorward.stores.policy_snapshot import PolicySnapshots
from doorward.stores.services import Services
from doorward.web.pool import UseCasePool

PAUSE_SECONDS = 0.25
MOST_WAITING = 256
"""Requests that wait for a reading; an authority asks for a token a few times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """What one reading found, and the time of the loop's clock at which it began."""

    began: float
    tokens: Mapping[str, tuple[str, datetime]]
    hosts: frozenset[str]


class OpenChallenges:
    """Answers for the event loop of one server.

    Args:
        services: the ports of this process.
        pool: a thread for readings; not shared with other surfaces.
        portal_host: the portal's host.
    """

    def __init__(self, services: Services, pool: UseCasePool, portal_host: str) -> None:
        self._services = services
        self._pool = pool
        self._portal_host = portal_host
        self._snapshots = PolicySnapshots()
        self._last: _Reading | None = None
        self._began = -PAUSE_SECONDS  # of the newest reading, also while it goes on
        self._next: asyncio.Task[_Reading] | None = None
        self._waiting = 0

    async def authorization(self, token: str) -> str | None:
        """Return the key authorization of an open token; None if there is none.

        Raises:
            Unavailable: too many requests wait, or the database cannot be read.
        """
        found = self._fresh()
        if found is None or token not in found.tokens:
            found = await self._read()
        authorization, ends_at = found.tokens.get(token, ("", None))
        return authorization if ends_at is not None and ends_at > self._services.clock.now() else None

    async def has_host(self, host: str) -> bool:
        """Return whether the door has a host; raise as `authorization`."""
        found = self._fresh() or await self._read()
        return host in found.hosts

    def _fresh(self) -> _Reading | None:
        now = asyncio.get_running_loop().time()
        return self._last if self._last is not None and self._last.began > now - PAUSE_SECONDS else None

    async def _read(self) -> _Reading:
        """Wait for a reading that begins after this call."""
        if self._waiting >= MOST_WAITING:
            raise Unavailable(
                "server-busy", "too many requests are waiting", hint="try again in a few seconds"
            )
        self._waiting += 1
        try:
            if self._next is None:
                self._next = asyncio.ensure_future(self._read_next())
                self._next.add_done_callback(_take_exception)
            return await asyncio.shield(self._next)  # a client that goes away stops no reading of the others
        finally:
            self._waiting -= 1

    async def _read_next(self) -> _Reading:
        clock = asyncio.get_running_loop().time
        await asyncio.sleep(max(0.0, self._began + PAUSE_SECONDS - clock()))
        self._next = None  # who asks from now on needs a later reading
        began = self._began = clock()
        tokens, hosts = await self._pool.run(self._load)
        self._last = _Reading(began=began, tokens=tokens, hosts=hosts)
        return self._last

    def _load(self) -> tuple[dict[str, tuple[str, datetime]], frozenset[str]]:
        tokens = {one.token: (one.authorization, one.ends_at) for one in list_http_challenges(self._services)}
        with self._services.work.read() as stores:
            snapshot, _ = self._snapshots.current(stores)
        hosts = {self._portal_host, *own_hosts(snapshot.trust_domain)}
        hosts.update(host for app in snapshot.document.apps for host in app.hosts)
        return tokens, frozenset(hosts - {""})


def _take_exception(task: asyncio.Task[_Reading]) -> None:
    """Mark the exception of a reading as seen: each client that still waits got it."""
    if not task.cancelled():
        task.exception()
