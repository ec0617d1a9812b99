"""A whole Doorward in this process, on a real database and a real Envoy, for integration tests.

`open_doorway` founds an installation in a folder, runs the authority's side (`Serve`) and the
gateway's side (`Gateway`) in threads, and an application behind the door that echoes.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import socket
import ssl
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from textwrap import dedent, indent
from typing import TYPE_CHECKING, Any

import structlog

from doorward.access.policies import apply_document
from doorward.agent.client import Enrolled, enroll
from doorward.agent.link import parse_link
from doorward.audit.events import EventType
from doorward.authority.gateways import await_confirmations
from doorward.authority.inventory import root_certificate
from doorward.core.entities import PrincipalKind
from doorward.core.ports import Clock, KeyKind
from doorward.demo.ports import free_port
from doorward.directory.inviting import invite
from doorward.directory.principals import add_member, add_principal, create_group, list_groups
from doorward.gateway.connections.cutter import Mechanism
from doorward.gateway.door import Gateway
from doorward.gateway.publishing.discovery.api import load_api
from doorward.runtime.change_notification import DatagramListener
from doorward.runtime.compose import Installation
from doorward.runtime.evidence import Evidence
from doorward.runtime.gateway import build_options, envoy_binary
from doorward.runtime.initialise import initialise
from doorward.runtime.layout import Layout
from doorward.runtime.pem import render_pem
from doorward.runtime.serve import Serve
from doorward.runtime.settings import Settings
from doorward.runtime.world import SoftwareKeys, SystemClock, SystemRandom
from doorward.storage import keystore
from doorward.stores.services import Services
from tests.support.altering import Alteration, AlteringApi
from tests.support.sql_store import template
from tests.support.upstream import Upstream, running_upstream

if TYPE_CHECKING:
    from click.testing import Result

DOMAIN = "test.localhost"
ACTOR = "os:0"
TIMEOUT_SECONDS = 20.0
CONFIRMED_WITHIN_SECONDS = 60.0
"""A publication takes some hundred milliseconds; on a busy machine it may take many seconds."""
STAFF = "- {allow: {groups: [staff]}}"


def render_app(name: str, upstream: str, rules: str = STAFF, *, hosts: str = "", **fields: str) -> str:
    """Return one application as lines of a document.

    Args:
        name: of the application.
        upstream: its address, YAML.
        rules: YAML, a list.
        hosts: separated by commas; by default the name below the domain of the tests.
        fields: further keys with their values in YAML; an empty one is left out.
    """
    lines = [f"hosts: [{hosts or f'{name}.{DOMAIN}'}]", f"upstream: {upstream}"]
    lines += [f"{key}: {value}" for key, value in fields.items() if value]
    lines += ["rules:", indent(dedent(rules).strip(), "  ")]
    return f"  {name}:\n{indent(chr(10).join(lines), '    ')}\n"


def render_document(*apps: str) -> str:
    """Return a document with these applications."""
    return f"trust_domain: {DOMAIN}\napps:\n{''.join(apps)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """PEM files of a certificate chain and its key."""

    chain: Path
    key: Path


@dataclass(slots=True, kw_only=True)
class Doorway:
    """What a test holds."""

    folder: Path
    installation: Installation
    gateway: Gateway
    upstream: Upstream
    port: int
    root: Path
    identities: dict[str, Identity] = field(default_factory=dict)
    settled: list[tuple[float, float]] = field(default_factory=list)

    @property
    def services(self) -> Services:
        """The use cases' ports, with keys."""
        return self.installation.services

    def host(self, app: str) -> str:
        """Return an application's host name."""
        return f"{app}.{DOMAIN}"

    def app(self, name: str = "app", rules: str = STAFF, *, upstream: str = "", **fields: str) -> str:
        """Return one application of a document, as `render_app` does; by default before the door's own upstream."""
        return render_app(name, upstream or f"http://127.0.0.1:{self.upstream.port}", rules, **fields)

    def apply(self, rules: str = STAFF, *, app: str = "app", **fields: str) -> int:
        """Put a document with one application into force: `rules` is YAML, a list; return the change number."""
        return self.apply_document(render_document(self.app(app, rules, **fields)))

    def apply_document(self, text: str) -> int:
        """Put a document into force and wait for the gateway."""
        applied = apply_document(self.services, text, file="test.yaml", actor=ACTOR)
        self.settle(applied.seq)
        return applied.seq

    def settle(self, seq: int) -> None:
        """Wait until the gateway enforces a change; `settled` notes from when to when."""
        began = time.time()
        states, _ = await_confirmations(
            self.services, seq, sleep=time.sleep, patience_seconds=CONFIRMED_WITHIN_SECONDS
        )
        self.settled.append((began, time.time()))
        assert all(one.confirmed for one in states), [one.gateway.status for one in states]

    def person(
        self, name: str, *groups: str, kind: PrincipalKind = PrincipalKind.PERSON, key: KeyKind = KeyKind.P256
    ) -> Identity:
        """Add a principal, and enrol it through the door with a one-time link."""
        known = list_groups(self.services)
        for group in groups:
            if group not in known:
                create_group(self.services, group, actor=ACTOR)
        add_principal(self.services, kind, name, actor=ACTOR)
        for group in groups:
            add_member(self.services, group, name, actor=ACTOR)
        return self.enrol(name, key=key)

    def enrol(self, name: str, *, key: KeyKind = KeyKind.P256) -> Identity:
        """Enrol an existing principal (once more)."""
        token = invite(self.services, name, lifetime=timedelta(hours=1), actor=ACTOR).token
        people = self.folder / "people"
        out = people / f"{name}-{len(list(people.glob('*')))}"
        done = enroll_by(self.installation.enrolment_link(token), out=out, key=key)
        identity = Identity(chain=done.chain, key=done.key)
        self.identities[name] = identity
        return identity

    def certificate_of(self, name: str) -> str:
        """Return the id of the newest certificate of a principal."""
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes

        leaf = x509.load_pem_x509_certificate(self.identities[name].chain.read_bytes())
        with self.services.work.read() as stores:
            found = stores.certificates.by_sha256(leaf.fingerprint(hashes.SHA256()).hex())
        assert found is not None
        return found.id

    def context(self, identity: Identity | None, *, tls: ssl.TLSVersion | None = None) -> ssl.SSLContext:
        """Return a client's TLS context."""
        context = ssl.create_default_context(cafile=str(self.root))
        if identity is not None:
            context.load_cert_chain(identity.chain, identity.key)
        if tls is not None:
            context.minimum_version = context.maximum_version = tls
        return context

    def connect(
        self, identity: Identity | None, *, app: str = "app", tls: ssl.TLSVersion | None = None
    ) -> ssl.SSLSocket:
        """Open a TLS connection to an application's host on loopback."""
        plain = socket.create_connection(("127.0.0.1", self.port), TIMEOUT_SECONDS)
        # Without it the request waits for the acknowledgement of the handshake's end: 40 ms.
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            return self.context(identity, tls=tls).wrap_socket(plain, server_hostname=self.host(app))
        except BaseException:
            plain.close()
            raise

    @contextlib.contextmanager
    def session(self, identity: Identity | None, *, app: str = "app") -> Iterator[Session]:
        """Open one connection for several requests."""
        session = Session(self.connect(identity, app=app), self.host(app), self.port)
        try:
            yield session
        finally:
            session.close()

    def get(self, identity: Identity | None, path: str, *, app: str = "app", **more: Any) -> Reply:
        """Send one request on a connection of its own."""
        with self.session(identity, app=app) as session:
            return session.request("GET", path, **more)

    def lets_in(self, who: Identity | str | None, path: str = "/x", *, app: str = "app") -> bool:
        """Return whether a request on a new connection is answered with 200; `who` may be a name."""
        identity = self.identities[who] if isinstance(who, str) else who
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.get(identity, path, app=app).status == 200
        return False

    def application_id(self, name: str) -> str:
        """Return the id of an application of the document."""
        with self.services.work.read() as stores:
            return next(one.id for one in stores.applications.list() if one.name == name)

    def waiting(self) -> int:
        """Return how many events are no leaves yet."""
        with self.installation.event_log.read() as store:
            return store.waiting()

    def events(self, *kinds: EventType, settled: bool = True) -> list[dict[str, Any]]:
        """Return the events of these kinds (all without any), oldest first; once nothing waits to be sequenced."""
        assert not settled or eventually(lambda: not self.waiting())
        wanted = {kind.value for kind in kinds}
        found = Evidence(self.installation).events(0)
        return [one for one in found if not wanted or one["type"] in wanted]

    def refusal(self, **data: str) -> list[str]:
        """Return the reasons of the newest refused connection with these data, as soon as it is on record."""
        found: list[list[str]] = []

        def look() -> bool:
            events = self.events(EventType.CONNECTION_REFUSED, settled=False)
            said = [one["data"] for one in events]
            found[:] = [list(one["reasons"]) for one in said if data.items() <= one.items()]
            return bool(found)

        assert eventually(look)
        return found[-1]

    def command(self, *words: str) -> Result:
        """Run a command on the installation, in this process."""
        from click.testing import CliRunner

        from doorward.cli.__main__ import main

        settings = self.installation.settings
        environ = {
            "DOORWARD_DATA": str(settings.data),
            "DOORWARD_PASSPHRASE_FILE": str(settings.passphrase_file),
            "DOORWARD_GATEWAY_LISTEN": settings.gateway_listen,
            "DOORWARD_STATUS_LISTEN": settings.status_listen,
        }
        with log_apart():
            return CliRunner(env=environ).invoke(main, words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer: status, headers in lower case, body bytes, and name and value of each cookie that it sets."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    cookies: Sequence[tuple[str, str]] = ()

    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)

    def upstream_headers(self) -> dict[str, str]:
        """Return the headers that the application received."""
        return dict(self.json()["headers"])


