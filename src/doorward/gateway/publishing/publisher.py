"""The publisher: checks a configuration with the real Envoy, writes it, waits until it is in force, or rolls back.

Not here: the content to publish (enforcement) and when to publish (transition). The steps:
1. `envoy --mode validate` on the static rendering; a refusal changes nothing;
2. write the files with changed content, each by temporary file and rename (Envoy watches for renames; it could read
   a half-written file). A file is written before the files that refer to it: secrets, clusters, filters, routes,
   listeners. Clusters that are removed stay until no route names them;
3. wait, one discovery service after the other, until Envoy's own figures show each file in force;
4. remove files and clusters that nothing names any more;
5. if Envoy rejects a file or the time is over, put the former files back in reverse order.
A running Envoy keeps its configuration in every case: if it rejects a file, the old one stays in force.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from doorward.core.errors import ConfigurationError, Fault, Unavailable
from doorward.core.ports import Clock
from doorward.enforcement.envoy.bootstrap import build_bootstrap
from doorward.enforcement.envoy.names import SESSION_FILTER
from doorward.enforcement.envoy.resources import (
    DiscoveryService,
    Resource,
    ResourceFile,
    Resources,
    render_file,
    static_rendering,
)
from doorward.enforcement.envoy.version import version_gauge
from doorward.gateway.publishing.validation import Validator
from doorward.gateway.publishing.xds_folder import XdsFolder, write_whole

CONFIRM_SECONDS = 2.0
"""How long Envoy may take for all files; 0.1 s is usual, and the authorizer holds answers for 3 s."""

START_SECONDS = 10.0
"""The same for an Envoy that has just started; usually it has read all files when it reports that it is ready."""

POLL_SECONDS = 0.002

_WARMING = "listener_manager.total_listeners_warming"
_MOST_NAMED = 50  # the expression goes into a URL; Envoy accepts 60 KiB
_MOST_TOLD = 5
_REFUSALS = ("update_rejected", "update_failure")


class Admin(Protocol):
    """The part of the admin interface that the publisher uses; `gateway.envoy.admin.AdminClient` has it."""

    def statistics(self, pattern: str = "") -> Mapping[str, int]:
        """Return the counters and gauges with a name that contains `pattern` (RE2)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """The result of a publication: the version in force, the files that changed, and how long it took."""

    version: str
    changed: tuple[str, ...]
    seconds: float


