"""Judging live connections again: end at once those that lost permissions, note the new permissions of the others.

Not here: which ones (affected) and when (follower), the judgement itself (`access.deciding`), and cutting (ending).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta

import structlog

from doorward.access.deciding import AccessDecider
from doorward.access.decision import AccessDecision
from doorward.core.entities import Outcome
from doorward.core.errors import DoorwardError
from doorward.core.names import PORTAL_APPLICATION
from doorward.core.ports import Clock
from doorward.gateway.connections.connection import LiveConnection
from doorward.gateway.connections.ending import ConnectionEnder, EndReason
from doorward.gateway.connections.registry import ConnectionRegistry
from doorward.gateway.following.changed_rules import ChangedRules
from doorward.gateway.following.permissions import PermissionsCache
from doorward.policy.decision import ConnectionPermissions, loses_permissions

COMPARED_AT_ONCE = 500
"""Connections compared with a new policy before those that lost permissions are ended: some milliseconds."""

JUDGED_AT_ONCE = 100
"""Connections judged again before those that lost permissions are ended: some tens of milliseconds.

If a partner's terms or evidence are the reason, newer changes are read after so many connections, too."""

_NOT_ABOUT_IT = (DoorwardError, MemoryError, OSError)
"""Errors that say nothing about the connection: the database is unavailable, memory or files are short.

No connection is ended because of them; the judgement is tried again, and until then the gateway is stale."""

_log = structlog.get_logger("doorward.follower")


class Reassessor:
    """Judges live connections of one gateway again; for one thread.

    Args:
        decider: judges connections.
        connections: the registry.
        ender: ends connections.
        clock: now.
        regrant: called if live connections gained permissions that their grants do not show.
        lifetime: of connections.
    """

    def __init__(
        self,
        decider: AccessDecider,
        connections: ConnectionRegistry,
        ender: ConnectionEnder,
        clock: Clock,
        *,
        regrant: Callable[[], None],
        lifetime: timedelta,
    ) -> None:
        self._decider = decider
        self._connections = connections
        self._ender = ender
        self._clock = clock
        self._regrant = regrant
        self._lifetime = lifetime

    def judge(self, connections: Sequence[LiveConnection]) -> None:
        """Judge connections again by the present state of the database; end those that lost permissions.

        Raises:
            DoorwardError, MemoryError, OSError: an error that says nothing about a connection; none is ended for it.
        """
        for some in self.decide_all(connections):
            self._keep_or_end(some)

    def decide_all(
        self, connections: Sequence[LiveConnection]
    ) -> Iterator[Sequence[tuple[LiveConnection, AccessDecision | None]]]:
        """Judge connections by the present state of the database; yield some at once, each with its decision.

        The decision is None if a bug prevents the judgement of that connection.

        Raises:
            DoorwardError, MemoryError, OSError: as `judge`.
        """
        # One judgement serves all connections of one certificate to one application from one address.
        alike: dict[tuple[str, str, bytes], list[LiveConnection]] = {}
        for one in connections:
            alike.setdefault((one.sha256, one.application_id, one.remote.address), []).append(one)
        groups = list(alike.values())
        for start in range(0, len(groups), JUDGED_AT_ONCE):
            some = groups[start : start + JUDGED_AT_ONCE]
            # The youngest connection of each group may stay longest; the lifetime of each one is applied later.
            decisions = self._decide([max(same, key=lambda one: one.opened_at) for same in some])
            yield [(one, now) for same, now in zip(some, decisions, strict=True) for one in same]

    def end_improved(self, connections: Sequence[LiveConnection]) -> None:
        """End anonymous connections that showed a certificate which is good now.

        Their peers connect again and are judged again. Connections without a good certificate stay.

        Raises:
            DoorwardError, MemoryError, OSError: as `judge`.
        """
        for start in range(0, len(connections), JUDGED_AT_ONCE):
            some = connections[start : start + JUDGED_AT_ONCE]
            decisions = self._decide(some)
            good = [
                one
                for one, now in zip(some, decisions, strict=True)
                if now is not None and now.verdict.outcome is Outcome.GOOD
            ]
            self._ender.end(good, EndReason.AUTHORITY_CHANGED)

    def compare(
        self,
        connections: Sequence[LiveConnection],
        cache: PermissionsCache,
        *,
        changed: ChangedRules | None = None,
    ) -> list[tuple[LiveConnection, ConnectionPermissions]]:
        """End connections that lost permissions by newer rules; return the others with their new permissions.

        Args:
            connections: the live connections to compare.
            cache: what the newer rules give.
            changed: the rules that are new or gone: the connections that they are about come first.
        """
        kept: list[tuple[LiveConnection, ConnectionPermissions]] = []
        losses = _Losses()
        for some in _batches(connections, changed):
            lost = []
            for one in some:
                permissions = cache.of(one)
                if one.permissions is None or permissions is None or losses.has(one.permissions, permissions):
                    lost.append(one)
                else:
                    kept.append((one, permissions))
            self._ender.end(lost, EndReason.AUTHORITY_WITHDRAWN)
        for one, permissions in kept:
            self._connections.replace(replace(one, permissions=permissions))
        return kept

    def _keep_or_end(self, judged: Sequence[tuple[LiveConnection, AccessDecision | None]]) -> None:
        """End the connections that lost permissions; note the new permissions of the others."""
        lost = [one for one, now in judged if now is None or has_lost(one, now)]
        self._ender.end(lost, EndReason.AUTHORITY_WITHDRAWN)
        ended = {one.cookie for one in lost}
        for one, now in judged:
            if now is None or one.cookie in ended:
                continue
            self._connections.replace(one.judged_again(now, lifetime=self._lifetime))
        if any(now is not None and set(now.grants) != set(one.grants) for one, now in judged):  # 4.
            self._regrant()

    def _decide(self, connections: Sequence[LiveConnection]) -> Sequence[AccessDecision | None]:
        """Return a decision for each connection, in this order; None if a bug prevents the judgement of one.

        A bug that one connection triggers must not prevent the judgement of all others and, because the gateway would
        be stale, refuse all new connections. So after an unexpected error the connections are judged one by one.
        """
        try:
            return self._reassess_all(connections)
        except _NOT_ABOUT_IT:
            raise
        except Exception:  # noqa: BLE001  any bug: find the connection that triggers it
            return [self._decide_alone(one) for one in connections]

    def _decide_alone(self, connection: LiveConnection) -> AccessDecision | None:
        try:
            (decision,) = self._reassess_all([connection])
        except _NOT_ABOUT_IT:
            raise
        except Exception:  # noqa: BLE001  fail closed, for this one alone
            _log.exception(
                "a connection cannot be judged again and is ended",
                connection=connection.connection_id,
                certificate_sha256=connection.sha256,
                application=connection.application_id,
            )
            return None
        return decision

    def _reassess_all(self, connections: Sequence[LiveConnection]) -> list[AccessDecision]:
        return self._decider.reassess_all([(one, one.sha256) for one in connections], self._clock.now())


