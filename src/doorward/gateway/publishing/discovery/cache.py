"""What Envoy shall have in force, and waiting until it answers; the streams send what differs.

Not here: the order of a publication (publication), and the protocol (subscriptions, server). The cache belongs to one run of
Envoy, which has one stream at a time: if it connects again, the newest stream counts.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping

from doorward.core.ports import Clock
from doorward.gateway.publishing.discovery.api import EnvoyApi
from doorward.gateway.publishing.discovery.messages import DiscoveryRequest, PackedResource
from doorward.gateway.publishing.discovery.subscriptions import Key, Response, Subscriptions

POLL_SECONDS = 0.5
"""How often a wait looks at the clock; an answer wakes it at once."""


class ResourceCache:
    """The resources of one run of Envoy; every method may be called from any thread."""

    def __init__(self, api: EnvoyApi, clock: Clock) -> None:
        self.api = api
        self._clock = clock
        self._changed = threading.Condition()
        self._wanted: dict[Key, PackedResource] = {}
        self._stream: EnvoyStream | None = None
        self._is_over = False

    def put(self, resources: Iterable[PackedResource]) -> list[Key]:
        """Set resources; return the keys that have another version now."""
        with self._changed:
            changed = []
            for one in resources:
                key = one.type_url, one.name
                former = self._wanted.get(key)
                if former is None or former.version != one.version:
                    self._wanted[key] = one
                    changed.append(key)
            self._tell(changed)
            return changed

    def remove(self, keys: Iterable[Key]) -> list[Key]:
        """Take resources out; return the keys that were there."""
        with self._changed:
            gone = [key for key in keys if self._wanted.pop(key, None) is not None]
            self._tell(gone)
            return gone

    def resources(self) -> Mapping[Key, PackedResource]:
        """Return everything that Envoy shall have."""
        with self._changed:
            return dict(self._wanted)

    def asked(self, keys: Iterable[Key]) -> set[Key]:
        """Return the keys that the present stream asks for; without a stream none."""
        with self._changed:
            if self._stream is None:
                return set()
            return {key for key in keys if self._stream.state.asks_for(key)}

    def acknowledged(self) -> Mapping[Key, str]:
        """Return the versions that Envoy has in force, as far as the present stream knows."""
        with self._changed:
            return {} if self._stream is None else dict(self._stream.state.acknowledged)

    def await_answers(self, keys: Collection[Key], seconds: float) -> dict[Key, str] | None:
        """Wait until Envoy answered for the wanted versions of all these resources.

        Returns:
            Envoy's words for each one that it refused; None if the time is over, if this Envoy has ended, or if it has no
            stream for `POLL_SECONDS`.
        """
        limit = self._clock.monotonic() + seconds
        open_keys = list(keys)
        with self._changed:
            while True:
                stream = self._stream
                if stream is not None and self._are_settled(stream.state, open_keys, keys):
                    return _refusals(stream.state, keys, self._wanted)
                left = limit - self._clock.monotonic()
                if left <= 0 or self._is_over:
                    return None
                if not self._changed.wait(min(left, POLL_SECONDS)) and stream is None:
                    return None

    @property
    def has_ended(self) -> bool:
        """Whether the Envoy of this cache has ended, as far as the cache was told."""
        with self._changed:
            return self._is_over

    @property
    def is_connected(self) -> bool:
        """Whether there is a stream now."""
        with self._changed:
            return self._stream is not None

    def end(self) -> None:
        """Note that the Envoy of this cache has ended: nothing waits for its answers any more."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def open_stream(self) -> EnvoyStream:
        """Return the stream for an Envoy that connected; an older stream ends."""
        with self._changed:
            self._stream = EnvoyStream(self)
            self._changed.notify_all()
            return self._stream

    def receive(self, stream: EnvoyStream, request: DiscoveryRequest) -> None:
        """Take a message of one stream; raises as `Subscriptions.receive`."""
        with self._changed:
            stream.state.receive(request, self._wanted)
            self._changed.notify_all()

    def next_response(self, stream: EnvoyStream) -> Response | None:
        """Wait for what is sent next; None once the stream is over."""
        with self._changed:
            while self._stream is stream:
                found = stream.state.next_response(self._wanted)
                if found is not None:
                    return found
                self._changed.wait()
            return None

    def close(self, stream: EnvoyStream) -> None:
        """Note that a stream is over."""
        with self._changed:
            if self._stream is stream:
                self._stream = None
            self._changed.notify_all()

    def _are_settled(self, state: Subscriptions, open_keys: list[Key], keys: Collection[Key]) -> bool:
        """Return whether all keys are settled; takes those that are out of `open_keys`, so that a thousand answers stay cheap."""
        while open_keys and state.is_settled(open_keys[-1], self._wanted):
            open_keys.pop()
        if not open_keys:  # what was settled may be open again, after a reconnection
            open_keys.extend(key for key in keys if not state.is_settled(key, self._wanted))
        return not open_keys

    def _tell(self, keys: Collection[Key]) -> None:
        if keys and self._stream is not None:
            self._stream.state.note_changed(keys)
            self._changed.notify_all()


class EnvoyStream:
    """One connection of an Envoy to a cache, as the server calls it; `state` belongs to the cache's lock."""

    def __init__(self, cache: ResourceCache) -> None:
        self.state = Subscriptions()
        self._cache = cache

    def receive(self, request: DiscoveryRequest) -> None:
        """Take what Envoy sent.

        Raises:
            MalformedInput: it asks for too much.
        """
        self._cache.receive(self, request)

    def next_response(self) -> bytes | None:
        """Wait for the next response; None once the stream is over."""
        found = self._cache.next_response(self)
        if found is None:
            return None
        kind, name = found.key
        removed = () if found.resource is not None or not name else (name,)
        return self._cache.api.render_response(
            type_url=kind, nonce=found.nonce, resource=found.resource, removed=removed
        )

    def close(self) -> None:
        """Note that the connection is over."""
        self._cache.close(self)


def _refusals(
    state: Subscriptions, keys: Iterable[Key], wanted: Mapping[Key, PackedResource]
) -> dict[Key, str]:
    found = {}
    for key in keys:
        refused, resource = state.refused.get(key), wanted.get(key)
        if refused is not None and resource is not None and refused.version == resource.version:
            found[key] = refused.words
    return found