class Session:
    """Requests on one connection, with any path as it is."""

    def __init__(self, secure: ssl.SSLSocket, host: str, port: int) -> None:
        self.socket = secure
        self._connection = http.client.HTTPConnection(host, port)
        self._connection.sock = secure
        self._connection.auto_open = 0  # never fall back to a connection of its own, without TLS
        # The standard library would refuse odd paths before the door sees them.
        self._connection._validate_path = lambda _url: None  # type: ignore[attr-defined]

    def close(self) -> None:
        """Close the connection, also if an answer was left half read."""
        self._connection.close()
        self.socket.close()

    def request(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Reply:
        """Send one request and read the answer."""
        self._connection.request(method, path, body=body, headers=dict(headers or {}))
        with self._connection.getresponse() as response:
            return Reply(
                status=response.status,
                headers={name.lower(): value for name, value in response.getheaders()},
                body=response.read(),
                cookies=[
                    (one.partition("=")[0], one.partition(";")[0].partition("=")[2])
                    for one in response.headers.get_all("set-cookie", [])
                ],
            )


@contextlib.contextmanager
def short_folder() -> Iterator[Path]:
    """Yield a folder with a path short enough for sockets below it."""
    folder = Path(tempfile.mkdtemp(prefix="dw-", dir="/tmp"))
    folder.chmod(0o711)  # as root, the running parts become a user who must pass
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def quick_keys() -> Iterator[None]:
    """Let a guess at a passphrase cost little, for key stores that are made and opened within the block."""
    usual = keystore.SCRYPT_N
    keystore.SCRYPT_N = 2**10
    try:
        yield
    finally:
        keystore.SCRYPT_N = usual


def settings_in(folder: Path, **more: Any) -> Settings:
    """Return the settings of an installation in a folder; `more` replaces the tests' own."""
    return Settings(
        **{
            "data": folder / "data",
            "trust_domain": DOMAIN,
            "gateway_listen": f"127.0.0.1:{free_port()}",
            "gateway_workers": 1,
            "status_listen": f"127.0.0.1:{free_port()}",
            "passphrase_file": folder / "passphrase",
            "user": "nobody",
            "max_requests_per_certificate": 100_000,  # tests of throughput use one certificate
            **more,
        }
    )


@contextlib.contextmanager
def founded(*, quick: bool = False, unlocked: bool = True, **settings: Any) -> Iterator[Installation]:
    """Found an installation in a folder of its own, and remove it at the end.

    Args:
        quick: with a key store that no other process can open, nor this one later: deriving its key costs little.
        unlocked: with its keys at hand.
        settings: settings that differ from the tests' own.
    """
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(short_folder())
        wanted = settings_in(folder, **settings)
        if not wanted.database:
            _put_tables(Layout(wanted.data))
        with quick_keys() if quick else contextlib.nullcontext():
            made = initialise(wanted, SystemRandom(), actor=ACTOR).settings
            installation = stack.enter_context(contextlib.closing(Installation(made)))
            if unlocked:
                installation.unlock()
        yield installation


def _put_tables(layout: Layout) -> None:
    """Put a database there that was migrated already, as an interrupted founding leaves it."""
    layout.create()
    layout.database.write_bytes(template())
    layout.database.chmod(0o600)


def parts_of(installation: Installation, upstream: Upstream) -> dict[str, Any]:
    """Return what every `Doorway` has."""
    folder = installation.layout.data.parent
    root = folder / "root.pem"
    root.write_text(render_pem(root_certificate(installation.services).der), encoding="ascii")
    port = int(installation.settings.gateway_listen.rpartition(":")[2])
    return {"folder": folder, "installation": installation, "upstream": upstream, "port": port, "root": root}


@contextlib.contextmanager
def open_doorway(
    *,
    mechanism: Mechanism | None = None,
    settings: Mapping[str, Any] | None = None,
    alter: Alteration | None = None,
    turn_clock: Callable[[Clock], Clock] | None = None,
    quick: bool = True,
) -> Iterator[Doorway]:
    """Open a door in this process.

    Args:
        mechanism: how connections are cut; None tries which works.
        settings: settings that differ from the tests' own.
        alter: changes each resource and filter chain before it is packed for Envoy, to show that an attack succeeds
            where a field is missing.
        turn_clock: gives the gateway another clock, made from the machine's.
        quick: see `founded`.
    """
    with running_upstream() as upstream, founded(quick=quick, **(settings or {})) as installation:
        serve = Serve(installation)
        serve.start()
        try:
            with _running_gateway(installation, mechanism, alter, turn_clock) as gateway:
                yield Doorway(**parts_of(installation, upstream), gateway=gateway)
        finally:
            serve.stop()


@contextlib.contextmanager
def _running_gateway(
    installation: Installation,
    mechanism: Mechanism | None,
    alter: Alteration | None,
    turn_clock: Callable[[Clock], Clock] | None,
) -> Iterator[Gateway]:
    listener = DatagramListener(installation.layout.run, "gateway-1")
    options = build_options(installation, envoy_binary(), mechanism=mechanism)
    services = installation.services
    if turn_clock is not None:
        services = replace(services, clock=turn_clock(services.clock))
    api = load_api() if alter is None else AlteringApi(load_api(), alter)
    gateway = Gateway(services, options, wait=listener.wait, api=api)
    try:
        gateway.start()
        yield gateway
    finally:
        gateway.stop()
        listener.close()


def enroll_by(link: str, *, out: Path, key: KeyKind = KeyKind.P256) -> Enrolled:
    """Enrol with a one-time link, as `doorward enroll` does."""
    return enroll(
        parse_link(link),
        out=out,
        clock=SystemClock(),
        random=SystemRandom(),
        factory=SoftwareKeys(),
        key_kind=key,
    )


PATIENT_SECONDS = 60.0
"""For what happens within a second or two on a quiet machine."""


def eventually(check: Callable[[], bool], seconds: float = PATIENT_SECONDS) -> bool:
    """Return True as soon as `check` does, False when the time is over."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        if check():
            return True
        threading.Event().wait(0.01)
    return check()


def is_root() -> bool:
    """Return whether the tests run as root."""
    return os.geteuid() == 0


@contextlib.contextmanager
def log_apart() -> Iterator[None]:
    """Keep the log of a door in this process out of what a command prints here: it may write at any moment."""
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.__stderr__))
    try:
        yield
    finally:
        structlog.reset_defaults()
