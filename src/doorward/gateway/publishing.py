"""Publishing: from the newest policy and the live connections to what Envoy enforces.

Not here: compiling (enforcement), writing and confirming files (publisher). One thread does this,
apart from the follower, so that a revocation never waits for Envoy.

The steps of a publication (the order of `enforcement.transition`):
1. read policy, applications and authorities as of one number of the change sequence, and wait until
   the follower has acted on it: connections that lost something are gone, nobody is admitted by an
   older judgement any more, and of every live connection it is known who it is now;
2. have a server certificate for each door, and order those that are missing;
3. end whoever holds an id of the new policy that it does not deserve;
4. compile, with aliases for connections that lost nothing but whose ids changed;
5. publish, and open the gate for judgements by this revision; only then delete keys that nothing names;
6. end whoever deserves more than it can show; and, later, whoever lives by an alias.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from doorward.audit.events import EventType, printable
from doorward.authority.journal import write_event
from doorward.authority.policies import current_document
from doorward.authority.records import AuthorityKind
from doorward.authority.services import Services
from doorward.authority.standing import require_tenant
from doorward.core.entities import TENANT
from doorward.core.errors import DoorwardError, Unavailable
from doorward.core.names import enrolment_host
from doorward.enforcement.envoy.resources import Resources, build_resources
from doorward.enforcement.plan import (
    EnrolmentDoor,
    Limits,
    OpenRoute,
    RunPaths,
    ServerCertificate,
    SocketAddress,
    build_plan,
)
from doorward.enforcement.transition import HeldConnection, aliases_for, rule_ids, standing_of
from doorward.gateway.authorities import Authorities
from doorward.gateway.connections import Connections, LiveConnection
from doorward.gateway.ending import Ending, EndReason
from doorward.gateway.epochs import epoch_of
from doorward.gateway.gate import PolicyGate
from doorward.gateway.publisher import Admin, Publisher
from doorward.gateway.server_certificates import ServerCertificates
from doorward.gateway.validation import Validator
from doorward.gateway.watches import check_watches, watch_limit
from doorward.policy.decision import ConnectionAuthority
from doorward.policy.model import Document

ENROL_PURPOSE = "enrol"
PATIENCE_SECONDS = 1.5
"""How long a publication waits for ordered certificates before it goes on with the doors that have one.

