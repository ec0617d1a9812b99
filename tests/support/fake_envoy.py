"""An Envoy that only speaks the discovery protocol: for tests of publishing, without a process.

envoy = FakeEnvoy()
envoy.connect(publishing.open_stream())
envoy.refuse[ROUTES, "app_pay"] = "an odd thing"    # in Envoy's words; taken out again, it accepts
envoy.is_silent = True                              # answers nothing from now on
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Any

from doorward.gateway.publishing.discovery.cache import EnvoyStream
from doorward.gateway.publishing.discovery.messages import (
    CLUSTER,
    EXTENSION,
    LISTENER,
    ROUTES,
    SECRET,
    DiscoveryRequest,
)
from doorward.gateway.publishing.discovery.subscriptions import Key
from tests.support.discovery import message_of, read_response, shown

_BY_NAME = (SECRET, EXTENSION, ROUTES)


class FakeEnvoy:
    """What an Envoy has in force, by its answers; a thread of its own for each connection."""

    def __init__(self) -> None:
        self.refuse: dict[Key, str] = {}
        self.is_silent = False
        self.received: list[Key] = []
        """Every resource that was sent, refused ones included, in this order; removals too."""
        self._accepted: dict[Key, bytes] = {}
        self._subscribed: set[Key] = set()
        self._lock = threading.Lock()

    def connect(self, stream: EnvoyStream) -> None:
        """Subscribe to clusters and listeners, and answer whatever comes."""
        threading.Thread(target=self._run, args=(stream,), name="fake-envoy", daemon=True).start()

    def statistics(self, pattern: str = "") -> Mapping[str, int]:
        """Nothing warms."""
        del pattern
        return {}

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
        return {one["name"] for one in self.resource(LISTENER, "door")["filterChains"]}

    def _run(self, stream: EnvoyStream) -> None:
        for kind in (CLUSTER, LISTENER):
            stream.receive(DiscoveryRequest(type_url=kind))
        while (data := stream.next_response()) is not None:
            response = read_response(data)
            for one in response.resources:
                self._take(stream, response, one)
            for name in response.removed_resources:
                with self._lock:
                    self.received.append((response.type_url, name))
                    self._accepted.pop((response.type_url, name), None)
                stream.receive(DiscoveryRequest(type_url=response.type_url, nonce=response.nonce))

    def _take(self, stream: EnvoyStream, response: Any, one: Any) -> None:
        key = response.type_url, one.name
        with self._lock:
            self.received.append(key)
            if self.is_silent:
                return
            words = self.refuse.get(key)
            if words is None:
                self._accepted[key] = one.resource.value
        if words is None and key[0] == LISTENER:
            self._subscribe(stream, one.resource.value)
        stream.receive(DiscoveryRequest(type_url=key[0], nonce=response.nonce, refusal=words))

    def _subscribe(self, stream: EnvoyStream, listener: bytes) -> None:
        wanted = set(_named_in(shown(message_of(LISTENER, listener))))
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
                    self._accepted.pop(key, None)
        self._subscribed = wanted


def _named_in(value: Any) -> Iterator[Key]:
    if isinstance(value, list):
        for one in value:
            yield from _named_in(one)
    elif isinstance(value, dict):
        if "sdsConfig" in value:
            yield SECRET, value["name"]
        if "configDiscovery" in value:
            yield EXTENSION, value["name"]
        if "routeConfigName" in value:
            yield ROUTES, value["routeConfigName"]
        for one in value.values():
            yield from _named_in(one)
