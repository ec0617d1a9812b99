"""`doorward serve`: the role that runs the authority.

It has the keys and runs the status listener (CRL, OCSP, AIA), the surfaces behind the gateway (enrolment, portal, the door's own paths
on hosts of applications), and the jobs that sequence events, sign checkpoints, fill gateways' orders, keep revocation
data fresh and fetch that of partners.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial

import structlog

from doorward.audit.log import EventStore, sequence, sign_checkpoint
from doorward.authority.founding import due_responders, renew_responder
from doorward.authority.orders import fill_orders, open_orders
from doorward.authority.rollover.leaving import finish_leaving
from doorward.authority.status.ocsp_refresh import refresh_ocsp
from doorward.authority.status.root_crl import renew_root_list, root_list_due
from doorward.core.errors import DoorwardError, MalformedInput, RequestRefused
from doorward.directory.factors.context import FactorContext
from doorward.directory.factors.failure_events import write_counts
from doorward.directory.pruning import prune_expired
from doorward.directory.session_keys import maintain_session_keys
from doorward.factors.password import NoBreachedPasswords
from doorward.factors.webauthn import RelyingParty
from doorward.notices.sender import NoticeSender
from doorward.runtime.acme.job import LONGEST_WAIT_SECONDS, AcmeJob
from doorward.runtime.breached_passwords import open_breached
from doorward.runtime.change_notification import DatagramListener
from doorward.runtime.clock_difference import require_clock
from doorward.runtime.compose import Installation
from doorward.runtime.continuity import Continuity
from doorward.runtime.crl_job import CrlJob
from doorward.runtime.fetching.fetcher import HttpFetcher
from doorward.runtime.fetching.gathering import Gathering
from doorward.runtime.indexing import index_next
from doorward.runtime.jobs import Job, Jobs
from doorward.runtime.notices import build_notice_sender
from doorward.runtime.own_listeners import OwnListeners, own_ports
from doorward.runtime.people_surfaces import PeopleSurfaces
from doorward.runtime.privileges import Capability, needs_bind_service
from doorward.runtime.roles import become_ordinary
from doorward.runtime.settings import split_listen
from doorward.runtime.waiting_events import WaitingEvents
from doorward.web.app import build_challenge_app, build_status_app
from doorward.web.metrics import MetricsSurface
from doorward.web.ocsp import WORKERS as OCSP_WORKERS
from doorward.web.ocsp import OcspSurface
from doorward.web.ocsp_protocol import OcspProtocol
from doorward.web.pool import DEFAULT_ASIDE, UseCasePool
from doorward.web.serving import SocketPath, TcpAddress, WebServer

SYSTEM = "system"
SEQUENCED_AT_ONCE = 1100
"""A few more than a block has: the two blocks of a busy look at the access log are one transaction here, too (docs/design/0108)."""
SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 0.8
"""Between two looks for events to be sequenced. The pause doubles while there are none: an idle installation stays idle, and the
first event after a silence waits at most so long."""

POLL_SECONDS = 5.0
"""If the notification about an order or a revocation is lost, because the process was killed that placed or revoked it."""

CHECKPOINT_SECONDS = 5.0
EST_WORKERS = 4
NOTICE_SECONDS = 10.0
ORDER_PAUSE_SECONDS = 30.0
"""The pause between tries if orders keep failing: each try that reaches the signature leaves an intent and its event,
because a serial number is never used twice."""

_OF_GATEWAY = frozenset({"doorward.gateway", "doorward.runtime.gateway"})
"""Packages of the door, which this role does not need."""

_log = structlog.get_logger("doorward.serve")


class Serve:
    """One running `doorward serve`; `start`, then `stop`."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._services = installation.services
        self._stop = threading.Event()
        self._pool = UseCasePool(aside=DEFAULT_ASIDE)
        # Of its own: judging the certificates of strangers must not delay enrolment, the portal or revocation.
        self._est_pool = UseCasePool(workers=EST_WORKERS, aside=DEFAULT_ASIDE)
        self._challenge_pool = UseCasePool(workers=1)
        # Of its own: no other use case may delay revocation status.
        self._ocsp_pool = UseCasePool(workers=OCSP_WORKERS)
        settings, layout = installation.settings, installation.layout
        host, port = split_listen(settings.status_listen)
        self.status = WebServer(
            build_status_app(self._services, self._pool, metrics=_build_metrics(installation, self._pool)),
            TcpAddress(host=host, port=port),
            name="status",
            protocol=partial(OcspProtocol, OcspSurface(self._services, self._ocsp_pool)),
        )
        self._factors = build_factor_context(installation)
        surfaces = PeopleSurfaces(installation, self._services, self._pool, self._factors)
        self._behind_the_door = [
            WebServer(surfaces.enrolment(), SocketPath(path=layout.enrol_socket), name="enrolment"),
            *_est_servers(installation, surfaces, self._est_pool),
            WebServer(
                surfaces.portal(), SocketPath(path=layout.portal_socket), name="portal", large_heads=True
            ),
            WebServer(
                surfaces.sessions(),
                SocketPath(path=layout.sessions_socket),
                name="sessions",
                large_heads=True,
            ),
        ]
        if settings.acme_http_listen:
            host, port = split_listen(settings.acme_http_listen)
            challenges = build_challenge_app(
                self._services,
                self._challenge_pool,
                public_port=settings.public_port,
                portal_host=installation.portal_host(),
            )
            self._behind_the_door.append(WebServer(challenges, TcpAddress(host=host, port=port), name="acme"))
        self._acme_listener = DatagramListener(layout.run, "acme")
        self._acme = AcmeJob(
            self._services, settings, installation.portal_host(), self._stop, self._acme_listener.wait
        )
        self._notices = build_notice_sender(installation)
        self._listener = DatagramListener(layout.run, "serve")
        self._crl_listener = DatagramListener(layout.run, "crl")
        self._crls = CrlJob(self._services, self._crl_listener.wait)
        self._segments_from = 0
        self._sequence_pause = SHORTEST_PAUSE_SECONDS
        self._waiting = WaitingEvents(
            lambda: installation.event_log.read(),  # noqa: PLW0108  opened when it is needed
            self._services.work.commit_marks(),
        )
        self._gathering = Gathering(
            self._services, HttpFetcher(is_ours=OwnListeners(own_ports(settings)).has), self._stop
        )
        self._continuity = Continuity(self._services, layout.continuity, layout.founded)
        self._jobs = Jobs(self._list_jobs(), self._stop)

    def start(self) -> None:
        """Listen, and begin the jobs.

        Raises:
            Unavailable: an address is in use, or the database cannot be written; nothing is left running.
        """
        self._continuity.look()
        try:
            self.status.start()
            for server in self._behind_the_door:
                server.start()
        except DoorwardError:
            self.stop()
            raise
        self._jobs.start()
        _log.info("serving", status=str(self.status.address))

    def stop(self) -> None:
        """Stop listening, finish the jobs, sequence and sign what is left."""
        self._stop.set()
        self._installation.notifier.notify()
        for server in (*self._behind_the_door, self.status):
            server.stop()
        self._jobs.join(5.0)
        self._gathering.join(1.0)
        self._pool.close()
        self._est_pool.close()
        self._challenge_pool.close()
        self._ocsp_pool.close()
        self._listener.close()
        self._crl_listener.close()
        self._acme_listener.close()
        try:
            write_counts(self._services, self._factors.failure_limiter, whole=True)
            while self._sequence():
                pass
            self._sign_checkpoint()
        except DoorwardError as error:
            _log.error("the last events could not be sequenced", code=error.code)

    def _list_jobs(self) -> list[Job]:
        return [
            Job(
                name="sequence",
                work=self._sequence,
                seconds=SHORTEST_PAUSE_SECONDS,
                wait=lambda _: self._stop.wait(self._sequence_pause),
            ),
            Job(
                name="checkpoint",
                work=self._sign_checkpoint,
                seconds=CHECKPOINT_SECONDS,
                wait=self._stop.wait,
            ),
            Job(
                name="orders",
                work=self._fill_orders,
                seconds=POLL_SECONDS,
                wait=self._listener.wait,
                longest_pause_seconds=ORDER_PAUSE_SECONDS,
            ),
            Job(
                name="reserve",
                work=self._installation.database.maintain,
                seconds=10.0,
                wait=self._stop.wait,
            ),
            Job(name="crl", work=self._crls.work, seconds=POLL_SECONDS, wait=self._crls.wait),
            Job(name="ocsp", work=self._refresh_ocsp, seconds=60.0, wait=self._stop.wait),
            Job(
                name="acme",
                work=self._acme.work,
                seconds=LONGEST_WAIT_SECONDS,
                wait=self._acme.wait,
                longest_pause_seconds=ORDER_PAUSE_SECONDS,
            ),
            Job(name="evidence", work=self._gathering.work, seconds=2.0, wait=self._gathering.wait),
            Job(name="responder", work=self._renew_responder, seconds=600.0, wait=self._stop.wait),
            Job(name="continuity", work=self._look_back, seconds=5.0, wait=self._stop.wait),
            Job(name="session-keys", work=self._tend_session_keys, seconds=30.0, wait=self._stop.wait),
            Job(name="failed-checks", work=self._write_counts, seconds=10.0, wait=self._stop.wait),
            *([self._notices_job(self._notices)] if self._notices else []),
            Job(name="log", work=self._tend_log, seconds=60.0, wait=self._stop.wait),
            Job(name="prune", work=self._prune, seconds=600.0, wait=self._stop.wait),
            Job(name="rollover", work=self._finish_rollover, seconds=5.0, wait=self._stop.wait),
            Job(name="root-list", work=self._renew_root_list, seconds=600.0, wait=self._stop.wait),
        ]

    def _notices_job(self, sender: NoticeSender) -> Job:
        return Job(name="notices", work=sender.work, seconds=NOTICE_SECONDS, wait=self._stop.wait)

    def _sequence(self) -> bool:
        if not self._waiting.look():
            self._sequence_pause = min(2 * self._sequence_pause, LONGEST_PAUSE_SECONDS)
            return False
        self._segments_from = 0
        self._sequence_pause = SHORTEST_PAUSE_SECONDS
        with self._installation.event_log.change() as store:
            more = sequence(store, SEQUENCED_AT_ONCE) >= SEQUENCED_AT_ONCE
            if store.latest_checkpoint() is None:
                # In the same transaction: to the verifier, leaves without a checkpoint look as if one was removed.
                self._sign_head(store)
            return more

    def _tend_log(self) -> bool:
        """Join small segments, then index what is complete; each transaction writes little, so that no withdrawal waits."""
        with self._installation.event_log.change() as store:
            joined, self._segments_from = store.join_segments(self._segments_from)
        return joined or index_next(self._installation.event_log)

    def _sign_checkpoint(self) -> bool:
        with self._installation.event_log.change() as store:
            self._sign_head(store)
        return False

    def _sign_head(self, store: EventStore) -> None:
        sign_checkpoint(
            store, self._installation.log_key(), self._installation.log_origin(), self._services.clock.now()
        )

    def _fill_orders(self) -> bool:
        settings = self._installation.settings
        own = frozenset({settings.portal_host, settings.est_host} - {""})
        fault: DoorwardError | None = None
        found = fill_orders(self._services, open_orders(self._services), actor=SYSTEM, own=own)
        for order_id, error in found.items():
            if isinstance(error, MalformedInput | RequestRefused):
                _log.warning("an order was refused", order=order_id, code=error.code, detail=error.detail)
            else:  # this order stays open, and the others are filled
                fault = error
        if fault is not None:
            raise fault
        return False

    def _for_each(self, authority_ids: Sequence[str], work: Callable[[str], None]) -> bool:
        """Work for each authority; what fails for one must not stop the others."""
        fault: DoorwardError | None = None
        for one in authority_ids:
            try:
                work(one)
            except DoorwardError as error:
                fault = error
        if fault is not None:
            raise fault
        return False

    def _refresh_ocsp(self) -> bool:
        return refresh_ocsp(self._services).more

    def _renew_responder(self) -> bool:
        return self._for_each(
            due_responders(self._services),
            self._renew_responder_of,
        )

    def _renew_responder_of(self, issuing_id: str) -> None:
        renew_responder(self._services, actor=SYSTEM, issuing_id=issuing_id)

    def _finish_rollover(self) -> bool:
        """Go on with an authority that is trusted no more, if a process that retired it was interrupted."""
        finish_leaving(self._services, actor=SYSTEM)
        if self._services.keys is not None:
            self._services.keys.names()  # forgets the keys that another process has destroyed
        return False

    def _renew_root_list(self) -> bool:
        if root_list_due(self._services):
            renew_root_list(self._services, actor=SYSTEM)
        return False

    def _look_back(self) -> bool:
        self._continuity.look()
        return False

    def _tend_session_keys(self) -> bool:
        maintain_session_keys(self._services, self._installation.settings.session_key_lifetime)
        return False

    def _write_counts(self) -> bool:
        write_counts(self._services, self._factors.failure_limiter)
        return False

    def _prune(self) -> bool:
        prune_expired(self._services)
        return False


