"""Publishing the newest policy: Envoy gets it while live connections go on.

Not here: compiling (enforcement), sending and confirming resources (publisher), which connections end at steps 3 and 6
(held_rule_ids). Publishing has its own thread,
apart from the follower, so that a revocation never waits for Envoy.

The steps of a publication (the order of `enforcement.transition`):
1. read policy, applications and authorities at one number of the change sequence, and wait until the follower has
   acted on it. Then connections that lost permissions are gone, no older judgement is admitted any more, and the
   present principal of every live connection is known;
2. get a server certificate for each door, and order missing ones;
3. end connections that hold an id of the new policy which they do not deserve;
4. compile, with aliases for connections that lost nothing but have other ids now;
5. publish, and open the gate for judgements by this revision, except for doors that Envoy refused; only then delete keys
   that nothing names;
6. end connections that deserve an id that is new with this policy but cannot show it. A connection that only gained
   permissions is not ended: an alias lets it through, or it goes on without what it gained.

If Envoy refuses a part of a revision, the applications of that part are closed and everything else is in force
(docs/design/0077). If a revision makes Envoy crash, the next Envoy is given the last confirmed one
(`gateway.publishing.crash_history`), and new connections are judged by the newest revision all the same: the gate
admits them only if both revisions have the same policy for their application.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import structlog

from doorward.audit.events import EventType
from doorward.core.errors import ConfigurationError, DoorwardError, Unavailable
from doorward.core.names import PORTAL_APPLICATION
from doorward.gateway.authorizer.gate import PolicyGate
from doorward.gateway.ballast import BALLAST
from doorward.gateway.connections.ending import ConnectionEnder
from doorward.gateway.connections.registry import ConnectionRegistry
from doorward.gateway.door_settings import DoorSettings
from doorward.gateway.envoy.program import BOOTSTRAP
from doorward.gateway.envoy.statistics import EnvoyStatistics
from doorward.gateway.publishing.application_files import ApplicationFiles
from doorward.gateway.publishing.challenges import ChallengeCertificates
from doorward.gateway.publishing.compiling import Compiled, compile_snapshot, settings_hosts
from doorward.gateway.publishing.configuration import (
    certificate_sources,
    configuration_of,
    staying_issuers,
)
from doorward.gateway.publishing.crash_history import CrashHistory
from doorward.gateway.publishing.discovery.api import EnvoyApi
from doorward.gateway.publishing.discovery.cache import EnvoyStream
from doorward.gateway.publishing.door_packing import DoorPacker, PackedConfiguration
from doorward.gateway.publishing.held_rule_ids import HeldRuleIds
from doorward.gateway.publishing.last_published import LastPublished
from doorward.gateway.publishing.portal_certificate import PortalCertificate
from doorward.gateway.publishing.publisher import Published, StreamPublisher
from doorward.gateway.publishing.report import PublicationReport
from doorward.gateway.publishing.requests import PublicationRequests
from doorward.gateway.publishing.server_certificates import (
    ServerCertificates,
    name_every_lacking,
    no_certificate,
)
from doorward.gateway.publishing.starting import StartConfigurations, Starting, render_bootstrap
from doorward.gateway.publishing.upstream_files import UpstreamParts
from doorward.policy.model import Document
from doorward.policy.server_certificates import CertificateSource
from doorward.stores.policy_snapshot import PolicySnapshot, PolicySnapshots
from doorward.stores.services import Services

PATIENCE_SECONDS = 1.5
"""How long a publication waits for ordered certificates before it goes on with the doors that have one.

