"""The gateway as a whole: what `doorward gateway` runs, built from the parts of this room.

Not here: settings, privileges and the database (runtime). The order of the start:
1. make the registry, its journal and the cutter. Steps that can fail come before the gateway is registered, because
   from then on every change waits for it. A start that fails withdraws the registration;
2. find the Envoys of an earlier gateway, end their connections that lost something meanwhile, restore the others, and act
   on the changes since then (docs/design/0076);
3. the authorizer listens and refuses: the follower does not run yet;
4. the discovery service listens; compile the policy, and adopt the running Envoy or start a new one;
5. start the follower, publishing, the reconciler and ingestion; once the follower has read the sequence, the authorizer
   admits. Only now may a change be confirmed: Envoy runs, and the changes made while no gateway followed are enforced.
The stop goes in the reverse order. If the gateway is asked to stop, it ends Envoy; if the gateway crashes, Envoy runs on.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from math import inf, isinf
from pathlib import Path

import structlog

from doorward import __version__
from doorward.audit.events import Event, EventType
from doorward.authority.gateways import (
    deregister_gateway,
    find_gateway,
    register_gateway,
    withdraw_registration,
)
from doorward.core.errors import ConfigurationError, DoorwardError
from doorward.gateway.access_log.counting import CertificateRateLimiter, ConnectionEventLimiter
from doorward.gateway.access_log.folder_watch import FolderWatch
from doorward.gateway.access_log.ingest import Ingest
from doorward.gateway.access_log.watch import LogWatch
from doorward.gateway.authorizer.assembly import AssembledAuthorizer
from doorward.gateway.authorizer.assertions import AssertionSigner
from doorward.gateway.authorizer.connection_limits import ConnectionLimitRecorder
from doorward.gateway.authorizer.gate import PolicyGate
from doorward.gateway.authorizer.judging import AuthorizerPorts
from doorward.gateway.authorizer.keys import load_assertion_key
from doorward.gateway.authorizer.server import AuthorizerServer
from doorward.gateway.ballast import BALLAST
from doorward.gateway.confirmation import ConfirmationSender
from doorward.gateway.connections.cutter import Cutter, Mechanism
from doorward.gateway.connections.ending import ConnectionEnder, EndReason
from doorward.gateway.connections.last_seen import LastSeen
from doorward.gateway.connections.one_time_refusals import OneTimeRefusals
from doorward.gateway.connections.reconciler import Reconciler
from doorward.gateway.connections.sockdiag import find
from doorward.gateway.envoy.diagnosis import explain_status
from doorward.gateway.envoy.statistics import EnvoyCounters
from doorward.gateway.envoy.supervisor import Supervisor
from doorward.gateway.following.evidence_loader import EvidenceLoader
from doorward.gateway.following.follower import Follower
from doorward.gateway.options import GatewayOptions, build_connections, build_decider
from doorward.gateway.precedence import Precedence
from doorward.gateway.publishing.application_files import ApplicationFiles
from doorward.gateway.publishing.discovery.api import EnvoyApi, load_api
from doorward.gateway.publishing.discovery.cache import EnvoyStream
from doorward.gateway.publishing.discovery.server import DiscoveryServer
from doorward.gateway.publishing.last_published import LastPublished
from doorward.gateway.publishing.portal_certificate import PortalCertificate
from doorward.gateway.publishing.server_certificates import ServerCertificates
from doorward.gateway.publishing.transition import PolicyPublisher
from doorward.gateway.publishing.upstream_files import UpstreamReader
from doorward.gateway.publishing.upstream_watch import UpstreamWatch
from doorward.partners.evidence_cache import EvidenceCache
from doorward.stores.events import new_event
from doorward.stores.policy_snapshot import PolicySnapshots
from doorward.stores.services import Services
from doorward.wire.jose import render_jwk

HEARTBEAT_SECONDS = 2.0
"""Each one is a durable write, which costs more than anything else that an idle gateway does."""

LONGEST_TROUBLE = 500
"""Characters of one sentence in the status: Envoy's message about a refused resource can be long."""

