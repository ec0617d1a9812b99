"""The cutter: ends exactly the given connections and does not disturb any other.

Not here: which connections must be cut (follower, reconciler), and the two mechanisms themselves (sockdiag, pidfd).

1. Ask the kernel for the connection between the two addresses; its cookie must be the expected one.
   Otherwise the connection has ended, and the address may belong to another connection or to the listener.
2. With CAP_NET_ADMIN, destroy the socket by that cookie.
3. Without it, copy the socket out of Envoy (same user) and disconnect it.
4. If neither is allowed, no connection can be cut: `trouble` says why, and connections end only with their lifetime.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from doorward.core.errors import DoorwardError
from doorward.core.ports import Clock
from doorward.gateway.connections import pidfd, sockdiag
from doorward.gateway.connections.endpoints import Endpoint, parse_endpoint
from doorward.gateway.connections.sockdiag import CutOutcome, SocketFacts, TcpState

_BATCH = 256
"""Connections looked up together before they are ended; small, so that the look-ups are still recent."""

_MISSES = 3  # look-ups of a socket: it shows its inode only a moment after Envoy accepted it


class Mechanism(Enum):
    """How connections are ended."""

    SOCK_DESTROY = "sock-destroy"
    PIDFD = "pidfd"
    NONE = "none"


class Target(Protocol):
    """The facts that the cutter needs about a connection; `LiveConnection` and `SocketFacts` have them."""

    @property
    def cookie(self) -> int:
        """The kernel's name of the socket."""
        ...

    @property
    def local(self) -> Endpoint:
        """The listener's side, as the kernel sees it."""
        ...

    @property
    def remote(self) -> Endpoint:
        """The peer's side, as the kernel sees it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CutResult:
    """The result of one cut; `seconds` is the time from the call to the kernel's answer for the whole batch."""

    cookie: int
    mechanism: Mechanism
    outcome: CutOutcome
    seconds: float

    @property
    def ended(self) -> bool:
        """Whether the connection no longer exists."""
        return self.outcome in (CutOutcome.CUT, CutOutcome.GONE)


class Cutter:
    """Ends connections; safe to share between threads.

    Args:
        envoy_pids: the processes that may hold them: the running Envoy and any that drains.
        clock: for the durations that are reported.
        mechanism: forces one; None tries which one works, on a test connection.
    """

    def __init__(
        self, envoy_pids: Callable[[], Sequence[int]], *, clock: Clock, mechanism: Mechanism | None = None
    ) -> None:
        self._envoy_pids = envoy_pids
        self._clock = clock
        self._refusal = ""
        if mechanism is None:
            self._refusal = _try_destroying()
            mechanism = Mechanism.PIDFD if self._refusal else Mechanism.SOCK_DESTROY
        self._preferred = mechanism

    @property
    def mechanism(self) -> Mechanism:
        """The mechanism for the next cut; NONE if no connection can be cut."""
        return Mechanism.NONE if self.trouble() else self._preferred

    def trouble(self) -> str:
        """Return why no connection can be cut, in a sentence for `status`; empty if all is well."""
        if self._preferred is Mechanism.SOCK_DESTROY:
            return ""
        unreachable = [pid for pid in self._envoy_pids() if not pidfd.may_copy_from(pid)]
        if self._preferred is Mechanism.PIDFD and not unreachable:
            return ""
        named = f" (process {', '.join(map(str, unreachable))})" if unreachable else ""
        destroying = self._refusal or "SOCK_DESTROY is not used"
        return f"{destroying}, and Envoy's sockets cannot be copied{named}"

    def reaches(self, pid: int) -> bool:
        """Return whether connections of this process can be cut; an Envoy drains only if so."""
        return self._preferred is Mechanism.SOCK_DESTROY or pidfd.may_copy_from(pid)

    def cut(self, connection: Target) -> CutResult:
        """End one connection at once."""
        return self.cut_many([connection])[0]

    def cut_many(self, connections: Sequence[Target]) -> list[CutResult]:
        """End many connections at once, in the given order; return one result for each.

        A single failure raises nothing. If a result has not `ended`, the connection must be cut again:
        the reconciler does that for connections that stay condemned in the registry.
        """
        results: list[CutResult] = []
        for start in range(0, len(connections), _BATCH):
            results += self._cut_batch(connections[start : start + _BATCH])
        return results

    def _cut_batch(self, connections: Sequence[Target]) -> list[CutResult]:
        started = self._clock.monotonic()
        outcomes: dict[int, CutOutcome] = {}
        mechanism = self._preferred
        if mechanism is Mechanism.SOCK_DESTROY:
            for connection in connections:
                outcomes[connection.cookie] = _destroy(connection)
        elif mechanism is Mechanism.PIDFD:
            self._copy_and_end(connections, outcomes)
        return [
            CutResult(
                cookie=connection.cookie,
                mechanism=mechanism,
                outcome=outcomes.get(connection.cookie, CutOutcome.NOT_PERMITTED),
                seconds=self._clock.monotonic() - started,
            )
            for connection in connections
        ]

    def _copy_and_end(self, connections: Sequence[Target], outcomes: dict[int, CutOutcome]) -> None:
        left = list(connections)
        for _ in range(_MISSES):
            present: list[SocketFacts] = []
            for connection in left:
                facts = _look_up(connection)
                if isinstance(facts, CutOutcome):
                    outcomes[connection.cookie] = facts
                elif not facts.inode and facts.state is not TcpState.ESTABLISHED:
                    outcomes[connection.cookie] = (
                        CutOutcome.GONE
                    )  # Envoy has closed it, the kernel only flushes
                else:
                    present.append(facts)
            outcomes.update(pidfd.end_connections(self._envoy_pids(), present))
            left = [one for one in left if outcomes[one.cookie] is CutOutcome.MISSED]
            if not left:
                return


def _look_up(connection: Target) -> SocketFacts | CutOutcome:
    """Return the facts of exactly this connection; or the outcome, if there is no connection to cut."""
    try:
        facts = sockdiag.find(connection.local, connection.remote)
    except DoorwardError:
        return CutOutcome.NOT_PERMITTED
    if facts is None or facts.cookie != connection.cookie or facts.state not in sockdiag.CARRYING:
        return CutOutcome.GONE
    return facts


def _destroy(connection: Target) -> CutOutcome:
    facts = _look_up(connection)
    if isinstance(facts, CutOutcome):
        return facts
    try:
        return sockdiag.destroy(facts)
    except DoorwardError:
        return CutOutcome.NOT_PERMITTED


def _try_destroying() -> str:
    """Destroy a test connection on loopback; return why that failed, empty if it works.

    The capability bit alone proves little: the kernel may lack the call, and in a user namespace the
    bit can be set without any right over the network.
    """
    try:
        with (
            socket.create_server(("127.0.0.1", 0)) as listener,
            socket.create_connection(listener.getsockname(), timeout=1) as client,
        ):
            accepted, _ = listener.accept()
            with accepted:
                local, remote = (
                    parse_endpoint(f"{host}:{port}")
                    for host, port in (accepted.getsockname(), accepted.getpeername())
                )
                facts = sockdiag.find(local, remote)
                if facts is None:
                    return "the kernel does not find connections"
                if sockdiag.destroy(facts) is not CutOutcome.CUT:
                    return "SOCK_DESTROY is not permitted (it needs CAP_NET_ADMIN)"
                try:
                    client.recv(1)
                except ConnectionResetError:
                    return ""
                except TimeoutError:
                    pass
                return "SOCK_DESTROY has no effect"
    except DoorwardError as error:
        return error.detail
    except OSError as error:
        return f"loopback is not usable ({error.strerror})"
