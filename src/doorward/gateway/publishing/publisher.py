"""The publisher of one run of Envoy: prepares what it gets at its start, and publishes every change after it.

Not here: the phases of a publication (publication), when to publish (transition). A resource is in force once the running
Envoy acknowledged it. If Envoy does not answer in time, it is unknown what it enforces; the next publication goes on from there.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from doorward.enforcement.envoy.version import version_of
from doorward.gateway.envoy.statistics import EnvoyStatistics
from doorward.gateway.publishing.discovery.cache import EnvoyStream
from doorward.gateway.publishing.discovery.messages import PackedResource
from doorward.gateway.publishing.door_packing import PackedConfiguration, PackedDoor
from doorward.gateway.publishing.publication import SHARED, Publication, PublisherPorts, RefusedDoor

CONFIRM_SECONDS = 60.0
"""How long Envoy may take to answer in one phase. An edit of a rule takes 10 ms. A listener with a thousand chains takes some
seconds on an idle machine, and its main thread answers nothing else meanwhile."""

START_SECONDS = 120.0
"""The same for an Envoy that has just started; a thousand applications take about 10 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """The result of a publication.

    Args:
        version: the hash of all resources.
        changed: names of the resources that were sent or removed, sorted.
        refusals: why doors are not as configured, by the door's id; `SHARED` for what all doors share.
        closed: the ids of the doors that are closed because of these refusals.
        seconds: how long it took.
    """

    version: str
    changed: tuple[str, ...]
    refusals: Mapping[str, str]
    closed: frozenset[str]
    seconds: float


class StreamPublisher:
    """Publishes for one run of Envoy; every method may be called from any thread, and only one works at a time."""

    def __init__(self, ports: PublisherPorts) -> None:
        self._ports = ports
        self._lock = threading.Lock()
        self._chains: Mapping[str, PackedDoor] = {}
        self._refused: Mapping[str, RefusedDoor] = {}
        self._prepared: PackedConfiguration | None = None

    def open_stream(self) -> EnvoyStream:
        """Return the stream for the Envoy of this run, which has just connected."""
        return self._ports.cache.open_stream()

    def end(self) -> None:
        """Note that the Envoy of this run has ended; a publication that waits for it fails at once."""
        self._ports.cache.end()

    def prepare(self, configuration: PackedConfiguration) -> None:
        """Have every resource ready before Envoy connects.

        Envoy would wait for a resource that is missing then, and an adopted Envoy would lose it.
        """
        with self._lock:
            self._prepared = configuration
            cache, doors = self._ports.cache, list(configuration.doors.values())
            cache.put(configuration.shared.values())
            for door in doors:
                cache.put(door.own.values())
            cache.put([self._ports.packer.listener(configuration.plan, doors)])

    def await_start(self, statistics: EnvoyStatistics) -> Published:
        """Return once a new Envoy answered for the whole prepared configuration; raises as `publish`."""
        with self._lock:
            if self._prepared is None:
                raise ValueError("nothing was prepared for this Envoy")
            return self._publish(self._prepared, statistics, START_SECONDS)

    def publish(self, configuration: PackedConfiguration, statistics: EnvoyStatistics) -> Published:
        """Bring a configuration into force, as far as Envoy accepts it.

        Args:
            configuration: what Envoy shall enforce.
            statistics: of the running Envoy.

        Raises:
            ConfigurationError: Envoy refuses the listener, whatever chains it has (`envoy-refused-configuration`).
            Unavailable: Envoy did not answer in time (`publication-unconfirmed`).
        """
        with self._lock:
            return self._publish(configuration, statistics, CONFIRM_SECONDS)

    def _publish(
        self, configuration: PackedConfiguration, statistics: EnvoyStatistics, seconds: float
    ) -> Published:
        began = self._ports.clock.monotonic()
        work = Publication(
            self._ports,
            configuration,
            self._chains,
            self._refused,
            statistics=statistics,
            seconds=seconds,
        )
        try:
            work.run()
        finally:
            self._chains, self._refused = work.chains, work.refused
        refusals = {one: known.words for one, known in work.refused.items()}
        if work.shared_refusals:
            refusals[SHARED] = "; ".join(sorted(work.shared_refusals))
        return Published(
            version=_version_of(self._ports.cache.resources().values()),
            changed=tuple(sorted({name for _, name in work.changed})),
            refusals={**configuration.faults, **configuration.kept, **refusals},
            closed=work.closed(),
            seconds=self._ports.clock.monotonic() - began,
        )


def _version_of(resources: Iterable[PackedResource]) -> str:
    lines = sorted(f"{one.type_url} {one.name} {one.version}\n" for one in resources)
    return version_of("".join(lines).encode())