Usual are 0.1 s. New connections wait meanwhile, and the authorizer holds their answers for 3 s."""

CARRIED_LIFETIME = timedelta(minutes=10)
"""How long a connection may live by an alias (DESIGN 2.1(5))."""

FOLLOWER_SECONDS = 1.0
"""How long the follower may need for what is to be published; some milliseconds are usual."""

POLL_SECONDS = 0.002
RETRY_SECONDS = 2.0
CHECK_SECONDS = 60.0

_log = structlog.get_logger("doorward.publishing")


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorSettings:
    """What a gateway's own settings add to the policy.

    `enrol_routes` are what the enrolment host lets anybody send; `enrol_socket` is where `serve` answers.
    """

    listen: tuple[SocketAddress, ...]
    authorizer_socket: str
    enrol_socket: str
    enrol_routes: tuple[OpenRoute, ...]
    log_file: str
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ground:
    """What a publication rests on, as of one number of the change sequence."""

    seq: int
    revision: int
    document: Document
    ids: Mapping[str, str]
    trust_domain: str
    trust: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compiled:
    """What is to be published; `purposes` have or wait for a certificate, `missing` ones have none yet."""

    resources: Resources
    aliases: Mapping[str, frozenset[str]]
    purposes: frozenset[str]
    missing: tuple[str, ...]


class Publishing:
    """Publishes for one gateway.

    Args:
        services: the use cases' ports.
        gateway_id: this gateway.
        settings: listeners, sockets, limits.
        connections: the registry.
        ending: ends connections.
        certificates: the gateway's server certificates.
        gate: opened with each publication.
        validator: asks the real Envoy whether it would take a configuration.
        admin: the admin interface of the running Envoy, None while none runs.
        published: called when a publication is in force.
        followed: the number of the change sequence that the follower has acted on.
    """

    def __init__(
        self,
        services: Services,
        gateway_id: str,
        settings: DoorSettings,
        *,
        connections: Connections,
        ending: Ending,
        certificates: ServerCertificates,
        gate: PolicyGate,
        validator: Validator,
        admin: Callable[[], Admin | None],
        published: Callable[[], None],
        followed: Callable[[], int],
    ) -> None:
        self._services = services
        self._gateway_id = gateway_id
        self._connections = connections
        self._ending = ending
        self._certificates = certificates
        self._gate = gate
        self._settings = settings
        self._validator = validator
        self._admin = admin
        self._published = published
        self._followed = followed
        self._working = threading.Lock()  # `prepare` and `step` come from different threads
        self._xds = Path()
        self._epoch = 0
        self._publisher: Publisher | None = None
        self._condition = threading.Condition()
        self._asked: tuple[int, ...] = ()
        self._tried = 0
        self._certificates_moved = False
        self._names: Mapping[str, str] = {}
        self._carried: dict[int, float] = {}
        self._trouble = ""

    # what others ask and say

    def request(self, seq: int) -> None:
        """Ask for a publication of everything up to a change number; returns at once."""
        with self._condition:
            self._asked = (*self._asked, seq)
            self._condition.notify_all()

    def order_changed(self) -> None:
        """Say that an order for a server certificate moved."""
        with self._condition:
            self._certificates_moved = True
            self._condition.notify_all()

    def pending(self) -> int | None:
        """Return the oldest change number that is asked for and not in force, None where all is."""
        with self._condition:
            return min(self._asked, default=None)

    def application_name(self, application_id: str) -> str:
        """Return the name of an application of the published policy."""
        return self._names[application_id]

    def trouble(self) -> str:
        """Return why the newest policy is not in force, in a sentence; empty where it is."""
        with self._condition:
            return self._trouble

    # the work

    def prepare(self, folder: Path, stop: threading.Event) -> Path:
        """Make the files of a fresh Envoy in its own folder; return its bootstrap.

        An Envoy that drains keeps the files it has: connections that live on there lost nothing, and
        those that lose something are cut, whatever its rules say. Waits for the first certificate.

        Raises:
            Unavailable: `no-server-certificate` where none came before `stop` was set.
        """
        with self._working:
            self._xds, self._epoch = folder / "xds", epoch_of(folder) or 0
            publisher = Publisher(self._xds, validator=self._validator, clock=self._services.clock)
            said = False
            while (compiled := self._compile(ground := self._read_ground())) is None:
                if not said:
                    _log.warning(
                        "waiting for the first server certificate", hint="is `doorward serve` running?"
                    )
                    said = True
                if stop.wait(0.1):
                    raise _no_certificate()
            bootstrap = publisher.prepare(compiled.resources, node=self._gateway_id, folder=folder)
            self._publisher = publisher
            self._finished(ground, compiled)
            return bootstrap

    def run(self, stop: threading.Event) -> None:
        """Publish whenever something asks for it, until `stop` is set."""
        pause = CHECK_SECONDS
        while True:
            with self._condition:
                self._condition.wait_for(lambda: stop.is_set() or self._is_due(), pause)
                self._certificates_moved = False
                self._tried = max(self._asked, default=0)
            if stop.is_set():
                return
            pause = self.step()

    def _is_due(self) -> bool:
        # What failed is not tried again before its pause: a policy that Envoy refuses would else be
        # tried as fast as this machine can.
        return self._certificates_moved or max(self._asked, default=0) > self._tried

    def wake(self) -> None:
        """Make `run` look at its stop flag."""
        with self._condition:
            self._condition.notify_all()

    def step(self) -> float:
        """Publish what is newest; return how many seconds to wait where nothing asks for the next look."""
        with self._working:
            try:
                return self._publish()
            except DoorwardError as error:
                self._failed(error)
            except Exception:  # noqa: BLE001  the thread must live: the old configuration stays in force
                _log.exception("publishing failed")
                self._failed(Unavailable("internal-error", "publishing failed, and the log says how"))
            return RETRY_SECONDS

    def _publish(self) -> float:
        if self._publisher is None:
            return RETRY_SECONDS  # no Envoy was prepared yet
        ground = self._read_ground()
        self._await_follower(ground.seq)
        self._end_overreaching(ground)
        compiled = self._compile(ground)
        if compiled is None:
            raise _no_certificate()
        published = self._publisher.publish(compiled.resources, self._admin())
        self._publisher.repair(self._admin())
        self._finished(ground, compiled)
        self._end_short(ground, compiled.aliases)
        if published.changed:  # last: new connections wait for the gate, not for this record
            _log.info("published", revision=ground.revision, milliseconds=round(published.seconds * 1000))
            self._record(
                EventType.GATEWAY_PUBLISHED, {"revision": ground.revision, "sha256": published.version}
            )
        return RETRY_SECONDS if compiled.missing else CHECK_SECONDS

    def _finished(self, ground: _Ground, compiled: _Compiled) -> None:
        self._certificates.forget_others(compiled.purposes)
        names = {one: name for name, one in ground.ids.items()}
        lacking = ", ".join(names.get(one, one) for one in compiled.missing)
        with self._condition:
            self._names = names
            self._asked = tuple(seq for seq in self._asked if seq > ground.seq)
            self._trouble = f"no server certificate was issued yet for: {lacking}" if lacking else ""
        self._gate.open(ground.revision)
        self._published()

    def _failed(self, error: DoorwardError) -> None:
        _log.error(
            "the policy could not be published; the old one stays in force",
            code=error.code,
            detail=error.detail,
        )
        with self._condition:
            repeated, self._trouble = self._trouble == error.detail, error.detail
        if not repeated:
            self._record(
                EventType.GATEWAY_ROLLED_BACK,
                {
                    "revision": max(0, self._gate.revision),
                    "reason": error.code,
                    "detail": printable(error.detail[:500]),
                },
            )

    def _record(self, kind: EventType, data: dict[str, str | int]) -> None:
        try:
            self._services.work.record(
                [
                    write_event(
                        self._services, kind, actor="system", data={"gateway": self._gateway_id, **data}
                    )
                ]
            )
        except DoorwardError as error:
            _log.error("a publication could not be recorded", code=error.code)

    # the steps

    def _read_ground(self) -> _Ground:
        """Step 1."""
        with self._services.work.read() as books:
            tenant = require_tenant(books)
            document, revision = current_document(books)
            return _Ground(
                seq=books.changes.head(),
                revision=revision,
                document=document,
                ids={one.name: one.id for one in books.applications.list()},
                trust_domain=tenant.trust_domain,
                trust=tuple(
                    x509.load_der_x509_certificate(one.der).public_bytes(Encoding.PEM).decode("ascii")
                    for one in books.authorities.list()
                    if one.kind is AuthorityKind.ISSUING
                ),
            )

    def _await_follower(self, seq: int) -> None:
        limit = self._services.clock.monotonic() + FOLLOWER_SECONDS
        while self._followed() < seq:
            if self._services.clock.monotonic() > limit:
                raise Unavailable("follower-behind", "live connections were not yet compared with the policy")
            with self._condition:
                self._condition.wait(POLL_SECONDS)

    def _compile(self, ground: _Ground) -> _Compiled | None:
        """Steps 2 and 4; None while there is not a single certificate."""
        enrol_host = enrolment_host(ground.trust_domain)
        wanted: dict[str, tuple[str, ...]] = {ENROL_PURPOSE: (enrol_host,)}
        wanted |= {ground.ids[app.name]: app.hosts for app in ground.document.apps}
        ready = self._await_certificates(wanted)
        if not ready:
            return None
        aliases = aliases_for(self._held(ground), tenant=TENANT, revision=ground.revision)
        enrol = None
        if ENROL_PURPOSE in ready:
            enrol = EnrolmentDoor(
                host=enrol_host,
                socket=self._settings.enrol_socket,
                certificate=ready[ENROL_PURPOSE],
                routes=self._settings.enrol_routes,
            )
        by_id = {one: name for name, one in ground.ids.items()}
        plan = build_plan(
            ground.document,
            tenant=TENANT,
            application_ids=ground.ids,
            certificates={by_id[one]: found for one, found in ready.items() if one in by_id},
            aliases=aliases,
            listen=self._settings.listen,
            trust=ground.trust,
            paths=RunPaths(
                authorizer_socket=self._settings.authorizer_socket,
                log_file=self._settings.log_file,
                xds=str(self._xds),
            ),
            enrol=enrol,
            limits=self._settings.limits,
            epoch=self._epoch,
        )
        check_watches(len(plan.doors) + (plan.enrol is not None), watch_limit())
        return _Compiled(
            resources=build_resources(plan),
            aliases=aliases,
            purposes=frozenset(wanted),
            missing=tuple(sorted(wanted.keys() - ready.keys())),
        )

    def _await_certificates(self, wanted: Mapping[str, tuple[str, ...]]) -> dict[str, ServerCertificate]:
        """Step 2."""
        limit = self._services.clock.monotonic() + PATIENCE_SECONDS
        while True:
            ready = self._certificates.ensure(wanted)
            left = limit - self._services.clock.monotonic()
            if len(ready) == len(wanted) or left <= 0:
                return ready
            with self._condition:
                self._condition.wait_for(lambda: self._certificates_moved, min(left, 0.05))
                self._certificates_moved = False

    def _held(self, ground: _Ground) -> list[HeldConnection]:
        """Return what each connection holds, and what it deserves by this very policy.

        What the registry keeps may be compared with another one already: changes can follow closely.
        """
        authorities = Authorities(ground.document, ground.ids)
        held = [_held(one, authorities.of(one)) for one in self._connections.all()]
        return held + [_held(one, None) for one in self._connections.condemned()]  # these deserve nothing

    def _end_overreaching(self, ground: _Ground) -> None:
        """Step 3."""
        standing = standing_of(self._held(ground), tenant=TENANT, ids=self._rule_ids(ground))
        self._end(standing.overreaching, EndReason.AUTHORITY_WITHDRAWN)

    def _rule_ids(self, ground: _Ground) -> dict[str, frozenset[str]]:
        return {
            ground.ids[app.name]: rule_ids(app, TENANT, ground.ids[app.name]) for app in ground.document.apps
        }

    def _end(self, keys: frozenset[int], reason: EndReason) -> None:
        found = (self._connections.get(key) for key in keys)
        self._ending.end([one for one in found if one is not None], reason)

    def _end_short(self, ground: _Ground, aliases: Mapping[str, frozenset[str]]) -> None:
        """Step 6; `aliases` are those in force."""
        ids = self._rule_ids(ground)
        standing = standing_of(self._held(ground), tenant=TENANT, ids=ids, aliases=aliases)
        self._end(standing.short, EndReason.AUTHORITY_CHANGED)
        now = self._services.clock.monotonic()
        self._carried = {key: self._carried.get(key, now) for key in standing.carried}
        over = {key for key, since in self._carried.items() if now - since > CARRIED_LIFETIME.total_seconds()}
        self._end(frozenset(over), EndReason.AUTHORITY_CHANGED)


def _no_certificate() -> Unavailable:
    return Unavailable(
        "no-server-certificate",
        "no server certificate was issued to this gateway",
        hint="start `doorward serve` on the same data",
    )


def _held(one: LiveConnection, authority: ConnectionAuthority | None) -> HeldConnection:
    return HeldConnection(
        key=one.cookie,
        application_id=one.application_id,
        revision=one.revision,
        grants=frozenset(one.grants),
        deserved=frozenset(authority.grants) if authority is not None else frozenset(),
    )
