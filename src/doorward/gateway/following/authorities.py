"""What live connections may do by one policy, worked out once for all who are alike to its rules.

Not here: the judgement itself (`policy.decision`), and what follows from it (follower, publishing).
Fifty thousand people hold connections, and their groups are a few hundred: whoever is not named by a
rule has the authority of everybody of the same kind, state and groups. So a new policy is compared
with all of them in a fraction of a second, and whoever loses is cut in time.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from doorward.core.entities import TENANT, Principal
from doorward.enforcement.transition import HeldConnection
from doorward.gateway.connections.registry import LiveConnection
from doorward.policy.decision import ConnectionAuthority, anonymous_authority, authority_of
from doorward.policy.model import AppPolicy, Document, authority_name


class Authorities:
    """What one document gives; for one thread, and for as long as that document is looked at.

    Args:
        document: the policy.
        ids: application name to id.
    """

    def __init__(self, document: Document, ids: Mapping[str, str]) -> None:
        self._apps = {ids[app.name]: app for app in document.apps if app.name in ids}
        self._named = {one: _named_by(app) for one, app in self._apps.items()}
        self._known: dict[Hashable, ConnectionAuthority] = {}

    def of(self, one: LiveConnection) -> ConnectionAuthority | None:
        """Return what a connection may do; None where its application is gone, or for an adopted one."""
        app, who = self._apps.get(one.application_id), one.principal
        if one.anonymous:
            return anonymous_authority(app) if app is not None and app.admits_anonymous else None
        if app is None or who is None:
            return None
        key = self._key(one.application_id, who)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = authority_of(app, TENANT, one.application_id, who)
        return known

    def _key(self, application_id: str, who: Principal) -> Hashable:
        """Return what a selector can see of a principal, and what decides its standing: all but id and title."""
        name = who.name if who.name in self._named[application_id] else ""
        return application_id, who.tenant, who.kind, who.state, who.groups, authority_name(who), name


def _named_by(app: AppPolicy) -> frozenset[str]:
    return frozenset(name for rule in app.rules for _, names in rule.selector.named for name in names)


def held_connection(one: LiveConnection, authority: ConnectionAuthority | None) -> HeldConnection:
    """Return a live connection as a transition sees it; `authority` is by the policy to come, None for nothing."""
    return HeldConnection(
        key=one.cookie,
        application_id=one.application_id,
        revision=one.revision,
        grants=frozenset(one.grants),
        deserved=frozenset(authority.grants) if authority is not None else frozenset(),
        decision=one.decision,
    )
