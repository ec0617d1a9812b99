"""The policy of the portal, which is an application that no document contains.

The portal accepts certificates of every authority that an application trusts. People see their own data there, and check
their factors. A connection without a good certificate stays open and gets a page.

Not here: what the portal answers (web), and refusing an application with its name (`access.policies`).
"""

from __future__ import annotations

from doorward.core.entities import PrincipalKind
from doorward.core.names import OWN_AUTHORITY, PORTAL_AUDIENCE, portal_host
from doorward.policy.model import AppPolicy, Document, Effect, OnRefusal, Rule, UnixUpstream
from doorward.policy.selectors.table import select

_EVERYBODY = select({"kind": frozenset(kind.value for kind in PrincipalKind)})


def build_portal_policy(document: Document) -> AppPolicy:
    """Return the policy of the portal in a document's trust domain; the settings may name another host.

    The portal trusts our own authority, and each partner that an application trusts.
    """
    trust = {OWN_AUTHORITY}.union(*(app.trust for app in document.apps))
    return AppPolicy(
        name=PORTAL_AUDIENCE,
        hosts=(portal_host(document.trust_domain),),
        upstream=UnixUpstream(path="/"),  # not used: the gateway knows the socket of the portal
        on_refusal=OnRefusal.PAGE,
        trust=tuple(sorted(trust)),
        rules=(Rule(name="everybody", effect=Effect.ALLOW, selector=_EVERYBODY),),
    )
