"""Adopted connections: an earlier gateway admitted them, and changes were made while no gateway followed (0076).

Before the door admits anything, each of them is ended or restored, so that no connection keeps a right that was taken
meanwhile, and no other one ends. The steps:
1. end connections that the earlier gateway was about to end, and those at their deadline: the clock went on. The
   journal's deadline is also the moment at which time alone takes a permission away, and the end of the last session;
2. find the last change that the earlier gateway followed, and the policy revision by which it compared all connections.
   If one is missing, or the database does not have it any more, end all connections;
3. judge each connection by the present state of the database, then read the changes since then, in this order: a change
   that the judgement saw is among them;
4. end it if the certificate, the principal, the application or the sessions no longer admit it;
5. find out what it was allowed to do. If no change is about its holder, the facts are the same, and the former rules say
   it. Otherwise the ids say it that the last judgement gave: they name the rules that selected it. If the rules of its
   application were edited since that judgement, or depend on the time, this is unknown;
6. end it if that is unknown, or if it may do less now. Otherwise it goes on like a connection of this process.

A partner's terms decide facts about its people, and a change of them may have been followed only in part: these people
always count as concerned by a change.

Not here: evidence of revocation, which must be loaded before (evidence_loader), acting on the changes themselves, which
comes after (follower), and connections that the journal does not have (reconciler).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

import structlog

from doorward.access.decision import AccessDecision
from doorward.core.entities import TENANT
from doorward.core.errors import IntegrityError
from doorward.directory.groups import group_id
from doorward.gateway.connections.connection import LiveConnection
from doorward.gateway.connections.ending import ConnectionEnder, EndReason
from doorward.gateway.connections.registry import ConnectionRegistry
from doorward.gateway.following.change_mark import find_marked
from doorward.gateway.following.permissions import PermissionsCache
from doorward.gateway.following.reassessing import Reassessor, has_lost
from doorward.policy.decision import ConnectionPermissions, loses_permissions, permissions_by_grants
from doorward.policy.model import AppPolicy
from doorward.policy.paths import owner_segment
from doorward.stores.policy_snapshot import PolicySnapshots, document_of
from doorward.stores.records import ChangeKind, ChangeRecord
from doorward.stores.services import Services

MOST_REVISIONS = 16
"""Former documents that are read; connections that need another one are ended. Reading a large one takes a second."""

_BATCH = 1000

_log = structlog.get_logger("doorward.follower")


class AdoptedConnections:
    """Ends or restores the adopted connections of one gateway, once; for one thread.

    Args:
        services: the use cases' ports.
        snapshots: the policy snapshot of this process.
        connections: the registry.
        ender: ends connections.
        reassessor: judges connections again.
        lifetime: of connections.
    """

    def __init__(
        self,
        services: Services,
        snapshots: PolicySnapshots,
        connections: ConnectionRegistry,
        ender: ConnectionEnder,
        reassessor: Reassessor,
        *,
        lifetime: timedelta,
    ) -> None:
        self._services = services
        self._snapshots = snapshots
        self._connections = connections
        self._ender = ender
        self._reassessor = reassessor
        self._lifetime = lifetime
        self._policies: dict[int, Mapping[str, AppPolicy]] = {}  # by revision; empty if it cannot be read
        self._caches: dict[int, PermissionsCache] = {}

    def resume(self) -> ChangeRecord | None:
        """End the adopted connections that lost something, and restore the others.

        Returns:
            The last change that the earlier gateway followed: every later one must be acted on. None if there is no
            adopted connection, or if all of them were ended.

        Raises:
            DoorwardError, MemoryError, OSError: an error that says nothing about a connection; the door must not open.
        """
        adopted = self._adopted()
        if not adopted:
            return None
        now = self._services.clock.now()
        self._ender.end([one for one in adopted if one.was_condemned], EndReason.AUTHORITY_CHANGED)  # 1.
        self._ender.end([one for one in self._adopted() if one.ends_at <= now], EndReason.DEADLINE)
        followed = self._connections.followed
        last = find_marked(self._services, followed.mark)
        if last is None or not self._policies_of(followed.revision):  # 2.
            _log.warning("it is not known which changes adopted connections lack; all are ended")
            self._ender.end(self._adopted(), EndReason.AUTHORITY_CHANGED)
            return None
        changes = _ChangesSince(self._services, last, adopted)
        changes.read()
        # Those that a change names come first: judging ten thousand takes some seconds.
        named = sorted((one for one in self._adopted() if not one.anonymous), key=changes.is_unnamed)
        for some in self._reassessor.decide_all(named):  # 3.
            changes.read()
            lost = [one for one, now in some if self._has_lost(one, now, followed.revision, changes)]
            self._ender.end(lost, EndReason.AUTHORITY_WITHDRAWN)
            ended = {one.cookie for one in lost}
            for one, decision in some:
                if decision is not None and one.cookie not in ended:
                    self._connections.replace(one.restored(decision, lifetime=self._lifetime))
        self._restore_anonymous(followed.revision)
        return last

    def _adopted(self) -> list[LiveConnection]:
        return [one for one in self._connections.all() if one.adopted]

    def _has_lost(
        self, one: LiveConnection, now: AccessDecision | None, followed: int, changes: _ChangesSince
    ) -> bool:
        if now is None:  # a bug prevents its judgement
            return True
        before = (
            self._by_last_judgement(one, now, followed)
            if changes.concern(one, now)
            else self._by_rules(one, now, followed)
        )
        return before is None or has_lost(replace(one, permissions=before), now)  # 4. and 6.

    def _by_rules(
        self, one: LiveConnection, now: AccessDecision, followed: int
    ) -> ConnectionPermissions | None:
        """Step 5 for an unchanged holder: what the former rules give it; None if they are unknown."""
        # It was compared with the followed revision, unless it was admitted later, by a newer one.
        revision = max(followed, one.judged_by)
        if revision not in self._caches:
            self._caches[revision] = PermissionsCache(self._policies_of(revision), self._services.clock.now())
        return self._caches[revision].of(replace(one, subject=now.subject))

    def _by_last_judgement(
        self, one: LiveConnection, now: AccessDecision, followed: int
    ) -> ConnectionPermissions | None:
        """Step 5 for a holder that may have changed: what its ids gave it; None if it may have gained more since."""
        app = self._policies_of(one.judged_by).get(one.application_id)
        since = self._policies_of(max(followed, one.judged_by)).get(one.application_id)
        if app is None or app != since or app.timed:
            return None
        owner = owner_segment(now.principal.name) if now.principal is not None else ""
        return permissions_by_grants(app, TENANT, one.application_id, one.judged_grants, owner)

    def _restore_anonymous(self, followed: int) -> None:
        """Steps 5 and 6 for connections without a good certificate, which have only the public paths."""
        with self._services.work.read() as stores:
            newest = self._snapshots.current(stores)[0].revision
        lost = []
        for one in self._adopted():
            before, now = (
                PermissionsCache(self._policies_of(revision), self._services.clock.now()).of(one)
                for revision in (max(followed, one.judged_by), newest)
            )
            if before is None or now is None or loses_permissions(before, now):
                lost.append(one)
            else:
                self._connections.replace(replace(one, permissions=now, adopted=False))
        self._ender.end(lost, EndReason.AUTHORITY_WITHDRAWN)

    def _policies_of(self, revision: int) -> Mapping[str, AppPolicy]:
        """Return the policies of a revision by application id; empty if they cannot be read."""
        known = self._policies.get(revision)
        if known is None:
            known = self._read_policies(revision) if len(self._policies) < MOST_REVISIONS else {}
            self._policies[revision] = known
        return known

    def _read_policies(self, revision: int) -> Mapping[str, AppPolicy]:
        with self._services.work.read() as stores:
            newest, _ = self._snapshots.current(stores)
            if revision == newest.revision:
                return newest.policies
            try:
                document = document_of(stores, revision)
            except IntegrityError:  # an earlier version of the language
                return {}
        return replace(newest, document=document, revision=revision).policies if document is not None else {}


class _ChangesSince:
    """The changes after one, as far as they are about the holders of some connections."""

    def __init__(self, services: Services, last: ChangeRecord, connections: Sequence[LiveConnection]) -> None:
        self._services = services
        self._seq = last.seq
        self._holders = {one.certificate_id for one in connections} | {
            one.principal_id for one in connections
        }
        self._concerned: set[str] = set()
        self._groups: set[str] = set()

    def read(self) -> None:
        """Read the changes up to now."""
        with self._services.work.read() as stores:
            while some := stores.changes.since(self._seq, _BATCH):
                self._concerned |= {one.subject for one in some} & self._holders
                self._groups |= {one.subject for one in some if one.kind is ChangeKind.GROUP}
                self._seq = some[-1].seq

    def is_unnamed(self, one: LiveConnection) -> bool:
        """Return False for a connection with a certificate or principal that a change names, True for any other one."""
        return self._concerned.isdisjoint((one.certificate_id, one.principal_id))

    def concern(self, one: LiveConnection, now: AccessDecision) -> bool:
        """Return whether facts about the holder of a connection may have changed."""
        groups = now.principal.groups if now.principal is not None else ()
        return (
            bool(now.partner_id)
            or not self.is_unnamed(one)
            or any(group_id(group) in self._groups for group in groups)
        )