def _est_servers(installation: Installation, surfaces: PeopleSurfaces, pool: UseCasePool) -> list[WebServer]:
    """Return the server of the EST host, if there is one; its requests may have a chain of certificates in their head."""
    if not installation.settings.est:
        return []
    path = SocketPath(path=installation.layout.est_socket)
    return [WebServer(surfaces.est(pool), path, name="est", spells=True)]


def _build_metrics(installation: Installation, pool: UseCasePool) -> MetricsSurface | None:
    """Return the metrics if somebody may read them; otherwise their library is not loaded."""
    readers = installation.settings.metrics_from
    if not readers:
        return None
    from doorward.runtime.metrics import InstallationMetrics  # noqa: PLC0415  an idle installation stays small

    return MetricsSurface(
        InstallationMetrics(installation.services, installation.event_log).render, pool, readers
    )


def build_factor_context(installation: Installation) -> FactorContext:
    """Return the context of second factors for this process.

    Raises:
        ConfigurationError: `breached-passwords-unusable`.
    """
    settings = installation.settings
    host = installation.portal_host()
    breached = open_breached(settings.breached_passwords) if settings.breached_passwords else None
    return FactorContext(
        services=installation.services,
        party=RelyingParty(id=host, origin=installation.portal_origin(), name=settings.brand_name or host),
        breached=breached or NoBreachedPasswords(),
        known_words=tuple(word for word in (*host.split("."), *settings.brand_name.split()) if word),
    )


def run_serve(installation: Installation, stop: threading.Event, *, started: Callable[[], None]) -> None:
    """Serve until `stop` is set; if started by root, become an ordinary user first.

    The key store is unlocked before that, because the passphrase file belongs to root.
    """
    installation.prepare_folders()
    installation.load_database_driver()
    installation.unlock()
    listen = installation.settings.acme_http_listen
    low = needs_bind_service([split_listen(listen)[1]]) if listen else False
    keep = frozenset({Capability.NET_BIND_SERVICE}) if low else frozenset()
    become_ordinary(installation.account(), keep=keep, hand_down=frozenset(), never=_OF_GATEWAY)
    installation.tenant()  # the database belongs to the ordinary user: root must not open it
    require_clock(installation.database.server_clock, installation.services.clock)
    with installation.database.listening(installation.notifier.notify):
        serve = Serve(installation)
        serve.start()
        started()
        try:
            stop.wait()
        finally:
            serve.stop()
