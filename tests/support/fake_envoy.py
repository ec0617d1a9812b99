"""An Envoy that only speaks the discovery protocol: for tests of publishing, without a process.

envoy = FakeEnvoy()
envoy.connect(publishing.open_stream())
envoy.refuse[ROUTES, "app_pay"] = "an odd thing"    # in Envoy's words; taken out again, it accepts
envoy.judge = lambda key, body: "why"               # the same by content; an empty string accepts
envoy.is_silent = True                              # answers nothing from now on
envoy.connect(publishing.open_stream())             # once more: it tells what it has
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from doorward.gateway.publishing.discovery.cache import EnvoyStream
from doorward.gateway.publishing.discovery.messages import (
    EXTENSION,
    LISTENER,
    ROUTES,
    SECRET,
    TYPES,
    DiscoveryRequest,
)
from doorward.gateway.publishing.discovery.subscriptions import Key
from tests.support.discovery import message_of, read_response, shown

_BY_NAME = (SECRET, EXTENSION, ROUTES)


class FakeEnvoy:
    """What an Envoy has in force, by its answers; a thread of its own for each connection."""

    def __init__(self) -> None:
        self.refuse: dict[Key, str] = {}
        self.judge: Callable[[Key, bytes], str] = lambda *_: ""
        self.is_silent = False
        self.warming = 0
        self.before: Callable[[Key], None] = lambda _: None
        """Called with each resource before it is answered."""
        self.received: list[Key] = []
        """Every resource that was sent, refused ones included, in this order; removals too."""
        self._accepted: dict[Key, bytes] = {}
        self._versions: dict[Key, str] = {}
        self._subscribed: set[Key] = set()
        self._lock = threading.Condition()
        self._stream: EnvoyStream | None = None  # what comes by an older one is lost

    def connect(self, stream: EnvoyStream) -> None:
        """Subscribe to clusters and listeners, tell of what is in force, and answer whatever comes."""
        self._stream = stream
        threading.Thread(target=self._run, args=(stream,), name="fake-envoy", daemon=True).start()

    def await_received(self, key: Key) -> None:
        """Return once a resource was received."""
        with self._lock:
            assert self._lock.wait_for(lambda: key in self.received, 30.0), key

    def statistics(self, pattern: str = "") -> Mapping[str, int]:
        """How many listeners warm; nothing else is told."""
        del pattern
        return {"listener_manager.total_listeners_warming": self.warming}

    def names(self, kind: str) -> set[str]:
        """The names of what is in force of one type."""
        with self._lock:
            return {name for type_url, name in self._accepted if type_url == kind}

    def resource(self, kind: str, name: str) -> dict[str, Any]:
        """A resource in force, as protobuf's own JSON."""
        with self._lock:
            return shown(message_of(kind, self._accepted[kind, name]))

    def in_force(self) -> dict[Key, bytes]:
        """Everything in force."""
        with self._lock:
            return dict(self._accepted)

    def chains(self) -> set[str]:
        """The names of the chains of the listener in force."""
        return chains_of(self.in_force()[LISTENER, "door"])

    def _run(self, stream: EnvoyStream) -> None:
        for kind in TYPES:
            with self._lock:
                asked = tuple(sorted(name for type_url, name in self._subscribed if type_url == kind))
                had = {name: one for (type_url, name), one in self._versions.items() if type_url == kind}
            if asked or kind not in _BY_NAME:
                stream.receive(DiscoveryRequest(type_url=kind, subscribe=asked, versions=had))
        while (data := stream.next_response()) is not None:
            response = read_response(data)
            for one in response.resources:
                self._take(stream, response, one)
            if not response.resources and not response.removed_resources:
                stream.receive(DiscoveryRequest(type_url=response.type_url, nonce=response.nonce))
            for name in response.removed_resources:
                with self._lock:
                    self.received.append((response.type_url, name))
                    self._drop((response.type_url, name))
                stream.receive(DiscoveryRequest(type_url=response.type_url, nonce=response.nonce))

    def _take(self, stream: EnvoyStream, response: Any, one: Any) -> None:
        key = response.type_url, one.name
        self.before(key)
        with self._lock:
            self.received.append(key)
            self._lock.notify_all()
            if self.is_silent or stream is not self._stream:
                return
            words = self.refuse.get(key) or self.judge(key, one.resource.value) or None
            if words is None:
                self._accepted[key], self._versions[key] = one.resource.value, one.version
        if words is None and key[0] == LISTENER:
            self._subscribe(stream, one.resource.value)
        stream.receive(DiscoveryRequest(type_url=key[0], nonce=response.nonce, refusal=words))

    def _subscribe(self, stream: EnvoyStream, listener: bytes) -> None:
        wanted = set(named_in(shown(message_of(LISTENER, listener))))
        for kind in _BY_NAME:
            new = {key for key in wanted - self._subscribed if key[0] == kind}
            gone = {key for key in self._subscribed - wanted if key[0] == kind}
            if new or gone:
                stream.receive(
                    DiscoveryRequest(
                        type_url=kind,
                        subscribe=tuple(sorted(name for _, name in new)),
                        unsubscribe=tuple(sorted(name for _, name in gone)),
                    )
                )
            with self._lock:
                for key in gone:
                    self._drop(key)
        with self._lock:
            self._subscribed = wanted

    def _drop(self, key: Key) -> None:
        self._accepted.pop(key, None)
        self._versions.pop(key, None)


def chains_of(listener: bytes) -> set[str]:
    """The names of the chains of a listener."""
    return {one["name"] for one in shown(message_of(LISTENER, listener)).get("filterChains", ())}


def named_in(value: Any) -> Iterator[Key]:
    """The resources that a message names, which is shown as a dictionary."""
    if isinstance(value, list):
        for one in value:
            yield from named_in(one)
    elif isinstance(value, dict):
        if "sdsConfig" in value:
            yield SECRET, value["name"]
        if "configDiscovery" in value:
            yield EXTENSION, value["name"]
        if "routeConfigName" in value:
            yield ROUTES, value["routeConfigName"]
        for one in value.values():
            yield from named_in(one)
