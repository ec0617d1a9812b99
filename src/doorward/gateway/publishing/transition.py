"""Publishing the newest policy: Envoy gets it while live connections go on.

Not here: compiling (enforcement), writing and confirming files (publisher). This has its own thread,
apart from the follower, so that a revocation never waits for Envoy.

The steps of a publication (the order of `enforcement.transition`):
1. read policy, applications and authorities at one number of the change sequence, and wait until the follower has
   acted on it. Then connections that lost permissions are gone, no older judgement is admitted any more, and the
   present principal of every live connection is known;
2. get a server certificate for each door, and order missing ones;
3. end connections that hold an id of the new policy which they do not deserve;
4. compile, with aliases for connections that lost nothing but have other ids now;
5. publish, and open the gate for judgements by this revision; only then delete keys that nothing names;
6. end connections that deserve an id that is new with this policy but cannot show it. A connection that only gained
   permissions is not ended: an alias lets it through, or it goes on without what it gained.

If a revision is refused, the former one stays in force. An Envoy that starts meanwhile is given the newest revision
if possible, and otherwise the one that was last confirmed: so a refused revision causes no outage at the next
restart. The same holds for a revision that makes Envoy crash (`gateway.publishing.crash_history`). New connections
are always judged by the newest revision: the gate admits them only if both revisions have the same policy for their
application.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

import structlog

from doorward.audit.events import EventType
from doorward.core.entities import TENANT
from doorward.core.errors import ConfigurationError, DoorwardError, Unavailable
from doorward.core.names import PORTAL_APPLICATION
from doorward.enforcement.plan import ServerCertificate
from doorward.enforcement.transition import HeldConnection, aliases_for, classify_connections
from doorward.gateway.authorizer.gate import PolicyGate
from doorward.gateway.connections.ending import ConnectionEnder, EndReason
from doorward.gateway.connections.registry import ConnectionRegistry
from doorward.gateway.door_settings import DoorSettings
from doorward.gateway.envoy.epochs import epoch_of
from doorward.gateway.following.permissions import PermissionsCache, held_connection
from doorward.gateway.publishing.compiling import Compiled, compile_snapshot, settings_hosts
from doorward.gateway.publishing.configuration import (
    configuration_of,
    former_snapshot,
    ids_of_rules,
)
from doorward.gateway.publishing.crash_history import CrashHistory
from doorward.gateway.publishing.last_published import Configuration, LastPublished
from doorward.gateway.publishing.portal_certificate import PortalCertificate
from doorward.gateway.publishing.publisher import Admin, Published, XdsPublisher
from doorward.gateway.publishing.report import PublicationReport
from doorward.gateway.publishing.requests import PublicationRequests
from doorward.gateway.publishing.server_certificates import (
    ServerCertificates,
    missing_hosts,
    name_lacking,
    no_certificate,
)
from doorward.gateway.publishing.upstream_files import UpstreamParts
from doorward.gateway.publishing.validation import Validator
from doorward.gateway.publishing.watches import (
    InotifyUsage,
    check_free_instances,
    check_start,
    check_watches,
    describe_shortage,
    read_inotify_usage,
)
from doorward.policy.model import Document
from doorward.stores.policy_snapshot import PolicySnapshot, PolicySnapshots
from doorward.stores.services import Services

PATIENCE_SECONDS = 1.5
"""How long a publication waits for ordered certificates before it goes on with the doors that have one.