class XdsPublisher:
    """Publishes into one folder; every method may be called from any thread, and only one works at a time.

    Args:
        xds: the watched folder; the same as in the plans.
        validator: asks the real Envoy whether it accepts a configuration.
        clock: for time limits.
        wait: sleeps so many seconds.
    """

    def __init__(
        self, xds: Path, *, validator: Validator, clock: Clock, wait: Callable[[float], None] = time.sleep
    ) -> None:
        self._folder = XdsFolder(xds)
        self._validator = validator
        self._clock = clock
        self._wait = wait
        self._lock = threading.Lock()
        self._files: dict[str, ResourceFile] = {}
        self._clusters: tuple[Resource, ...] = ()
        self._chains: tuple[Resource, ...] = ()
        self._certain = True

    def count_new_watches(self, resources: Resources) -> tuple[int, int]:
        """Return how many filter chains and how many secrets differ: Envoy would make them again."""
        secrets = [one for one in resources.files() if one.service is DiscoveryService.SDS]
        return (
            sum(one not in self._chains for one in _chains(resources)),
            sum(self._files.get(one.name) != one for one in secrets),
        )

    @property
    def is_certain(self) -> bool:
        """Whether it is known what Envoy enforces: False after an exchange that was neither confirmed nor rolled back."""
        return self._certain

    def prepare(self, resources: Resources, *, node: str, folder: Path) -> Path:
        """Write everything for an Envoy that is about to start, its bootstrap included.

        Args:
            resources: the resources that it must enforce.
            node: the gateway's name.
            folder: the folder of the run, for bootstrap and admin socket.

        Returns:
            The bootstrap's path.

        Raises:
            ConfigurationError: Envoy would refuse it (`envoy-refused-configuration`).
            Unavailable: it cannot be checked or written (`envoy-check-failed`, `xds-not-written`).
        """
        with self._lock:
            self._validator.check(static_rendering(resources))
            self._folder.write(resources.files())
            self._folder.remove(self._folder.names() - {one.name for one in resources.files()})
            self._remember(resources)
            bootstrap = build_bootstrap(
                resources.base, node=node, admin_socket=str(folder / "admin.sock"), xds=str(self._folder.path)
            )
            path = folder / "bootstrap.json"
            write_whole(path, json.dumps(bootstrap, indent=1).encode())
            return path

    def publish(self, resources: Resources, admin: Admin | None) -> Published:
        """Bring resources into force, or leave everything as it was.

        Args:
            resources: the resources that Envoy must enforce.
            admin: of the running Envoy; None if none runs: then nothing can be confirmed, and the
                next start reads the files.

        Returns:
            The result; no file is written if nothing changed.

        Raises:
            ConfigurationError: Envoy would refuse it (`envoy-refused-configuration`); nothing was written.
            Unavailable: it could not be checked or written (`envoy-check-failed`), or Envoy did not
                accept it, and the former configuration is in force again (`publication-rolled-back`).
        """
        with self._lock:
            began = self._clock.monotonic()
            files = resources.files()
            # If it is not known what Envoy enforces, everything is written and confirmed again.
            changed = [one for one in files if not self._certain or self._files.get(one.name) != one]
            gone = set(self._files) - {one.name for one in files}
            if changed or gone:
                self._validator.check(static_rendering(resources))
                self._certain = False
                self._bring_into_force(resources, changed, gone, admin)
                self._certain = True
            return Published(
                version=resources.version,
                changed=(*(one.name for one in changed), *sorted(gone)),
                seconds=self._clock.monotonic() - began,
            )

    def await_start(self, admin: Admin) -> None:
        """Return once a new Envoy has every file in force: it reports that it is ready even if it refused some.

        Raises:
            ConfigurationError: `envoy-refused-configuration`.
            Unavailable: `envoy-would-not-start` if the time is over, or the admin interface does not answer.
        """
        with self._lock:
            awaited = self._referred()
        pattern = _statistics_of(awaited)
        limit = self._clock.monotonic() + START_SECONDS
        while True:
            now = admin.statistics(pattern)
            if all(_in_force(one, now) for one in awaited):
                return
            refused = [one.name for one in awaited if _refused(one, {}, now)]
            if refused:
                message = f"Envoy started and refused {', '.join(refused[:_MOST_TOLD])}; the reason is in Envoy's own log"
                raise ConfigurationError([Fault(code="envoy-refused-configuration", message=message)])
            if self._clock.monotonic() > limit:
                raise Unavailable(
                    "envoy-would-not-start",
                    f"Envoy had not read all of its files after {START_SECONDS:g} seconds",
                )
            self._wait(POLL_SECONDS)

    def repair(self, admin: Admin | None) -> tuple[str, ...]:
        """Restore every file that differs from its published content; return the names of these files.

        Envoy refuses an invalid file, but accepts a valid configuration from every process that can write the folder,
        and it would start with the files that it finds there.

        Raises:
            Unavailable: a file could not be put back, or Envoy did not confirm it (`xds-not-repaired`).
        """
        with self._lock:
            broken = [one for one in self._files.values() if not self._folder.holds(one)]
            limit = self._clock.monotonic() + CONFIRM_SECONDS
            for service in DiscoveryService:
                batch = [one for one in broken if one.service is service]
                if not self._exchange(batch, batch, admin, limit):
                    raise Unavailable(
                        "xds-not-repaired",
                        "files that Envoy reads were altered, and Envoy did not confirm the ones that were put back",
                    )
            return tuple(one.name for one in broken)

    # steps 2 to 5

    def _bring_into_force(
        self, resources: Resources, changed: Sequence[ResourceFile], gone: set[str], admin: Admin | None
    ) -> None:
        try:
            fault = self._advance(resources, changed, admin)
        except Unavailable as error:  # the disk is full, or Envoy is gone
            fault = error.detail
        if fault:
            self._folder.remove({one.name for one in changed} - set(self._files))
            raise self._roll_back(admin, fault)
        self._folder.remove(gone)
        self._remember(resources)

    def _advance(self, resources: Resources, changed: Sequence[ResourceFile], admin: Admin | None) -> str:
        """Write and confirm the files of one discovery service after the other; return what went wrong, or nothing."""
        limit = self._clock.monotonic() + CONFIRM_SECONDS
        deferred: list[
            ResourceFile
        ] = []  # new files: Envoy reads a new secret or table only once a listener names it
        for service in DiscoveryService:
            batch = [self._with_old_clusters(one, resources) for one in changed if one.service is service]
            known = [one for one in batch if one.name in self._files]
            deferred += [one for one in batch if one not in known]
            awaited = known + deferred if service is DiscoveryService.LDS else known
            if not self._exchange(batch, awaited, admin, limit):
                return f"Envoy did not take {', '.join(one.name for one in awaited)}"
        final = [
            one for one in changed if one.service is DiscoveryService.CDS and not self._folder.holds(one)
        ]
        if not self._exchange(final, final, admin, limit):
            return "Envoy did not take the removal of clusters"
        return ""

    def _with_old_clusters(self, file: ResourceFile, resources: Resources) -> ResourceFile:
        """Keep removed clusters until no route names them: otherwise requests would get 503 meanwhile."""
        if file.service is not DiscoveryService.CDS:
            return file
        names = {one["name"] for one in resources.clusters}
        leaving = tuple(one for one in self._clusters if one["name"] not in names)
        return render_file(file.name, file.service, (*resources.clusters, *leaving)) if leaving else file

    def _roll_back(self, admin: Admin | None, fault: str) -> Unavailable:
        """Put the former files back, a file before those that it refers to; return the error to raise."""
        limit = self._clock.monotonic() + CONFIRM_SECONDS
        confirmed = True
        for service in reversed(DiscoveryService):
            batch = [one for one in self._in(service) if not self._folder.holds(one)]
            try:
                confirmed = self._exchange(batch, batch, admin, limit) and confirmed
            except Unavailable:
                confirmed = False
                with suppress(Unavailable):
                    self._folder.write(batch)
        self._certain = confirmed
        if confirmed:
            outcome = "the former configuration is in force"
        elif all(self._folder.holds(one) for one in self._files.values()):
            outcome = "the former configuration is written, but not confirmed"
        else:
            outcome = (
                "the former files could not be put back; Envoy keeps the configuration that it has in memory"
            )
        return Unavailable(
            "publication-rolled-back",
            f"{fault}; {outcome}",
            hint="it is tried again; the reason of the refusal is in Envoy's own log",
        )

    def _referred(self) -> list[ResourceFile]:
        """Return the files that Envoy reads: listeners, clusters, and the files that these name."""
        roots = [
            one for one in self._files.values() if one.service in (DiscoveryService.LDS, DiscoveryService.CDS)
        ]
        text = b"".join(one.content for one in roots)
        return [one for one in self._files.values() if one in roots or f"/{one.name}".encode() in text]

    def _in(self, service: DiscoveryService) -> list[ResourceFile]:
        return [one for one in self._files.values() if one.service is service]

    def _exchange(
        self,
        batch: Sequence[ResourceFile],
        awaited: Sequence[ResourceFile],
        admin: Admin | None,
        limit: float,
    ) -> bool:
        """Write files and wait until Envoy has the awaited ones in force.

        Returns:
            False if Envoy refuses one of them, or if the time is over.
        """
        if not batch and not awaited:
            return True
        if admin is None:
            self._folder.write(batch)
            return True
        pattern = _statistics_of(awaited)
        before = admin.statistics(pattern)
        self._folder.write(batch)
        while True:
            now = admin.statistics(pattern)
            if any(_refused(one, before, now) for one in awaited):
                return False
            if all(_in_force(one, now) for one in awaited) and not now.get(_WARMING, 0):
                return True
            if self._clock.monotonic() > limit:
                return False
            self._wait(POLL_SECONDS)

    def _remember(self, resources: Resources) -> None:
        self._files = {one.name: one for one in resources.files()}
        self._clusters = resources.clusters
        self._chains = _chains(resources)


