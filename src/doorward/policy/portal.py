"""The portal as an application: a policy of its own that no document writes.

It lets in the certificates that any application accepts by their authority: people see there what is theirs, and
check their factors. A connection that is not judged good lives on for a page.

Not here: what the portal answers (web), and that no application of a document takes its place (`access.policies`).
"""

from __future__ import annotations

from doorward.core.entities import PrincipalKind
from doorward.core.names import OWN_AUTHORITY, PORTAL_AUDIENCE, portal_host
from doorward.policy.model import AppPolicy, Document, Effect, OnRefusal, Rule, UnixUpstream
from doorward.policy.selectors.table import select

_EVERYBODY = select({"kind": frozenset(kind.value for kind in PrincipalKind)})


def build_portal_policy(document: Document) -> AppPolicy:
    """Return the policy of the portal of a document's trust domain; the settings may name another host.

    It trusts our own authority, and each partner that an application trusts.
    """
    trust = {OWN_AUTHORITY}.union(*(app.trust for app in document.apps))
    return AppPolicy(
        name=PORTAL_AUDIENCE,
        hosts=(portal_host(document.trust_domain),),
        upstream=UnixUpstream(path="/"),  # the gateway knows where it is
        on_refusal=OnRefusal.PAGE,
        trust=tuple(sorted(trust)),
        rules=(Rule(name="everybody", effect=Effect.ALLOW, selector=_EVERYBODY),),
    )
