"""What live connections may do by one policy, computed once for all subjects that its rules cannot tell apart.

Not here: the judgement itself (`policy.decision`), and what follows from it (follower, publishing).
Fifty thousand people hold connections, but there are only a few hundred combinations of groups. Subjects that the
rules cannot tell apart have the same permissions (`policy.equivalence`). So a new policy is compared with all
connections in a fraction of a second, and connections that lose a permission are cut in time.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace
from datetime import datetime

from doorward.core.entities import TENANT
from doorward.enforcement.transition import HeldConnection
from doorward.gateway.connections.connection import LiveConnection
from doorward.policy.decision import ConnectionPermissions, anonymous_permissions, permissions_of
from doorward.policy.equivalence import SubjectEquivalence
from doorward.policy.model import AppPolicy


class PermissionsCache:
    """The permissions that one document gives; for one thread, while that document is looked at.

    Args:
        policies: application id to its policy (`PolicySnapshot.policies`).
        now: the moment as of which it is judged, aware, UTC.
    """

    def __init__(self, policies: Mapping[str, AppPolicy], now: datetime) -> None:
        self._now = now
        self._apps = policies
        self._equivalence = {one: SubjectEquivalence(app) for one, app in self._apps.items()}
        # Without a rule that looks at the time, the time of the first judgement does no harm, and a copy costs much.
        self._timed = {one for one, app in self._apps.items() if app.timed}
        self._known: dict[Hashable, ConnectionPermissions] = {}

    def of(self, one: LiveConnection) -> ConnectionPermissions | None:
        """Return what a connection may do; None if its application is gone, or if the connection was adopted."""
        app, subject = self._apps.get(one.application_id), one.subject
        if one.anonymous:
            return anonymous_permissions(app) if app is not None and app.admits_anonymous else None
        if app is None or subject is None:
            return None
        if one.application_id in self._timed:
            subject = replace(subject, time=self._now)
        key = one.application_id, self._equivalence[one.application_id].key(subject)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = permissions_of(app, TENANT, one.application_id, subject)
        return known


def held_connection(one: LiveConnection, permissions: ConnectionPermissions | None) -> HeldConnection:
    """Return a live connection as a transition sees it; `permissions` are by the policy to come, None for nothing."""
    return HeldConnection(
        key=one.cookie,
        application_id=one.application_id,
        revision=one.revision,
        grants=frozenset(one.grants),
        deserved=frozenset(permissions.grants) if permissions is not None else frozenset(),
        decision=one.decision,
    )
