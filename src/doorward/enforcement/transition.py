"""The transition from one policy to the next while connections live: which ones may stay, and by which aliases.

The ids in the filter state of a connection decide what it may do, and they never change. An edited rule gets a new
id, which no live connection has. So each connection also has a *class token* among its grants: the hash of tenant,
application, policy revision and its sorted ids. All live connections of one class have the same ids. If every one of them
deserves a new id, the new configuration accepts the class token instead of that id: an *alias*.

A single connection can also gain an id, because its principal joined a group. Its class does not deserve the id. Then the
id of the *decision* that admitted the connection is the alias: it is in the filter state too, belongs to this connection
only, and is never used again.

Why this is sound:
- a new connection never has an old token: the hash contains the revision, and aliases are made only for classes of
  older revisions than the one that is published;
- an alias is valid for a whole class, so one member that does not deserve the id prevents it;
- aliases are computed again at each publication, from the connections that live then;
- a connection that has an id of the new policy without deserving it is *overreaching*. It must be gone before that
  policy is published, even if it lost nothing: the next edit of that rule would give it permissions that it never had.

The order of a transition, which the caller keeps:
0. from now on, admit no connection that was judged under an older revision: it could join a class after its members
   were counted;
1. end the connections that lost permissions (`loses_permissions`) or are overreaching, and wait until they are gone;
2. compute `aliases_for` every connection that Envoy may still have, including those that could not be ended;
3. publish the plan with these aliases;
4. end those `lacking` connections that lack an id which is new with this policy: they could no longer do what an older
   id let them do. The others only lack what they gained, and continue without it. `carried` connections may live on:
   each publication proves their aliases again.

Not here: cutting connections, and comparing what two policies allow (policy.decision.loses_permissions).
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from doorward.policy.grants import ID_LENGTH, grant_id
from doorward.policy.model import AppPolicy

MAX_ALIASES = 32
"""Class tokens that one id accepts; each costs one more substring search per request for that rule."""

DECISION_PREFIX = "evt_"
"""The prefix of decision ids; ids of rules and class tokens have no underscore."""

MAX_OWN_ALIASES = 64
"""Single connections that one id accepts, in addition to classes; each costs the same."""

NO_ALIASES: Mapping[str, frozenset[str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldConnection:
    """A live connection as a transition sees it.

    Args:
        key: the caller's key for the connection.
        application_id: the application that admitted it.
        revision: the policy revision under which it was judged.
        grants: the ids that it got then, without the class token.
        deserved: the ids that it would get now: `ConnectionPermissions.grants` by the next policy; empty if it deserves
            nothing, or if this is unknown.
        decision: the id of the decision that admitted it; empty if it is unknown.
    """

    key: int
    application_id: str
    revision: int
    grants: frozenset[str]
    deserved: frozenset[str]
    decision: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifiedConnections:
    """Connections by their relation to a policy and its aliases; the three sets are disjoint.

    Args:
        overreaching: they have an id of the policy that they do not deserve, and must be gone before it is published.
        carried: they deserve exactly the ids that they can show, some of them only by an alias.
        lacking: connections with the ids that they deserve and cannot show; they are refused there until they connect
            again.
    """

    overreaching: frozenset[int]
    carried: frozenset[int]
    lacking: Mapping[int, frozenset[str]]


def class_token(tenant: str, application_id: str, revision: int, grants: Iterable[str]) -> str:
    """Return the token that all connections of one class have as one more id in their grants.

    Args:
        tenant: the tenant's id.
        application_id: the application's id.
        revision: the policy revision under which they were judged; never used twice.
        grants: their ids, without any token.

    Returns:
        `t` and 20 characters of `[a-z2-7]`: no rule's id begins with `t`.
    """
    parts = json.dumps([tenant, application_id, revision, sorted(set(grants))], separators=(",", ":"))
    digest = hashlib.sha256(parts.encode()).digest()
    return "t" + base64.b32encode(digest).decode("ascii").lower()[: ID_LENGTH - 1]


@lru_cache(maxsize=1024)
def _token_of(tenant: str, application_id: str, revision: int, grants: frozenset[str]) -> str:
    """The same, cached: ten thousand connections belong to a few classes, and those of earlier revisions do not come again."""
    return class_token(tenant, application_id, revision, grants)


def rule_ids(app: AppPolicy, tenant: str, application_id: str) -> frozenset[str]:
    """Return the id of every rule of an application."""
    return frozenset(grant_id(tenant, application_id, rule.effect, rule.selector) for rule in app.rules)


def aliases_for(
    live: Iterable[HeldConnection], *, tenant: str, revision: int
) -> Mapping[str, frozenset[str]]:
    """Return, for each id of the next policy, the class tokens and decisions that are accepted instead of it.

    Args:
        live: every connection that Envoy may still have, judged by the next policy.
        tenant: the tenant's id.
        revision: the revision that will be published.

    Returns:
        For each id at most `MAX_ALIASES` tokens, those of the largest classes, and at most `MAX_OWN_ALIASES` decisions of
        other connections that deserve it.
    """
    every = list(live)
    classes = _class_aliases(every, tenant=tenant, revision=revision)
    own: dict[str, list[str]] = {}
    for one in sorted(every, key=lambda held: held.key):
        token = _token_of(tenant, one.application_id, one.revision, one.grants)
        for lacked in one.deserved - one.grants if one.decision else ():
            if token not in classes.get(lacked, ()):
                own.setdefault(lacked, []).append(one.decision)
    return {
        one: classes.get(one, frozenset()) | frozenset(own.get(one, [])[:MAX_OWN_ALIASES])
        for one in sorted({*classes, *own})
    }


def _class_aliases(
    live: Iterable[HeldConnection], *, tenant: str, revision: int
) -> Mapping[str, frozenset[str]]:
    members: Counter[str] = Counter()
    lacking: dict[str, frozenset[str]] = {}
    for one in live:
        if one.revision >= revision:
            continue  # new connections may still join this class
        token = _token_of(tenant, one.application_id, one.revision, one.grants)
        members[token] += 1
        deserved = one.deserved - one.grants
        lacking[token] = lacking.get(token, deserved) & deserved
    tokens: dict[str, list[str]] = {}
    for token in sorted(members, key=lambda one: (-members[one], one)):
        for lacked in lacking[token]:
            tokens.setdefault(lacked, []).append(token)
    return {one: frozenset(found[:MAX_ALIASES]) for one, found in tokens.items()}


def classify_connections(
    live: Iterable[HeldConnection],
    *,
    tenant: str,
    ids: Mapping[str, frozenset[str]],
    aliases: Mapping[str, frozenset[str]] = NO_ALIASES,
) -> ClassifiedConnections:
    """Compare the ids that each connection can show with those that it deserves.

    Args:
        live: the connections, judged by one policy.
        tenant: the tenant's id.
        ids: application id to `rule_ids` of that policy; an application without an entry was removed.
        aliases: the aliases that are, or will be, in force with that policy.
    """
    overreaching, carried = set(), set()
    lacking: dict[int, frozenset[str]] = {}
    for one in live:
        if one.application_id not in ids:
            overreaching.add(one.key)
            continue
        token = _token_of(tenant, one.application_id, one.revision, one.grants)
        asked = ids[one.application_id]
        shown_too = {token, one.decision} - {""}
        by_alias = {rule for rule in asked if not shown_too.isdisjoint(aliases.get(rule, ()))} - one.grants
        shown = (one.grants & asked) | by_alias
        if not shown <= one.deserved:
            overreaching.add(one.key)
        elif not one.deserved <= shown:
            lacking[one.key] = one.deserved - shown
        elif by_alias:
            carried.add(one.key)
    return ClassifiedConnections(
        overreaching=frozenset(overreaching),
        carried=frozenset(carried),
        lacking=lacking,
    )