def _batches(
    connections: Sequence[LiveConnection], changed: ChangedRules | None
) -> Iterator[Sequence[LiveConnection]]:
    """Yield some connections at once; first those that the changed rules are about, not together with others."""
    parts = (connections,) if changed is None else changed.put_first(connections)
    for part in parts:
        for start in range(0, len(part), COMPARED_AT_ONCE):
            yield part[start : start + COMPARED_AT_ONCE]


class _Losses:
    """The comparisons of one document, each made once: many connections share the very objects that are compared."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], tuple[bool, ConnectionPermissions, ConnectionPermissions]] = {}

    def has(self, old: ConnectionPermissions, new: ConnectionPermissions) -> bool:
        """Return what `loses_permissions` does."""
        known = self._known.get((id(old), id(new)))
        if known is None:  # both are kept, so that no other object gets the identity of one of them
            known = self._known[id(old), id(new)] = loses_permissions(old, new), old, new
        return known[0]


def has_lost(one: LiveConnection, now: AccessDecision) -> bool:
    """Return whether a connection may no longer do everything that it might before.

    If a partner's new terms read another name from the same certificate, the connection has lost everything: the
    application got the former name. If the session epoch changed, the connection has lost its sessions: Envoy compares
    tokens with the epoch that it got when the connection was admitted.
    """
    if now.verdict.outcome is not Outcome.GOOD or one.permissions is None or now.permissions is None:
        return True
    if now.principal is None or now.principal.id != one.principal_id:
        return True
    # The portal looks up every session itself, and its answer to a sign-out must still reach the browser.
    if one.sessions.epoch != now.sessions.epoch and one.application_id != PORTAL_APPLICATION:
        return True
    return loses_permissions(one.permissions, now.permissions)