def _chains(resources: Resources) -> tuple[Resource, ...]:
    return tuple(chain for listener in resources.listeners for chain in listener["filter_chains"])


def _statistics_of(files: Sequence[ResourceFile]) -> str:
    """Return an expression for the counters of these files; for all files if it would get too long."""
    prefixes = "|".join(re.escape(_prefix(one)) for one in files)
    names = f"({prefixes})" if len(files) <= _MOST_NAMED else ""
    return f"{names}\\.(version|{'|'.join(_REFUSALS)})$|{re.escape(_WARMING)}"


def _prefix(file: ResourceFile) -> str:
    name = Path(file.name).stem
    return {
        DiscoveryService.SDS: f"sds.{name}",
        DiscoveryService.CDS: "cluster_manager.cds",
        DiscoveryService.RDS: f"http.{name}.rds.{name}",
        DiscoveryService.ECDS: f"extension_config_discovery.{_filter_kind(name)}.{name}",
        DiscoveryService.LDS: "listener_manager.lds",
    }[file.service]


def _filter_kind(name: str) -> str:
    """Return the kind of a filter as in Envoy's statistics: only the session filter is an HTTP filter."""
    return "http_filter" if name == SESSION_FILTER else "network_filter"


def _in_force(file: ResourceFile, now: Mapping[str, int]) -> bool:
    return now.get(f"{_prefix(file)}.version") == version_gauge(file.version)


def _refused(file: ResourceFile, before: Mapping[str, int], now: Mapping[str, int]) -> bool:
    names = (f"{_prefix(file)}.{one}" for one in _REFUSALS)
    return any(now.get(name, 0) > before.get(name, 0) for name in names)
