"""The ids of rules that live connections hold, at a change of the policy: which connections end, and which need aliases.

Not here: the order of a publication, of which these are steps 3, 4 and 6 (transition); the judgement itself
(enforcement.transition). Of one thread at a time.
"""

from __future__ import annotations

from collections.abc import Mapping

from doorward.core.entities import TENANT
from doorward.core.ports import Clock
from doorward.enforcement.transition import HeldConnection, aliases_for, classify_connections
from doorward.gateway.connections.ending import ConnectionEnder, EndReason
from doorward.gateway.connections.registry import ConnectionRegistry
from doorward.gateway.following.permissions import PermissionsCache, held_connection
from doorward.gateway.publishing.configuration import ids_of_rules
from doorward.stores.policy_snapshot import PolicySnapshot


class HeldRuleIds:
    """Compares what live connections hold with a policy.

    Args:
        connections: the registry.
        ender: ends connections.
        clock: for rules that depend on the time.
    """

    def __init__(self, connections: ConnectionRegistry, ender: ConnectionEnder, clock: Clock) -> None:
        self._connections = connections
        self._ender = ender
        self._clock = clock
        self._rule_ids: Mapping[str, frozenset[str]] = {}

    def note_in_force(self, snapshot: PolicySnapshot | None) -> None:
        """Note the policy that Envoy enforces; None if it is not known."""
        self._rule_ids = {} if snapshot is None else ids_of_rules(snapshot)

    def build_aliases(self, snapshot: PolicySnapshot) -> Mapping[str, frozenset[str]]:
        """Return aliases for connections that lost nothing by this policy but have other ids now (step 4)."""
        return aliases_for(self._held(snapshot), tenant=TENANT, revision=snapshot.revision)

    def end_overreaching(self, snapshot: PolicySnapshot) -> None:
        """End connections that hold an id of this policy which they do not deserve (step 3)."""
        standing = classify_connections(self._held(snapshot), tenant=TENANT, ids=ids_of_rules(snapshot))
        self._end(standing.overreaching, EndReason.AUTHORITY_WITHDRAWN)

    def end_lacking(self, snapshot: PolicySnapshot, aliases: Mapping[str, frozenset[str]]) -> None:
        """End connections that deserve an id which is new with this policy but cannot show it (step 6).

        Args:
            snapshot: the policy that is in force now.
            aliases: those in force.
        """
        ids = ids_of_rules(snapshot)
        standing = classify_connections(self._held(snapshot), tenant=TENANT, ids=ids, aliases=aliases)
        known = frozenset().union(*self._rule_ids.values())
        ending = {key for key, lacked in standing.lacking.items() if not lacked <= known}
        self._end(frozenset(ending), EndReason.AUTHORITY_CHANGED)
        self._rule_ids = ids

    def _held(self, snapshot: PolicySnapshot) -> list[HeldConnection]:
        """Return the ids that each connection holds, and those that it deserves by exactly this policy.

        The permissions in the registry may already be by a newer policy, because changes can follow closely.
        TCP connections are left out: Envoy checks their rules only once, so their ids do not matter later.
        """
        cache = PermissionsCache(snapshot.policies, self._clock.now())
        tcp = {one for one, app in snapshot.policies.items() if app.is_tcp}
        held = [
            held_connection(one, cache.of(one))
            for one in self._connections.all()
            if one.application_id not in tcp
        ]
        condemned = (one for one in self._connections.condemned() if one.application_id not in tcp)
        return held + [held_connection(one, None) for one in condemned]  # these deserve nothing

    def _end(self, keys: frozenset[int], reason: EndReason) -> None:
        found = (self._connections.get(key) for key in keys)
        self._ender.end([one for one in found if one is not None], reason)