Usually they come within 0.1 s. New connections wait meanwhile: the authorizer holds their answers for 3 s."""

START_PATIENCE_SECONDS = 15.0
"""How long a start waits while certificates keep coming: a thousand take about 4 s, and nothing is open yet."""

FOLLOWER_SECONDS = 1.0
"""How long a publication waits for the follower to act on its changes; usually that takes some milliseconds."""

POLL_SECONDS = 0.002
RETRY_SECONDS = 2.0  # after a publication that failed or lacks a part
CHECK_SECONDS = 60.0  # between publications without a request: certificates expire

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
        api: Envoy's messages.
        last_published: the former configurations that a start falls back to.
        statistics: of the running Envoy; None while none runs.
        published: called when a publication is in force.
        followed: the number of the change sequence that the follower has acted on.
        catch_up: at the start, acts on every change up to a number.
        upstreams: reads the files that the upstreams of a document need.
        portal: reads the portal's certificate, if the settings name its files.
        files: reads the certificates of applications, if the document names files.
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
        api: EnvoyApi,
        last_published: LastPublished,
        statistics: Callable[[], EnvoyStatistics | None],
        published: Callable[[], None],
        followed: Callable[[], int],
        portal: PortalCertificate,
        files: ApplicationFiles,
        catch_up: Callable[[int], None] = lambda _: None,
        upstreams: Callable[[Document, datetime], UpstreamParts] = lambda *_: UpstreamParts(),
    ) -> None:
        self._services = services
        self._gateway_id = gateway_id
        self._snapshots = snapshots
        self._connections = connections
        self._held = HeldRuleIds(connections, ender, services.clock)
        self._certificates = certificates
        self._gate = gate
        self._settings = settings
        self._packer = DoorPacker(api)
        self._last_published = last_published
        self._statistics = statistics
        self._published = published
        self._followed = followed
        self._catch_up = catch_up
        self._upstreams = upstreams
        self._files = files
        self._challenges = ChallengeCertificates(services)
        self._shown: tuple[str, ...] = ()
        self._portal = portal
        self._crashes = CrashHistory(services.clock)
        self._starts = StartConfigurations(
            services,
            api=api,
            packer=self._packer,
            crashes=self._crashes,
            last_published=last_published,
            newest=self._newest,
            compiled=lambda snapshot, seq: self._compile(snapshot, seq, most_seconds=START_PATIENCE_SECONDS),
        )
        self._report = PublicationReport(services, gateway_id, gate)
        self._working = threading.Lock()  # `prepare` and `step` come from different threads
        self._publisher: StreamPublisher | None = None
        self._starting: Starting | None = None
        self.requests = PublicationRequests()
        self._names: Mapping[str, str] = {}
        self._issuers: frozenset[str] | None = None

    # called by other parts

    def application_name(self, application_id: str) -> str:
        """Return the name of an application of the published policy."""
        return self._names[application_id]

    def issuers(self) -> frozenset[str] | None:
        """Return the SHA-256 of our authorities that issued the server certificates in force; None if it is not known."""
        return self._issuers

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
        publisher = self._publisher
        if publisher is not None:
            publisher.end()  # the next Envoy must not wait for answers of this one
        return self._crashes.note_end(status, words, refused=refused)

    def shown_challenges(self) -> tuple[str, ...]:
        """Return the public names of the challenges of ACME authorities that the door shows."""
        return self._shown

    def refusals(self) -> Mapping[str, str]:
        """Return what Envoy refused, by the application's name, each with Envoy's words."""
        return self._report.refusals()

    @property
    def is_working(self) -> bool:
        """Whether a publication goes on: Envoy may be busy with it for long, if it builds many filter chains."""
        return self._working.locked()

    def open_stream(self) -> EnvoyStream | None:
        """Return the stream for the Envoy that starts or runs, which has just connected; None if nothing is ready for one."""
        return None if self._publisher is None else self._publisher.open_stream()

    def verify(self, statistics: EnvoyStatistics) -> None:
        """Wait until an Envoy that starts or is adopted has answered for its whole configuration; then open the gate.

        Raises:
            ConfigurationError: Envoy refuses every listener (`envoy-refused-configuration`).
            Unavailable: Envoy does not answer in time (`publication-unconfirmed`).
        """
        with self._working:
            if self._publisher is None or self._starting is None:
                return
            published = self._publisher.await_start(statistics)
            starting, self._starting = self._starting, None
            snapshot = starting.compiled.snapshot
            if starting.instead_of is None:
                self._finished(starting.compiled, published)
            else:
                self._in_force(starting.compiled, published)
                self._refused(starting.instead_of.snapshot, starting.instead_of.why)
            if starting.is_adopted:
                self._held.end_lacking(snapshot, starting.compiled.aliases)
            else:
                self._held.note_in_force(snapshot)

    # the work

    def prepare(self, folder: Path, stop: threading.Event) -> Path:
        """Make everything ready for a new Envoy; write its bootstrap into its folder, and return the path.

        An Envoy that drains keeps what it has: its connections lost nothing so far, and connections that lose permissions
        are cut by the gateway, independently of Envoy's rules.

        Raises:
            Unavailable: `no-server-certificate` if none came before `stop` was set.
            ConfigurationError: the newest revision is refused, and there is none to fall back to.
            OSError: the folder cannot be written.
        """
        with self._working:
            path = folder / BOOTSTRAP
            publisher, starting = self._starts.prepare(stop)
            self._gate.suspend()
            self._use(publisher, starting)
            BALLAST.replace_file(path, self._bootstrap(starting, folder), durable=False)
            return path

    def adopt(self, folder: Path, stop: threading.Event) -> bool:
        """Make everything ready for an Envoy that an earlier gateway left; return False if it has another bootstrap.

        The earlier gateway may have ended in the middle of a publication, and connections of this Envoy live. So steps 1
        and 3 come first here too, before Envoy gets anything; step 6 comes in `verify`.

        Raises:
            Unavailable: `follower-behind` if its connections were not compared with the policy that it would get;
                `no-server-certificate` as in `prepare`.
            ConfigurationError, OSError: as `prepare`.
        """
        with self._working:
            known = self._starts.last_confirmed()
            publisher, starting = self._starts.prepare(stop, self._end_before)
            if self._bootstrap(starting, folder) != (folder / BOOTSTRAP).read_bytes():
                return False
            self._held.note_in_force(known)
            self._use(publisher, replace(starting, is_adopted=True))
            return True

    def _end_before(self, snapshot: PolicySnapshot, seq: int) -> None:
        """Steps 1 and 3 for an adopted Envoy."""
        self._catch_up(seq)
        if self._connections.all() and self._connections.followed.revision != snapshot.revision:
            raise _follower_behind()
        self._held.end_overreaching(snapshot)

    def _bootstrap(self, starting: Starting, folder: Path) -> bytes:
        return render_bootstrap(starting.compiled.plan, node=self._gateway_id, folder=folder)

    def _use(self, publisher: StreamPublisher, starting: Starting) -> None:
        """Serve this publisher's resources to the Envoy that connects next."""
        self._hand_over(starting)
        self._publisher = publisher

    def _hand_over(self, starting: Starting) -> None:
        """Note the configuration of an Envoy that does not run yet. Until `verify`, the gate admits nothing by a newer policy."""
        self._starting = starting
        self._names = starting.compiled.snapshot.names
        if starting.instead_of is None:
            self.requests.complete(starting.compiled.seq)

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
        publisher = self._publisher
        if publisher is None:
            return RETRY_SECONDS  # no Envoy has been prepared yet
        snapshot, seq = self._newest()
        configuration = configuration_of(snapshot)
        self._await_follower(seq)
        self._held.end_overreaching(snapshot)
        try:
            if not self._crashes.was_given(configuration):
                self._crashes.check(configuration)
            compiled = self._compile(snapshot, seq)
            if compiled is None:
                raise no_certificate()
            packed = self._packer.pack(compiled.plan)
            statistics = self._statistics()
            if statistics is None:
                self._crashes.give(configuration)
                publisher.prepare(packed)
                self._hand_over(Starting(compiled))
                return RETRY_SECONDS
            published = self._exchange(publisher, packed, compiled, statistics)
        except ConfigurationError as error:
            self._refused(snapshot, error)
            return RETRY_SECONDS
        self._last_published.note(configuration)
        self._finished(compiled, published)
        if packed.kept:  # a door goes on with a certificate that is not among the compiled ones
            self._issuers = None
        self._held.end_lacking(snapshot, compiled.aliases)
        if (
            published.changed
        ):  # last, because new connections wait for the gate and must not wait for this record
            _log.info("published", revision=snapshot.revision, milliseconds=round(published.seconds * 1000))
            self._report.record(
                EventType.GATEWAY_PUBLISHED, {"revision": snapshot.revision, "sha256": published.version}
            )
        # A certificate file that cannot be used is read again soon. Another authority may take days, and an answer of it
        # wakes this thread.
        lacking = compiled.missing.keys() - self._sources(snapshot)
        return RETRY_SECONDS if lacking or packed.faults or packed.kept else CHECK_SECONDS

    def _exchange(
        self,
        publisher: StreamPublisher,
        packed: PackedConfiguration,
        compiled: Compiled,
        statistics: EnvoyStatistics,
    ) -> Published:
        """Step 5. During it, and after it if its result is unknown, the gate admits only by policies that do not change."""
        configuration = configuration_of(compiled.snapshot)
        self._gate.begin_change(compiled.snapshot)
        if not self._crashes.was_given(configuration):
            self._crashes.give(configuration)
        return publisher.publish(packed, statistics)

    def _in_force(self, compiled: Compiled, published: Published) -> None:
        names = compiled.snapshot.names
        self._names = names
        self._issuers = frozenset(one.issuer for one in compiled.certificates if one.issuer)
        self._shown = tuple(one.name for one in compiled.plan.challenges)
        self._gate.open(compiled.snapshot, closed=published.closed)
        self._report.succeeded(
            compiled.snapshot,
            lacking=name_every_lacking(
                {names.get(one, one): hosts for one, hosts in compiled.missing.items()}
            ),
            refusals={names.get(one, one): words for one, words in published.refusals.items()},
            closed={names.get(one, one) for one in published.closed},
        )

    def _finished(self, compiled: Compiled, published: Published) -> None:
        self._certificates.forget_others(compiled.purposes, compiled.certificates)
        self._in_force(compiled, published)
        self.requests.complete(compiled.seq)
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
                raise _follower_behind()
            self.requests.pause(POLL_SECONDS)

    def _newest(self) -> tuple[PolicySnapshot, int]:
        with self._services.work.read() as stores:
            return self._snapshots.current(stores)

    def _compile(self, snapshot: PolicySnapshot, seq: int, *, most_seconds: float = 0.0) -> Compiled | None:
        """Steps 2 and 4; None while there is no certificate at all."""
        now = self._services.clock.now()
        from_files = self._files.read(snapshot.policies, now)
        ordered = {
            one: hosts
            for one, hosts in settings_hosts(snapshot, self._settings).items()
            if not self._files.has(one)
        }
        ready = self._certificates.ensure_soon(
            ordered,
            staying_issuers(snapshot),
            patience_seconds=PATIENCE_SECONDS,
            most_seconds=most_seconds,
            wait=self.requests.await_order,
            sources=self._sources(snapshot),
        )
        ready |= from_files
        shown = self._portal.read(now)
        if shown is not None:
            ready[PORTAL_APPLICATION] = shown
        if not ready:
            return None
        return compile_snapshot(
            snapshot,
            seq,
            self._settings,
            ready=ready,
            aliases=self._held.build_aliases(snapshot),
            upstreams=self._upstreams(snapshot.document, self._services.clock.now()),
            challenges=self._challenges.read(),
        )

    def _sources(self, snapshot: PolicySnapshot) -> dict[str, CertificateSource]:
        return certificate_sources(snapshot, portal_from_acme=self._settings.portal_from_acme)


def _follower_behind() -> Unavailable:
    return Unavailable("follower-behind", "live connections were not yet compared with the policy")