Usually they come within 0.1 s. New connections wait meanwhile: the authorizer holds their answers for 3 s."""

FOLLOWER_SECONDS = 1.0
"""How long a publication waits for the follower to act on its changes; usually that takes some milliseconds."""

DEADLY = "revision-ends-envoy"

POLL_SECONDS = 0.002
RETRY_SECONDS = 2.0
CHECK_SECONDS = 60.0

_log = structlog.get_logger("doorward.publishing")


class PolicyPublisher:
    """Publishes for one gateway.

    Args:
        services: the use cases' ports.
        gateway_id: this gateway.
        settings: listeners, sockets, limits.
        snapshots: the policy snapshot of this process.
        connections: the registry.
        ender: ends connections.
        certificates: the gateway's server certificates.
        gate: opened with each publication.
        validator: asks the real Envoy whether it accepts a configuration.
        last_published: the former configurations that a start falls back to.
        admin: the admin interface of the running Envoy; None while none runs.
        published: called when a publication is in force.
        followed: the number of the change sequence that the follower has acted on.
        inotify_usage: how many inotify instances there may be, and how many are used.
        upstreams: reads the files that the upstreams of a document need.
        portal: reads the portal's certificate, if the settings name its files.
    """

    def __init__(
        self,
        services: Services,
        gateway_id: str,
        settings: DoorSettings,
        *,
        snapshots: PolicySnapshots,
        connections: ConnectionRegistry,
        ender: ConnectionEnder,
        certificates: ServerCertificates,
        gate: PolicyGate,
        validator: Validator,
        last_published: LastPublished,
        admin: Callable[[], Admin | None],
        published: Callable[[], None],
        followed: Callable[[], int],
        inotify_usage: Callable[[], InotifyUsage] = read_inotify_usage,
        upstreams: Callable[[Document, datetime], UpstreamParts] = lambda *_: UpstreamParts(),
        portal: PortalCertificate | None = None,
    ) -> None:
        self._services = services
        self._gateway_id = gateway_id
        self._snapshots = snapshots
        self._connections = connections
        self._ender = ender
        self._certificates = certificates
        self._gate = gate
        self._settings = settings
        self._validator = validator
        self._last_published = last_published
        self._admin = admin
        self._published = published
        self._followed = followed
        self._inotify_usage = inotify_usage
        self._upstreams = upstreams
        self._portal = portal or PortalCertificate(None, settings.portal_host, Path())
        self._crashes = CrashHistory(services.clock)
        self._report = PublicationReport(services, gateway_id, gate)
        self._working = threading.Lock()  # `prepare` and `step` come from different threads
        self._xds = Path()
        self._epoch = 0
        self._publisher: XdsPublisher | None = None
        self.requests = PublicationRequests()
        self._names: Mapping[str, str] = {}
        self._rule_ids: Mapping[str, frozenset[str]] = {}

    # called by other parts

    def application_name(self, application_id: str) -> str:
        """Return the name of an application of the published policy."""
        return self._names[application_id]

    def trouble(self) -> str:
        """Return why the newest policy is not in force, in a sentence; empty if all is well."""
        return self._report.trouble()

    def note_end(self, status: int | None, words: str, *, refused: bool = False) -> bool:
        """Note that Envoy ended by itself, or did not start; return whether it will get another configuration.

        Args:
            status: its exit status, or minus the signal; None if it did not end.
            words: the reason, as far as it is known.
            refused: whether Envoy itself reported that it refuses the configuration.
        """
        return self._crashes.note_end(status, words, refused=refused)

    def verify(self, admin: Admin) -> None:
        """Return once an Envoy that starts has its whole prepared configuration in force.

        Raises:
            Unavailable: Envoy refused a part of it, or does not answer.
        """
        if self._publisher is not None:
            self._publisher.await_start(admin)

    # the work

    def prepare(self, folder: Path, stop: threading.Event) -> Path:
        """Make the files of a new Envoy in its own folder; return its bootstrap.

        They have the newest revision, or, if that is refused, the last confirmed one. An Envoy that drains
        keeps its files: its connections lost nothing so far, and connections that lose permissions
        are cut by the gateway, independently of Envoy's rules. Waits for the first certificate.

        Raises:
            Unavailable: `no-server-certificate` if none came before `stop` was set.
            ConfigurationError: the newest revision is refused, and there is none to fall back to.
        """
        with self._working:
            self._xds, self._epoch = folder / "xds", epoch_of(folder) or 0
            try:
                self._crashes.check(configuration_of(self._newest()[0]))
                compiled, bootstrap = self._prepare(self._newest, folder, stop)
            except ConfigurationError as error:
                return self._prepare_former(error, folder, stop)
            self._finished(compiled)
            return bootstrap

    def _prepare_former(self, why: ConfigurationError, folder: Path, stop: threading.Event) -> Path:
        """Prepare with the last confirmed configuration; if none is usable and the newest only made Envoy crash, with it."""
        newest, seq = self._newest()
        for one in self._last_published.history():
            with self._services.work.read() as stores:
                former = former_snapshot(stores, newest, one)
            if former is None:
                continue
            try:
                self._crashes.check(one)
                _, bootstrap = self._prepare(lambda former=former: (former, seq), folder, stop)  # type: ignore[misc]
            except ConfigurationError as error:
                _log.error(
                    "Envoy refused an older policy revision, too", revision=one.revision, detail=error.detail
                )
                continue
            self._names = former.names
            self._gate.open(former)
            self._refused(newest, why)
            return bootstrap
        if why.code != DEADLY:
            raise why
        compiled, bootstrap = self._prepare(self._newest, folder, stop)
        self._finished(compiled)
        return bootstrap

    def _prepare(
        self, read: Callable[[], tuple[PolicySnapshot, int]], folder: Path, stop: threading.Event
    ) -> tuple[Compiled, Path]:
        publisher = XdsPublisher(self._xds, validator=self._validator, clock=self._services.clock)
        has_warned = False
        while (compiled := self._compile(*read())) is None:
            if not has_warned:
                _log.warning(
                    "waiting for the first server certificate", hint="check that `doorward serve` is running"
                )
                has_warned = True
            if stop.wait(0.1):
                raise no_certificate()
        usage = self._inotify_usage()
        configuration = configuration_of(compiled.snapshot)
        if configuration not in self._last_published.history():
            check_watches(compiled.chains, usage, trusts=compiled.trusts)
        check_start(compiled.chains, usage, trusts=compiled.trusts)
        self._crashes.give(configuration)
        bootstrap = publisher.prepare(compiled.resources, node=self._gateway_id, folder=folder)
        self._publisher = publisher
        return compiled, bootstrap

    def run(self, stop: threading.Event) -> None:
        """Publish after each request, until `stop` is set."""
        pause = CHECK_SECONDS
        while True:
            self.requests.await_next(stop, pause)
            if stop.is_set():
                return
            pause = self.step()

    def step(self) -> float:
        """Publish the newest policy; return after how many seconds to call this again without a request."""
        with self._working:
            try:
                return self._publish()
            except DoorwardError as error:
                self._report.failed(error)
            except Exception:  # noqa: BLE001  this thread must not end; the old configuration stays in force
                _log.exception("publishing the policy failed; it will be tried again")
                self._report.failed(
                    Unavailable("internal-error", "publishing failed: internal error, see the log")
                )
            return RETRY_SECONDS

    def _publish(self) -> float:
        if self._publisher is None:
            return RETRY_SECONDS  # no Envoy has been prepared yet
        snapshot, seq = self._newest()
        configuration = configuration_of(snapshot)
        self._await_follower(seq)
        self._end_overreaching(snapshot)
        try:
            if not self._crashes.was_given(configuration):
                self._crashes.check(configuration)
            compiled = self._compile(snapshot, seq)
            if compiled is None:
                raise no_certificate()
            published = self._exchange(self._publisher, compiled, configuration)
        except ConfigurationError as error:
            self._refused(snapshot, error)
            self._publisher.repair(self._admin())
            return RETRY_SECONDS
        self._publisher.repair(self._admin())
        if self._admin() is not None:
            self._last_published.note(configuration)
        self._finished(compiled)
        self._end_lacking(snapshot, compiled.aliases)
        if (
            published.changed
        ):  # last, because new connections wait for the gate and must not wait for this record
            _log.info("published", revision=snapshot.revision, milliseconds=round(published.seconds * 1000))
            self._report.record(
                EventType.GATEWAY_PUBLISHED, {"revision": snapshot.revision, "sha256": published.version}
            )
        return RETRY_SECONDS if compiled.missing else CHECK_SECONDS

    def _exchange(
        self, publisher: XdsPublisher, compiled: Compiled, configuration: Configuration
    ) -> Published:
        """Step 5. During it, and after it if its result is unknown, the gate admits only by policies that do not change."""
        chains, files = publisher.count_new_watches(compiled.resources)
        usage = self._inotify_usage()
        if chains:
            check_watches(compiled.chains, usage, trusts=compiled.trusts)
        check_free_instances(usage, chains, files)
        before, fresh = self._crashes.given, not self._crashes.was_given(configuration)
        self._gate.begin_change(compiled.snapshot)
        try:
            if fresh:
                self._crashes.give(configuration)
            return publisher.publish(compiled.resources, self._admin())
        except BaseException:
            if publisher.is_certain:
                self._gate.cancel_change()
                if fresh and before is not None:
                    self._crashes.give(before)
            raise

    def _finished(self, compiled: Compiled) -> None:
        self._certificates.forget_others(compiled.purposes, compiled.certificates)
        names = compiled.snapshot.names
        lacking = ", ".join(
            name_lacking(names.get(one, one), hosts) for one, hosts in compiled.missing.items()
        )
        self._names = names
        self.requests.complete(compiled.seq)
        self._gate.open(compiled.snapshot)
        self._report.succeeded(lacking)
        self._report.note_shortage(
            describe_shortage(compiled.chains, self._inotify_usage(), trusts=compiled.trusts)
        )
        self._published()

    def _refused(self, snapshot: PolicySnapshot, error: ConfigurationError) -> None:
        """Report that a revision is refused until it is corrected; it is tried again anyway."""
        self._gate.refuse(snapshot.revision)
        self._report.refused(snapshot, error)

    # the steps

    def _await_follower(self, seq: int) -> None:
        limit = self._services.clock.monotonic() + FOLLOWER_SECONDS
        while self._followed() < seq:
            if self._services.clock.monotonic() > limit:
                raise Unavailable("follower-behind", "live connections were not yet compared with the policy")
            self.requests.pause(POLL_SECONDS)

    def _newest(self) -> tuple[PolicySnapshot, int]:
        with self._services.work.read() as stores:
            return self._snapshots.current(stores)

    def _compile(self, snapshot: PolicySnapshot, seq: int) -> Compiled | None:
        """Steps 2 and 4; None while there is no certificate at all."""
        ready = self._await_certificates(settings_hosts(snapshot, self._settings))
        shown = self._portal.read(self._services.clock.now())
        if shown is not None:
            ready[PORTAL_APPLICATION] = shown
        if not ready:
            return None
        return compile_snapshot(
            snapshot,
            seq,
            self._settings,
            ready=ready,
            aliases=aliases_for(self._held(snapshot), tenant=TENANT, revision=snapshot.revision),
            upstreams=self._upstreams(snapshot.document, self._services.clock.now()),
            xds=self._xds,
            epoch=self._epoch,
        )

    def _await_certificates(self, wanted: Mapping[str, tuple[str, ...]]) -> dict[str, ServerCertificate]:
        """Step 2."""
        limit = self._services.clock.monotonic() + PATIENCE_SECONDS
        while True:
            ready = self._certificates.ensure(wanted)
            left = limit - self._services.clock.monotonic()
            if not missing_hosts(wanted, ready) or left <= 0:
                return ready
            self.requests.await_order(min(left, 0.05))

    def _held(self, snapshot: PolicySnapshot) -> list[HeldConnection]:
        """Return the ids that each connection holds, and those that it deserves by exactly this policy.

        The permissions in the registry may already be by a newer policy, because changes can follow closely.
        TCP connections are left out: Envoy checks their rules only once, so their ids do not matter later.
        """
        cache = PermissionsCache(snapshot.policies, self._services.clock.now())
        tcp = {one for one, app in snapshot.policies.items() if app.is_tcp}
        held = [
            held_connection(one, cache.of(one))
            for one in self._connections.all()
            if one.application_id not in tcp
        ]
        condemned = (one for one in self._connections.condemned() if one.application_id not in tcp)
        return held + [held_connection(one, None) for one in condemned]  # these deserve nothing

    def _end_overreaching(self, snapshot: PolicySnapshot) -> None:
        """Step 3."""
        standing = classify_connections(self._held(snapshot), tenant=TENANT, ids=ids_of_rules(snapshot))
        self._end(standing.overreaching, EndReason.AUTHORITY_WITHDRAWN)

    def _end(self, keys: frozenset[int], reason: EndReason) -> None:
        found = (self._connections.get(key) for key in keys)
        self._ender.end([one for one in found if one is not None], reason)

    def _end_lacking(self, snapshot: PolicySnapshot, aliases: Mapping[str, frozenset[str]]) -> None:
        """Step 6; `aliases` are those in force."""
        ids = ids_of_rules(snapshot)
        standing = classify_connections(self._held(snapshot), tenant=TENANT, ids=ids, aliases=aliases)
        known = frozenset().union(*self._rule_ids.values())
        ending = {key for key, lacked in standing.lacking.items() if not lacked <= known}
        self._end(frozenset(ending), EndReason.AUTHORITY_CHANGED)
        self._rule_ids = ids
