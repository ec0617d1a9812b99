"""One Envoy's side of the stream: what it asked for, what it was sent, and what it answered; pure.

Delta xDS, with one resource in each response. Envoy takes or refuses the resources of one response together for some types,
and never asks again for a good one beside a bad one; alone, each is answered for itself (measured).

1. Envoy asks for clusters and listeners without names (wildcard), for other types by names, once a listener has them. If
   there is none of a wildcard type, Envoy is told so by an empty response; otherwise it would wait at its start.
2. A resource is sent if Envoy asks for it and has another version. Types are sent in the order of `TYPES`, which is the order
   in which Envoy needs them; clusters that are gone are removed last.
3. Each response has a nonce, and Envoy's answer names it: acknowledged, or refused with its words. A refused version is not
   sent again: a loop would fill the logs of both. A name that Envoy asks for again is sent again, and what Envoy said of
   it before does not count any more.
4. After a reconnection Envoy lists the versions that it has: nothing is sent twice.

Names that are gone are not removed, except clusters: Envoy itself gives up a secret or table when no listener names it any
more. Until then the connections of a chain that drains may need it.
Standard: Envoy's xDS protocol, "Incremental xDS", "ACK/NACK and resource type instance version".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from doorward.core.errors import MalformedInput
from doorward.gateway.publishing.discovery.messages import (
    CLUSTER,
    LISTENER,
    TYPES,
    DiscoveryRequest,
    PackedResource,
)

Key = tuple[str, str]
"""Type URL and name of a resource."""

MOST_NAMES = 100_000
"""Names that one Envoy may ask for: three for each of 30,000 applications."""

_WILDCARD = frozenset({CLUSTER, LISTENER})


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A version that Envoy refused, and its words."""

    version: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What is sent next: a resource, or the name of a removed cluster; an empty name says that the type has no resource."""

    nonce: str
    key: Key
    resource: PackedResource | None


class Subscriptions:
    """The state of one stream; not thread-safe.

    `acknowledged` and `refused` have the versions that Envoy answered for; a key may be in both, with two versions.
    """

    def __init__(self) -> None:
        self.acknowledged: dict[Key, str] = {}
        self.refused: dict[Key, Refused] = {}
        self._asked: dict[str, set[str]] = {one: set() for one in TYPES}
        self._seen: set[str] = set()
        self._sent: dict[Key, str] = {}
        self._unanswered: dict[str, tuple[Key, str]] = {}  # an empty version is a removal
        self._open: Counter[Key] = Counter()  # how many of these responses each key has
        self._pending: dict[str, dict[str, None]] = {one: {} for one in TYPES}
        self._leaving: dict[str, None] = {}  # names of clusters
        self._empty: set[str] = set()  # wildcard types
        self._count = 0

    def asks_for(self, key: Key) -> bool:
        """Return whether Envoy wants this resource."""
        kind, name = key
        return name in self._asked[kind] or (kind in _WILDCARD and kind in self._seen)

    def receive(self, request: DiscoveryRequest, wanted: Mapping[Key, PackedResource]) -> None:
        """Take a subscription or an answer, or both in one; `wanted` is what Envoy shall have in force.

        Raises:
            MalformedInput: `discovery-names-too-many`.
        """
        kind = request.type_url
        if kind not in self._asked:
            return  # a type that we do not have is no reason to end the stream
        self._take_answer(request)
        if kind not in self._seen:
            self._seen.add(kind)
            self._take_versions(kind, request.versions, wanted)
        for name in request.unsubscribe:
            self._forget(kind, name)
        for name in request.subscribe:
            self._asked[kind].add(name)
            if name not in request.versions:
                self._drop((kind, name))
            self._pending[kind][name] = None
        if len(self._asked[kind]) > MOST_NAMES:
            raise MalformedInput(
                "discovery-names-too-many", f"Envoy asked for more than {MOST_NAMES} names of one type"
            )

    def note_changed(self, keys: Iterable[Key]) -> None:
        """Note that resources changed or are gone."""
        for key in keys:
            if self.asks_for(key):
                self._pending[key[0]][key[1]] = None

    def next_response(self, wanted: Mapping[Key, PackedResource]) -> Response | None:
        """Return what to send now; None if Envoy was sent everything."""
        for kind in TYPES:
            if kind in self._empty:
                self._empty.remove(kind)
                return self._sending((kind, ""), None)
            pending = self._pending[kind]
            while pending:
                name = next(iter(pending))
                del pending[name]
                found = self._response((kind, name), wanted.get((kind, name)))
                if found is not None:
                    return found
        if self._leaving:
            name = next(iter(self._leaving))
            del self._leaving[name]
            key = (CLUSTER, name)
            if key not in wanted and self._sent.pop(key, None) is not None:
                return self._sending(key, None)
        return None

    def is_settled(self, key: Key, wanted: Mapping[Key, PackedResource]) -> bool:
        """Return whether Envoy answered for the wanted version of a resource; a removed one must be gone.

        While any answer for the resource is open, it is not settled: Envoy may still take a version that is not wanted any more.
        """
        if key in self._open:
            return False
        resource = wanted.get(key)
        if resource is None:
            return key not in self.acknowledged
        refused = self.refused.get(key)
        return self.acknowledged.get(key) == resource.version or (
            refused is not None and refused.version == resource.version
        )

    def _response(self, key: Key, resource: PackedResource | None) -> Response | None:
        if resource is None:
            if key[0] == CLUSTER and key in self._sent:
                self._leaving[key[1]] = None
            return None
        if self._sent.get(key) == resource.version:
            return None
        return self._sending(key, resource)

    def _sending(self, key: Key, resource: PackedResource | None) -> Response:
        self._count += 1
        nonce, version = str(self._count), "" if resource is None else resource.version
        if version:
            self._sent[key] = version
        self._unanswered[nonce] = key, version
        self._open[key] += 1
        return Response(nonce=nonce, key=key, resource=resource)

    def _take_answer(self, request: DiscoveryRequest) -> None:
        key, version = self._unanswered.pop(request.nonce, (None, ""))
        if key is None:
            return
        self._open[key] -= 1
        if not self._open[key]:
            del self._open[key]
        if not self.asks_for(key):
            return  # Envoy gave it up meanwhile
        if request.refusal is not None:
            self.refused[key] = Refused(version=version, words=request.refusal)
        elif version:
            self.acknowledged[key] = version
            self.refused.pop(key, None)
        elif key not in self._sent:
            self._drop(key)

    def _take_versions(
        self, kind: str, versions: Mapping[str, str], wanted: Mapping[Key, PackedResource]
    ) -> None:
        for name, version in versions.items():
            self._sent[kind, name] = self.acknowledged[kind, name] = version
        if kind in _WILDCARD:
            names = [name for type_url, name in wanted if type_url == kind]
            self._pending[kind].update(dict.fromkeys((*names, *versions)))
            if not names and not versions:
                self._empty.add(kind)

    def _forget(self, kind: str, name: str) -> None:
        self._asked[kind].discard(name)
        self._drop((kind, name))

    def _drop(self, key: Key) -> None:
        for known in (self._sent, self.acknowledged, self.refused):
            known.pop(key, None)
