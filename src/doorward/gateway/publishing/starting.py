"""What an Envoy that starts gets: the newest revision, or, if that one makes Envoy crash, the last confirmed one that does not.

Not here: publishing to an Envoy that runs (transition, publisher), and starting the process (supervisor).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from doorward.core.errors import ConfigurationError
from doorward.enforcement.envoy.bootstrap import build_base, build_bootstrap
from doorward.enforcement.plan import GatewayPlan
from doorward.gateway.publishing.compiling import Compiled
from doorward.gateway.publishing.configuration import configuration_of, former_snapshot
from doorward.gateway.publishing.crash_history import CrashHistory
from doorward.gateway.publishing.discovery.api import EnvoyApi
from doorward.gateway.publishing.discovery.cache import ResourceCache
from doorward.gateway.publishing.door_packing import DoorPacker
from doorward.gateway.publishing.last_published import LastPublished
from doorward.gateway.publishing.publication import PublisherPorts
from doorward.gateway.publishing.publisher import StreamPublisher
from doorward.gateway.publishing.server_certificates import no_certificate
from doorward.stores.policy_snapshot import PolicySnapshot
from doorward.stores.services import Services

DEADLY = "revision-ends-envoy"

_log = structlog.get_logger("doorward.publishing")


def _nothing(_snapshot: PolicySnapshot, _seq: int) -> None:
    """Do nothing: a new Envoy has no connections that must end first."""


@dataclass(frozen=True, slots=True)
class SkippedSnapshot:
    """The newest snapshot, and why an Envoy that starts does not get it."""

    snapshot: PolicySnapshot
    why: ConfigurationError


@dataclass(frozen=True, slots=True)
class Starting:
    """What an Envoy that starts or is adopted gets; `instead_of` is set if that is not the newest snapshot."""

    compiled: Compiled
    instead_of: SkippedSnapshot | None = None
    is_adopted: bool = False


class StartConfigurations:
    """Chooses and prepares what the next Envoy gets; for one thread at a time.

    Args:
        services: the use cases' ports.
        api: Envoy's messages.
        packer: packs plans.
        crashes: the configurations that are blamed for a crash.
        last_published: the configurations that were confirmed.
        newest: reads the newest snapshot and its number.
        compiled: compiles a snapshot; None while there is no server certificate at all.
    """

    def __init__(
        self,
        services: Services,
        *,
        api: EnvoyApi,
        packer: DoorPacker,
        crashes: CrashHistory,
        last_published: LastPublished,
        newest: Callable[[], tuple[PolicySnapshot, int]],
        compiled: Callable[[PolicySnapshot, int], Compiled | None],
    ) -> None:
        self._services = services
        self._api = api
        self._packer = packer
        self._crashes = crashes
        self._last_published = last_published
        self._newest = newest
        self._compiled = compiled

    def prepare(
        self, stop: threading.Event, before: Callable[[PolicySnapshot, int], None] = _nothing
    ) -> tuple[StreamPublisher, Starting]:
        """Return a publisher for the next run of Envoy, and what it has ready; wait for the first certificate.

        Args:
            stop: ends the wait.
            before: called before a snapshot is compiled, with the snapshot and its number.

        Raises:
            Unavailable: `no-server-certificate` if none came before `stop` was set.
            ConfigurationError: the newest revision is refused, and there is none to fall back to.
        """
        newest, seq = self._newest()
        try:
            self._crashes.check(configuration_of(newest))
            return self._prepare(self._newest, stop, before)
        except ConfigurationError as error:
            why = error
        for one in self._last_published.history():
            with self._services.work.read() as stores:
                former = former_snapshot(stores, newest, one)
            if former is None:
                continue
            try:
                self._crashes.check(one)
                read = _always(former, seq)
                return self._prepare(read, stop, before, SkippedSnapshot(newest, why))
            except ConfigurationError as error:
                _log.error(
                    "an older policy revision is refused, too", revision=one.revision, detail=error.detail
                )
        if why.code != DEADLY:
            raise why
        return self._prepare(self._newest, stop, before)

    def _prepare(
        self,
        read: Callable[[], tuple[PolicySnapshot, int]],
        stop: threading.Event,
        before: Callable[[PolicySnapshot, int], None],
        instead_of: SkippedSnapshot | None = None,
    ) -> tuple[StreamPublisher, Starting]:
        has_warned = False
        while (compiled := self._compile(*read(), before)) is None:
            if not has_warned:
                _log.warning(
                    "waiting for the first server certificate", hint="check that `doorward serve` is running"
                )
                has_warned = True
            if stop.wait(0.1):
                raise no_certificate()
        packed = self._packer.pack(compiled.plan)
        self._crashes.give(configuration_of(compiled.snapshot))
        clock = self._services.clock
        publisher = StreamPublisher(
            PublisherPorts(cache=ResourceCache(self._api, clock), packer=self._packer, clock=clock)
        )
        publisher.prepare(packed)
        return publisher, Starting(compiled, instead_of)

    def _compile(
        self, snapshot: PolicySnapshot, seq: int, before: Callable[[PolicySnapshot, int], None]
    ) -> Compiled | None:
        before(snapshot, seq)
        return self._compiled(snapshot, seq)

    def last_confirmed(self) -> PolicySnapshot | None:
        """Return the snapshot that Envoy last had in force; None if that is not known."""
        newest, _ = self._newest()
        last = next(iter(self._last_published.history()), None)
        if last is None or last == configuration_of(newest):
            return None if last is None else newest
        with self._services.work.read() as stores:
            return former_snapshot(stores, newest, last)


def render_bootstrap(plan: GatewayPlan, *, node: str, folder: Path) -> bytes:
    """Return the bootstrap of a run of Envoy as its file has it; `folder` is the run's."""
    base = build_base(plan.paths, plan.limits)
    return json.dumps(
        build_bootstrap(base, node=node, admin_socket=str(folder / "admin.sock")), indent=1
    ).encode()


def _always(snapshot: PolicySnapshot, seq: int) -> Callable[[], tuple[PolicySnapshot, int]]:
    return lambda: (snapshot, seq)