_log = structlog.get_logger("doorward.gateway")


class Gateway:
    """One gateway; `start`, then `stop`.

    Args:
        services: the use cases' ports, without keys.
        options: its options.
        wait: sleeps at most so many seconds, less if a change notification arrives.
        stop: if it is set, the start ends too, which may be waiting for a certificate; None makes a new one.
        api: Envoy's messages; None loads those of the installed Envoy.
    """

    def __init__(
        self,
        services: Services,
        options: GatewayOptions,
        *,
        wait: Callable[[float], bool],
        stop: threading.Event | None = None,
        api: EnvoyApi | None = None,
    ) -> None:
        self._services = services
        self._options = options
        self._wait = wait
        self._stop = stop or threading.Event()
        self._threads: list[threading.Thread] = []
        self._api = api or load_api()
        BALLAST.create(options.folder)
        key = load_assertion_key(options.folder / "keys" / "assertion.pem", services.factory)
        self.connections = build_connections(options, self._head())
        self.cutter = Cutter(
            lambda: self.supervisor.envoy_pids(),  # noqa: PLW0108  the supervisor is made later
            clock=services.clock,
            mechanism=options.mechanism,
        )
        self._register(render_jwk(key.public_key()))
        self._confirmations = self._build_confirmations()
        self.supervisor = self._build_supervisor()
        event_limiter = ConnectionEventLimiter(services.clock)
        self._ender = ConnectionEnder(
            services,
            self.id,
            self.connections,
            self.cutter,
            later=self._confirmations.wake,
            event_limiter=event_limiter,
        )
        self._refusals = OneTimeRefusals(services.clock)
        gate = PolicyGate()
        self._upstreams = UpstreamReader(
            options.folder / "keys" / "upstream", options.door.forbidden_upstreams
        )
        self._portal = PortalCertificate(
            options.door.portal_files, options.door.portal_host, options.folder / "keys" / "portal"
        )
        self._files = ApplicationFiles(options.folder / "keys" / "applications")
        self._upstream_watch = UpstreamWatch(self._upstreams.watched)
        snapshots = PolicySnapshots()
        self.publishing = self._build_publisher(snapshots, gate)
        evidence_cache = EvidenceCache(services.work)
        self._evidence = EvidenceLoader(services, evidence_cache)
        self._decider = build_decider(services, self.id, options, snapshots, evidence_cache)
        self.precedence = Precedence()
        self.follower = self._build_follower(snapshots)
        log = options.folder / "log"
        self.ingest = Ingest(services, self.id, log, self._reopen_logs, event_limiter, watch=FolderWatch(log))
        self._log_watch = LogWatch(self._running_counters, self.ingest.note_gap, services.clock)
        self._reconciler = self._build_reconciler()
        self.last_seen = LastSeen(services, self.connections)
        self._authorizer = AssembledAuthorizer(
            services,
            self._authorizer_ports(event_limiter),
            self._decider,
            connections=self.connections,
            gate=gate,
            precedence=self.precedence,
            signer=AssertionSigner(key, issuer=options.issuer),
        )
        self._discovery = DiscoveryServer(
            Path(options.door.discovery_socket),
            self._api,
            self._admit_envoy,
            clock=services.clock,
            is_ours=lambda pid: pid in self.supervisor.envoy_pids(),
        )
        self._server = AuthorizerServer(
            self._authorizer,
            Path(options.door.authorizer_socket),
            clock=services.clock,
            admit=lambda pid: pid in self.supervisor.envoy_pids(),
        )

    def _register(self, assertion_jwk: Mapping[str, object]) -> None:
        """Register the gateway under its name; from now on every change waits for it."""
        self._former = find_gateway(self._services, self._options.name)
        registered = register_gateway(
            self._services, name=self._options.name, assertion_jwk=json.dumps(assertion_jwk)
        )
        self.id = registered.id

    def _build_confirmations(self) -> ConfirmationSender:
        return ConfirmationSender(
            self._services,
            self.id,
            record=lambda: self._ender.record(),  # noqa: PLW0108  the ender is made later
            reached=self._reached,
            status=self._status,
        )

    def _build_supervisor(self) -> Supervisor:
        return Supervisor(
            self._options.envoy,
            prepare=self._prepare,
            clock=self._services.clock,
            listeners=lambda: self._options.listeners,
            may_drain=self.cutter.reaches,
            adopt=self._adopt,
            is_publishing=lambda: self.publishing.is_working,
            on_started=self._envoy_started,
            on_died=self._envoy_died,
            on_killed=self._record_death,
            on_vanished=self._envoy_vanished,
            verify=lambda admin: self.publishing.verify(admin),  # noqa: PLW0108  publishing is made later
            on_failed=self._envoy_failed,
        )

    def _build_publisher(self, snapshots: PolicySnapshots, gate: PolicyGate) -> PolicyPublisher:
        services, options = self._services, self._options
        return PolicyPublisher(
            services,
            self.id,
            options.door,
            snapshots=snapshots,
            connections=self.connections,
            ender=self._ender,
            certificates=ServerCertificates(services, self.id, options.folder / "keys" / "server"),
            gate=gate,
            api=self._api,
            last_published=LastPublished(options.folder / "published"),
            statistics=lambda: running.admin if (running := self.supervisor.running) else None,
            published=self._note_published,
            followed=lambda: self.follower.seq,
            catch_up=lambda seq: self.follower.catch_up_to(seq),  # noqa: PLW0108  the follower is made later
            upstreams=self._upstreams.read,
            portal=self._portal,
            files=self._files,
        )

    def _build_follower(self, snapshots: PolicySnapshots) -> Follower:
        requests = self.publishing.requests
        return Follower(
            self._services,
            self._decider,
            snapshots,
            self.connections,
            self._ender,
            publish=requests.request,
            order_changed=requests.order_changed,
            regrant=requests.refresh,
            evidence=self._evidence,
            confirm=self._confirmations.wake,
            max_staleness=self._options.max_staleness,
            lifetime=self._options.lifetime,
            refusals=self._refusals,
            precedence=self.precedence,
        )

    def _build_reconciler(self) -> Reconciler:
        return Reconciler(
            self.connections,
            self.cutter,
            listeners=lambda: self._options.listeners,
            clock=self._services.clock,
            end_due=lambda due: self._ender.end(due, EndReason.DEADLINE),
            on_unknown=self._ender.note_unknown_socket,
            most_undecided=self._options.door.limits.undecided_per_source,
        )

    def _authorizer_ports(self, event_limiter: ConnectionEventLimiter) -> AuthorizerPorts:
        limits = self._options.door.limits
        return AuthorizerPorts(
            find=find,
            record=self._make_durable,
            fresh=self.follower.fresh,
            epoch=lambda: self.supervisor.epoch,
            application_name=self.publishing.application_name,
            event_limiter=event_limiter,
            rate_limiter=CertificateRateLimiter(self._services.clock, limits.openings_per_certificate),
            refuse_once=self._refusals.take,
            note_over_limit=ConnectionLimitRecorder(self._services, self.id, self._make_durable).note,
        )

    def start(self) -> None:
        """Open the door.

        Raises:
            Unavailable: Envoy would not start (port in use …), or no server certificate came.
            DoorwardError: for any other reason that prevents it; no process of ours is left running.
        """
        try:
            self.supervisor.find()
            self._evidence.load_all()
            self._decider.prepare()
            self.follower.catch_up()
            self._ender.record()
            self._authorizer.start()
            self._server.start()
            self._discovery.start()
            self.supervisor.start()
        except BaseException:
            self.stop()
            self._withdraw()
            raise
        self.publishing.requests.request(self._head())
        for name, work in (
            ("follower", lambda: self.follower.run(self._wait, self._stop)),
            ("publishing", lambda: self.publishing.run(self._stop)),
            ("evidence", lambda: self._evidence.run(self._stop)),
            ("reconciler", lambda: self._reconciler.run(self._stop)),
            ("ingest", lambda: self.ingest.run(self._stop)),
            ("confirming", lambda: self._confirmations.run(self._stop)),
            ("heartbeat", self._beat),
            ("last-seen", lambda: self.last_seen.run(self._stop)),
            ("upstreams", lambda: self._upstream_watch.run(self._stop)),
        ):
            thread = threading.Thread(target=work, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)
        self._record(
            EventType.GATEWAY_STARTED,
            {"version": __version__, "can_cut": self.cutter.mechanism is not Mechanism.NONE},
        )
        _log.info(
            "the door is open",
            listen=[str(one) for one in self._options.listeners],
            cuts_by=self.cutter.mechanism.value,
            accepts=self._options.door.limits.accepted,
        )

    def stop(self) -> None:
        """Close the door, end every connection, record the last lines of the access log."""
        self._stop.set()
        self._confirmations.wake()
        self.publishing.requests.wake()
        self._evidence.wake()
        self._upstream_watch.wake()
        self.ingest.wake()
        self.supervisor.stop()
        self._server.stop()
        self._authorizer.stop()
        self._discovery.stop()
        ends_at = self._services.clock.monotonic() + 5  # for all together: `up` kills a gateway after 12
        for thread in self._threads:
            thread.join(max(0.0, ends_at - self._services.clock.monotonic()))
        if self._threads:
            try:
                self._ender.record()
                self.last_seen.note()
                # No file may stay: the next start is another gateway, which would record its lines a second time.
                self.ingest.rotate()
                self.ingest.finish(writers=False, final=True)
                self.ingest.record_counts(final=True)
                self._record(EventType.GATEWAY_STOPPED, {"reason": "stopped"})
                deregister_gateway(self._services, self.id)
            except (DoorwardError, OSError) as error:
                _log.error("the stop of the gateway could not be recorded", why=str(error))

    def _withdraw(self) -> None:
        """Withdraw the registration after a start that failed."""
        try:
            withdraw_registration(self._services, self.id, self._former)
        except DoorwardError as error:  # without heartbeats it counts as away after a while
            _log.error("the registration of the gateway could not be withdrawn", code=error.code)

    def trouble(self) -> list[str]:
        """Return what is wrong, one sentence each; an empty list if all is well."""
        found = [
            self.supervisor.trouble(),
            self.publishing.trouble(),
            self._discovery.trouble(),
            self._server.trouble(),
            self._upstreams.trouble(),
            self._portal.trouble(),
            self._files.trouble(),
            self.cutter.trouble(),
            self._reconciler.trouble(),
            self.ingest.trouble(),
            self._evidence.trouble(),
            self._log_watch.trouble(),
            self.follower.trouble(),
        ]
        return [one for one in found if one]

    def _admit_envoy(self, pid: int) -> EnvoyStream | None:
        """Return the stream for a process that connects to the discovery service: only for the Envoy that starts or runs."""
        return self.publishing.open_stream() if self.supervisor.serves(pid) else None

    def _prepare(self, _epoch: int, folder: Path) -> Path:
        """Make a new log file, the bootstrap and the resources for an Envoy that is about to start."""
        (self._options.folder / "log").mkdir(mode=0o700, exist_ok=True)
        self.ingest.rotate()
        return self.publishing.prepare(folder, self._stop)

    def _adopt(self, _epoch: int, folder: Path) -> bool:
        """Make everything ready for an Envoy of an earlier gateway; it goes on writing into the log file that it has."""
        self.ingest.adopt()
        if self._former is not None:
            self._log_watch.resume(self._former.seen_at)
        return self.publishing.adopt(folder, self._stop)

    def _reached(self) -> int | None:
        """Return the number up to which changes are followed, published and have their evidence loaded.

        None if the database was put back to an older state.
        """
        if self.follower.rewound:
            return None
        # In this order: the follower asks for publication before its number passes the change.
        reached = self.follower.seq
        behind = (self.publishing.requests.pending(), self._evidence.pending())
        return min([reached, *(one - 1 for one in behind if one is not None)])

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            try:
                # After a rewind the gateway stays alive and `status` says why; if it is stale for another reason, it
                # sends no heartbeat and counts as away.
                self._confirmations.confirm(beat=self.follower.fresh() or self.follower.rewound)
                self.ingest.finish(writers=bool(self.supervisor.draining))
                self._log_watch.look()
                if self._portal.changed() or self._files.changed():
                    self.publishing.requests.refresh()
                BALLAST.create(self._options.folder)
            except (DoorwardError, OSError) as error:
                _log.error("the heartbeat failed", why=str(error))
            except Exception:  # noqa: BLE001  this thread must go on: without heartbeats the gateway counts as away
                _log.exception("the heartbeat failed")

    def _status(self) -> str:
        trouble = [one[:LONGEST_TROUBLE] for one in self.trouble()]
        issuers = self.publishing.issuers()
        return json.dumps(
            {
                "connections": len(self.connections),
                "accepts": self._options.door.limits.accepted,
                "max_connections": self._options.door.limits.connections,
                "cuts_by": self.cutter.mechanism.value,
                "listen": [str(one) for one in self._options.listeners],
                "envoys": len(self.supervisor.envoy_pids()),
                "log_backlog_bytes": self.ingest.backlog(),
                "issuers": None if issuers is None else sorted(issuers),
                "trouble": trouble,
                "refused": {
                    one: words[:LONGEST_TROUBLE] for one, words in self.publishing.refusals().items()
                },
                "acme_challenges": self.publishing.shown_challenges(),
                "silent_upstreams": dict(self._upstream_watch.silent()),
                "measured": self._authorizer.meter.report(),
            }
        )

    def _note_published(self) -> None:
        self._confirmations.wake()
        self._upstream_watch.wake()

    def _envoy_started(self, pid: int, epoch: int) -> None:
        self._record(EventType.ENVOY_STARTED, {"pid": pid, "epoch": epoch})

    def _envoy_failed(self, status: int | None, error: DoorwardError) -> bool:
        return self.publishing.note_end(status, error.detail, refused=isinstance(error, ConfigurationError))

    def _envoy_died(self, pid: int, epoch: int, status: int | None, seconds: float) -> None:
        self.publishing.note_end(status, f"it {explain_status(status)}")
        self._record_death(pid, epoch, status, seconds)

    def _record_death(self, pid: int, epoch: int, status: int | None, seconds: float) -> None:
        """Record the death of an Envoy. Lines of its last `seconds` seconds may be missing; if infinite, all after the last written one."""
        how = {} if status is None else {"signal": -status} if status < 0 else {"exit_code": status}
        now = self._services.clock.now()
        if isinf(seconds):
            began = min(self.ingest.last_written() or now, now)
        else:
            began = now - timedelta(seconds=seconds)
        known: dict[str, str | int] = {"epoch": epoch, **({"pid": pid} if pid else {}), **how}
        self._record(EventType.ENVOY_DIED, known, self.ingest.build_gap(began, now, "envoy-died"))

    def _envoy_vanished(self, pid: int, epoch: int) -> None:
        """Record an Envoy that ended while no gateway ran: when, and of what, is unknown."""
        self._record_death(pid, epoch, None, inf)

    def _running_counters(self) -> tuple[EnvoyCounters, int] | None:
        running = self.supervisor.running
        return (running.admin, running.epoch) if running is not None else None

    def _reopen_logs(self) -> None:
        running = self.supervisor.running
        if running is not None:
            running.admin.reopen_logs()

    def _head(self) -> int:
        with self._services.work.read() as stores:
            return stores.changes.head()

    def _record(self, kind: EventType, data: dict[str, str | int], *more: Event) -> None:
        """Record an event of the gateway itself, and those that belong to it, also in the space that is reserved for withdrawals.

        Otherwise no gateway could start on a full disk, and the connections of an adopted Envoy would keep what is withdrawn.
        """
        event = new_event(self._services, kind, actor="system", data={"gateway": self.id, **data})
        with self._services.work.change() as stores:
            for one in (event, *more):
                stores.outbox.add(one)

    def _make_durable(self, event: Event) -> None:
        self._services.work.record([event])
