"""The applications that lose their connections by a change of the document, found by compiling both documents.

Envoy drains the connections of a filter chain that changes. Most of a document is not in the chains (docs/design/0048):
rules, hosts and upstream addresses are elsewhere. So both documents are compiled, and their chains are compared. A chain
depends on its own application only, so applications that are equal in both documents are left out: comparing a document of
a thousand applications after one edit costs as much as compiling one application.
Not here: connections that end because their holder loses permissions (the gateway's follower).
"""

from __future__ import annotations

from dataclasses import replace

from doorward.core.entities import TENANT
from doorward.core.names import OWN_AUTHORITY
from doorward.enforcement.envoy.assembly import compiler_of
from doorward.enforcement.plan import GatewayPaths, ServerCertificate, SessionPlan, SocketAddress, build_plan
from doorward.enforcement.trust import DoorTrust
from doorward.policy.model import Document

_PLACES = GatewayPaths(authorizer_socket="/a", discovery_socket="/d", log_file="/l")
_SESSIONS = SessionPlan(issuer="https://x/portal", jwks=(), portal_origin="https://x", sessions_socket="/s")
_LISTEN = (SocketAddress(host="127.0.0.1", port=443),)


def drained_applications(before: Document, after: Document) -> tuple[str, ...]:
    """Return the names of applications in both documents that have connections which Envoy drains, sorted.

    Not checked: changed authorities of a partner; they do not change with the document.
    """
    former = {app.name: app for app in before.apps}
    changed = sorted(app.name for app in after.apps if app.name in former and app != former[app.name])
    ids = {name: f"app_{at}" for at, name in enumerate(changed)}
    old, new = (_chains(one, ids) for one in (before, after))
    return tuple(name for name in changed if old.get(ids[name]) != new.get(ids[name]))


def closed_applications(before: Document, after: Document) -> tuple[str, ...]:
    """Return the names of removed applications, sorted; their connections end at once."""
    return tuple(sorted({app.name for app in before.apps} - {app.name for app in after.apps}))


def _chains(document: Document, ids: dict[str, str]) -> dict[str, object]:
    apps = tuple(app for app in document.apps if app.name in ids)
    plan = build_plan(
        replace(document, apps=apps),
        tenant=TENANT,
        application_ids=ids,
        certificates={
            app.name: ServerCertificate(name=ids[app.name], chain_path="/c", key_path="/k", hosts=app.hosts)
            for app in apps
        },
        partners={app.name: DoorTrust(authorities=("",)) for app in apps if app.trust != (OWN_AUTHORITY,)},
        listen=_LISTEN,
        trust=("",),
        paths=_PLACES,
        sessions=_SESSIONS,
    )
    return {door.id: compiler_of(plan, door).chain() for door in plan.every_door}
