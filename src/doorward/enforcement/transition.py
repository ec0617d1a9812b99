"""From one policy to the next while connections live: who may stay, and which ids stand in for new ones.

Not here: cutting, and comparing what two policies allow (policy.decision.loses_permissions).

What a connection may do is decided by the ids in its filter state, which nobody can change. An
edited rule gets a new id, which no live connection holds. So each connection also carries a *class
token* among its grants: the hash of tenant, application, policy revision and its sorted ids. All
live connections of one class hold the same evidence; where every one of them deserves a new id, the
new configuration accepts the class token in place of that id: an *alias*.

A connection can also gain an id alone, because its principal joined a group. Then its class does not
deserve it, and the *decision* that admitted it stands in: its id is in filter state too, belongs to this
one connection, and is never given again.

Why this is sound:
- a new connection never holds an old token: the revision is hashed, and aliases are made only for
  classes of older revisions than the one being published;
- an alias speaks for the whole class, so one member that does not deserve the id prevents it;
- aliases are computed anew at each publication, from the connections that live then;
- whoever holds an id of the new policy without deserving it is *overreaching* and must be gone
  before that policy is published, even if it lost nothing: the next edit of that rule would give it
  what it never had.

The order of a transition, which the caller keeps:
0. from here on admit no connection that was judged under an older revision: it could join a class
   after its members were counted;
1. end whoever lost authority (`loses_permissions`) or is overreaching, and see that they are gone;
2. `aliases_for` every connection that Envoy may still carry, those that resist their end included;
3. publish the plan with these aliases;
4. end those of the `lacking` ones next that cannot show an id which is new with this policy: what they
   could do by an older id they could do no longer. The others only lack what they gained, and go on
   without it. `carried` ones live as long as they like: each publication proves their aliases again.
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
"""Class tokens that one id accepts; each is one more substring search per request on that rule."""

DECISION_PREFIX = "evt_"
"""What the id of a decision begins with; ids of rules and class tokens have no underscore."""

MAX_OWN_ALIASES = 64
"""Single connections that one id accepts, beside classes; the cost of each is the same."""

NO_ALIASES: Mapping[str, frozenset[str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldConnection:
    """A live connection as a transition sees it.

    Args:
        key: whatever the caller knows it by.
        application_id: the application that it was admitted to.
        revision: the policy revision under which it was judged.
        grants: the ids that it was given then, without the class token.
        deserved: the ids that it would be given now: `ConnectionPermissions.grants` of the policy to
            come; empty where it deserves nothing, or where that is not known.
        decision: the id of the decision that admitted it; empty if that is not known.
    """

    key: int
    application_id: str
    revision: int
    grants: frozenset[str]
    deserved: frozenset[str]
    decision: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifiedConnections:
    """Which connections stand how towards a policy and its aliases; the three sets are disjoint.

    Args:
        overreaching: hold an id of the policy that they do not deserve: they must be gone before it
            is published.
        carried: deserve exactly what they can show, some of it only by alias.
        lacking: what each connection deserves and cannot show: refused there until it connects again.
    """

    overreaching: frozenset[int]
    carried: frozenset[int]
    lacking: Mapping[int, frozenset[str]]


def class_token(tenant: str, application_id: str, revision: int, grants: Iterable[str]) -> str:
    """Return the token that all connections of one class carry as one more id in their grants.

    Args:
        tenant: the tenant's id.
        application_id: the application's id.
        revision: the policy revision judged under; never reused.
        grants: the ids given, without any token.

    Returns:
        `t` and 20 characters of `[a-z2-7]`: no rule's id begins with `t`.
    """
    parts = json.dumps([tenant, application_id, revision, sorted(set(grants))], separators=(",", ":"))
    digest = hashlib.sha256(parts.encode()).digest()
    return "t" + base64.b32encode(digest).decode("ascii").lower()[: ID_LENGTH - 1]


@lru_cache(maxsize=4096)
def _token_of(tenant: str, application_id: str, revision: int, grants: frozenset[str]) -> str:
    """The same, remembered: ten thousand connections are of a few classes."""
    return class_token(tenant, application_id, revision, grants)


def rule_ids(app: AppPolicy, tenant: str, application_id: str) -> frozenset[str]:
    """Return every id that the rules of an application ask for."""
    return frozenset(grant_id(tenant, application_id, rule.effect, rule.selector) for rule in app.rules)


def aliases_for(
    live: Iterable[HeldConnection], *, tenant: str, revision: int
) -> Mapping[str, frozenset[str]]:
    """Return, for each id of the policy to come, the class tokens that count as holding it.

    Args:
        live: every connection that Envoy may still carry, judged against the policy to come.
        tenant: the tenant's id.
        revision: the revision to be published.

    Returns:
        At most `MAX_ALIASES` tokens for each id, those of the largest classes, and at most
        `MAX_OWN_ALIASES` decisions of connections that deserve it and are of no such class.
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
            continue  # a class that new connections may still join
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
    """Compare what each connection can show with what it deserves.

    Args:
        live: the connections, judged against one policy.
        tenant: the tenant's id.
        ids: application id to `rule_ids` of that policy; an application that is not in it is gone.
        aliases: those that are, or will be, in force with that policy.
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
